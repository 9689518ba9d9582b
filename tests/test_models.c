/* test_models.c - the three networks against transformers and diffusers.
 *
 * Every layout of tests/layouts.json is written as a checkpoint with hash weights, bound, and run
 * through the cases of tools/golden_models.py in plain C and on the best tier of this machine; the
 * bundled model goes the same way. Bound: 1e-4 of the largest output. Besides: what the tables ask
 * for under SD1.5, its planned memory and work, and bits that threads and batch must not change. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cpu.h"
#include "kernels.h"
#include "models/unet_blocks.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"
#include "tests/support/netjob.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"

#define BOUND 1e-4
#define EMOJI "emoji" /* the name of the bundled model among the layouts */

/* ---- goldens --------------------------------------------------------------------------------- */

struct subject {
    const char *name;
    struct test_layout layout;
    struct test_model *m;
    struct sdg_weights golden;
    struct test_engine engine;
};

/* j->y, just computed, against the golden `name`. */
static void compare(const struct subject *s, const struct test_job *j, const char *name)
{
    struct test_floats want = test_golden(&s->golden, "%s", name);
    const double ratio = test_ratio(j->y, want.data, want.count);
    print_message("# %s, %s, %s: max error %.1e of the maximum\n", s->name,
                  sdg_isa_label(s->engine.isa), name, ratio);
    if (!(ratio <= BOUND)) fail_msg("%s %s: %.3e of the maximum", s->name, name, ratio);
    test_floats_free(&want);
}

static void check_text(struct subject *s)
{
    const struct sdg_clip_config *c = &s->layout.clip;
    const size_t t = (size_t)c->positions;
    int32_t *ids = malloc(2 * t * sizeof *ids);
    assert_non_null(ids);
    test_hash_ids(ids, "input.text.ids", 2 * t, (uint32_t)c->vocab);
    struct test_job j = {
        .m = s->m, .y = test_new_floats(2 * t * (size_t)c->width), .ids = ids, .n = 2, .h = t};
    test_run_job(&s->engine, test_run_text, &j);
    compare(s, &j, "text");
    if (c->layers > 1) {
        j.w = 1;
        test_run_job(&s->engine, test_run_text, &j);
        compare(s, &j, "text.skip1");
    }
    free(j.y);
    free(ids);
}

enum { CONTEXTS = 3 };
static const float timesteps[CONTEXTS] = {981.0f, 500.5f, 1.0f};
static const size_t context_lengths[CONTEXTS] = {77, 5, 154};

static void make_contexts(struct sdg_unet_context *context, const struct sdg_unet_config *c)
{
    for (int i = 0; i < CONTEXTS; i++)
        context[i] = (struct sdg_unet_context) {
            test_hashed(context_lengths[i] * (size_t)c->context, "input.unet.context.%d", i),
            context_lengths[i]};
}

static void free_contexts(struct sdg_unet_context *context)
{
    for (int i = 0; i < CONTEXTS; i++) free((void *)(uintptr_t)context[i].data);
}

/* Of three images: what the base (six numbers) or the refiner (five) may be told of sizes. */
static const float base_numbers[CONTEXTS][6] = {
    {1024, 768, 0, 16, 1024, 1024}, {512, 512, 0, 0, 640, 1536}, {31, 4096, 7, 0, 1152, 896}};
static const float refiner_numbers[CONTEXTS][5] = {
    {1024, 768, 0, 16, 6}, {512, 512, 0, 0, 2.5f}, {31, 4096, 7, 0, 9.75f}};
static const float guidance_scales[CONTEXTS] = {7.5f, 1, 0.35f};

/* [CONTEXTS][label]: a hashed text vector, then the numbers, each embedded; NULL without a label.
 */
static float *make_labels(const struct test_layout *l)
{
    const size_t width = (size_t)l->unet.label, each = (size_t)l->number_width;
    const size_t count = (size_t)l->numbers, text = width - count * each;
    if (width == 0) return NULL;
    float *y = test_new_floats(CONTEXTS * width);
    for (int i = 0; i < CONTEXTS; i++) {
        float *v = test_hashed(text, "input.unet.label.%d", i);
        memcpy(y + (size_t)i * width, v, text * sizeof *v);
        sdg_unet_embed_timesteps(y + (size_t)i * width + text,
                                 count == 6 ? base_numbers[i] : refiner_numbers[i], count, each);
        free(v);
    }
    return y;
}

/* [CONTEXTS][time_cond], or NULL. */
static float *make_guidance(const struct test_layout *l)
{
    const size_t width = (size_t)l->unet.time_cond;
    if (width == 0) return NULL;
    float *y = test_new_floats(CONTEXTS * width);
    sdg_unet_embed_guidance(y, guidance_scales, CONTEXTS, width);
    return y;
}

