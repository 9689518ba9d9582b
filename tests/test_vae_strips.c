/* test_vae_strips.c - the decoder that goes over its maps strip by strip, in place, against one
 * that keeps every map whole and apart: the same bits in every tier, at odd sizes, for any height
 * of the strips, any number of threads, both precisions, with and without Winograd's transforms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "models/vae.h"
#include "tests/emulated/emulated.h"
#include "tests/support/hashweights.h"
#include "tests/support/testmodel.h"

enum { GROUPS = 32, ARENA = 192 << 20 };
#define EPS 1e-6f

static float *floats(size_t count)
{
    float *y = malloc(count * sizeof *y);
    assert_non_null(y);
    return y;
}

/* ---- the oracle: whole maps ------------------------------------------------------------------ */

struct map {
    float *data; /* [h][w][c] */
    size_t h, w, c;
};

/* The map becomes another one. */
static void replace(struct map *x, float *data, size_t h, size_t w, size_t c)
{
    free(x->data);
    *x = (struct map) {data, h, w, c};
}

static void convolve(struct sdg_ops *o, struct map *x, const struct sdg_prologue *pro,
                     const struct sdg_conv *conv, int up)
{
    const size_t h = x->h * (size_t)up, w = x->w * (size_t)up, c = (size_t)conv->weight.shape[0];
    struct sdg_conv_geometry g = sdg_conv_same(1, x->h, x->w, 3);
    g.up = up;
    g.vh = g.oh = h;
    g.vw = g.ow = w;
    float *y = floats(h * w * c);
    sdg_op_conv(o, y, x->data, pro, conv, NULL, NULL, &g);
    replace(x, y, h, w, c);
}

static void resblock(struct sdg_ops *o, struct map *x, const struct sdg_vae_resblock *r)
{
    const size_t mark = sdg_arena_mark(o->work), hw = x->h * x->w;
    const size_t c = (size_t)r->conv1.weight.shape[0];
    const struct sdg_conv_geometry same = sdg_conv_same(1, x->h, x->w, 3);
    struct sdg_prologue pro;
    float *inner = floats(hw * c), *y = floats(hw * c);
    sdg_op_groupnorm(o, &pro, x->data, &r->norm1, 1, hw, x->c, GROUPS, EPS, true);
    sdg_op_conv(o, inner, x->data, &pro, &r->conv1, NULL, NULL, &same);
    if (r->shortcut.weight.data) {
        const struct sdg_linear shortcut = {r->shortcut.weight, r->shortcut.bias};
        sdg_op_linear(o, y, x->data, NULL, &shortcut, 1, hw, false);
    } else {
        memcpy(y, x->data, hw * c * sizeof *y);
    }
    sdg_op_groupnorm(o, &pro, inner, &r->norm2, 1, hw, c, GROUPS, EPS, true);
    sdg_op_conv(o, y, inner, &pro, &r->conv2, NULL, y, &same);
    free(inner);
    replace(x, y, x->h, x->w, c);
    sdg_arena_release(o->work, mark);
}

static void attend(struct sdg_ops *o, struct map *x, const struct sdg_vae_attention *a)
{
    const size_t mark = sdg_arena_mark(o->work), t = x->h * x->w, c = x->c;
    float *y = floats(t * c), *q = floats(t * c), *k = floats(t * c), *v = floats(t * c);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x->data, &a->norm, 1, t, c, GROUPS, EPS, false);
    sdg_op_apply(o, y, x->data, &pro, 1, t, c);
    sdg_op_linear(o, q, y, NULL, &a->q, 1, t, false);
    sdg_op_linear(o, k, y, NULL, &a->k, 1, t, false);
    sdg_op_linear(o, v, y, NULL, &a->v, 1, t, false);
    sdg_op_attention(o, y, q, k, v, 1, t, t, 1, c, c, c, c, false);
    sdg_op_linear(o, x->data, y, NULL, &a->out, 1, t, true);
    free(y);
    free(q);
    free(k);
    free(v);
    sdg_arena_release(o->work, mark);
}

static float *decode_whole(struct sdg_ops *o, const float *z, const struct sdg_vae *m, size_t h,
                           size_t w)
{
    const struct sdg_vae_half *half = &m->decoder;
    const size_t c = (size_t)m->config.z_channels, mark = sdg_arena_mark(o->work);
    float *quantised = floats(h * w * c);
    struct map x = {floats(h * w * c), h, w, c};
    sdg_op_to_channels_last(o, x.data, z, 1, c, h * w);
    sdg_op_linear(o, quantised, x.data, NULL, &half->quant, 1, h * w, false);
    replace(&x, quantised, h, w, c);
    convolve(o, &x, NULL, &half->conv_in, 1);
    resblock(o, &x, &half->middle.block1);
    attend(o, &x, &half->middle.attention);
    resblock(o, &x, &half->middle.block2);
    for (int level = m->config.levels - 1; level >= 0; level--) {
        for (int i = 0; i <= m->config.blocks; i++) resblock(o, &x, &half->levels[level].blocks[i]);
        if (level) convolve(o, &x, NULL, &half->levels[level].resample, 2);
    }
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x.data, &half->norm_out, 1, x.h * x.w, x.c, GROUPS, EPS, true);
    convolve(o, &x, &pro, &half->conv_out, 1);
    float *y = floats(x.h * x.w * x.c);
    sdg_op_to_channels_first(o, y, x.data, 1, x.c, x.h * x.w);
    free(x.data);
    sdg_arena_release(o->work, mark);
    return y;
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* In exactly as much memory as a dry run asks for; returns the bytes of that. */
static size_t decode(const struct sdg_ops *like, float *y, const float *z, const struct sdg_vae *m,
                     size_t n, size_t h, size_t w)
{
    struct sdg_arena work;
    struct sdg_ops o = *like;
    sdg_arena_measure(&work);
    o.work = &work;
    o.dry = true;
    sdg_vae_decode(&o, NULL, NULL, m, n, h, w);
    const size_t bytes = work.peak;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    memset(work.base, 0xff, bytes); /* not numbers: what is read unwritten shows */
    o.dry = false;
    sdg_vae_decode(&o, y, z, m, n, h, w);
    assert_int_equal(work.peak, bytes);
    sdg_arena_destroy(&work);
    return bytes;
}

