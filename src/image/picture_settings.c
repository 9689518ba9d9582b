/* picture_settings.c - see foreign_readers.h: which program a picture's texts come from. A text in
 * A1111's form goes before all others: programs that write it besides their own do so to be
 * understood. */
#define _GNU_SOURCE
#include <string.h>

#include "image/foreign_readers.h"
#include "image/infotext_parse.h"

/* A1111's form, or JSON that stands in its place. */
static sdgen_status read_parameters(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    const char *start = text + strspn(text, " \n");
    if (start[0] == '{' && strstr(start, "\"sui_image_params\""))
        return sdg_read_swarmui(s, text, err);
    if (start[0] == '{' && strstr(start, "\"class_type\"")) return sdg_read_comfyui(s, text, err);
    if (start[0] == '{' && strstr(start, "\"base_model\"")) return sdg_read_fooocus(s, text, err);
    if (strstr(text, "Version: stable-diffusion.cpp")) return sdg_read_sdcpp(s, text, err);
    return sdg_infotext_parse(s, text, err);
}

/* ComfyUI's WebP files: "prompt:{...}" in a free Exif tag. */
static const char *exif_prompt(const struct sdg_imagetext *t)
{
    static const char mark[] = "prompt:";
    for (size_t i = 0; i < t->count; i++)
        if (strncasecmp(t->entries[i].text, mark, sizeof mark - 1) == 0)
            return t->entries[i].text + sizeof mark - 1;
    return NULL;
}

static sdgen_status read_any(struct sdg_settings *s, const char **text,
                             const struct sdg_imagetext *t, const char *path, sdgen_error *err)
{
    static const struct {
        const char *keyword;
        sdgen_status (*read)(struct sdg_settings *s, const char *text, sdgen_error *err);
    } readers[] = {
        {"parameters", read_parameters},     {"invokeai_metadata", sdg_read_invokeai},
        {"sd-metadata", sdg_read_invokeai2}, {"Dream", sdg_read_dream},
        {"prompt", sdg_read_comfyui},        {"UserComment", read_parameters},
    };
    const char *software = sdg_imagetext_find(t, "Software");
    if (software && strcmp(software, "NovelAI") == 0 &&
        (*text = sdg_imagetext_find(t, "Comment")) != NULL)
        return sdg_read_novelai(s, t, err);
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if ((*text = sdg_imagetext_find(t, readers[i].keyword)) != NULL)
            return readers[i].read(s, *text, err);
    if ((*text = exif_prompt(t)) != NULL) return sdg_read_comfyui(s, *text, err);
    if ((*text = sdg_imagetext_find(t, "comment")) != NULL) return read_parameters(s, *text, err);
    if (sdg_imagetext_find(t, "workflow"))
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: only ComfyUI's workflow is in it, not the prompt that was run", path);
    if (t->count)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: none of its texts (the first is %s) says how it was made", path,
                        t->entries[0].keyword);
    return sdg_fail(err, SDGEN_ERR_FORMAT,
                    "%s: the picture says nothing about how it was made; some sites and editors "
                    "take it out",
                    path);
}

sdgen_status sdg_settings_read(struct sdg_settings *s, const char **text,
                               const struct sdg_imagetext *t, const char *path, sdgen_error *err)
{
    sdgen_error why = {0};
    const sdgen_status status = read_any(s, text, t, path, &why);
    if (status == SDGEN_OK) return SDGEN_OK;
    sdg_settings_free(s);
    /* Readers of texts do not know the file. */
    const bool named = strncmp(why.text, path, strlen(path)) == 0;
    return sdg_fail(err, status, "%s%s%s", named ? "" : path, named ? "" : ": ", why.text);
}
