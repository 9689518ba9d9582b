/* check_winograd.c - the transforms of Winograd's minimal filtering, against double. The matrices
 * are made here from their points by Lagrange's formula, and first of all convolve by themselves;
 * every size of a vector's rest, of lines and of columns; all types that weights come in. */
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 6, POINTS = SIDE * SIDE };

/* ---- matrices -------------------------------------------------------------------------------- */

struct matrices {
    size_t m;
    double input[SIDE][SIDE], weights[SIDE][SIDE], output[SIDE][SIDE];
};

/* Coefficients of prod (x - p) over all points but number `left_out`. */
static void product_of(double *c, const double *points, size_t count, size_t left_out)
{
    size_t degree = 0;
    for (size_t i = 0; i < SIDE; i++) c[i] = i == 0;
    for (size_t l = 0; l < count; l++) {
        if (l == left_out) continue;
        degree++;
        for (size_t i = degree + 1; i-- > 0;) c[i] = (i ? c[i - 1] : 0.0) - points[l] * c[i];
    }
}

/* F(m x m, 3 x 3) at m + 1 points and infinity; `sign` is moved from rows of B^T to G or A^T. */
static struct matrices matrices_of(size_t m)
{
    static const double four[] = {0, 0.625, -0.625, 1.5, -1.5}, two[] = {0, 1, -1};
    const double *points = m == 4 ? four : two;
    const size_t n = m + 1;
    struct matrices t = {.m = m};
    for (size_t j = 0; j < n; j++) {
        double divisor = 1;
        for (size_t l = 0; l < n; l++)
            if (l != j) divisor *= points[j] - points[l];
        const double sign = m == 2 && j == 0 ? -1 : 1;
        product_of(t.input[j], points, n, j);
        for (size_t i = 0; i < SIDE; i++) t.input[j][i] *= sign;
        for (size_t i = 0; i < 3; i++) t.weights[j][i] = sign * pow(points[j], (double)i) / divisor;
        for (size_t i = 0; i < m; i++) t.output[i][j] = pow(points[j], (double)i);
    }
    product_of(t.input[n], points, n, n);
    t.weights[n][2] = 1;
    t.output[m - 1][n] = 1;
    for (size_t i = 0; m == 2 && i < SIDE; i++) {
        t.input[n][i] *= -1;
        t.output[i][n] *= -1;
    }
    return t;
}

/* y = T x T^T and size = |T| |x| |T^T|, T [rows][columns]. */
static void both_sides(double y[SIDE][SIDE], double size[SIDE][SIDE], double t[SIDE][SIDE],
                       double x[SIDE][SIDE], size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            y[i][j] = size[i][j] = 0;
            for (size_t a = 0; a < columns; a++)
                for (size_t b = 0; b < columns; b++) {
                    y[i][j] += t[i][a] * x[a][b] * t[j][b];
                    size[i][j] += fabs(t[i][a] * x[a][b] * t[j][b]);
                }
        }
}

/* What the transforms are for: a tile of a 3x3 convolution. */
static void check_equation(struct matrices *t)
{
    const size_t side = t->m + 2;
    double d[SIDE][SIDE], g[SIDE][SIDE], v[SIDE][SIDE], u[SIDE][SIDE], y[SIDE][SIDE],
        size[SIDE][SIDE];
    for (size_t i = 0; i < POINTS; i++) {
        d[i / SIDE][i % SIDE] = (double)check_uniform(-1, 1);
        g[i / SIDE][i % SIDE] = (double)check_uniform(-1, 1);
    }
    both_sides(v, size, t->input, d, side, side);
    both_sides(u, size, t->weights, g, side, 3);
    for (size_t i = 0; i < POINTS; i++) v[i / SIDE][i % SIDE] *= u[i / SIDE][i % SIDE];
    both_sides(y, size, t->output, v, t->m, side);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->m; j++) {
            double sum = 0;
            for (size_t a = 0; a < 9; a++) sum += d[i + a / 3][j + a % 3] * g[a / 3][a % 3];
            check_true("matrices: convolve", fabs(sum - y[i][j]) < 1e-12);
        }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static float value_of(const void *p, size_t i, enum sdg_matmul_input type)
{
    float wide;
    if (type == SDG_INPUT_F32) {
        memcpy(&wide, (const char *)p + 4 * i, 4);
        return wide;
    }
    uint16_t narrow;
    memcpy(&narrow, (const char *)p + 2 * i, 2);
    const uint32_t bits = (uint32_t)narrow << 16;
    memcpy(&wide, &bits, 4);
    return wide;
}