struct shape {
    size_t h, w; /* of the latent */
};

static void check_shape(const struct sdg_ops *like, const struct test_model *m,
                        const struct shape *s)
{
    const struct sdg_vae_config *c = &m->vae.config;
    const size_t f = (size_t)sdg_vae_factor(c), latent = (size_t)c->z_channels * s->h * s->w;
    const size_t pixels = s->h * f * s->w * f * (size_t)c->image_channels;
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, ARENA, NULL), SDGEN_OK);
    struct sdg_ops o = *like;
    o.work = &work;
    float *z = floats(latent), *y = floats(pixels);
    test_hash_input(z, "strips.z", latent);
    float *want = decode_whole(&o, z, &m->vae, s->h, s->w);
    static const size_t strips[] = {0, 1, 40000};
    for (int i = 0; i < 3; i++) {
        o.strip_bytes = strips[i];
        o.threads = i + 1;
        decode(&o, y, z, &m->vae, 1, s->h, s->w);
        if (memcmp(y, want, pixels * sizeof *y) != 0)
            fail_msg("%zux%zu, strips of %zu bytes: other bits", s->h, s->w, strips[i]);
    }
    free(want);
    free(y);
    free(z);
    sdg_arena_destroy(&work);
}

/* "wide": 128 channels to 64 behind a doubling, the narrowest that Winograd's transforms are for.
 */
static struct test_model *open_layout(const char *layout)
{
    struct test_layout l;
    char path[512];
    const char *dir = getenv("TMPDIR");
    const bool wide = strcmp(layout, "wide") == 0;
    test_layout_read(&l, wide ? "shallow" : layout);
    if (wide) {
        l.vae.channels[1] = 128;
        l.vae.blocks = 0;
    }
    snprintf(path, sizeof path, "%s/sdgen-strips-%s-%d.safetensors", dir ? dir : "/tmp", layout,
             (int)getpid());
    test_model_write(path, &l);
    struct test_model *m = test_model_open(path, &l);
    unlink(path);
    return m;
}

static void check_layout(enum sdg_isa isa, const char *layout, const struct shape *shapes,
                         size_t count)
{
    struct sdg_kernels k;
    struct test_model *m = open_layout(layout);
    test_kernels_init(&k, isa);
    for (int way = 0; way < 4; way++) {
        const struct sdg_ops o = {
            .k = &k, .threads = 2, .bf16 = way & 1, .exact_conv = (way & 2) != 0};
        for (size_t i = 0; i < count; i++) check_shape(&o, m, &shapes[i]);
    }
    test_model_close(m);
}

/* Narrowing blocks of every kind: 256 to 128 to 64, 64 to 32, 96 to 64 to 32; and one that widens.
 */
static void every_layout_on_the_best_tier(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{5, 7}, {3, 2}, {1, 1}, {9, 1}, {1, 6}};
    static const char *const layouts[] = {"small", "linear", "shallow", "gaps"};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        check_layout(sdg_isa_detect(), layouts[i], shapes, sizeof shapes / sizeof shapes[0]);
    check_layout(sdg_isa_detect(), "demo", shapes, 2);
}

static void every_tier(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{5, 4}};
    for (int isa = SDG_ISA_C; isa < SDG_ISA_COUNT; isa++)
        check_layout((enum sdg_isa)isa, "wide", shapes, 1);
}

/* What it is for: the largest map and not two of it, and scratch. */
static void the_buffer_is_one_map(void **state)
{
    (void)state;
    struct test_layout l;
    struct sdg_kernels k;
    struct sdg_arena work;
    test_layout_sd15(&l);
    struct test_model *m = test_model_blank(&l);
    sdg_kernels_init(&k, sdg_isa_detect());
    for (size_t side = 64; side <= 128; side *= 2) {
        const size_t map = 256 * (8 * side) * (8 * side) * sizeof(float);
        size_t peak[2];
        for (int tight = 0; tight < 2; tight++) {
            sdg_arena_measure(&work);
            struct sdg_ops o = {.k = &k, .work = &work, .threads = 2, .dry = true};
            o.strip_bytes = tight ? 1 << 20 : 0;
            sdg_vae_decode(&o, NULL, NULL, &m->vae, 1, side, side);
            peak[tight] = work.peak;
        }
        print_message("# decoder of SD1 at %zu: %zu MiB, with small strips %zu MiB\n", 8 * side,
                      peak[0] >> 20, peak[1] >> 20);
        assert_in_range(peak[0], map, map + ((size_t)64 << 20));
        assert_in_range(peak[1], map, map + ((size_t)32 << 20));
    }
    test_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_on_the_best_tier),
        cmocka_unit_test(every_tier),
        cmocka_unit_test(the_buffer_is_one_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
