/* test_families.c - the networks of every family against transformers and diffusers, and the names
 * of their weights.
 *
 * tests/checkpoints.json lists the families. Each one's shrunk model is written as a checkpoint
 * with hash weights, bound, and run on the best tier of this machine through the cases of
 * tools/golden_families.py; bound 1e-4 of the largest output. What the tables ask for in full size
 * must be the listing that the same script holds against the originals. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cpu.h"
#include "kernels.h"
#include "tests/support/checkpoint.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"
#include "tests/support/npy.h"

#define BOUND 1e-4

enum { TIMES = 3, TOKENS = 77, SIDE = 8, CELLS = SIDE * SIDE, WAVES = 256 };
static const float timesteps[TIMES] = {981.0f, 500.5f, 1.0f};
/* Picture sizes of the label; the refiner's end in a score. */
static const float sizes[TIMES][6] = {{1024, 768, 0, 16, 1024, 1024},
                                      {512, 512, 0, 0, 640, 1536},
                                      {31, 4096, 7, 0, 1152, 896}},
                   scores[TIMES] = {6.0f, 2.5f, 9.75f}, guidance[TIMES] = {7.5f, 1.0f, 0.35f};

static char *folder;

/* ---- running --------------------------------------------------------------------------------- */

struct subject {
    const char *name;
    struct test_checkpoint family;
    struct test_checkpoint_model *m;
    struct sdg_weights golden;
    struct sdg_kernels kernels;
};

/* One pass of some network. */
struct job {
    const struct test_checkpoint_model *m;
    float *y, *pooled;
    const float *x;
    const int32_t *ids;
    const struct sdg_unet_condition *condition;
    int clip;
    struct sdg_clip_take take;
};
typedef void job_fn(struct sdg_ops *o, const struct job *j);

static void run_text(struct sdg_ops *o, const struct job *j)
{
    sdg_clip_encode(o, j->y, j->pooled, j->ids, NULL, &j->m->clips[j->clip], 1, TOKENS, &j->take);
}

static void run_unet(struct sdg_ops *o, const struct job *j)
{
    sdg_unet_forward(o, j->y, j->x, timesteps, j->condition, &j->m->unet, TIMES, SIDE, SIDE,
                     SDG_UPSAMPLE_CROP_BEFORE);
}

static void run_decode(struct sdg_ops *o, const struct job *j)
{
    sdg_vae_decode(o, j->y, j->x, &j->m->vae, 1, 3, 2);
}

static void run_encode(struct sdg_ops *o, const struct job *j)
{
    sdg_vae_encode(o, j->y, j->x, &j->m->vae, 1, 24, 16);
}

static void run_job(const struct subject *s, job_fn *fn, const struct job *j)
{
    struct sdg_arena work;
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &s->kernels, .work = &work, .threads = 2, .dry = true};
    fn(&o, j);
    const size_t bytes = work.peak;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    o.dry = false;
    fn(&o, j);
    sdg_arena_destroy(&work);
}

static void compare(const struct subject *s, const float *y, const char *name)
{
    struct test_floats want = test_golden(&s->golden, "%s", name);
    const double ratio = test_ratio(y, want.data, want.count);
    print_message("# %s, %s: max error %.1e of the maximum\n", s->name, name, ratio);
    if (!(ratio <= BOUND)) fail_msg("%s %s: %.3e of the maximum", s->name, name, ratio);
    test_floats_free(&want);
}

static float *floats(size_t count)
{
    float *y = malloc(count * sizeof *y);
    assert_non_null(y);
    return y;
}

