/* winograd_c.c - the three transforms of Winograd's minimal filtering in plain C; contracts and
 * equations in kernels.h.
 *
 * Where the matrices come from (Lavin & Gray 2016, section 4; Blahut 2010, "Fast Algorithms for
 * Signal Processing", section 5.2). The filter's three taps and, turned round, m outputs are
 * polynomials; their product has degree m + 1 and is known from its values at m + 1 points and its
 * leading coefficient, the "value at infinity". With the points p_j:
 *
 *      A^T[i][j] = p_j^i                                         at infinity: 1 for the last i
 *      G[j][i]   = p_j^i / prod_{l != j} (p_j - p_l)             at infinity: 1 for the last i
 *      B^T[j][:] = coefficients of prod_{l != j} (x - p_l)       at infinity: of all of them
 *
 * Here F(2x2) has 0, 1, -1; signs of two rows of B^T are put into A^T and G so that no entry but
 * +-1 and 1/2 remains. F(4x4) has 0, +-5/8, +-3/2, all of whose powers and products are exact. */
#include "kernels.h"

#include <stdint.h>
#include <string.h>

#include "tiers.h"

enum { MOST = 6 }; /* points a side */

/* Transforms of one side length; rows of each matrix are filled up with zeros. */
struct matrices {
    float input[MOST][MOST], weights[MOST][3], output[4][MOST];
};

static const struct matrices of_two = {
    .input = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
    .weights = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}},
    .output = {{1, 1, 1, 0}, {0, 1, -1, -1}},
};

#define A 0.625f
#define B 1.5f
#define AA (A * A)
#define BB (B * B)
#define NA (2 * AA * (AA - BB))
#define NB (2 * BB * (BB - AA))
static const struct matrices of_four = {
    .input = {{AA * BB, 0, -(AA + BB), 0, 1, 0},
              {0, -A *BB, -BB, A, 1, 0},
              {0, A *BB, -BB, -A, 1, 0},
              {0, -B *AA, -AA, B, 1, 0},
              {0, B *AA, -AA, -B, 1, 0},
              {0, AA *BB, 0, -(AA + BB), 0, 1}},
    .weights = {{1 / (AA * BB), 0, 0},
                {1 / NA, A / NA, AA / NA},
                {1 / NA, -A / NA, AA / NA},
                {1 / NB, B / NB, BB / NB},
                {1 / NB, -B / NB, BB / NB},
                {0, 0, 1}},
    .output = {{1, 1, 1, 1, 1, 0},
               {0, A, -A, B, -B, 0},
               {0, AA, AA, BB, BB, 0},
               {0, A *AA, -A *AA, B *BB, -B *BB, 1}},
};

static const struct matrices *matrices_of(size_t tile)
{
    return tile == 4 ? &of_four : &of_two;
}

/* y [rows][rows] = T x T^T for one channel; T [rows][columns] with `ld` to a row, x
 * [columns][columns]. */
