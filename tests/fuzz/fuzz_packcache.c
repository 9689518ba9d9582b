/* fuzz_packcache.c - a file of packed weights that something has changed. A right file is made
 * once; every input says where to change it and how to cut it, and the changed one is examined in
 * memory that ends where it does. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "kernels/kernels.h"
#include "weights/packcache_key.h"

enum { ROWS = 40, COLUMNS = 48 };

struct right {
    float weight[2][ROWS * COLUMNS];
    struct sdg_kernels k;
    struct sdg_packs *packs;
    char *header;
    uint8_t *file;
    size_t size;
};

static sdgen_status take(void *user, size_t at, const void *data, size_t bytes, sdgen_error *err)
{
    struct right *r = user;
    (void)err;
    memcpy(r->file + sdg_packcache_image_at(r->header) + at, data, bytes);
    return SDGEN_OK;
}

static const struct right *make(void)
{
    struct right *r = calloc(1, sizeof *r);
    const struct sdg_packcache_way way = {.folder = "", .tier = "c", .precision = "f32"};
    if (!r || sdg_packs_create(&r->packs, NULL) != SDGEN_OK) abort();
    sdg_kernels_init(&r->k, SDG_ISA_C);
    for (int i = 0; i < 2; i++) {
        const struct sdg_tensor weight = {r->weight[i], SDG_F32, 2, {ROWS, COLUMNS}};
        for (int j = 0; j < ROWS * COLUMNS; j++) r->weight[i][j] = (float)(i * 1000 + j);
        sdg_packs_note(r->packs, &weight, &r->k.matmul_f32, 1);
    }
    r->header = sdg_packcache_header(r->packs, &way);
    if (!r->header) abort();
    r->size = sdg_packcache_image_at(r->header) + sdg_packs_image_bytes(r->packs);
    r->file = calloc(r->size, 1);
    if (!r->file || sdg_packs_write(r->packs, &r->k, 1, take, r, NULL) != SDGEN_OK) abort();
    char hex[SDG_SHA256_HEX];
    const struct sdg_packcache_bytes bytes = {r->file, r->size, -1};
    sdg_packcache_samples(hex, r->packs, &bytes, sdg_packcache_image_at(r->header));
    hex[SDG_SHA256_HEX - 1] = '\n';
    memcpy(r->file, r->header, strlen(r->header));
    memcpy(r->file + strlen(r->header), hex, sizeof hex);
    if (sdg_packcache_examine(r->packs, r->header, &bytes)) abort();
    return r;
}

/* Four bytes a change: two of a place, one to put there; the fourth chooses between that and a cut.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct right *right;
    if (!right) right = make();
    size_t length = right->size;
    uint8_t *changed = malloc(length);
    if (!changed) abort();
    memcpy(changed, right->file, length);
    for (size_t i = 0; i + 4 <= size; i += 4) {
        const size_t at = ((size_t)data[i] << 8 | data[i + 1]) % right->size;
        if (data[i + 3] < 250)
            changed[at] = data[i + 2];
        else if (at < length)
            length = at;
    }
    uint8_t *cut = malloc(length ? length : 1);
    if (!cut) abort();
    memcpy(cut, changed, length);
    free(changed);
    const struct sdg_packcache_bytes bytes = {cut, length, -1};
    const char *why = sdg_packcache_examine(right->packs, right->header, &bytes);
    if (!why && memcmp(cut, right->file, strlen(right->header)) != 0) abort();
    free(cut);
    return 0;
}
