/* test_binder.c - the binder: what it finds, what it reports, and that it reports everything; then
 * each tensor of a whole small model in turn missing and mis-shaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/blankfile.h"
#include "weights/binder.h"
#include "weights/keys.h"
#include "weights/model.h"
#include "files/tensor_values.h"

/* Messages of a run, one after another. */
struct lines {
    int errors, warnings, verbose;
    char last[512], all[8192];
};

static void keep_line(void *user, int level, const char *message)
{
    struct lines *l = user;
    if (level == SDGEN_LOG_ERROR) l->errors++;
    if (level == SDGEN_LOG_WARN) l->warnings++;
    if (level == SDGEN_LOG_VERBOSE) l->verbose++;
    snprintf(l->last, sizeof l->last, "%s", message);
    snprintf(l->all + strlen(l->all), sizeof l->all - strlen(l->all), "%s\n", message);
}

static void open_blank(struct sdg_weights *w, struct test_blank *b)
{
    sdgen_error err = {0};
    test_blank_write(b);
    if (sdg_weights_open(w, b->path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

/* ---- one tensor at a time ---- */

struct cell { /* a block with two slots */
    struct sdg_tensor a, b;
};

static void test_found_missing_misshaped(void **state)
{
    static const struct sdg_bind_row rows[] = {
        {"whole", offsetof(struct cell, a), 2, {0, SDG_LITERAL(3)}, 0},
        {"bent", offsetof(struct cell, b), 2, {0, SDG_LITERAL(3)}, 0},
        {"integers", offsetof(struct cell, b), 1, {0}, 0},
        {"gone", offsetof(struct cell, b), 1, {0}, 0},
        {"gone_too", offsetof(struct cell, b), 1, {0}, SDG_OPTIONAL},
    };
    struct test_blank blank;
    struct sdg_weights w;
    struct lines lines = {0};
    const struct sdg_log log = {keep_line, &lines};
    struct sdg_filebinder b;
    struct cell cell;
    sdgen_error err;
    (void)state;
    test_blank_begin(&blank);
    test_blank_add(&blank, "net.x.whole", SDG_BF16, (const int64_t[]) {5, 3}, 2);
    test_blank_add(&blank, "net.x.bent", SDG_F16, (const int64_t[]) {3, 5}, 2);
    test_blank_add(&blank, "net.x.integers", SDG_I64, (const int64_t[]) {5}, 1);
    test_blank_add(&blank, "net.x.alien", SDG_F16, (const int64_t[]) {5}, 1);
    open_blank(&w, &blank);

    assert_int_equal(sdg_filebinder_init(&b, &w, &log, &err), SDGEN_OK);
    sdg_filebinder_network(&b, "net.", false);
    memset(&cell, 0xff, sizeof cell);
    sdg_bind_rows(&b.binder, "x.", rows, SDG_ROWS(rows), (const int64_t[]) {5}, &cell);
    assert_ptr_equal(cell.a.data, sdg_weights_find(&w, "net.x.whole")->tensor.data);
    assert_int_equal(cell.a.dtype, SDG_BF16);
    assert_int_equal(cell.a.shape[0], 5);
    assert_null(cell.b.data);
    assert_int_equal(b.used, 3);
    assert_int_equal(b.missing, 1);
    assert_int_equal(b.misshaped, 2);
    assert_int_equal(b.problem_count, 3);
    assert_int_equal(sdg_filebinder_finish(&b, &err), SDGEN_ERR_MODEL);
    assert_int_equal(lines.errors, 3);
    assert_non_null(strstr(lines.all, "net.x.bent: want [5,3], the file has F16 [3,5]\n"));
    assert_non_null(strstr(lines.all, "net.x.integers: want numbers with a fraction, [5], the file "
                                      "has I64 [5]\n"));
    assert_non_null(strstr(lines.all, "net.x.gone is missing (want [5])\n"));
    assert_non_null(strstr(err.text, "1 tensors missing, 2 of the wrong shape"));
    assert_non_null(strstr(err.text, "net.x.bent: want [5,3]"));
    assert_non_null(strstr(err.text, blank.path));
    sdg_filebinder_destroy(&b);
    sdg_filebinder_destroy(&b);
    sdg_weights_close(&w);
    test_blank_remove(&blank);
}

/* Queries, keys and values lie in one tensor of OpenCLIP's; it is missing once. */
static void test_fused_is_missing_once(void **state)
{
    static const struct sdg_bind_row rows[] = {
        {"q_proj.weight", offsetof(struct cell, a), 2, {0, 0}, 0},
        {"k_proj.weight", offsetof(struct cell, a), 2, {0, 0}, 0},
        {"v_proj.weight", offsetof(struct cell, a), 2, {0, 0}, 0},
        {"q_proj.bias", offsetof(struct cell, b), 1, {0}, 0},
    };
    struct test_blank blank;
    struct sdg_weights w;
    struct sdg_filebinder b;
    struct cell cell;
    struct lines lines = {0};
    const struct sdg_log log = {keep_line, &lines};
    sdgen_error err;
    (void)state;
    test_blank_begin(&blank);
    test_blank_add(&blank, "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias",
                   SDG_F16, (const int64_t[]) {12}, 1);
    open_blank(&w, &blank);
    assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_OK);
    assert_int_equal(sdg_filebinder_init(&b, &w, &log, &err), SDGEN_OK);
    sdg_filebinder_network(&b, SDG_KEY_CLIP, false);
    sdg_bind_rows(&b.binder, "text_model.encoder.layers.0.self_attn.", rows, SDG_ROWS(rows),
                  (const int64_t[]) {4}, &cell);
    assert_int_equal(b.missing, 1);
    assert_int_equal(sdg_filebinder_finish(&b, &err), SDGEN_ERR_MODEL);
    assert_int_equal(lines.errors, 1);
    assert_non_null(strstr(err.text, "resblocks.0.attn.in_proj_weight is missing (want [12,4])"));
    sdg_filebinder_destroy(&b);
    sdg_weights_close(&w);
    test_blank_remove(&blank);
}

static void test_squeeze(void **state)
{
    static const int64_t flat[] = {6, 4}, conv[] = {6, 4, 1, 1}, wide[] = {6, 4, 1, 3};
    static const struct {
        const char *name;
        int rank; /* wanted: 2 or 4 */
        unsigned flags;
        int good;
    } cases[] = {
        {"flat", 2, 0, 1},           {"flat", 2, SDG_SQUEEZE, 1},
        {"conv", 4, 0, 1},           {"flat", 4, SDG_SQUEEZE, 1},
        {"conv", 2, SDG_SQUEEZE, 1}, {"flat", 4, 0, 0},
        {"conv", 2, 0, 0},           {"wide", 2, SDG_SQUEEZE, 0},
        {"wide", 4, SDG_SQUEEZE, 0}, {"vector", 2, SDG_SQUEEZE, 0},
    };
    struct test_blank blank;
    struct sdg_weights w;
    sdgen_error err;
    (void)state;
    test_blank_begin(&blank);
    test_blank_add(&blank, "flat", SDG_F32, flat, 2);
    test_blank_add(&blank, "conv", SDG_F32, conv, 4);
    test_blank_add(&blank, "wide", SDG_F32, wide, 4);
    test_blank_add(&blank, "vector", SDG_F32, flat, 1);
    open_blank(&w, &blank);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdg_filebinder b;
        struct sdg_tensor slot;
        assert_int_equal(sdg_filebinder_init(&b, &w, NULL, &err), SDGEN_OK);
        b.binder.want(&b.binder, cases[i].name, conv, cases[i].rank, cases[i].flags, &slot);
        assert_int_equal(b.misshaped, !cases[i].good);
        if (cases[i].good) { /* the slot has the wanted shape, whatever the file's was */
            assert_int_equal(slot.rank, cases[i].rank);
            assert_int_equal(sdg_tensor_count(&slot), 24);
        }
        sdg_filebinder_destroy(&b);
    }
    sdg_weights_close(&w);
    test_blank_remove(&blank);
}

static void test_ema_names(void **state)
{
    static const int64_t shape[] = {4};
    struct test_blank blank;
    struct sdg_weights w;
    struct sdg_filebinder b;
    struct sdg_tensor slot;
    sdgen_error err;
    (void)state;
    test_blank_begin(&blank);
    test_blank_add(&blank, "model.diffusion_model.out.2.bias", SDG_F32, shape, 1);
    test_blank_add(&blank, "model_ema.diffusion_modelout2bias", SDG_F32, shape, 1);
    open_blank(&w, &blank);
    assert_true(sdg_has_ema(&w));
    for (int ema = 0; ema < 2; ema++) {
        assert_int_equal(sdg_filebinder_init(&b, &w, NULL, &err), SDGEN_OK);
        sdg_filebinder_network(&b, "model.diffusion_model.", ema);
        b.binder.want(&b.binder, "out.2.bias", shape, 1, 0, &slot);
        assert_ptr_equal(slot.data, w.entries[ema].tensor.data);
        b.binder.want(&b.binder, "out.2.weight", shape, 1, 0, &slot);
        assert_int_equal(b.missing, 1);
        assert_string_equal(b.problems[0].name, ema ? "model_ema.diffusion_modelout2weight"
                                                    : "model.diffusion_model.out.2.weight");
        sdg_filebinder_destroy(&b);
    }
    sdg_weights_close(&w);
    test_blank_remove(&blank);
}

static void test_leftovers(void **state)
{
    static const char *const left[] = {
        "model_ema.decay",
        "betas",
        "alphas_cumprod_prev",
        "sqrt_recip_alphas_cumprod",
        "posterior_mean_coef1",
        "lvlb_weights",
        "log_one_minus_alphas_cumprod",
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
        "cond_stage_model.logit_scale"};
    static const char *const kept[] = {"first_stage_model.encoder.conv_in.weight",
                                       "model.diffusion_model.out.0.bias", "position_ids_x",
                                       "xbetas"};
    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) assert_true(sdg_is_leftover(left[i]));
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        assert_false(sdg_is_leftover(kept[i]));
}