static void both_sides(float y[MOST][MOST], const float *t, size_t ld, float x[MOST][MOST],
                       size_t rows, size_t columns)
{
    float middle[MOST][MOST] = {{0}};
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float sum = 0;
            for (size_t k = 0; k < columns; k++) sum += t[i * ld + k] * x[k][j];
            middle[i][j] = sum;
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            float sum = 0;
            for (size_t k = 0; k < columns; k++) sum += t[j * ld + k] * middle[i][k];
            y[i][j] = sum;
        }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static void store(void *to, size_t at, float x, enum sdg_matmul_input type)
{
    if (type == SDG_INPUT_F32) {
        ((float *)to)[at] = x;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const bool nan = (bits & 0x7fffffff) > 0x7f800000;
    const uint32_t rounded = nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
    ((uint16_t *)to)[at] = (uint16_t)(rounded >> 16);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void input(const struct sdg_winograd_input *p, size_t tile, enum sdg_matmul_input type)
{
    const size_t side = tile + 2;
    for (size_t t = 0; t < p->tiles; t++)
        for (size_t c = 0; c < p->padded; c++) {
            float d[MOST][MOST] = {{0}}, v[MOST][MOST] = {{0}};
            const float *x = p->x + t * tile * p->x_pixel + c;
            for (size_t i = 0; c < p->c && i < side * side; i++)
                d[i / side][i % side] = x[i / side * p->x_line + i % side * p->x_pixel];
            both_sides(v, matrices_of(tile)->input[0], MOST, d, side, side);
            for (size_t i = 0; i < side * side; i++)
                store(p->v, i * p->v_point + t * p->v_tile + c, v[i / side][i % side], type);
        }
}

/* ---- weights --------------------------------------------------------------------------------- */

static float load_weight(const struct sdg_winograd_weights *p, size_t tap, size_t k, size_t j)
{
    const size_t at = tap * p->g_tap + k * p->nr + j;
    uint16_t half;
    float y = 0;
    switch (p->from) {
    case SDG_NUMBER_F32: return ((const float *)p->g)[at];
    case SDG_NUMBER_F16: sdg_widen_f16_c(&y, (const uint16_t *)p->g + at, 1); return y;
    case SDG_NUMBER_BF16: half = ((const uint16_t *)p->g)[at]; break;
    default:
        half = ((const uint16_t *)p->g)[tap * p->g_tap + (k / 2 * p->nr + j) * 2 + k % 2];
        break;
    }
    return from_bits((uint32_t)half << 16);
}

static void weights(const struct sdg_winograd_weights *p, size_t tile, enum sdg_matmul_input type)
{
    const size_t side = tile + 2;
    for (size_t k = 0; k < p->depth; k++)
        for (size_t j = 0; j < p->nr; j++) {
            float g[MOST][MOST] = {{0}}, u[MOST][MOST] = {{0}};
            for (size_t i = 0; i < 9; i++) g[i / 3][i % 3] = load_weight(p, i, k, j);
            both_sides(u, matrices_of(tile)->weights[0], 3, g, side, 3);
            for (size_t i = 0; i < side * side; i++)
                store(p->u, i * p->u_point + k * p->nr + j, u[i / side][i % side], type);
        }
}

/* ---- output ---------------------------------------------------------------------------------- */

static void output(const struct sdg_winograd_output *p, size_t tile)
{
    const size_t side = tile + 2;
    for (size_t t = 0; t * tile < p->pixels; t++)
        for (size_t c = 0; c < p->n; c++) {
            float m[MOST][MOST] = {{0}}, y[MOST][MOST] = {{0}};
            for (size_t i = 0; i < side * side; i++)
                m[i / side][i % side] = p->m[i * p->m_point + t * p->m_tile + c];
            both_sides(y, matrices_of(tile)->output[0], MOST, m, tile, side);
            for (size_t i = 0; i < p->lines; i++)
                for (size_t j = 0; j < tile && t * tile + j < p->pixels; j++) {
                    const size_t at = i * p->y_line + (t * tile + j) * p->y_pixel + c;
                    float sum = y[i][j] + (p->bias ? p->bias[c] : 0.0f);
                    if (p->residual) sum += p->residual[at];
                    p->y[at] = sum;
                }
        }
}

/* ---- records --------------------------------------------------------------------------------- */

#define RECORD(name, side, number)                                   \
    static void input_##name(const struct sdg_winograd_input *p)     \
    {                                                                \
        input(p, side, number);                                      \
    }                                                                \
    static void weights_##name(const struct sdg_winograd_weights *p) \
    {                                                                \
        weights(p, side, number);                                    \
    }                                                                \
    static void output_##name(const struct sdg_winograd_output *p)   \
    {                                                                \
        output(p, side);                                             \
    }                                                                \
    const struct sdg_winograd sdg_winograd_##name##_c = {            \
        .tile = side,                                                \
        .type = number,                                              \
        .input = input_##name,                                       \
        .weights = weights_##name,                                   \
        .output = output_##name,                                     \
    };

RECORD(4_f32, 4, SDG_INPUT_F32)
RECORD(2_f32, 2, SDG_INPUT_F32)
RECORD(2_bf16, 2, SDG_INPUT_BF16)
