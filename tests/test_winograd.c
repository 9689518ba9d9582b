/* test_winograd.c - the ways of src/ops to do a 3x3 convolution (Winograd with both tile sizes,
 * phase filters, and the direct one beside them) against sums in double: every rest of a tile and
 * of a panel, odd channels, weights of every type, packed and not; and what all operations promise:
 * the same bits from 1, 2 and 3 threads and for an image alone or among others, exactly the scratch
 * of a dry run, which looks at no data. In plain C, in AVX2 and in the best tier of this machine.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/conv_plan.h"
#include "ops/packs.h"
#include "tests/support/opcase.h"

enum { BIAS = 1, CHANNEL = 2, RESIDUAL = 4, IN_PLACE = 8, PROLOGUE = 16, PACKED = 32 };

struct shape {
    size_t n, h, w, in, out;
    int up;
    enum sdg_dtype dtype;
    int extras;
};

struct conv_case {
    struct test_op op; /* first: run finds the rest behind it */
    struct shape s;
    enum sdg_conv_way way;
    bool bf16;
    struct sdg_packs *packs;
    const float *scale, *shift; /* [n][in] */
    double *want, *size;        /* [n][h][w][out]; size: the sum of |x||w| */
};

/* ---- the case as an operation ---------------------------------------------------------------- */

static struct sdg_conv_geometry geometry_of(const struct shape *s, size_t n)
{
    struct sdg_conv_geometry g = sdg_conv_same(n, s->h, s->w, 3);
    g.up = s->up;
    g.vh = g.oh = s->h * (size_t)s->up;
    g.vw = g.ow = s->w * (size_t)s->up;
    return g;
}

static void run(struct sdg_ops *o, const struct test_op *op, size_t first, size_t n)
{
    const struct conv_case *c = (const struct conv_case *)(const void *)op;
    const struct shape *s = &c->s;
    const struct sdg_conv w = {.weight = op->weight, .bias = op->bias};
    const struct sdg_prologue pro = {
        .scale = c->scale + first * s->in, .shift = c->shift + first * s->in, .silu = true};
    const struct sdg_conv_geometry g = geometry_of(s, n);
    o->bf16 = c->bf16;
    o->packs = c->packs;
    const bool done = sdg_conv_by(
        o, c->way, op->y + first * op->per_image, op->x + first * s->h * s->w * s->in,
        s->extras & PROLOGUE ? &pro : NULL, &w, op->extra ? op->extra + first * s->out : NULL,
        op->residual ? op->residual + first * op->per_image : NULL, &g);
    assert_true(done);
}

static struct conv_case open_case(const struct shape *s)
{
    struct conv_case c = {.op = {.run = run, .pool = test_pool_open(), .n = s->n}, .s = *s};
    struct test_pool *pool = &c.op.pool;
    const int64_t shape[] = {(int64_t)s->out, (int64_t)s->in, 3, 3};
    const size_t pixels = s->h * s->w, up = (size_t)s->up;
    c.op.per_image = pixels * up * up * s->out;
    const size_t count = s->n * c.op.per_image;
    c.op.y = test_pool_floats(pool, count);
    c.op.x = test_pool_input(pool, s->n * pixels * s->in, "winograd.x");
    c.op.weight = test_pool_weight(pool, "winograd", 1, "weight", s->dtype, 4, shape);
    if (s->extras & BIAS)
        c.op.bias = test_pool_vector(pool, "winograd", 1, "bias", s->dtype, s->out);
    if (s->extras & CHANNEL) c.op.extra = test_pool_input(pool, s->n * s->out, "winograd.channel");
    if (s->extras & RESIDUAL) {
        float *residual = test_pool_input(pool, count, "winograd.residual");
        c.op.residual = s->extras & IN_PLACE ? c.op.y : residual;
        c.op.start = s->extras & IN_PLACE ? residual : NULL;
    }
    c.scale = test_pool_input(pool, s->n * s->in, "winograd.scale");
    c.shift = test_pool_input(pool, s->n * s->in, "winograd.shift");
    c.want = calloc(2 * count, sizeof *c.want);
    assert_non_null(c.want);
    c.size = c.want + count;
    return c;
}

static void close_case(struct conv_case *c)
{
    test_pool_close(&c->op.pool);
    free(c->want);
}

/* ---- truth ----------------------------------------------------------------------------------- */

