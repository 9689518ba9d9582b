/* test_merging.c - checkpoints that are mixed: sums, differences, weights of blocks, and models
 * that do not go together. tools/check_merge.py holds whole files against numpy. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/convertcase.h"
#include "convert/merging.h"

static const struct sdg_tensor *named(const struct sdg_weights *w, const char *name)
{
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (!e) fail_msg("no %s", name);
    return &e->tensor;
}

static void merge(const struct sdg_merge_options *o)
{
    struct sdg_convert_result r;
    sdgen_error err = {0};
    if (sdg_merge(&r, o, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

/* out = (1-x) a + x b in f32, rounded once to f16. */
static void expect_sum(const char *name, const struct sdg_weights *out, const struct sdg_weights *a,
                       const struct sdg_weights *b, double x)
{
    const struct sdg_tensor *y = named(out, name), *ta = named(a, name), *tb = named(b, name);
    for (size_t i = 0; i < sdg_tensor_count(y); i++) {
        float va, vb, vy;
        sdg_tensor_widen(&va, ta, i, 1);
        sdg_tensor_widen(&vb, tb, i, 1);
        sdg_tensor_widen(&vy, y, i, 1);
        const float want = sdg_half_value(sdg_half_from((float)(1 - x) * va + (float)x * vb));
        if (want != vy) fail_msg("%s[%zu] is %g, not %g", name, i, (double)vy, (double)want);
    }
}

static void test_merging(void **state)
{
    (void)state;
    struct sdg_weights a, b, w;
    test_write_family("sdxl", "a.safetensors");
    test_write_leftovers("a.safetensors", "more.safetensors");
    struct sdg_convert_options turn =
        test_options(test_in("more.safetensors"), test_in("b.safetensors"));
    turn.join.ema = true; /* other numbers under the same names */
    test_convert(&turn);
    struct sdg_merge_options o = {
        .to = test_options(test_in("a.safetensors"), test_in("out.safetensors")),
        .b = test_in("b.safetensors"),
        .alpha = 0.3};
    merge(&o);
    test_open(&a, test_in("a.safetensors"));
    test_open(&b, test_in("b.safetensors"));
    test_open(&w, test_in("out.safetensors"));
    assert_int_equal(a.count, w.count);
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &a, &b, 0.3);
    expect_sum("model.diffusion_model.time_embed.0.weight", &w, &a, &b, 0.3);
    test_expect_same(named(&a, "first_stage_model.decoder.conv_in.weight"),
                     named(&w, "first_stage_model.decoder.conv_in.weight"), "the VAE");
    sdg_weights_close(&w);
    /* Blocks: 0 for all but the middle and OUT00. */
    o.block_weights = "0,0,0,0,0,0,0,0,0,0.5,0.25,0,0,0,0,0,0,0,1";
    o.to.overwrite = 1;
    merge(&o);
    test_open(&w, test_in("out.safetensors"));
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &a, &b, 0.5);
    expect_sum("model.diffusion_model.output_blocks.0.0.in_layers.2.weight", &w, &a, &b, 0.25);
    expect_sum("model.diffusion_model.out.2.weight", &w, &a, &b, 1);
    test_expect_same(named(&a, "model.diffusion_model.time_embed.0.weight"),
                     named(&w, "model.diffusion_model.time_embed.0.weight"), "time_embed");
    sdg_weights_close(&w);
    /* a + 1 (a - a) */
    o = (struct sdg_merge_options) {
        .to = test_options(test_in("b.safetensors"), test_in("out.safetensors")),
        .b = test_in("a.safetensors"),
        .c = test_in("a.safetensors"),
        .method = SDG_MERGE_ADD,
        .alpha = 1};
    o.to.overwrite = 1;
    o.to.join.prune = true;
    merge(&o);
    test_open(&w, test_in("out.safetensors"));
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &b, &b, 0);
    sdg_weights_close(&w);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
}

static void test_merging_refused(void **state)
{
    (void)state;
    sdgen_error err = {0};
    struct sdg_convert_result r;
    test_write_family("sdxl", "a.safetensors");
    test_write_family("sd1", "b.safetensors");
    const int before = test_file_count();
    struct sdg_merge_options o = {
        .to = test_options(test_in("a.safetensors"), test_in("no.safetensors")),
        .b = test_in("b.safetensors"),
        .alpha = 0.5};
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "does not go with"));
    assert_non_null(strstr(err.text, "tensors missing"));
    o.b = test_in("a.safetensors");
    o.block_weights = "0.5,0.5";
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "takes 19"));
    o.block_weights = "0.5,x";
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_ARG);
    assert_int_equal(test_file_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_merging, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_merging_refused, test_convert_begin, test_convert_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
