/* convert.c - see convert.h. */
#include "convert/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "weights/arch_names.h"
#include "weights/family.h"
#include "weights/keys.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- where to ---- */

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

enum sdg_target_form sdg_target_of(const char *out)
{
    if (ends_with(out, ".gguf")) return SDG_TO_GGUF;
    return ends_with(out, ".safetensors") || ends_with(out, ".sft") ? SDG_TO_SAFETENSORS
                                                                    : SDG_TO_FOLDER;
}

bool sdg_target_is_doubtful(const char *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *dot = strrchr(out, '.');
    struct stat st;
    if (sdg_target_of(out) != SDG_TO_FOLDER || !dot || dot == out || dot[-1] == '/') return false;
    if (stat(out, &st) == 0 && S_ISDIR(st.st_mode)) return false;
    return strspn(dot + 1, letters) >= 2 && dot[1 + strspn(dot + 1, letters)] == 0;
}

sdgen_status sdg_target_check(const char *out, enum sdg_target_form to, int overwrite,
                              sdgen_error *err)
{
    struct stat st;
    static const char *const others[] = {".ckpt", ".pt", ".pth", ".bin", ".dduf", ".json"};
    for (size_t i = 0; i < COUNT(others) && to == SDG_TO_FOLDER; i++)
        if (ends_with(out, others[i]))
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "%s: %s files are not written; name a .safetensors or .gguf file, or a "
                            "folder",
                            out, others[i]);
    if (stat(out, &st) != 0) return SDGEN_OK;
    if (to != SDG_TO_FOLDER && S_ISDIR(st.st_mode))
        return sdg_fail(err, SDGEN_ERR_IO, "%s: is a folder", out);
    if (to == SDG_TO_FOLDER && !S_ISDIR(st.st_mode))
        return sdg_fail(err, SDGEN_ERR_IO, "%s: is a file, where a folder is to be written", out);
    if (!overwrite) return sdg_fail(err, SDGEN_ERR_IO, "%s: exists; --overwrite replaces it", out);
    return SDGEN_OK;
}

enum sdg_out_keys sdg_convert_keys(const struct sdg_convert_options *o)
{
    if (o->to == SDG_TO_FOLDER) return SDG_OUT_FOLDER;
    return o->diffusers_keys ? SDG_OUT_DIFFUSERS : SDG_OUT_LDM;
}

/* ---- metadata ---- */

/* What a file says of its own form. */
static bool is_of_form(const char *key)
{
    static const char *const keys[] = {"general.architecture", "general.quantization_version",
                                       "general.file_type", "general.alignment"};
    for (size_t i = 0; i < COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return sdg_name_after(key, "comfy.gguf.") != NULL;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sdg_write_pair *)a)->key, ((const struct sdg_write_pair *)b)->key);
}

static void put_pair(struct sdg_out_pairs *p, const struct sdg_joined *j, const char *key,
                     const char *text, uint32_t number)
{
    if (sdg_weights_metadata(&j->all, key) && !is_of_form(key)) return;
    p->list[p->count++] = (struct sdg_write_pair) {key, text, number};
}

/* A folder says in its scheduler's configuration what a single file can say in its metadata. */
static void put_facts(struct sdg_out_pairs *p, const struct sdg_joined *j)
{
    struct sdg_scheduler_facts s;
    sdg_scheduler_read(&s, sdg_weights_text(&j->all, "scheduler/scheduler_config.json"));
    if (!s.there || strncmp(s.class_name, "EDM", 3) == 0) return;
    if (strcmp(s.prediction_type, "v_prediction") == 0 && !sdg_weights_find(&j->all, "v_pred"))
        put_pair(p, j, "modelspec.prediction_type", "v", 0);
    if (s.rescale_betas_zero_snr == 1 && !sdg_weights_find(&j->all, "ztsnr"))
        put_pair(p, j, "ss_zero_terminal_snr", "True", 0);
}

/* Names of ComfyUI-GGUF (tools/convert.py), which asks for them. */
static const char *gguf_architecture(const struct sdg_joined *j)
{
    struct sdg_finding f;
    sdg_family_find(&f, &j->all);
    if (!f.unet) return "stable-diffusion";
    switch (f.family) {
    case SDG_FAMILY_SDXL:
    case SDG_FAMILY_SDXL_REFINER: return "sdxl";
    case SDG_FAMILY_SD2: return "sd2";
    case SDG_FAMILY_SD1: break;
    }
    return "sd1";
}