static double input_at(const struct conv_case *c, size_t image, size_t i, size_t j, size_t k)
{
    const struct shape *s = &c->s;
    const size_t up = (size_t)s->up;
    if (i >= s->h * up || j >= s->w * up) return 0; /* also -1 */
    const size_t pixel = (image * s->h + i / up) * s->w + j / up;
    const double x = (double)c->op.x[pixel * s->in + k];
    if (!(s->extras & PROLOGUE)) return x;
    const double y = (double)c->scale[image * s->in + k] * x + (double)c->shift[image * s->in + k];
    return y / (1 + exp(-y));
}

static void compute(struct conv_case *c)
{
    const struct shape *s = &c->s;
    const size_t oh = s->h * (size_t)s->up, ow = s->w * (size_t)s->up;
    float *w = malloc((s->out * s->in * 9 + s->out) * sizeof *w), *bias = w + s->out * s->in * 9;
    assert_non_null(w);
    sdg_tensor_widen(w, &c->op.weight, 0, s->out * s->in * 9);
    memset(bias, 0, s->out * sizeof *bias);
    if (s->extras & BIAS) sdg_tensor_widen(bias, &c->op.bias, 0, s->out);
    for (size_t at = 0; at < s->n * oh * ow * s->out; at++) {
        const size_t o = at % s->out, image = at / s->out / ow / oh;
        const float *residual = s->extras & IN_PLACE ? c->op.start : c->op.residual;
        c->want[at] = (double)bias[o] +
                      (c->op.extra ? (double)c->op.extra[image * s->out + o] : 0) +
                      (residual ? (double)residual[at] : 0);
        c->size[at] = fabs(c->want[at]);
    }
    for (size_t pixel = 0; pixel < s->n * oh * ow; pixel++)
        for (size_t tap = 0; tap < 9; tap++)
            for (size_t k = 0; k < s->in; k++) {
                const size_t i = pixel / ow % oh + tap / 3 - 1, j = pixel % ow + tap % 3 - 1;
                const double x = input_at(c, pixel / ow / oh, i, j, k);
                for (size_t o = 0; x != 0 && o < s->out; o++) {
                    const double term = x * (double)w[(o * s->in + k) * 9 + tap];
                    c->want[pixel * s->out + o] += term;
                    c->size[pixel * s->out + o] += fabs(term);
                }
            }
    free(w);
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* What an error may be, of the largest sum of |x||w| among the outputs: about three times the
 * largest seen. A Winograd transform mixes the inputs of a tile, so that the error of an output has
 * the size of its neighbours'. */
static double bound_of(const struct conv_case *c)
{
    const bool narrow = c->bf16 && c->way != SDG_CONV_WINOGRAD_4;
    static const double wide[] = {[SDG_CONV_DIRECT] = 1e-6,
                                  [SDG_CONV_WINOGRAD_4] = 3e-6,
                                  [SDG_CONV_WINOGRAD_2] = 1.5e-6,
                                  [SDG_CONV_PHASES] = 1.2e-6};
    static const double half[] = {[SDG_CONV_DIRECT] = 6e-3,
                                  [SDG_CONV_WINOGRAD_4] = 6e-3,
                                  [SDG_CONV_WINOGRAD_2] = 1e-2,
                                  [SDG_CONV_PHASES] = 6e-3};
    /* weights that are not bf16 themselves are rounded to it in any case */
    if (c->bf16 && c->s.dtype != SDG_BF16) return half[c->way];
    return narrow ? half[c->way] : wide[c->way];
}

static void reset(const struct conv_case *c)
{
    const size_t bytes = c->op.n * c->op.per_image * sizeof(float);
    if (c->op.start)
        memcpy(c->op.y, c->op.start, bytes);
    else
        memset(c->op.y, 0xff, bytes);
}

static void check_errors(const struct conv_case *c, const char *what)
{
    const size_t count = c->op.n * c->op.per_image;
    double worst = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)c->op.y[i] - c->want[i]);
        if (!(error <= worst)) worst = error;
        if (c->size[i] > size) size = c->size[i];
    }
    if (!(worst <= bound_of(c) * size))
        fail_msg("%s: error %.2e of the sum, more than %.2e", what, worst / size, bound_of(c));
}