/* ---- whole models ---- */

static sdgen_status open_model(struct test_blank *blank, struct sdg_model *m, sdgen_error *err,
                               const struct sdg_log *log)
{
    const struct sdg_model_options options = {.path = blank->path, .log = log};
    test_blank_write(blank);
    return sdg_model_open(m, &options, err);
}

/* The names of all tensors of the small model. */
static void small_model(struct test_blank *b)
{
    test_blank_model(b, &test_small_clip, &test_small_unet, &test_small_vae);
}

/* Tensors that are the only ones to tell some width: bent, they tell another width and the fault is
 * seen in their neighbours, or nowhere. */
static int tells_alone(const char *name)
{
    static const char *const alone[] = {
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
        "model.diffusion_model.out.2.weight", "first_stage_model.decoder.conv_out.weight"};
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
        if (strcmp(name, alone[i]) == 0) return 1;
    return 0;
}

static void test_each_tensor_missing_or_bent(void **state)
{
    struct test_blank whole, b;
    struct sdg_weights w;
    struct sdg_model *m = calloc(1, sizeof *m);
    (void)state;
    assert_non_null(m);
    test_blank_begin(&whole);
    small_model(&whole);
    open_blank(&w, &whole);
    for (size_t i = 0; i < 2 * w.count; i++) {
        const char *name = w.entries[i / 2].name;
        sdgen_error err = {0};
        struct lines lines = {0};
        const struct sdg_log log = {keep_line, &lines};
        if (i % 2 && tells_alone(name)) continue;
        test_blank_begin(&b);
        if (i % 2)
            b.bend = name;
        else
            b.drop = name;
        small_model(&b);
        assert_int_equal(open_model(&b, m, &err, &log), SDGEN_ERR_MODEL);
        if (!strstr(err.text, name) || lines.errors > 1)
            fail_msg("%s %s: %d lines, %s", i % 2 ? "bent" : "dropped", name, lines.errors,
                     err.text);
        test_blank_remove(&b);
    }
    sdg_weights_close(&w);
    test_blank_remove(&whole);
    free(m);
}