/* n images from number `first` of timesteps and contexts. */
static struct test_job unet_job(const struct test_model *m, const struct sdg_unet_context *context,
                                size_t first, size_t n, size_t h, size_t w)
{
    const struct sdg_unet_config *c = &m->unet.config;
    return (struct test_job) {
        .m = m,
        .y = test_new_floats(n * (size_t)c->out_channels * h * w),
        .x = test_hashed(n * (size_t)c->in_channels * h * w, "input.unet.%zux%zu", h, w),
        .t = timesteps + first,
        .context = context + first,
        .n = n,
        .h = h,
        .w = w};
}

static void free_job(struct test_job *j)
{
    free(j->y);
    free((void *)(uintptr_t)j->x);
}

static void run_remember(struct sdg_ops *o, const struct test_job *j)
{
    sdg_unet_remember(o, j->y, j->context, &j->m->unet);
}

/* j, a pass over one image, has run. */
static void remembered_keys_change_no_bit(const struct subject *s, const struct test_job *j)
{
    const size_t count = (size_t)s->layout.unet.out_channels * j->h * j->w;
    struct test_job k = *j;
    float *keys = test_new_floats(sdg_unet_keys_floats(&s->m->unet, j->context->t));
    k.y = keys;
    test_run_job(&s->engine, run_remember, &k);
    k.keys = (const float *const[]) {keys};
    k.y = test_new_floats(count);
    test_run_job(&s->engine, test_run_unet, &k);
    assert_memory_equal(k.y, j->y, count * sizeof *k.y);
    assert_true(test_plan_job(&s->engine, test_run_unet, &k).macs <
                test_plan_job(&s->engine, test_run_unet, j).macs);
    free(k.y);
    free(keys);
}

static void check_unet(struct subject *s)
{
    static const struct {
        const char *name;
        size_t first, n, h, w;
        enum sdg_unet_upsampling upsampling;
    } cases[] = {
        {"unet.10x6", 0, 3, 10, 6, SDG_UPSAMPLE_CROP_BEFORE},
        {"unet.13x7.before", 1, 1, 13, 7, SDG_UPSAMPLE_CROP_BEFORE},
        {"unet.8x8", 0, 1, 8, 8, SDG_UPSAMPLE_CROP_AFTER},
        {"unet.13x7.after", 1, 1, 13, 7, SDG_UPSAMPLE_CROP_AFTER},
    };
    const struct sdg_unet_config *c = &s->layout.unet;
    struct sdg_unet_context context[CONTEXTS];
    make_contexts(context, c);
    float *labels = make_labels(&s->layout), *guidance = make_guidance(&s->layout);
    for (size_t i = 0; i < (s->layout.unet_only ? 2 : sizeof cases / sizeof cases[0]); i++) {
        struct test_job j =
            unet_job(s->m, context, cases[i].first, cases[i].n, cases[i].h, cases[i].w);
        j.upsampling = cases[i].upsampling;
        if (labels) j.label = labels + cases[i].first * (size_t)c->label;
        if (guidance) j.guidance = guidance + cases[i].first * (size_t)c->time_cond;
        test_run_job(&s->engine, test_run_unet, &j);
        compare(s, &j, cases[i].name);
        if (i == 1) remembered_keys_change_no_bit(s, &j);
        free_job(&j);
    }
    free(labels);
    free(guidance);
    free_contexts(context);
}

static void run_middle_res(struct sdg_ops *o, const struct test_job *j)
{
    const struct sdg_unet_time time = {j->t, false};
    sdg_unet_resblock(o, j->y, j->x, (struct sdg_beside) {0}, &time, &j->m->unet.middle->res, 1,
                      j->h, j->w);
}

static void run_middle_transformer(struct sdg_ops *o, const struct test_job *j)
{
    const struct sdg_unet_condition condition = {.context = j->context};
    sdg_unet_transform(o, j->y, &condition, &j->m->unet.middle->transformer, 1, j->h * j->w);
}

/* The middle blocks alone, channels-last, on inputs so quiet that the epsilon of their norms
 * counts: in a whole network it drowns. */
