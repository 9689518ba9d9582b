/* test_brownian.c - Brownian paths against torchsde and k-diffusion, their seeds against numpy. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/brownian.h"
#include "sampling/seedsequence.h"
#include "tests/support/floats.h"

/* Of max(1, |x|): normal numbers of torch's vector code agree to 4e-7, and a path adds a few. On
 * paths longer than Stable Diffusion's own, whose pieces are large and may nearly cancel, of the
 * increment's standard deviation at least. */
#define BOUND 1e-6
#define USUAL_LENGTH 14.6f

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

/* The test vector of numpy's own tests (numpy/random/tests/test_seed_sequence.py). */
static void seed_sequence_of_numpy(void **state)
{
    (void)state;
    static const uint32_t entropy[4] = {3735928559u, 195939070u, 229505742u, 305419896u};
    static const uint32_t want[4] = {3914649087u, 576849849u, 3593928901u, 2229911004u};
    uint32_t got[4];
    sdg_seed_sequence(got, 4, entropy, 4, 4);
    assert_memory_equal(got, want, sizeof want);
}

/* Thirty words of each, more than the pool has; spawn keys of one and two words. */
static void seed_sequence_spawned(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, key, depth;
        bool spawned;
    } cases[] = {
        {0, 0, 0, false},
        {42, 0, 0, false},
        {42, 0, 0, true},
        {42, 1, 1, true},
        {(UINT64_C(1) << 32) + 5, 5, 3, true},
        {INT64_MAX, (UINT64_C(1) << 33) + 1, 34, true},
        {7, (1 << 24) - 1, 24, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t entropy[SDG_SEED_POOL + 4] = {0}, got[30];
        char name[32];
        size_t words = sdg_seed_words(entropy, cases[i].seed);
        if (cases[i].spawned) {
            words = SDG_SEED_POOL;
            words += sdg_seed_words(entropy + words, cases[i].key);
            words += sdg_seed_words(entropy + words, cases[i].depth);
        }
        sdg_seed_sequence(got, 30, entropy, words, SDG_SEED_POOL);
        snprintf(name, sizeof name, "seedsequence.%zu", i);
        const struct sdg_entry *e = sdg_weights_find(&golden, name);
        assert_non_null(e);
        assert_memory_equal(got, e->tensor.data, sizeof got);
    }
}

/* Largest |a - b| / max(room, |b|). */
static double worst(const float *a, const float *b, size_t count, double room)
{
    double top = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - (double)b[i]) / fmax(room, fabs((double)b[i]));
        if (!(d <= top)) top = isnan(d) ? INFINITY : d;
    }
    return top;
}

static const uint64_t seeds[] = {42, 0, (UINT64_C(1) << 32) + 5, (UINT64_C(1) << 62) + 12345,
                                 987654321};
enum { PATHS = sizeof seeds / sizeof seeds[0] };

struct path {
    struct sdg_brownian b;
    struct test_floats range, asked, want, noise;
    size_t questions, count;
    float *space, *y;
};

static void open_path(struct path *p, int i)
{
    p->range = test_golden(&golden, "brownian.%d.range", i);
    p->asked = test_golden(&golden, "brownian.%d.asked", i);
    p->want = test_golden(&golden, "brownian.%d.path", i);
    p->noise = test_golden(&golden, "brownian.%d.noise", i);
    p->questions = p->asked.count / 2;
    p->count = p->want.count / p->questions;
    p->space = malloc(SDG_BROWNIAN_LEVELS * p->count * sizeof(float));
    p->y = malloc(p->count * sizeof(float));
    assert_true(p->questions >= 60 && p->space && p->y);
    sdg_brownian_init(&p->b, p->space, p->count, SDG_RNG_CPU, seeds[i], (double)p->range.data[0],
                      (double)p->range.data[1]);
}

static void close_path(struct path *p)
{
    test_floats_free(&p->range);
    test_floats_free(&p->asked);
    test_floats_free(&p->want);
    test_floats_free(&p->noise);
    free(p->space);
    free(p->y);
}

static void ask(struct path *p, size_t q)
{
    sdg_brownian_increment(&p->b, p->y, (double)p->asked.data[2 * q],
                           (double)p->asked.data[2 * q + 1]);
}