sdgen_status sdg_out_pairs_make(struct sdg_out_pairs *p, const struct sdg_joined *j,
                                enum sdg_target_form to, sdgen_error *err)
{
    enum { OWN = 6 };
    const struct sdg_weights *w = &j->all;
    *p = (struct sdg_out_pairs) {.list = calloc(w->metadata_count + OWN, sizeof *p->list)};
    if (!p->list) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", w->path);
    for (size_t i = 0; i < w->metadata_count; i++)
        if (!is_of_form(w->metadata[i].key))
            p->list[p->count++] =
                (struct sdg_write_pair) {w->metadata[i].key, w->metadata[i].value, 0};
    if (to == SDG_TO_GGUF) {
        put_pair(p, j, "general.architecture", gguf_architecture(j), 0);
        put_pair(p, j, "general.quantization_version", NULL, 2); /* GGML_QNT_VERSION */
    }
    if (to == SDG_TO_FOLDER)
        put_pair(p, j, "format", "pt", 0); /* transformers insists */
    else
        put_facts(p, j);
    qsort(p->list, p->count, sizeof *p->list, by_key);
    size_t kept = 0; /* of several files' metadata the first counts */
    for (size_t i = 0; i < p->count; i++)
        if (i == 0 || strcmp(p->list[i].key, p->list[kept - 1].key) != 0)
            p->list[kept++] = p->list[i];
    p->count = kept;
    return SDGEN_OK;
}

/* ---- writing ---- */

sdgen_status sdg_convert_write(struct sdg_out_stream *s, const struct sdg_outputs *outputs,
                               const struct sdg_joined *j, const struct sdg_convert_options *o,
                               sdgen_error *err)
{
    sdgen_status status;
    struct sdg_out_pairs pairs = {0};
    s->from = j;
    s->progress = o->progress;
    s->progress_user = o->progress_user;
    s->cancel = o->cancel;
    s->all = 0;
    for (size_t i = 0; i < outputs->count; i++) s->all += sdg_tensor_bytes(&outputs->list[i].as);
    SDG_TRY(sdg_out_stream_begin(s, err));
    if (o->to == SDG_TO_FOLDER) {
        SDG_TRY(sdg_convert_folder(s, outputs, j, o, err));
    } else {
        SDG_TRY(sdg_out_pairs_make(&pairs, j, o->to, err));
        const struct sdg_out_file file = {.path = o->out,
                                          .folder = "",
                                          .gguf = o->to == SDG_TO_GGUF,
                                          .pairs = pairs.list,
                                          .pair_count = pairs.count,
                                          .overwrite = o->overwrite};
        SDG_TRY(sdg_out_file_write(s, outputs, &file, err));
    }
fail:
    free(pairs.list);
    sdg_out_stream_end(s);
    return status;
}

void sdg_convert_tell(const struct sdg_convert_options *o, const struct sdg_outputs *outputs,
                      const struct sdg_joined *j, const struct sdg_out_stream *s)
{
    for (int d = 0; d < SDG_DTYPE_COUNT; d++)
        if (outputs->retyped[d] && !o->type)
            sdg_log(o->log, SDGEN_LOG_INFO,
                    "%zu tensors of type %s are widened: a %s file has no room for it (--type f16 "
                    "makes them smaller)",
                    outputs->retyped[d], sdg_dtype_name((enum sdg_dtype)d),
                    o->to == SDG_TO_GGUF ? "GGUF" : "safetensors");
    if (j->dropped)
        sdg_log(o->log, SDGEN_LOG_INFO, "%zu tensors of %s were left out", j->dropped, j->all.path);
    if (outputs->left)
        sdg_log(o->log, SDGEN_LOG_INFO,
                "%zu tensors of no network were left out: they have no name in diffusers",
                outputs->left);
    if (s->infinite)
        sdg_log(o->log, SDGEN_LOG_WARN,
                "%zu numbers are too large for f16 and became infinite; take --type bf16",
                s->infinite);
}

sdgen_status sdg_convert(struct sdg_convert_result *r, const struct sdg_convert_options *o,
                         sdgen_error *err)
{
    sdgen_status status;
    struct sdg_joined j = {0};
    struct sdg_outputs outputs = {0};
    struct sdg_typing *typing = NULL;
    struct sdg_out_stream s = {0};
    SDG_TRY(sdg_typing_create(&typing, o->type, o->rules, err));
    if (sdg_typing_quantises(typing) && o->to != SDG_TO_GGUF) {
        status = sdg_fail(err, SDGEN_ERR_ARG, "%s: quantised types are for .gguf files", o->out);
        goto fail;
    }
    SDG_TRY(sdg_target_check(o->out, o->to, o->overwrite, err));
    SDG_TRY(sdg_joined_open(&j, &o->join, err));
    SDG_TRY(sdg_outputs_plan(&outputs, &j, sdg_convert_keys(o), o->to == SDG_TO_GGUF, typing, err));
    if (outputs.count == 0) {
        status = sdg_fail(err, SDGEN_ERR_MODEL, "%s: holds no network that could be written",
                          o->join.path);
        goto fail;
    }
    SDG_TRY(sdg_convert_write(&s, &outputs, &j, o, err));
    sdg_convert_tell(o, &outputs, &j, &s);
    *r = (struct sdg_convert_result) {outputs.count, s.all};
fail:
    sdg_outputs_destroy(&outputs);
    sdg_joined_close(&j);
    sdg_typing_destroy(typing);
    return status;
}