static void hashed(float *y, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void hashed(float *y, size_t count, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    test_hash_input(y, name, count);
}

static bool has(const struct subject *s, const char *name)
{
    return sdg_weights_find(&s->golden, name) != NULL;
}

/* ---- UNet ------------------------------------------------------------------------------------ */

/* label [TIMES][config.label]: a pooled vector, then the waves of six or five numbers. */
static void make_labels(float *label, size_t width, bool refiner)
{
    const size_t numbers = refiner ? 5 : 6, pooled = width - numbers * WAVES;
    for (size_t i = 0; i < TIMES; i++) {
        float values[6];
        memcpy(values, sizes[i], sizeof values);
        if (refiner) values[4] = scores[i];
        hashed(label + i * width, pooled, "input.unet.pooled.%zu", i);
        sdg_unet_embed_timesteps(label + i * width + pooled, values, numbers, WAVES);
    }
}

static void check_unet(struct subject *s)
{
    const struct sdg_unet_config *c = &s->family.unet;
    const size_t in = (size_t)c->in_channels * CELLS, width = (size_t)c->context;
    const size_t label = (size_t)c->label, wave = (size_t)c->time_cond;
    struct sdg_unet_context context[TIMES];
    float *x = floats(TIMES * in), *y = floats(TIMES * (size_t)c->out_channels * CELLS);
    float *texts = floats(TIMES * TOKENS * width), *labels = floats(TIMES * label + 1),
          *waves = floats(TIMES * wave + 1);
    for (size_t i = 0; i < TIMES; i++) {
        hashed(x + i * in, in, "input.unet.x.%zu", i);
        hashed(texts + i * TOKENS * width, TOKENS * width, "input.unet.context.%zu", i);
        context[i] = (struct sdg_unet_context) {texts + i * TOKENS * width, TOKENS};
    }
    if (label) make_labels(labels, label, strcmp(s->name, "refiner") == 0);
    if (wave) sdg_unet_embed_guidance(waves, guidance, TIMES, wave);
    const struct sdg_unet_condition condition = {
        .context = context, .label = labels, .guidance = waves};
    run_job(s, run_unet, &(struct job) {.m = s->m, .y = y, .x = x, .condition = &condition});
    compare(s, y, "unet");
    free(x);
    free(y);
    free(texts);
    free(labels);
    free(waves);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* "a fox on a blue background", then the end, then what the encoder was trained to see behind it.
 */
static void make_ids(int32_t *ids, bool openclip)
{
    static const int32_t prompt[] = {49406, 320, 3240, 525, 320, 1746, 5994, 49407};
    enum { COUNT = sizeof prompt / sizeof prompt[0] };
    memcpy(ids, prompt, sizeof prompt);
    for (int i = COUNT; i < TOKENS; i++) ids[i] = openclip ? 0 : 49407;
}

/* SD1 reads the last layer through the final norm, SD2 the one before it, SDXL that one as it is,
 * and bigG's pooled vector. */
static void check_text(struct subject *s, int i)
{
    const struct test_checkpoint *f = &s->family;
    const size_t width = (size_t)f->clips[i].width;
    const bool xl = f->unet.label != 0, pooled = xl && f->openclip[i];
    const size_t projection = (size_t)(f->clips[i].projection ? f->clips[i].projection : 1);
    int32_t ids[TOKENS];
    char name[32];
    make_ids(ids, f->openclip[i]);
    struct job j = {.m = s->m, .y = floats(TOKENS * width), .ids = ids, .clip = i};
    j.pooled = floats(projection);
    j.take = (struct sdg_clip_take) {
        .skip = xl || f->openclip[i] ? 1 : 0, .plain = xl, .pooled = pooled};
    run_job(s, run_text, &j);
    snprintf(name, sizeof name, "text.%d", i);
    compare(s, j.y, name);
    if (pooled) compare(s, j.pooled, "pooled");
    free(j.y);
    free(j.pooled);
}

/* ---- VAE ------------------------------------------------------------------------------------- */

static void check_vae(struct subject *s)
{
    float z[4 * 3 * 2], image[3 * 24 * 16], y[3 * 24 * 16], moments[8 * 3 * 2];
    hashed(z, 4 * 3 * 2, "input.vae.z");
    hashed(image, 3 * 24 * 16, "input.vae.image");
    run_job(s, run_decode, &(struct job) {.m = s->m, .y = y, .x = z});
    compare(s, y, "decode");
    run_job(s, run_encode, &(struct job) {.m = s->m, .y = moments, .x = image});
    compare(s, moments, "encode");
}

/* ---- families -------------------------------------------------------------------------------- */

static void networks_match_the_originals(void **state)
{
    struct subject s = {.name = *state};
    char path[512];
    sdgen_error err;
    sdg_kernels_init(&s.kernels, sdg_isa_detect());
    test_checkpoint_read(&s.family, s.name, "small");
    snprintf(path, sizeof path, "tests/golden/families/%s.safetensors", s.name);
    if (sdg_weights_open(&s.golden, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    if (!has(&s, "text.0")) s.family.clip_count = 0; /* the same encoders as of another family */
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, s.name);
    test_checkpoint_write(path, &s.family, TEST_CANONICAL);
    s.m = test_checkpoint_model_open(path, &s.family);
    check_unet(&s);
    for (int i = 0; i < s.family.clip_count; i++)
        if (has(&s, i ? "text.1" : "text.0")) check_text(&s, i);
    if (has(&s, "decode")) check_vae(&s);
    test_checkpoint_model_close(s.m);
    sdg_weights_close(&s.golden);
    remove(path);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* tests/golden/families/names.tsv: family, network, tensors, weights, digest. */
static void names_are_those_of_the_originals(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/families/names.tsv", "r");
    assert_non_null(file);
    char name[64], part[16], line[256];
    struct test_listing want;
    int networks = 0;
    for (; fgets(line, sizeof line, file); networks++) {
        struct test_checkpoint f;
        assert_int_equal(sscanf(line, "%63s %15s %zu %zu %16lx", name, part, &want.tensors,
                                &want.elements, &want.digest),
                         5);
        test_checkpoint_read(&f, name, "full");
        const struct test_listing got = strcmp(part, "unet") == 0 ? test_list_unet(&f)
                                        : strcmp(part, "vae") == 0
                                            ? test_list_vae(&f)
                                            : test_list_clip(&f, part[5] - '0');
        if (got.tensors != want.tensors || got.elements != want.elements ||
            got.digest != want.digest)
            fail_msg("%s %s: %zu tensors of %zu weights, the originals have %zu of %zu%s", name,
                     part, got.tensors, got.elements, want.tensors, want.elements,
                     got.elements == want.elements ? ", under other names" : "");
    }
    print_message("# %d networks in full size, name by name\n", networks);
    assert_true(networks > 80);
    fclose(file);
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

#define FAMILY(name)                                                 \
    {                                                                \
        name, networks_match_the_originals, NULL, NULL, (void *)name \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_originals),
        FAMILY("sd1"),
        FAMILY("sd1_v"),
        FAMILY("sd1_inpaint"),
        FAMILY("sd1_pix2pix"),
        FAMILY("lcm"),
        FAMILY("sd2"),
        FAMILY("sd2_v"),
        FAMILY("sd2_inpaint"),
        FAMILY("sd2_pix2pix"),
        FAMILY("sd2_depth"),
        FAMILY("sdxl"),
        FAMILY("sdxl_v"),
        FAMILY("cosxl"),
        FAMILY("sdxl_inpaint"),
        FAMILY("sdxl_pix2pix"),
        FAMILY("refiner"),
        FAMILY("ssd_1b"),
        FAMILY("vega"),
        FAMILY("koala_700m"),
        FAMILY("koala_1b"),
        FAMILY("bk_base"),
        FAMILY("bk_small"),
        FAMILY("bk_tiny"),
        FAMILY("bk_v2_tiny"),
        FAMILY("sdxs_ds"),
        FAMILY("sdxs_09"),
    };
    return cmocka_run_group_tests_name("families", tests, make_folder, remove_folder);
}