static void check_blocks(struct subject *s)
{
    const struct sdg_unet_config *c = &s->layout.unet;
    const size_t width = (size_t)c->channels[c->levels - 1], count = 3 * 4 * width;
    float *x = test_hashed(count, "input.block.x");
    float *emb = test_hashed((size_t)c->time_width, "input.block.emb");
    for (size_t i = 0; i < count; i++) x[i] *= 0x1p-9f;
    for (int i = 0; i < c->time_width; i++) emb[i] /= 1 + expf(-emb[i]);
    struct sdg_unet_context context[CONTEXTS];
    make_contexts(context, c);
    struct test_job j = {
        .m = s->m, .y = test_new_floats(count), .x = x, .t = emb, .context = context + 1};
    j.h = 3;
    j.w = 4;
    test_run_job(&s->engine, run_middle_res, &j);
    compare(s, &j, "block.res");
    memcpy(j.y, x, count * sizeof *x);
    test_run_job(&s->engine, run_middle_transformer, &j);
    compare(s, &j, "block.transformer");
    free_job(&j);
    free(emb);
    free_contexts(context);
}

static void check_vae(struct subject *s)
{
    const struct sdg_vae_config *c = &s->layout.vae;
    const size_t f = (size_t)sdg_vae_factor(c), z = (size_t)c->z_channels;
    static const struct {
        const char *name;
        bool decode;
        size_t n, h, w; /* of the latent */
    } cases[] = {
        {"decode.5x7", true, 1, 5, 7},
        {"decode.3x2", true, 3, 3, 2},
        {"encode.5x3", false, 1, 5, 3},
        {"encode.2x3", false, 3, 2, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t n = cases[i].n, h = cases[i].h, w = cases[i].w;
        const size_t image = n * 3 * h * f * w * f, latent = n * z * h * w;
        struct test_job j = {.m = s->m, .n = n, .h = h, .w = w};
        j.x = test_hashed(cases[i].decode ? latent : image, "input.%s", cases[i].name);
        j.y = test_new_floats(cases[i].decode ? image : 2 * latent);
        if (!cases[i].decode) {
            j.h *= f;
            j.w *= f;
        }
        test_run_job(&s->engine, cases[i].decode ? test_run_decode : test_run_encode, &j);
        compare(s, &j, cases[i].name);
        free_job(&j);
    }
}

/* The hash itself, as tools/hashweights.py prints it. */
static void hash_is_that_of_python(void **state)
{
    (void)state;
    static const int32_t known[] = {45129, 21185, 19615, 3574, 10770, 45990};
    const int64_t shape[] = {3, 5}, four = 4;
    int32_t ids[6];
    float y[15];
    test_hash_ids(ids, "input.text.ids", 6, 49408);
    assert_memory_equal(ids, known, sizeof known);
    test_hash_weight(y, "a.weight", shape, 2);
    assert_true(y[0] == 0x1.4f0feep-2f && y[3] == 0x1.d55deep-2f);
    test_hash_weight(y, "a.weight", &four, 1);
    assert_true(y[0] == 0x1.0ad068p+0f && y[3] == 0x1.0f2614p+0f);
    test_hash_weight(y, "a.bias", &four, 1);
    assert_true(y[0] == 0x1.f850d4p-5f && y[1] == -0x1.1c371ep-4f);
    test_hash_input(y, "input.x", 3);
    assert_true(y[0] == -0x1.8cebecp+0f && y[2] == -0x1.2063e8p-1f);
}

/* ---- layouts --------------------------------------------------------------------------------- */

static char *folder; /* of the written models */

/* The model of a layout, written when it is wanted for the first time, and the bundled one. */
static struct test_model *open_model(struct test_layout *l, const char *name)
{
    if (strcmp(name, EMOJI) == 0) {
        test_layout_read(l, "demo");
        l->clip.vocab = 49408;
        return test_model_open("models/data/sdgen-emoji.safetensors", l);
    }
    char path[512];
    test_layout_read(l, name);
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    if (access(path, F_OK) != 0) test_model_write(path, l);
    return test_model_open(path, l);
}

static void matches_the_originals(struct subject *s)
{
    char path[512];
    sdgen_error err;
    s->m = open_model(&s->layout, s->name);
    snprintf(path, sizeof path, "tests/golden/models_%s.safetensors", s->name);
    if (sdg_weights_open(&s->golden, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    check_unet(s);
    if (!s->layout.unet_only) {
        check_text(s);
        check_blocks(s);
        check_vae(s);
    }
    sdg_weights_close(&s->golden);
    test_model_close(s->m);
}

static void matches_in_plain_c(void **state)
{
    struct subject s = {.name = *state};
    test_engine_init(&s.engine, SDG_ISA_C, 2);
    matches_the_originals(&s);
}

static void matches_on_best_tier(void **state)
{
    struct subject s = {.name = *state};
    if (sdg_isa_detect() == SDG_ISA_C) skip();
    test_engine_init(&s.engine, sdg_isa_detect(), 2);
    matches_the_originals(&s);
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* One thread with a batch of three, two of one prompt, is the measure; two and three threads, and
 * three batches of one, must give the same bits. */
static void same_bits(enum sdg_isa isa)
{
    struct test_engine e;
    struct test_layout l;
    struct test_model *m = open_model(&l, "small");
    struct sdg_unet_context context[CONTEXTS];
    make_contexts(context, &l.unet);
    const struct sdg_unet_context shared[CONTEXTS] = {context[0], context[0], context[2]};

    test_engine_init(&e, isa, 1);
    struct test_job u = unet_job(m, shared, 0, 3, 10, 6);
    struct test_job v = {.m = m, .y = test_new_floats(3 * 3 * 24 * 40), .n = 3, .h = 3, .w = 5};
    v.x = test_hashed(3 * 4 * 3 * 5, "input.bits");
    test_run_job(&e, test_run_unet, &u);
    test_run_job(&e, test_run_decode, &v);
    const size_t u_one = 4 * 10 * 6, v_one = 3 * 24 * 40;
    struct test_job u2 = u, v2 = v;
    u2.y = test_new_floats(3 * u_one);
    v2.y = test_new_floats(3 * v_one);
    for (int threads = 2; threads <= 3; threads++) {
        e.threads = threads;
        test_run_job(&e, test_run_unet, &u2);
        test_run_job(&e, test_run_decode, &v2);
        assert_memory_equal(u.y, u2.y, 3 * u_one * sizeof(float));
        assert_memory_equal(v.y, v2.y, 3 * v_one * sizeof(float));
    }
    for (size_t i = 0; i < 3; i++) {
        struct test_job u1 = u2, v1 = v2;
        u1.n = v1.n = 1;
        u1.x = u.x + i * u_one;
        u1.t = u.t + i;
        u1.context = u.context + i;
        v1.x = v.x + i * 4 * 3 * 5;
        test_run_job(&e, test_run_unet, &u1);
        test_run_job(&e, test_run_decode, &v1);
        assert_memory_equal(u.y + i * u_one, u1.y, u_one * sizeof(float));
        assert_memory_equal(v.y + i * v_one, v1.y, v_one * sizeof(float));
    }
    free(u2.y);
    free(v2.y);
    free_job(&u);
    free_job(&v);
    free_contexts(context);
    test_model_close(m);
}

/* One latent pixel is a size too. Its value is compared with nothing: a GroupNorm over two numbers
 * magnifies every rounding, and the originals themselves differ by 3e-5 there. */
static void smallest_size_runs(void **state)
{
    (void)state;
    struct test_engine e;
    struct test_layout l;
    test_engine_init(&e, sdg_isa_detect(), 2);
    struct test_model *m = open_model(&l, "small");
    struct sdg_unet_context context[CONTEXTS];
    make_contexts(context, &l.unet);
    for (int rule = SDG_UPSAMPLE_CROP_BEFORE; rule <= SDG_UPSAMPLE_CROP_AFTER; rule++) {
        struct test_job u = unet_job(m, context, 0, 1, 1, 1);
        u.upsampling = (enum sdg_unet_upsampling)rule;
        test_run_job(&e, test_run_unet, &u);
        for (int i = 0; i < 4; i++) assert_true(isfinite(u.y[i]));
        free_job(&u);
    }
    struct test_job v = {
        .m = m, .x = test_hashed(4, "input.pixel"), .y = test_new_floats(3 * 64), .n = 1};
    v.h = v.w = 1;
    test_run_job(&e, test_run_decode, &v);
    for (int i = 0; i < 3 * 64; i++) assert_true(isfinite(v.y[i]));
    free_job(&v);
    free_contexts(context);
    test_model_close(m);
}

static void threads_and_batch_change_no_bit_in_plain_c(void **state)
{
    (void)state;
    same_bits(SDG_ISA_C);
}

static void threads_and_batch_change_no_bit_on_best_tier(void **state)
{
    (void)state;
    same_bits(sdg_isa_detect());
}

/* ---- Stable Diffusion 1.5 -------------------------------------------------------------------- */

/* Parameters of the published checkpoint, network by network. */
static void sd15_has_its_known_size(void **state)
{
    (void)state;
    struct test_layout l;
    test_layout_sd15(&l);
    const struct test_layout_count c = test_layout_count(&l);
    assert_int_equal(c.unet.elements, 859520964);
    assert_int_equal(c.unet.tensors, 686);
    assert_int_equal(c.vae.elements, 83653863);
    assert_int_equal(c.vae.tensors, 248);
    assert_int_equal(c.clip.elements, 123060480);
    assert_int_equal(c.clip.tensors, 196);
    l.vae.has_encoder = false;
    assert_int_equal(test_layout_count(&l).vae.elements, 49490199);
}

static void expect_about(double got, double want)
{
    if (!(fabs(got - want) <= 0.005 * want)) fail_msg("%.4g, expected about %.4g", got, want);
}

/* Multiply-adds of one pass at 512 x 512, counted from the layers' shapes, and the largest map of
 * the decoder: 256 channels at full size. */
static void sd15_plans_its_work_and_memory(void **state)
{
    (void)state;
    struct test_engine e;
    struct test_layout l;
    float nothing[2] = {0};
    test_layout_sd15(&l);
    struct test_model *m = test_model_blank(&l);
    test_engine_init(&e, sdg_isa_detect(), 2);
    const struct sdg_unet_context context = {nothing, 77};
    const struct test_job j = {.m = m,
                               .y = nothing,
                               .x = nothing,
                               .t = nothing,
                               .context = &context,
                               .n = 1,
                               .h = 64,
                               .w = 64};
    const struct test_plan unet = test_plan_job(&e, test_run_unet, &j),
                           decoder = test_plan_job(&e, test_run_decode, &j);
    struct test_job k = j;
    k.h = k.w = 512;
    const struct test_plan encoder = test_plan_job(&e, test_run_encode, &k);
    print_message("# SD1.5 at 512 x 512: UNet %zu MiB, decoder %zu MiB, encoder %zu MiB\n",
                  unet.bytes >> 20, decoder.bytes >> 20, encoder.bytes >> 20);
    expect_about(unet.macs, 401.637e9);
    expect_about(decoder.macs, 1257.259e9);
    expect_about(encoder.macs, 558.329e9);
    assert_true(decoder.bytes < (size_t)320 << 20);
    assert_true(encoder.bytes < (size_t)320 << 20);
    assert_true(unet.bytes < (size_t)400 << 20);
    test_model_close(m);
}

/* timestep_embedding for t = 981 and width 320, cosines first: values of exact arithmetic. Phases
 * of 900 have steps of 6e-5 in f32, and PyTorch itself is off by 4e-5. */
static void timesteps_embed_as_in_the_original(void **state)
{
    (void)state;
    static const struct {
        int i;
        float value;
    } known[] = {{0, 0.679957f},   {1, -0.798430f},  {2, 0.578088f},   {3, -0.674703f},
                 {160, 0.733252f}, {161, 0.602088f}, {162, 0.815974f}, {163, 0.738089f}};
    const float t = 981;
    float y[320];
    sdg_unet_embed_timesteps(y, &t, 1, 320);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_float_equal(y[known[i].i], known[i].value, 6e-5);
    assert_float_equal(y[159], 0.99460592f, 1e-7);
    assert_float_equal(y[319], 0.10372589f, 1e-7);
}

/* ---- main ------------------------------------------------------------------------------------ */

static int make_folder(void **state)
{
    (void)state;
    folder = test_folder_make();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

#define ON_BOTH_TIERS(name)                                                                   \
    {name " in plain C matches the originals", matches_in_plain_c, NULL, NULL, (void *)name}, \
    {                                                                                         \
        name " on the best tier matches the originals", matches_on_best_tier, NULL, NULL,     \
            (void *)name                                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_that_of_python),
        cmocka_unit_test(sd15_has_its_known_size),
        cmocka_unit_test(sd15_plans_its_work_and_memory),
        cmocka_unit_test(timesteps_embed_as_in_the_original),
        ON_BOTH_TIERS("tiny"),
        ON_BOTH_TIERS("demo"),
        ON_BOTH_TIERS("small"),
        ON_BOTH_TIERS("linear"),
        ON_BOTH_TIERS("shallow"),
        ON_BOTH_TIERS("gaps"),
        ON_BOTH_TIERS("sd2"),
        ON_BOTH_TIERS("sdxl"),
        ON_BOTH_TIERS("refiner"),
        ON_BOTH_TIERS("ssd1b"),
        ON_BOTH_TIERS("koala"),
        ON_BOTH_TIERS("bksdm"),
        ON_BOTH_TIERS("sdxs"),
        ON_BOTH_TIERS("lcm"),
        ON_BOTH_TIERS(EMOJI),
        cmocka_unit_test(smallest_size_runs),
        cmocka_unit_test(threads_and_batch_change_no_bit_in_plain_c),
        cmocka_unit_test(threads_and_batch_change_no_bit_on_best_tier),
    };
    return cmocka_run_group_tests_name("models", tests, make_folder, remove_folder);
}
