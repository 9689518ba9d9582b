/* test_noise.c - who draws which numbers: whole batches under each program, variation seeds, seed
 * resize, ENSD, Brownian trees. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/brownian.h"
#include "sampling/noise.h"
#include "sampling/variation.h"
#include "tests/support/floats.h"

enum { C = 4, H = 6, W = 5, COUNT = C * H * W };

static struct sdg_weights golden;

static int open_golden(void **state)
{
    (void)state;
    sdgen_error err;
    return sdg_weights_open(&golden, "tests/golden/noise.safetensors", &err) != SDGEN_OK;
}

static int close_golden(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    return 0;
}

/* A source in an arena of exactly the size that a dry run measured. */
struct source {
    struct sdg_arena arena;
    struct sdg_noise *noise;
};

static struct source open_source(const struct sdg_noise_request *request)
{
    struct source s;
    struct sdg_arena measure;
    sdgen_error err;
    sdg_arena_measure(&measure);
    assert_non_null(sdg_noise_open(&measure, request));
    assert_int_equal(sdg_arena_create(&s.arena, measure.peak, &err), SDGEN_OK);
    s.noise = sdg_noise_open(&s.arena, request);
    assert_non_null(s.noise);
    return s;
}

static struct sdg_noise_request request(enum sdg_like like, enum sdg_rng_kind rng, int64_t seed,
                                        size_t n)
{
    return (struct sdg_noise_request) {
        .like = like, .rng = rng, .seed = seed, .n = n, .c = C, .h = H, .w = W};
}

/* The first noise and two more draws against golden [3][n][c][h][w]. */
static void compare(const struct sdg_noise_request *q, double bound, const char *format,
                    const char *a, size_t b)
{
    struct test_floats want = test_golden(&golden, format, a, b);
    const size_t count = q->n * COUNT;
    struct source s = open_source(q);
    float *y = malloc(3 * count * sizeof *y);
    assert_non_null(y);
    assert_int_equal(want.count, 3 * count);
    sdg_noise_first(s.noise, y);
    sdg_noise_next(s.noise, y + count);
    sdg_noise_next(s.noise, y + 2 * count);
    const double d = test_difference(y, want.data, 3 * count);
    if (!(d <= bound)) fail_msg("%s %s %zu: off by %g", format, a, b, d);
    free(y);
    sdg_arena_destroy(&s.arena);
    test_floats_free(&want);
}

static void batches_of_a1111(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        int64_t seed, subseed;
        double strength;
        size_t resize_h, resize_w;
        int64_t ensd;
    } cases[] = {
        {3, 1234, 0, 0, 0, 0, 0},  {2, UINT32_MAX, 0, 0, 0, 0, 0}, {2, 5, 0, 0, 0, 0, 31337},
        {2, 7, 99, 0.25, 0, 0, 0}, {2, 7, 7, 0.125, 0, 0, 0}, /* image 0 against itself: the
                                                                 straight blend */
        {1, 3, 0, 0, 9, 8, 0},     {2, 3, 0, 0, 3, 4, 0},          {1, 3, 0, 0, 9, 2, 0},
        {2, 11, 5, 0.5, 4, 9, -3}, {1, 6, 8, 1, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int kind = SDG_RNG_CPU; kind <= SDG_RNG_CUDA; kind++) {
            struct sdg_noise_request q =
                request(SDG_LIKE_A1111, (enum sdg_rng_kind)kind, cases[i].seed, cases[i].n);
            q.subseed = cases[i].subseed;
            q.strength = cases[i].strength;
            q.resize_h = cases[i].resize_h;
            q.resize_w = cases[i].resize_w;
            q.ensd = cases[i].ensd;
            compare(&q, 2e-6, "a1111.%s.%zu", kind == SDG_RNG_CPU ? "cpu" : "cuda", i);
        }
}

static void batches_of_the_others(void **state)
{
    (void)state;
    struct sdg_noise_request q = request(SDG_LIKE_DIFFUSERS, SDG_RNG_CPU, 2024, 3);
    compare(&q, 5e-7, "diffusers.%s", "each", 0);
    q.joint = true;
    compare(&q, 5e-7, "diffusers.%s", "joint", 0);
    for (int joint = 0; joint < 2; joint++) {
        q = request(SDG_LIKE_COMFYUI, SDG_RNG_CPU, 2024, 3);
        q.joint = joint;
        compare(&q, 5e-7, "comfyui.%s.cpu", joint ? "joint" : "each", 0);
        q.rng = SDG_RNG_CUDA;
        compare(&q, 5e-7, "comfyui.%s.cuda", joint ? "joint" : "each", 0);
    }
    q = request(SDG_LIKE_SDCPP, SDG_RNG_CUDA, 2024, 3);
    compare(&q, 2e-6, "sd.cpp.%s", "each", 0); /* f32 throughout: log and sin are the library's */
}

