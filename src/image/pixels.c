/* pixels.c - see pixels.h. */
#include "image/pixels.h"

#include <limits.h>
#include <stdlib.h>

#include "base/filemap.h"
#include "image/stb.h"

enum { MAX_PIXELS = 64 << 20 };

/* Luma of Pillow's convert("L"), in its fixed point (Pillow, libImaging/Convert.c). */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

/* Packs RGB into grey, in place. */
static void make_grey(sdgen_pixels *p)
{
    const size_t count = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < count; i++) p->data[i] = luma(p->data + 3 * i);
    p->channels = 1;
}

/* Sizes are looked at before anything is decoded: a small file may hold a huge picture. */
static sdgen_status decode(sdgen_pixels *p, const struct sdg_filemap *map, const char *path,
                           sdgen_error *err)
{
    int w = 0, h = 0;
    if (map->size == 0 || map->size > INT_MAX || !sdg_stb_size(&w, &h, map->data, map->size))
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: no picture that can be read; PNG, JPEG or BMP",
                        path);
    if (w < 1 || h < 1 || (long long)w * h > MAX_PIXELS)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: %d x %d pixels; pictures of up to %d million are read", path, w, h,
                        MAX_PIXELS >> 20);
    p->data = sdg_stb_read(&p->width, &p->height, map->data, map->size);
    if (!p->data)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: the picture is damaged; save it again", path);
    p->channels = 3;
    return SDGEN_OK;
}

sdgen_status sdg_pixels_read(sdgen_pixels *p, const char *path, int grey, sdgen_error *err)
{
    struct sdg_filemap map;
    *p = (sdgen_pixels) {0};
    sdgen_status status = sdg_filemap_open(&map, path, err);
    if (status != SDGEN_OK) return status;
    status = decode(p, &map, path, err);
    sdg_filemap_close(&map);
    if (status == SDGEN_OK && grey) make_grey(p);
    return status;
}