static void test_open_and_count(void **state)
{
    struct test_blank b;
    struct sdg_model *m = calloc(1, sizeof *m);
    struct lines lines = {0};
    const struct sdg_log log = {keep_line, &lines};
    sdgen_error err = {0};
    (void)state;
    assert_non_null(m);
    test_blank_begin(&b);
    small_model(&b);
    const size_t wanted = b.count;
    test_blank_add(&b, "model_ema.decay", SDG_F32, NULL, 0);
    test_blank_add(&b, "stranger", SDG_F32, NULL, 0);
    if (open_model(&b, m, &err, &log) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(m->used, wanted);
    assert_int_equal(m->unused, 1);
    assert_int_equal(lines.errors, 0);
    assert_non_null(strstr(lines.all, "unused tensor: stranger\n"));
    assert_null(strstr(lines.all, "tensor: model_ema.decay"));
    assert_non_null(m->unet.conv_in.weight.data);
    assert_non_null(m->vae.encoder.conv_in.weight.data);
    assert_non_null(m->clips[0].layers[1].fc2.bias.data);
    assert_true(m->facts.latent_scale == 0.18215f);
    sdg_model_close(m);
    sdg_model_close(m);
    test_blank_remove(&b);
    free(m);
}

/* A broken file is told whole in one run: a line for each fault, the count in the error. */
static void test_all_faults_in_one_run(void **state)
{
    struct sdg_clip_config clip = test_small_clip;
    struct test_blank b;
    struct sdg_model *m = calloc(1, sizeof *m);
    struct lines lines = {0};
    const struct sdg_log log = {keep_line, &lines};
    sdgen_error err = {0};
    (void)state;
    assert_non_null(m);
    test_blank_begin(&b);
    b.prefix = "cond_stage_model.transformer.";
    struct sdg_clip *slots = calloc(1, sizeof *slots);
    clip.mlp = 64; /* layer 0 comes out narrower than layer 1 below */
    clip.layers = 1;
    sdg_clip_bind(slots, &clip, &b.binder);
    free(slots);
    test_blank_add(&b, "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc1.weight",
                   SDG_F16, (const int64_t[]) {96, 64}, 2);
    test_blank_model(&b, NULL, &test_small_unet, &test_small_vae);
    assert_int_equal(open_model(&b, m, &err, &log), SDGEN_ERR_MODEL);
    assert_int_equal(lines.errors, 16); /* 15 missing, 1 mis-shaped */
    assert_non_null(strstr(err.text, "15 tensors missing, 1 of the wrong shape"));
    test_blank_remove(&b);
    free(m);
}

static void test_values(void **state)
{
    static const uint16_t half[] = {0x7c00, 0xfc00, 0x7c01, 0xffff, 0x7bff, 0};
    static const uint16_t brain[] = {0x7f80, 0x7f81, 0xff80, 0x7f7f};
    static const uint8_t e4m3[] = {0x7f, 0xff, 0x7e, 0}, e5m2[] = {0x7c, 0xfd, 0x7b};
    static const uint16_t small[] = {1, 0x83ff, 0, 0x8000}; /* denormals; zeros of both signs */
    static const uint8_t tiny[] = {1, 0x87, 8};             /* two denormals; the least normal */
    static const double wide[] = {1e300, -1e300, 0};        /* beyond f32, yet numbers */
    const struct {
        struct sdg_tensor t;
        struct sdg_value_counts want;
    } cases[] = {
        {{half, SDG_F16, 1, {6}}, {2, 2, 0, 1}},     {{brain, SDG_BF16, 1, {4}}, {1, 2, 0, 0}},
        {{e4m3, SDG_F8_E4M3, 1, {4}}, {2, 0, 0, 1}}, {{e5m2, SDG_F8_E5M2, 1, {3}}, {1, 1, 0, 0}},
        {{wide, SDG_F64, 1, {3}}, {0, 0, 0, 1}},     {{half, SDG_I16, 1, {6}}, {0, 0, 0, 1}},
        {{small, SDG_F16, 1, {4}}, {0, 0, 2, 2}},    {{half, SDG_F16, 1, {0}}, {0, 0, 0, 0}},
        {{tiny, SDG_F8_E4M3, 1, {3}}, {0, 0, 2, 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdg_value_counts n;
        sdg_count_values(&n, &cases[i].t);
        assert_int_equal(n.nan, cases[i].want.nan);
        assert_int_equal(n.inf, cases[i].want.inf);
        assert_int_equal(n.denormal, cases[i].want.denormal);
        assert_int_equal(n.zero, cases[i].want.zero);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_missing_misshaped),
        cmocka_unit_test(test_fused_is_missing_once),
        cmocka_unit_test(test_squeeze),
        cmocka_unit_test(test_ema_names),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_each_tensor_missing_or_bent),
        cmocka_unit_test(test_open_and_count),
        cmocka_unit_test(test_all_faults_in_one_run),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests_name("binder", tests, NULL, NULL);
}
