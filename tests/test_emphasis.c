/* test_emphasis.c - weights on encodings: tests/golden/emphasis.safetensors holds what the formulas
 * of A1111, ComfyUI and compel give, computed by PyTorch (tools/golden_emphasis.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "text/emphasis.h"
#include "files/weights.h"

enum { CHUNKS = 2, WIDTH = 12, COUNT = CHUNKS * SDG_CHUNK_LENGTH * WIDTH };

static int setup(void **state)
{
    static struct sdg_weights w;
    if (sdg_weights_open(&w, "tests/golden/emphasis.safetensors", NULL) != SDGEN_OK) return 1;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    sdg_weights_close(*state);
    return 0;
}

/* The golden encoding with its golden weights, emphasised; the caller frees. */
static float *emphasised(const struct sdg_weights *w, const char *weights, enum sdg_emphasis how)
{
    struct test_floats z = test_golden(w, "z"), empty = test_golden(w, "empty");
    struct test_floats factors = test_golden(w, "%s", weights);
    const struct sdg_chunks c = {.weights = factors.data, .count = CHUNKS, .capacity = CHUNKS};
    assert_int_equal(z.count, COUNT);
    sdg_emphasise(z.data, &c, empty.data, WIDTH, how);
    test_floats_free(&empty);
    test_floats_free(&factors);
    return z.data;
}

static void check(const struct sdg_weights *w, const char *weights, enum sdg_emphasis how,
                  const char *name)
{
    float *found = emphasised(w, weights, how);
    struct test_floats want = test_golden(w, "%s.%s", name, weights);
    const double ratio = test_ratio(found, want.data, COUNT);
    if (!(ratio <= 1e-6)) fail_msg("%s of %s: off by %g", name, weights, ratio);
    test_floats_free(&want);
    free(found);
}

static void test_modes(void **state)
{
    static const char *const weights[] = {"mild", "wild"};
    for (size_t i = 0; i < 2; i++) {
        check(*state, weights[i], SDG_EMPHASIS_ORIGINAL, "original");
        check(*state, weights[i], SDG_EMPHASIS_NO_NORM, "no_norm");
        check(*state, weights[i], SDG_EMPHASIS_COMFYUI, "comfyui");
        check(*state, weights[i], SDG_EMPHASIS_COMPEL, "comfyui");
    }
}

/* Weights of 1 change no bit, whatever the mode; nor do modes that ignore them. */
static void test_untouched(void **state)
{
    struct test_floats z = test_golden(*state, "z");
    for (int how = SDG_EMPHASIS_ORIGINAL; how <= SDG_EMPHASIS_COMPEL; how++) {
        float *found = emphasised(*state, "ones", (enum sdg_emphasis)how);
        assert_memory_equal(found, z.data, COUNT * sizeof *found);
        free(found);
    }
    for (int how = SDG_EMPHASIS_IGNORE; how <= SDG_EMPHASIS_NONE; how++) {
        float *found = emphasised(*state, "wild", (enum sdg_emphasis)how);
        assert_memory_equal(found, z.data, COUNT * sizeof *found);
        free(found);
    }
    test_floats_free(&z);
}

/* Two sections: 0.75 a - 2 b, and c. */
static void test_pieces(void **state)
{
    enum { N = SDG_CHUNK_LENGTH };
    const struct sdg_prompt_piece pieces[] = {
        {.factor = 0.75}, {.factor = 1, .section = 1}, {.factor = -2}};
    float z[3 * N], y[2 * N] = {0};
    (void)state;
    for (int i = 0; i < 3 * N; i++) z[i] = (float)i;
    for (size_t k = 0; k < 3; k++) sdg_add_piece(y, z + k * N, &pieces[k], 1);
    for (int i = 0; i < N; i++) {
        assert_true(y[i] == 0.75f * z[i] - 2 * z[2 * N + i]);
        assert_true(y[N + i] == z[N + i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests_name("emphasis", tests, setup, teardown);
}