/* Levels of a run, in order and in reverse, repeated, nested, tiny, outside of the path, random:
 * as torchsde answers them one after the other, and as k-diffusion scales them. */
static void path_of_torchsde(void **state)
{
    (void)state;
    for (int i = 0; i < PATHS; i++) {
        struct path p;
        open_path(&p, i);
        for (size_t q = 0; q < p.questions; q++) {
            const float from = p.asked.data[2 * q], to = p.asked.data[2 * q + 1];
            const float norm = sqrtf(fabsf(to - from));
            const bool usual = p.range.data[1] - p.range.data[0] <= USUAL_LENGTH;
            const double room = usual ? 1 : fmax(1, (double)norm);
            ask(&p, q);
            assert_true(worst(p.y, p.want.data + q * p.count, p.count, room) <= BOUND);
            for (size_t j = 0; j < p.count && norm > 0; j++) p.y[j] /= norm;
            assert_true(worst(p.y, p.noise.data + q * p.count, p.count, 1) <= BOUND);
        }
        close_path(&p);
    }
}

/* The order of asking changes no bit. */
static void order_does_not_matter(void **state)
{
    (void)state;
    struct path p;
    open_path(&p, 1);
    float *first = malloc(p.want.count * sizeof *first);
    assert_non_null(first);
    for (size_t q = 0; q < p.questions; q++) {
        ask(&p, q);
        memcpy(first + q * p.count, p.y, p.count * sizeof *first);
    }
    for (size_t q = p.questions; q-- > 0;) {
        ask(&p, q);
        assert_memory_equal(p.y, first + q * p.count, p.count * sizeof *first);
    }
    free(first);
    close_path(&p);
}

/* W(a, b) + W(b, c) = W(a, c), W(b, a) = -W(a, b), and a variance that is the length. */
static void increments_add_up(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    float *space = malloc(SDG_BROWNIAN_LEVELS * COUNT * sizeof *space), *y[4];
    struct sdg_brownian b;
    assert_non_null(space);
    for (int i = 0; i < 4; i++) assert_non_null(y[i] = malloc(COUNT * sizeof(float)));
    for (int kind = SDG_RNG_CPU; kind <= SDG_RNG_CUDA; kind++) {
        sdg_brownian_init(&b, space, COUNT, (enum sdg_rng_kind)kind, 9, 0.03, 14.6);
        sdg_brownian_increment(&b, y[0], 1.25, 7.0);
        sdg_brownian_increment(&b, y[1], 7.0, 11.5);
        sdg_brownian_increment(&b, y[2], 1.25, 11.5);
        sdg_brownian_increment(&b, y[3], 11.5, 1.25);
        double square = 0;
        for (int j = 0; j < COUNT; j++) {
            assert_true(fabsf(y[0][j] + y[1][j] - y[2][j]) < 1e-5f);
            assert_true(y[3][j] == -y[2][j]);
            square += (double)y[2][j] * (double)y[2][j];
        }
        assert_true(fabs(square / COUNT / (11.5 - 1.25) - 1) < 0.1);
    }
    for (int i = 0; i < 4; i++) free(y[i]);
    free(space);
}

/* A path longer than the walk is deep ends at its last level instead of running over. */
static void endless_paths_end(void **state)
{
    (void)state;
    float space[SDG_BROWNIAN_LEVELS * 4], y[4];
    struct sdg_brownian b;
    sdg_brownian_init(&b, space, 4, SDG_RNG_CPU, 1, 1e-7, 1e15);
    sdg_brownian_increment(&b, y, 3.0000001, 1e9 / 3);
    for (int j = 0; j < 4; j++) assert_true(isfinite(y[j]));
    sdg_brownian_init(&b, space, 4, SDG_RNG_CPU, 1, 2, 2); /* one level: no path */
    sdg_brownian_increment(&b, y, 1, 3);
    for (int j = 0; j < 4; j++) assert_true(y[j] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_sequence_of_numpy), cmocka_unit_test(seed_sequence_spawned),
        cmocka_unit_test(path_of_torchsde),       cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(increments_add_up),      cmocka_unit_test(endless_paths_end),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
