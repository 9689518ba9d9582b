/* picture.c - see picture.h. */
#include "cli/picture.h"

#include "base/filemap.h"
#include "cli/message.h"

int sdg_picture_open(struct sdg_picture *p, const char *path)
{
    sdgen_status status;
    sdgen_error error;
    struct sdg_filemap map = {.fd = -1};
    *p = (struct sdg_picture) {.path = path};
    SDG_TRY(sdg_filemap_open(&map, path, &error));
    status = sdg_imagetext_read(&p->texts, map.data, map.size, path, &error);
    sdg_filemap_close(&map);
    if (status != SDGEN_OK) goto fail;
    SDG_TRY(sdg_settings_read(&p->settings, &p->text, &p->texts, path, &error));
    return -1;
fail:
    return sdg_say_failure("%s", error.text);
}

void sdg_picture_close(struct sdg_picture *p)
{
    sdg_settings_free(&p->settings);
    sdg_imagetext_free(&p->texts);
}
