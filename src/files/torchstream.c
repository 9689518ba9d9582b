/* torchstream.c - see torchstream.h. */
#include "files/torchstream.h"

#include <stdarg.h>
#include <stdio.h>

sdgen_status sdg_torchstream_refuse(const struct sdg_torchstream *s, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(s->err, SDGEN_ERR_FORMAT, "%s: %s, byte %zu: %s", s->path, s->part, s->at,
                    what);
}

sdgen_status sdg_torchstream_pickle(struct sdg_pickle_value *result, struct sdg_torchstream *s,
                                    struct sdg_pickle *p)
{
    p->path = s->path;
    p->part = s->part;
    p->data = s->data + s->at;
    p->size = s->size - s->at;
    p->base = s->at;
    p->stream = true;
    const sdgen_status status = sdg_pickle_run(result, p, s->err);
    if (status == SDGEN_OK) s->at += p->used;
    return status;
}

sdgen_status sdg_torchstream_bytes(const uint8_t **bytes, struct sdg_torchstream *s, uint64_t size)
{
    if (size > s->size - s->at)
        return sdg_torchstream_refuse(s, "it ends too early; the file was cut, download it again");
    *bytes = s->data + s->at;
    s->at += size;
    return SDGEN_OK;
}

sdgen_status sdg_torchstream_number(int64_t *number, struct sdg_torchstream *s, size_t width)
{
    const uint8_t *bytes = NULL;
    uint64_t n = 0;
    const sdgen_status status = sdg_torchstream_bytes(&bytes, s, width);
    *number = 0;
    if (status != SDGEN_OK) return status;
    for (size_t i = width; i-- > 0;) n = n << 8 | bytes[i];
    *number = width == 4 ? (int32_t)(uint32_t)n : (int64_t)n;
    return SDGEN_OK;
}