static size_t bytes_of(enum sdg_matmul_input type)
{
    return type == SDG_INPUT_F32 ? 4 : 2;
}

static double bound_of(double size, double want, enum sdg_matmul_input type)
{
    const double bound = 16 * CHECK_U * size + 0x1p-120;
    return type == SDG_INPUT_F32 ? bound : bound + 0x1p-8 * (fabs(want) + bound);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void check_input(const struct sdg_winograd *w, struct matrices *t, size_t tiles, size_t c)
{
    const size_t m = w->tile, side = m + 2, points = side * side, padded = c + c % 2;
    const size_t x_pixel = c + 1, x_line = (tiles * m + 2) * x_pixel + 2;
    const size_t v_tile = padded + 3, v_point = tiles * v_tile + 1;
    const size_t last = (side - 1) * x_line + (tiles * m + 1) * x_pixel + c;
    const float *x = check_floats(last);
    const size_t count = (points - 1) * v_point + (tiles - 1) * v_tile + padded;
    void *v = check_bytes(count * bytes_of(w->type));
    float *got = check_floats(count), *before = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    for (size_t i = 0; i < count; i++) { /* what lies between must stay */
        if (w->type == SDG_INPUT_F32) memcpy((char *)v + 4 * i, before + i, 4);
        before[i] = value_of(v, i, w->type);
        want[i] = (double)before[i];
        if (!(fabs(want[i]) < 1e30)) { /* random bits made a large number or none */
            memset((char *)v + 2 * i, 0, 2);
            want[i] = 0;
        }
    }
    const struct sdg_winograd_input p = {v, v_point, v_tile, x, x_line, x_pixel, tiles, c, padded};
    w->input(&p);
    for (size_t i = 0; i < tiles; i++)
        for (size_t k = 0; k < padded; k++) {
            double d[SIDE][SIDE] = {{0}}, y[SIDE][SIDE], size[SIDE][SIDE];
            for (size_t q = 0; k < c && q < points; q++)
                d[q / side][q % side] =
                    (double)x[q / side * x_line + (i * m + q % side) * x_pixel + k];
            both_sides(y, size, t->input, d, side, side);
            for (size_t q = 0; q < points; q++) {
                const size_t at = q * v_point + i * v_tile + k;
                want[at] = y[q / side][q % side];
                bound[at] = k < c ? bound_of(size[q / side][q % side], want[at], w->type) : 0;
            }
        }
    for (size_t i = 0; i < count; i++) got[i] = value_of(v, i, w->type);
    char what[64];
    snprintf(what, sizeof what, "winograd input m=%zu tiles=%zu c=%zu", m, tiles, c);
    check_close(what, got, want, bound, count);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Weight (tap, k, j) and the place where it lies. */
static size_t place_of(enum sdg_number from, size_t g_tap, size_t nr, size_t tap, size_t k,
                       size_t j)
{
    if (from == SDG_NUMBER_PAIRS) return tap * g_tap + (k / 2 * nr + j) * 2 + k % 2;
    return tap * g_tap + k * nr + j;
}

static void check_weights(const struct check_context *c, const struct sdg_winograd *w,
                          struct matrices *t, size_t depth, enum sdg_number from)
{
    const size_t side = w->tile + 2, points = side * side, nr = c->k->matmul_f32.nr;
    const size_t g_tap = depth * nr + 2, u_point = depth * nr + 1;
    const size_t element = from == SDG_NUMBER_F32 ? 4 : 2, size_of_g = 8 * g_tap + depth * nr;
    char *g = check_bytes(size_of_g * element);
    float *values = check_floats(size_of_g);
    for (size_t i = 0; i < size_of_g; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        if (from == SDG_NUMBER_F16) { /* between 1 and 2, or the negative of that */
            const uint16_t half = (uint16_t)(bits & 0x83ff) | 0x3c00;
            memcpy(g + 2 * i, &half, 2);
            values[i] = (half & 0x8000 ? -1.0f : 1.0f) * (1.0f + (float)(half & 0x3ff) * 0x1p-10f);
        } else if (from == SDG_NUMBER_F32) {
            memcpy(g + 4 * i, &bits, 4);
        } else {
            memcpy(g + 2 * i, (const char *)&bits + 2, 2);
            bits &= 0xffff0000;
            memcpy(values + i, &bits, 4);
        }
    }
    const size_t count = points * u_point - 1;
    void *u = check_bytes(count * bytes_of(w->type));
    memset(u, 0, count * bytes_of(w->type));
    float *got = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    const struct sdg_winograd_weights p = {u, u_point, g, g_tap, from, depth, nr};
    w->weights(&p);
    for (size_t i = 0; i < depth * nr; i++) {
        double x[SIDE][SIDE], y[SIDE][SIDE], size[SIDE][SIDE];
        for (size_t tap = 0; tap < 9; tap++)
            x[tap / 3][tap % 3] = (double)values[place_of(from, g_tap, nr, tap, i / nr, i % nr)];
        both_sides(y, size, t->weights, x, side, 3);
        for (size_t q = 0; q < points; q++) {
            want[q * u_point + i] = y[q / side][q % side];
            bound[q * u_point + i] =
                bound_of(size[q / side][q % side], y[q / side][q % side], w->type);
        }
    }
    for (size_t i = 0; i < count; i++) got[i] = value_of(u, i, w->type);
    char what[64];
    snprintf(what, sizeof what, "winograd weights m=%zu depth=%zu from=%d", w->tile, depth, from);
    check_close(what, got, want, bound, count);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void check_output(const struct sdg_winograd *w, struct matrices *t, size_t lines,
                         size_t pixels, size_t n)
{
    const size_t m = w->tile, side = m + 2, points = side * side, tiles = (pixels + m - 1) / m;
    const size_t m_tile = n + 1, m_point = tiles * m_tile + 2;
    const size_t y_pixel = n + 2, y_line = pixels * y_pixel + 1;
    const float *sums = check_floats((points - 1) * m_point + (tiles - 1) * m_tile + n);
    const size_t count = (lines - 1) * y_line + (pixels - 1) * y_pixel + n;
    float *y = check_floats(count);
    const float *residual = n % 3 == 0 ? NULL : n % 3 == 1 ? y : check_floats(count);
    const float *bias = n % 2 ? check_floats(n) : NULL;
    double *want = check_doubles(count), *bound = check_doubles(count);
    for (size_t i = 0; i < count; i++) want[i] = (double)y[i];
    for (size_t i = 0; i < tiles; i++)
        for (size_t k = 0; k < n; k++) {
            double x[SIDE][SIDE], z[SIDE][SIDE], size[SIDE][SIDE];
            for (size_t q = 0; q < points; q++)
                x[q / side][q % side] = (double)sums[q * m_point + i * m_tile + k];
            both_sides(z, size, t->output, x, m, side);
            for (size_t q = 0; q < m * m; q++) {
                const size_t line = q / m, pixel = i * m + q % m;
                if (line >= lines || pixel >= pixels) continue;
                const size_t at = line * y_line + pixel * y_pixel + k;
                const double more =
                    (bias ? (double)bias[k] : 0.0) + (residual ? (double)residual[at] : 0.0);
                want[at] = z[line][q % m] + more;
                bound[at] = bound_of(size[line][q % m], 0, SDG_INPUT_F32) +
                            4 * CHECK_U * (fabs(want[at]) + 2);
            }
        }
    const struct sdg_winograd_output p = {y,       y_line, y_pixel, residual, bias, sums,
                                          m_point, m_tile, lines,   pixels,   n};
    w->output(&p);
    char what[80];
    snprintf(what, sizeof what, "winograd output m=%zu lines=%zu pixels=%zu n=%zu", m, lines,
             pixels, n);
    check_close(what, y, want, bound, count);
}

/* ---- all of a record ------------------------------------------------------------------------- */

static void check_all(const struct check_context *c, const struct sdg_winograd *w, size_t tile,
                      enum sdg_matmul_input type)
{
    check_true("winograd: record", w->tile == tile && w->type == type);
    struct matrices t = matrices_of(tile);
    check_equation(&t);
    for (size_t n = 1; n <= 35; n++) {
        check_input(w, &t, 1 + n % 3, n);
        check_output(w, &t, 1 + n % tile, 1 + n % (2 * tile + 1), n);
    }
    for (size_t i = 1; i <= tile; i++) check_output(w, &t, tile, i, 16 + i);
    for (size_t depth = 2; depth <= 6; depth += 2)
        for (int from = SDG_NUMBER_F32; from <= SDG_NUMBER_PAIRS; from++)
            if (from != SDG_NUMBER_PAIRS || type == SDG_INPUT_F32)
                check_weights(c, w, &t, depth, (enum sdg_number)from);
}

static void check_4_f32(const struct check_context *c)
{
    check_all(c, &c->k->winograd_4_f32, 4, SDG_INPUT_F32);
}

static void check_2_f32(const struct check_context *c)
{
    check_all(c, &c->k->winograd_2_f32, 2, SDG_INPUT_F32);
}

static void check_2_bf16(const struct check_context *c)
{
    check_all(c, &c->k->winograd_2_bf16, 2, SDG_INPUT_BF16);
}

/* ---- time ------------------------------------------------------------------------------------ */

enum { BENCH_TILES = 16, BENCH_C = 64, BENCH_PIXEL = 336 };
struct call {
    const struct sdg_winograd *w;
    struct sdg_winograd_input in;
    struct sdg_winograd_weights weights;
    struct sdg_winograd_output out;
};

static void call_input(void *arg)
{
    const struct call *c = arg;
    c->w->input(&c->in);
}

static void call_weights(void *arg)
{
    const struct call *c = arg;
    c->w->weights(&c->weights);
}

static void call_output(void *arg)
{
    const struct call *c = arg;
    c->w->output(&c->out);
}

static void bench(const struct check_context *c, const struct sdg_winograd *w)
{
    const size_t m = w->tile, nr = c->k->matmul_f32.nr, point = BENCH_TILES * BENCH_C + 16;
    const size_t line = (BENCH_TILES * m + 2) * BENCH_PIXEL;
    float *v = check_floats(POINTS * (64 * nr + point)), *x = check_floats(SIDE * line);
    struct call call = {w,
                        {v, point, BENCH_C, x, line, BENCH_PIXEL, BENCH_TILES, BENCH_C, BENCH_C},
                        {v, 64 * nr + 16, x, 64 * nr, SDG_NUMBER_BF16, 64, nr},
                        {x, line, BENCH_PIXEL, NULL, v, v, point, BENCH_C, m, m * BENCH_TILES, nr}};
    check_report("input, 16 tiles of 64", check_time(call_input, &call), BENCH_TILES * BENCH_C,
                 "tiles");
    check_report("weights, 64 by a panel", check_time(call_weights, &call), 64.0 * (double)nr,
                 "filters");
    check_report("output, 16 tiles of a panel", check_time(call_output, &call),
                 BENCH_TILES * (double)nr, "tiles");
}

static void bench_4_f32(const struct check_context *c)
{
    bench(c, &c->k->winograd_4_f32);
}

static void bench_2_f32(const struct check_context *c)
{
    bench(c, &c->k->winograd_2_f32);
}

static void bench_2_bf16(const struct check_context *c)
{
    bench(c, &c->k->winograd_2_bf16);
}

#define SLOT(name) offsetof(struct sdg_kernels, name.input)
const struct check_test check_winograd_tests[] = {
    {"winograd_4_f32", SLOT(winograd_4_f32), check_4_f32, bench_4_f32},
    {"winograd_2_f32", SLOT(winograd_2_f32), check_2_f32, bench_2_f32},
    {"winograd_2_bf16", SLOT(winograd_2_bf16), check_2_bf16, bench_2_bf16},
    {0},
};
