/* test_rng.c - random numbers against torch and against published values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/philox.h"
#include "sampling/rng.h"
#include "tests/support/floats.h"

/* Long draws: torch's vector code and libm differ in last bits of values of up to 6. */
#define LONG_DRAW 5e-7

static const int64_t seeds[] = {
    0, 1, 42, 123456789, (INT64_C(1) << 32) + 5, (INT64_C(1) << 40) + 7, -1, -987654321};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

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

/* std::mt19937 promises its 10000th word from the default seed (C++11, 26.5.5). */
static void mt19937_words(void **state)
{
    (void)state;
    struct sdg_mt19937 m;
    sdg_mt19937_seed(&m, 5489);
    assert_int_equal(sdg_mt19937_next(&m), 3499211612u);
    assert_int_equal(sdg_mt19937_next(&m), 581869302u);
    for (int i = 2; i < 9999; i++) sdg_mt19937_next(&m);
    assert_int_equal(sdg_mt19937_next(&m), 4123659995u);
    sdg_mt19937_seed(&m, 0);
    assert_int_equal(sdg_mt19937_next(&m), 2357136044u);
}

/* The known-answer vectors of Random123 (Salmon et al.), kat_vectors, "philox4x32 10". */
static void philox_words(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t c[4] = {kat[i].counter[0], kat[i].counter[1], kat[i].counter[2],
                         kat[i].counter[3]};
        sdg_philox4x32(c, (uint64_t)kat[i].key[1] << 32 | kat[i].key[0]);
        for (int j = 0; j < 4; j++) assert_int_equal(c[j], kat[i].want[j]);
    }
}

static void draw(float *y, enum sdg_rng_kind kind, int64_t seed, size_t count)
{
    struct sdg_rng r;
    sdg_rng_seed(&r, kind, (uint64_t)seed);
    sdg_rng_normal(&r, y, count);
}

/* A long draw against what the golden file keeps of it: both ends, every 97th value between them,
 * and the sum and the sum of squares of all that lie between them. */
static void compare_long(const float *y, size_t count, const struct test_floats *want)
{
    enum { END = 32, STRIDE = 97 };
    double sum = 0, squares = 0;
    size_t k = END;
    assert_true(test_difference(y, want->data, END) <= LONG_DRAW);
    for (size_t i = END; i < count - END; i++) {
        sum += (double)y[i];
        squares += (double)y[i] * (double)y[i];
        if ((i - END) % STRIDE == 0)
            assert_true(test_difference(y + i, want->data + k++, 1) <= LONG_DRAW);
    }
    assert_int_equal(want->count, k + END + 2);
    assert_true(test_difference(y + count - END, want->data + k, END) <= LONG_DRAW);
    assert_true(fabs(sum - (double)want->data[k + END]) <= 1e-7 * (double)count);
    assert_true(fabs(squares / (double)want->data[k + END + 1] - 1) <= 2e-7);
}

/* Sixty sizes: all below 25, around multiples of 16, primes, latents. */
static void torch_sizes(void **state)
{
    (void)state;
    const struct sdg_entry *e = sdg_weights_find(&golden, "cpu.sizes");
    assert_non_null(e);
    int32_t sizes[60];
    assert_int_equal(sdg_tensor_count(&e->tensor), 60);
    memcpy(sizes, e->tensor.data, sizeof sizes);
    float *y = malloc(sizes[59] * sizeof *y);
    assert_non_null(y);
    for (int s = 0; s < SEEDS; s++)
        for (int i = 0; i < 60; i++) {
            const size_t count = (size_t)sizes[i];
            struct test_floats want =
                test_golden(&golden, "cpu.%lld.%d", (long long)seeds[s], sizes[i]);
            draw(y, SDG_RNG_CPU, seeds[s], count);
            if (want.count == count) /* short draws: the same bits */
                assert_true(test_difference(y, want.data, count) <= (count < 16 ? 0 : LONG_DRAW));
            else
                compare_long(y, count, &want);
            test_floats_free(&want);
        }
    free(y);
}

/* One generator, draws of different sizes in a row: the spare of a pair survives long draws. */
static void torch_row(void **state)
{
    (void)state;
    static const size_t sizes[] = {6, 3, 16, 1, 20, 7, 100};
    for (int s = 0; s < SEEDS; s++) {
        struct test_floats want = test_golden(&golden, "cpu.%lld.row", (long long)seeds[s]);
        float y[153];
        size_t used = 0;
        struct sdg_rng r;
        sdg_rng_seed(&r, SDG_RNG_CPU, (uint64_t)seeds[s]);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; used += sizes[i++])
            sdg_rng_normal(&r, y + used, sizes[i]);
        assert_int_equal(want.count, used);
        assert_true(test_difference(y, want.data, used) <= LONG_DRAW);
        test_floats_free(&want);
    }
}

/* Three draws of 40 from one generator each; the formula evaluated by numpy, as A1111 does and as
 * stable-diffusion.cpp does, whose small radii are coarse. */
static void cuda_draws(void **state)
{
    (void)state;
    static const char *names[] = {"cuda", "sd.cpp"};
    for (int narrow = 0; narrow < 2; narrow++)
        for (int s = 0; s < SEEDS; s++) {
            struct test_floats want =
                test_golden(&golden, "%s.%lld", names[narrow], (long long)seeds[s]);
            float y[120];
            struct sdg_rng r;
            assert_int_equal(want.count, 120);
            sdg_rng_seed(&r, SDG_RNG_CUDA, (uint64_t)seeds[s]);
            r.narrow = narrow;
            for (int k = 0; k < 3; k++) sdg_rng_normal(&r, y + 40 * k, 40);
            assert_true(test_difference(y, want.data, 120) <= 1e-6); /* a last bit of libm */
            test_floats_free(&want);
        }
}

/* What a real GPU returns for seed 0 (the doctest of A1111's modules/rng_philox.py). */
static void cuda_hardware(void **state)
{
    (void)state;
    static const float want[12] = {-0.92466259f, -0.42534415f, -2.6438457f,  0.14518388f,
                                   -0.12086647f, -0.57972564f, -0.62285122f, -0.32838709f,
                                   -1.07454231f, -0.36314407f, -1.67105067f, 2.26550497f};
    float y[12];
    draw(y, SDG_RNG_CUDA, 0, 12);
    assert_true(test_difference(y, want, 12) <= 4e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_words), cmocka_unit_test(philox_words),
        cmocka_unit_test(torch_sizes),   cmocka_unit_test(torch_row),
        cmocka_unit_test(cuda_draws),    cmocka_unit_test(cuda_hardware),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
