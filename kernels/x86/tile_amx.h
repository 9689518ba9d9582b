/* tile_amx.h - the words for AMX tiles (Intel SDM volume 1, chapter 18): eight registers of up to
 * 16 rows of 64 bytes.
 *
 * Own instructions rather than those of <immintrin.h>: gcc 12 declares tile loads as touching no
 * memory, so that stores could slip behind them. The number of a tile is part of the instruction
 * and must be written as a digit. */
#ifndef SDG_X86_TILE_AMX_H
#define SDG_X86_TILE_AMX_H

#include <stddef.h>
#include <stdint.h>

/* What LDTILECFG reads (SDM volume 1, table 18-1). */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Tiles 0 to 6 get `rows` rows, tile 7 sixteen, all of 64 bytes; all become 0. */
static inline void tile_configure(size_t rows)
{
    struct tile_shapes s = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        s.row_bytes[i] = 64;
        s.rows[i] = i < 7 ? (uint8_t)rows : 16;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(s) : "memory");
}

static inline void tile_release(void)
{
    __asm__ volatile("tilerelease" ::: "memory");
}

/* Rows at p, p + stride, ...; strides in bytes. */
#define tile_load(t, p, stride)                                                \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(p)), \
                     "r"((ptrdiff_t)(stride))                                  \
                     : "memory")
#define tile_store(t, p, stride)                                             \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(p)), \
                     "r"((ptrdiff_t)(stride))                                \
                     : "memory")

/* Tile c [row][16] of f32 += tile a [row][16 pairs] times tile b [16 pairs][16 columns] of bf16. */
#define tile_dot(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#endif
