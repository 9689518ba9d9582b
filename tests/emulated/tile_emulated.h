/* tile_emulated.h - the words of kernels/x86/tile_amx.h in plain C, after vec_emulated.h with its
 * words of AVX512-BF16. A thread has its own tiles, as a core has; using one that is not configured
 * ends the program, as the processor would. */
#ifndef SDG_TESTS_EMULATED_TILE_EMULATED_H
#define SDG_TESTS_EMULATED_TILE_EMULATED_H

#include <stdlib.h>

#include "tests/emulated/vec_emulated.h"

struct tile_state {
    size_t rows[8]; /* 0: not configured */
    vf row[8][16];
};
static _Thread_local struct tile_state tiles;

static inline void tile_configure(size_t rows)
{
    tiles = (struct tile_state) {0};
    for (int i = 0; i < 8; i++) tiles.rows[i] = i < 7 ? rows : 16;
}

static inline void tile_release(void)
{
    tiles = (struct tile_state) {0};
}

static inline void tile_load(int t, const void *p, size_t stride)
{
    if (tiles.rows[t] == 0) abort();
    for (size_t r = 0; r < tiles.rows[t]; r++)
        memcpy(&tiles.row[t][r], (const char *)p + r * stride, sizeof(vf));
}

static inline void tile_store(int t, void *p, size_t stride)
{
    if (tiles.rows[t] == 0) abort();
    for (size_t r = 0; r < tiles.rows[t]; r++)
        memcpy((char *)p + r * stride, &tiles.row[t][r], sizeof(vf));
}

/* TDPBF16PS as the Intel SDM, volume 2, spells it out: the products of lower and of upper halves
 * are summed apart, fused, then added to each other and to the tile; what is denormal counts as 0.
 */
static inline void tile_dot(int c, int a, int b)
{
    if (tiles.rows[c] == 0 || tiles.rows[c] != tiles.rows[a] || tiles.rows[b] != 16) abort();
    for (size_t r = 0; r < tiles.rows[c]; r++) {
        vf low = vf_set(0.0f), high = low;
        for (int k = 0; k < 16; k++) {
            const uint32_t pair = (uint32_t)((vf_int)tiles.row[a][r])[k];
            const vf_int column = (vf_int)tiles.row[b][k];
            const vf al = (vf)vf_set_int((int32_t)(pair << 16));
            const vf ah = (vf)vf_set_int((int32_t)(pair & 0xffff0000u));
            const vf bl = (vf)(column << 16), bh = (vf)(column & (int32_t)0xffff0000u);
            low = vf_flush(vf_fma(vf_flush(al), vf_flush(bl), low));
            high = vf_flush(vf_fma(vf_flush(ah), vf_flush(bh), high));
        }
        const vf sum = vf_flush(low + high);
        tiles.row[c][r] = vf_flush(vf_flush(tiles.row[c][r]) + sum);
    }
}

#endif