/* Errors, then the same bits in other circumstances. */
static void check_way(struct conv_case *c, const struct sdg_kernels *k)
{
    char what[160];
    snprintf(what, sizeof what, "way %d of %s, bf16 %d, %zu x %zu x %zu, %zu -> %zu, type %d, %d",
             c->way, sdg_isa_label(k->isa), c->bf16, c->s.n, c->s.h, c->s.w, c->s.in, c->s.out,
             c->s.dtype, c->s.extras);
    const size_t bytes = c->op.n * c->op.per_image * sizeof(float);
    reset(c);
    test_op_run(&c->op, k, 1, NULL, 0, c->op.n);
    check_errors(c, what);
    float *first = malloc(bytes);
    assert_non_null(first);
    memcpy(first, c->op.y, bytes);
    for (int threads = 2; threads <= 3; threads++) {
        reset(c);
        test_op_run(&c->op, k, threads, NULL, 0, c->op.n);
        if (memcmp(first, c->op.y, bytes) != 0) fail_msg("%s: %d threads", what, threads);
    }
    reset(c);
    for (size_t i = 0; i < c->op.n; i++) test_op_run(&c->op, k, 2, NULL, i, 1);
    if (memcmp(first, c->op.y, bytes) != 0) fail_msg("%s: images alone have other bits", what);
    const int cancel = 1;
    test_op_run(&c->op, k, 2, &cancel, 0, c->op.n);
    free(first);
}

/* The weight of c, packed for its product; data of the case must be readable then. */
static void pack(struct conv_case *c, const struct sdg_kernels *k)
{
    assert_int_equal(sdg_packs_create(&c->packs, NULL), SDGEN_OK);
    sdg_packs_note(c->packs, &c->op.weight, c->bf16 ? &k->matmul_bf16 : &k->matmul_f32, 1);
    assert_int_equal(sdg_packs_build(c->packs, 0, k, 2, NULL), SDGEN_OK);
}

static bool possible(const struct conv_case *c, enum sdg_conv_way way)
{
    if (way != SDG_CONV_PHASES) return true;
    return c->s.up == 2;
}

static void check_shape(const struct shape *s, enum sdg_isa isa)
{
    struct sdg_kernels k;
    sdg_kernels_init(&k, isa);
    struct conv_case c = open_case(s);
    compute(&c);
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int way = 0; way < SDG_CONV_WAYS; way++) {
            c.bf16 = bf16;
            c.way = (enum sdg_conv_way)way;
            if (!possible(&c, c.way) ||
                (way != SDG_CONV_PHASES && k.matmul_bf16.layout == SDG_MATMUL_TILES && bf16))
                continue;
            if (s->extras & PACKED) pack(&c, &k);
            check_way(&c, &k);
            sdg_packs_destroy(c.packs);
            c.packs = NULL;
        }
    close_case(&c);
}

static void check_everywhere(const struct shape *s)
{
    const enum sdg_isa best = sdg_isa_detect();
    if (s->in * s->out < 1500) check_shape(s, SDG_ISA_C); /* the others take it a minute */
    if (best > SDG_ISA_AVX2) check_shape(s, SDG_ISA_AVX2);
    if (best != SDG_ISA_C) check_shape(s, best);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const enum sdg_dtype dtypes[] = {SDG_F32, SDG_F16, SDG_BF16, SDG_F64};

/* Sizes 1 to 9 in both directions: every rest of both tiles, one tile and several. */
static void test_sizes(void **state)
{
    (void)state;
    size_t i = 0;
    for (size_t h = 1; h <= 9; h += 2)
        for (size_t w = 1; w <= 9; w++, i++) {
            const struct shape s = {
                1 + i % 3,        h, w, 3 + i % 5, 1 + i % 7, 1 + (int)(i % 2), dtypes[i % 4],
                (int)(i * 7 % 64)};
            check_everywhere(&s);
        }
    check_everywhere(&(struct shape) {3, 20, 13, 19, 9, 1, SDG_F16, BIAS | CHANNEL | RESIDUAL});
    check_everywhere(&(struct shape) {2, 13, 10, 19, 9, 2, SDG_BF16, BIAS | PROLOGUE | PACKED});
}

/* Rests of vectors and panels. */
static void test_channels(void **state)
{
    (void)state;
    for (size_t in = 3, i = 0; in <= 70; in += 11, i++)
        for (size_t out = 15; out <= 70; out += 17)
            check_everywhere(&(struct shape) {1, 5, 6, in, out, 1 + (int)(i % 2),
                                              dtypes[(in + out) % 4], (int)((in * 5 + out) % 64)});
}

/* Several slices of channels, blocks of tiles and groups of them. */
static void test_large(void **state)
{
    (void)state;
    if (sdg_isa_detect() == SDG_ISA_C) skip();
    check_shape(&(struct shape) {2, 41, 38, 70, 33, 1, SDG_F16, BIAS | PACKED}, sdg_isa_detect());
    check_shape(&(struct shape) {1, 48, 46, 350, 33, 1, SDG_F16, PACKED | RESIDUAL},
                sdg_isa_detect());
    check_shape(&(struct shape) {3, 6, 9, 1333, 40, 1, SDG_F16, BIAS | PACKED | PROLOGUE},
                sdg_isa_detect());
    check_shape(&(struct shape) {3, 9, 7, 1100, 70, 2, SDG_F16, BIAS | PACKED}, sdg_isa_detect());
}

/* Strips: an image in bands of tile rows, and images in several rounds. Only against the direct
 * way, whose sums test_ops_large.c checks. */
static void test_strips(void **state)
{
    (void)state;
    if (sdg_isa_detect() == SDG_ISA_C) skip();
    static const struct shape shapes[] = {{1, 120, 120, 370, 3, 1, SDG_F16, BIAS},
                                          {3, 64, 64, 260, 4, 1, SDG_F32, BIAS},
                                          {1, 90, 80, 1000, 3, 2, SDG_F32, BIAS}};
    struct sdg_kernels k;
    sdg_kernels_init(&k, sdg_isa_detect());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct conv_case c = open_case(&shapes[i]);
        const size_t count = c.op.n * c.op.per_image;
        test_op_run(&c.op, &k, 2, NULL, 0, c.op.n);
        double size = 0;
        for (size_t j = 0; j < count; j++) c.want[j] = (double)c.op.y[j];
        for (size_t j = 0; j < count; j++) size = fmax(size, fabs(c.want[j]));
        for (size_t j = 0; j < count; j++) c.size[j] = 8 * size;
        for (int way = SDG_CONV_WINOGRAD_4; way <= SDG_CONV_PHASES; way++) {
            c.way = (enum sdg_conv_way)way;
            if (possible(&c, c.way)) check_way(&c, &k);
        }
        close_case(&c);
    }
}

