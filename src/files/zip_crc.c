/* zip_crc.c - the checksums of zip archives (see zip.h). Loading a checkpoint looks at that of its
 * pickle alone, as torch.load looks at none: the numbers would have to be read once more. */
#include <stdlib.h>
#include <zlib.h>

#include "base/parallel.h"
#include "files/zip.h"

bool sdg_zip_crc_is_right(const struct sdg_zip_entry *e)
{
    return e->crc == 0 || crc32_z(crc32_z(0, NULL, 0), e->data, e->size) == e->crc;
}

struct check {
    const struct sdg_zip *z;
    bool *wrong; /* [z->count] */
};

static void check_one(void *arg, size_t task, int worker)
{
    const struct check *c = arg;
    (void)worker;
    c->wrong[task] = !sdg_zip_crc_is_right(&c->z->entries[task]);
}

sdgen_status sdg_zip_check_crcs(size_t *unknown, const char *path, const uint8_t *data, size_t size,
                                int threads, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_zip z = {0};
    struct check c = {.z = &z};
    const struct sdg_zip_entry *first = NULL;
    size_t wrong = 0;
    *unknown = 0;
    SDG_TRY(sdg_zip_open(&z, path, data, size, err));
    c.wrong = calloc(z.count + 1, sizeof *c.wrong);
    if (!c.wrong)
        SDG_TRY(sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to check it", path));
    sdg_parallel_for(threads, z.count, check_one, &c);
    for (size_t i = 0; i < z.count; i++) {
        const struct sdg_zip_entry *e = &z.entries[i];
        *unknown += e->crc == 0 && e->size > 0;
        if (!c.wrong[i]) continue;
        if (!first || e->local < first->local) first = e;
        wrong++;
    }
    if (first)
        status = sdg_fail(err, SDGEN_ERR_FORMAT,
                          "%s: %.*s is not what its checksum says (%zu such entries); the file is "
                          "damaged, download it again",
                          path, first->name_size < 200 ? (int)first->name_size : 200,
                          (const char *)first->name, wrong);
fail:
    free(c.wrong);
    sdg_zip_close(&z);
    return status;
}