/* Image 2 of a batch of three is the only image of a run that starts at its seed. */
static void images_stand_alone(void **state)
{
    (void)state;
    for (int like = 0; like < SDG_LIKE_COUNT; like++)
        for (int kind = SDG_RNG_CPU; kind <= SDG_RNG_CUDA; kind++)
            for (int varied = 0; varied < 2; varied++) {
                struct sdg_noise_request q =
                    request((enum sdg_like)like, (enum sdg_rng_kind)kind, 50, 3);
                q.strength = varied ? 0.3 : 0;
                q.subseed = 900;
                q.ensd = 17;
                struct sdg_noise_request one = q;
                one.n = 1;
                one.seed = sdg_noise_seed(&q, 2);
                one.subseed = sdg_noise_subseed(&q, 2);
                assert_int_equal(one.seed, varied ? 50 : 52);
                assert_int_equal(one.subseed, 902);
                float y[3][3 * COUNT], z[3][COUNT];
                struct source a = open_source(&q), b = open_source(&one);
                sdg_noise_brownian_range(a.noise, 0.03f, 14.6f);
                sdg_noise_brownian_range(b.noise, 0.03f, 14.6f);
                sdg_noise_first(a.noise, y[0]);
                sdg_noise_first(b.noise, z[0]);
                sdg_noise_next(a.noise, y[1]);
                sdg_noise_next(b.noise, z[1]);
                sdg_noise_brownian(a.noise, y[2], 9, 2);
                sdg_noise_brownian(b.noise, z[2], 9, 2);
                for (int k = 0; k < 3; k++)
                    assert_memory_equal(z[k], y[k] + 2 * COUNT, sizeof z[k]);
                sdg_arena_destroy(&a.arena);
                sdg_arena_destroy(&b.arena);
            }
}

/* k-diffusion's noise sampler: a list of seeds, one seed for the whole batch, and A1111's randn. */
static void brownian_trees(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sdg_like like;
        enum sdg_rng_kind rng;
        bool joint;
    } cases[] = {
        {"tree.each.cpu", SDG_LIKE_A1111, SDG_RNG_CPU, false},
        {"tree.each.cuda", SDG_LIKE_A1111, SDG_RNG_CUDA, false},
        {"tree.joint", SDG_LIKE_COMFYUI, SDG_RNG_CPU, true},
        {"tree.joint", SDG_LIKE_COMFYUI, SDG_RNG_CUDA, true}, /* on the CPU whatever draws */
        {"tree.each.cpu", SDG_LIKE_DIFFUSERS, SDG_RNG_CPU, false},
    };
    struct test_floats steps = test_golden(&golden, "tree.steps");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_floats want = test_golden(&golden, "%s", cases[i].name);
        struct sdg_noise_request q = request(cases[i].like, cases[i].rng, 77, 2);
        q.joint = cases[i].joint;
        q.ensd = 5; /* means nothing to trees */
        struct source s = open_source(&q);
        float y[2 * COUNT];
        assert_int_equal(want.count, steps.count / 2 * 2 * COUNT);
        sdg_noise_brownian_range(s.noise, 0.0291677f, 14.614642f);
        sdg_noise_first(s.noise, y);
        for (size_t k = 0; k < steps.count / 2; k++) {
            sdg_noise_brownian(s.noise, y, steps.data[2 * k], steps.data[2 * k + 1]);
            assert_true(test_difference(y, want.data + k * 2 * COUNT, 2 * COUNT) <= 1.5e-6);
        }
        sdg_arena_destroy(&s.arena);
        test_floats_free(&want);
    }
    test_floats_free(&steps);
}

/* What has no angle stays finite, and a full arena is an answer, not a crash. */
static void odd_corners(void **state)
{
    (void)state;
    float low[4] = {1, -2, 3, -4};
    const float high[4] = {-1, 2, 3, 4};
    sdg_slerp(low, high, 2, 1, 2, 0.25); /* columns of one value */
    for (int i = 0; i < 4; i++) assert_true(isfinite(low[i]));
    float same[4] = {1, -2, 3, -4};
    const float twice[4] = {2, -4, 6, -8}; /* one direction: blended, the wrong way round */
    sdg_slerp(same, twice, 1, 2, 2, 0.25);
    for (int i = 0; i < 4; i++) assert_true(same[i] == 0.875f * twice[i]);
    float zero[4] = {0};
    sdg_slerp(zero, zero, 1, 2, 2, 0.5);
    for (int i = 0; i < 4; i++) assert_true(zero[i] == 0);

    const struct sdg_noise_request q = request(SDG_LIKE_A1111, SDG_RNG_CPU, 1, 2);
    struct sdg_arena small;
    sdgen_error err;
    assert_int_equal(sdg_arena_create(&small, 4096, &err), SDGEN_OK);
    assert_null(sdg_noise_open(&small, &q));
    sdg_arena_destroy(&small);
    assert_int_equal(sdg_noise_seed(&(struct sdg_noise_request) {.seed = INT64_MAX}, 1), INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_a1111),   cmocka_unit_test(batches_of_the_others),
        cmocka_unit_test(images_stand_alone), cmocka_unit_test(brownian_trees),
        cmocka_unit_test(odd_corners),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