/* What cannot be done is refused, and the rule takes the direct way where that is asked for. */
static void test_rule(void **state)
{
    (void)state;
    struct sdg_kernels k;
    sdg_kernels_init(&k, sdg_isa_detect());
    struct sdg_ops o = {.k = &k};
    const struct sdg_tensor weight = {NULL, SDG_F32, 4, {640, 640, 3, 3}};
    struct sdg_convolution c = {.o = &o, .g = sdg_conv_same(2, 32, 32, 3), .kh = 3, .kw = 3};
    c.panels = sdg_panels_of(&o, &k.matmul_f32, &weight, 1);
    assert_true(sdg_conv_can(&c, SDG_CONV_WINOGRAD_4) && !sdg_conv_can(&c, SDG_CONV_PHASES));
    const enum sdg_conv_way way = sdg_conv_choose(&c);
    assert_int_equal(way, SDG_CONV_WINOGRAD_4);
    c.g.n = 1;
    assert_int_equal(sdg_conv_choose(&c), way);
    o.exact_conv = true;
    assert_int_equal(sdg_conv_choose(&c), SDG_CONV_DIRECT);
    o.exact_conv = false;
    c.g.oh = 7; /* less than two tiles */
    assert_int_equal(sdg_conv_choose(&c), SDG_CONV_DIRECT);
    c.g.oh = 32;
    c.g.stride = 2;
    assert_false(sdg_conv_can(&c, SDG_CONV_WINOGRAD_4) || sdg_conv_can(&c, SDG_CONV_WINOGRAD_2));
    c.g.stride = 1;
    c.g.up = 2;
    c.g.oh = c.g.vh = 63; /* one line less than twice 32 */
    c.g.ow = c.g.vw = 64;
    assert_false(sdg_conv_can(&c, SDG_CONV_PHASES));
    c.g.oh = c.g.vh = 64;
    assert_int_equal(sdg_conv_choose(&c), SDG_CONV_WINOGRAD_4); /* reads the doubled map */
    c.panels = sdg_panels_of(&o, &k.matmul_bf16, &weight, 1);
    const bool fast_bf16 = k.isa >= SDG_ISA_AVX512BF16;
    if (fast_bf16) assert_int_equal(sdg_conv_choose(&c), SDG_CONV_PHASES);
    c.g = sdg_conv_same(2, 32, 32, 3);
    if (fast_bf16 && sdg_conv_can(&c, SDG_CONV_WINOGRAD_2))
        assert_int_equal(sdg_conv_choose(&c), SDG_CONV_WINOGRAD_2);
    const struct sdg_tensor narrow = {NULL, SDG_F32, 4, {4, 320, 3, 3}};
    c.panels = sdg_panels_of(&o, &k.matmul_f32, &narrow, 1);
    assert_int_equal(sdg_conv_choose(&c), SDG_CONV_DIRECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_channels),
        cmocka_unit_test(test_large), cmocka_unit_test(test_strips),
        cmocka_unit_test(test_rule),
    };
    return cmocka_run_group_tests_name("winograd", tests, NULL, NULL);
}
