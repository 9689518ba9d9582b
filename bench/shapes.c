/* shapes.c - see shapes.h. The walk through the UNet follows models/unet.c and unet_blocks.c, that
 * through the decoder models/vae.c; plans of the known networks are those of their published
 * configurations (CompVis/stable-diffusion configs/stable-diffusion/v1-inference.yaml,
 * Stability-AI/stablediffusion configs/stable-diffusion/v2-inference-v.yaml,
 * Stability-AI/generative-models configs/inference/sd_xl_base.yaml). */
#include "bench/shapes.h"

#include <stdio.h>
#include <string.h>

/* ---- a list that counts equal shapes once ---------------------------------------------------- */

static void add(struct bench_list *list, struct bench_shape s, int count)
{
    for (size_t i = 0; i < list->count; i++) {
        struct bench_shape known = list->shapes[i];
        known.count = s.count;
        if (memcmp(&known, &s, sizeof s) == 0) {
            list->shapes[i].count += count;
            return;
        }
    }
    if (list->count == BENCH_MOST_SHAPES) return;
    list->shapes[list->count] = s;
    list->shapes[list->count++].count = count;
}

/* All bytes zero, padding too: shapes are compared as memory. */
static struct bench_shape blank(enum bench_kind kind, size_t n, size_t rows, size_t in, size_t out)
{
    struct bench_shape s;
    memset(&s, 0, sizeof s);
    s.kind = kind;
    s.n = n;
    s.rows = rows;
    s.in = in;
    s.out = out;
    s.stride = s.up = 1;
    return s;
}

static void add_conv(struct bench_list *list, size_t n, size_t size, size_t in, size_t out,
                     bool normed, bool residual)
{
    struct bench_shape s = blank(BENCH_CONV, n, size * size, in, out);
    s.size = size;
    s.normed = normed;
    s.add = residual;
    add(list, s, 1);
}

/* To a map of `size` by stride 2 or from one of half the size by doubling. */
static void add_resample(struct bench_list *list, size_t n, size_t size, size_t c, int stride,
                         int up)
{
    struct bench_shape s = blank(BENCH_CONV, n, size * size, c, c);
    s.size = size;
    s.stride = stride;
    s.up = up;
    add(list, s, 1);
}

static void add_linear(struct bench_list *list, size_t n, size_t rows, size_t in, size_t out,
                       bool residual, int count)
{
    struct bench_shape s = blank(BENCH_LINEAR, n, rows, in, out);
    s.add = residual;
    add(list, s, count);
}

static void add_attention(struct bench_list *list, size_t n, size_t rows, size_t c, size_t keys,
                          size_t heads, int count)
{
    struct bench_shape s = blank(BENCH_ATTENTION, n, rows, c, c);
    s.keys = keys;
    s.heads = heads;
    add(list, s, count);
}

static void add_plain(struct bench_list *list, enum bench_kind kind, size_t n, size_t rows,
                      size_t in, size_t out)
{
    add(list, blank(kind, n, rows, in, out), 1);
}

/* ---- the UNet -------------------------------------------------------------------------------- */

struct walk {
    struct bench_list *list;
    const struct sdg_unet_config *c;
    size_t n, size, tokens;
    size_t width;                      /* of the map that flows */
    size_t skips[SDG_UNET_MAX_BLOCKS]; /* widths of what is kept for the way back */
    int top;
};

static void walk_resblock(struct walk *w, size_t out)
{
    struct bench_list *l = w->list;
    const size_t rows = w->size * w->size, in = w->width;
    add_linear(l, w->n, 1, (size_t)w->c->time_width, out, false, 1);
    add_plain(l, BENCH_GROUPNORM, w->n, rows, in, 0);
    add_conv(l, w->n, w->size, in, out, true, false);
    if (in != out) add_linear(l, w->n, rows, in, out, false, 1);
    add_plain(l, BENCH_GROUPNORM, w->n, rows, out, 0);
    add_conv(l, w->n, w->size, out, out, true, true);
    w->width = out;
}

/* A product of the normalised map. */
static void add_layered(struct bench_list *list, enum bench_kind kind, size_t n, size_t rows,
                        size_t in, size_t out)
{
    struct bench_shape s = blank(kind, n, rows, in, out);
    s.layered = true;
    add(list, s, 1);
}

static void walk_self_attention(struct walk *w, size_t heads)
{
    const size_t t = w->size * w->size, c = w->width;
    add_layered(w->list, BENCH_QKV, w->n, t, c, c);
    add_attention(w->list, w->n, t, c, t, heads, 1);
    add_linear(w->list, w->n, t, c, c, true, 1);
}

/* Keys and values are there already: a run computes them once. */
static void walk_cross_attention(struct walk *w, size_t heads)
{
    const size_t t = w->size * w->size, c = w->width;
    const int images = (int)w->n;
    add_layered(w->list, BENCH_LINEAR, w->n, t, c, c);
    add_attention(w->list, 1, t, c, w->tokens, heads, images);
    add_linear(w->list, w->n, t, c, c, true, 1);
}

/* The two as operations of their own; the network does both strip by strip (sdg_op_feed_forward),
 * so that what lies between them stays in a cache. */
static void walk_feed_forward(struct walk *w)
{
    const size_t t = w->size * w->size, c = w->width;
    add_layered(w->list, BENCH_GEGLU, w->n, t, c, 4 * c);
    add_linear(w->list, w->n, t, 4 * c, c, true, 1);
}

static void walk_transformer(struct walk *w, int level, int depth, int heads)
{
    if (depth == 0) return;
    const size_t t = w->size * w->size, c = w->width;
    add_plain(w->list, BENCH_GROUPNORM, w->n, t, c, 0);
    struct bench_shape in = blank(BENCH_LINEAR, w->n, t, c, c);
    in.normed = true;
    add(w->list, in, 1);
    for (int i = 0; i < depth; i++) {
        if (w->c->only_cross[level])
            walk_cross_attention(w, (size_t)heads);
        else
            walk_self_attention(w, (size_t)heads);
        walk_cross_attention(w, (size_t)heads);
        walk_feed_forward(w);
    }
    add_linear(w->list, w->n, t, c, c, true, 1);
}

static void walk_inputs(struct walk *w)
{
    const struct sdg_unet_config *c = w->c;
    add_conv(w->list, w->n, w->size, (size_t)c->in_channels, w->width, false, false);
    w->skips[w->top++] = w->width;
    for (int level = 0; level < c->levels; level++) {
        for (int i = 0; i < c->blocks[level]; i++) {
            walk_resblock(w, (size_t)c->channels[level]);
            walk_transformer(w, level, c->depth_in[level][i], c->heads[level]);
            w->skips[w->top++] = w->width;
        }
        if (level + 1 == c->levels) break;
        w->size = (w->size + 1) / 2;
        add_resample(w->list, w->n, w->size, w->width, 2, 1);
        w->skips[w->top++] = w->width;
    }
}

static void walk_outputs(struct walk *w)
{
    const struct sdg_unet_config *c = w->c;
    for (int level = c->levels - 1; level >= 0; level--) {
        for (int i = 0; i <= c->blocks[level]; i++) {
            const size_t skip = w->skips[--w->top];
            w->width += skip; /* read beside the map, where it lies */
            walk_resblock(w, (size_t)c->channels[level]);
            walk_transformer(w, level, c->depth_out[level][i], c->heads[level]);
        }
        if (level == 0) break;
        w->size *= 2;
        add_resample(w->list, w->n, w->size, w->width, 1, 2);
    }
}

void bench_list_unet(struct bench_list *list, const struct sdg_unet_config *c, size_t n,
                     size_t size, size_t tokens)
{
    struct walk w = {.list = list, .c = c, .n = n, .size = size, .tokens = tokens};
    const size_t time = (size_t)c->time_width;
    w.width = (size_t)c->model_channels;
    if (c->time_cond) add_linear(list, n, 1, (size_t)c->time_cond, w.width, true, 1);
    add_linear(list, n, 1, w.width, time, false, 1);
    add_linear(list, n, 1, time, time, false, 1);
    if (c->label) {
        add_linear(list, n, 1, (size_t)c->label, time, false, 1);
        add_linear(list, n, 1, time, time, true, 1);
    }
    walk_inputs(&w);
    if (c->middle) {
        walk_resblock(&w, w.width);
        walk_transformer(&w, c->levels - 1, c->middle_depth, c->middle_heads);
    }
    if (c->middle > 1) walk_resblock(&w, w.width);
    walk_outputs(&w);
    add_plain(list, BENCH_GROUPNORM, n, w.size * w.size, w.width, 0);
    add_conv(list, n, w.size, w.width, (size_t)c->out_channels, true, false);
}

/* ---- the VAE's decoder ----------------------------------------------------------------------- */

static size_t decode_resblock(struct bench_list *l, size_t size, size_t in, size_t out)
{
    add_plain(l, BENCH_GROUPNORM, 1, size * size, in, 0);
    add_conv(l, 1, size, in, out, true, false);
    if (in != out) add_linear(l, 1, size * size, in, out, false, 1);
    add_plain(l, BENCH_GROUPNORM, 1, size * size, out, 0);
    add_conv(l, 1, size, out, out, true, true);
    return out;
}

void bench_list_vae(struct bench_list *list, const struct sdg_vae_config *c, size_t size)
{
    const size_t z = (size_t)c->z_channels;
    size_t width = (size_t)c->channels[c->levels - 1], t = size * size;
    add_linear(list, 1, t, z, z, false, 1);
    add_conv(list, 1, size, z, width, false, false);
    decode_resblock(list, size, width, width);
    add_plain(list, BENCH_GROUPNORM, 1, t, width, 0);
    add_plain(list, BENCH_QKV, 1, t, width, width);
    add_attention(list, 1, t, width, t, 1, 1);
    add_linear(list, 1, t, width, width, true, 1);
    decode_resblock(list, size, width, width);
    for (int level = c->levels - 1; level >= 0; level--) {
        for (int i = 0; i <= c->blocks; i++)
            width = decode_resblock(list, size, width, (size_t)c->channels[level]);
        if (level == 0) break;
        size *= 2;
        add_resample(list, 1, size, width, 1, 2);
    }
    add_plain(list, BENCH_GROUPNORM, 1, size * size, width, 0);
    add_conv(list, 1, size, width, (size_t)c->image_channels, true, false);
}

/* ---- the known ones -------------------------------------------------------------------------- */

static const struct sdg_unet_config sd1 = {
    .in_channels = 4,
    .out_channels = 4,
    .model_channels = 320,
    .levels = 4,
    .blocks = {2, 2, 2, 2},
    .channels = {320, 640, 1280, 1280},
    .depth_in = {{1, 1}, {1, 1}, {1, 1}},
    .depth_out = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    .middle = 2,
    .middle_depth = 1,
    .context = 768,
    .time_width = 1280,
    .heads = {8, 8, 8, 8},
    .middle_heads = 8,
};
static const struct sdg_unet_config sd2 = {
    .in_channels = 4,
    .out_channels = 4,
    .model_channels = 320,
    .levels = 4,
    .blocks = {2, 2, 2, 2},
    .channels = {320, 640, 1280, 1280},
    .depth_in = {{1, 1}, {1, 1}, {1, 1}},
    .depth_out = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    .middle = 2,
    .middle_depth = 1,
    .context = 1024,
    .time_width = 1280,
    .linear_projection = true,
    .heads = {5, 10, 20, 20},
    .middle_heads = 20,
};
static const struct sdg_unet_config sdxl = {
    .in_channels = 4,
    .out_channels = 4,
    .model_channels = 320,
    .levels = 3,
    .blocks = {2, 2, 2},
    .channels = {320, 640, 1280},
    .depth_in = {{0, 0}, {2, 2}, {10, 10}},
    .depth_out = {{0, 0, 0}, {2, 2, 2}, {10, 10, 10}},
    .middle = 2,
    .middle_depth = 10,
    .context = 2048,
    .time_width = 1280,
    .label = 2816,
    .linear_projection = true,
    .heads = {5, 10, 20},
    .middle_heads = 20,
};
static const struct sdg_vae_config vae = {4, {128, 256, 512, 512}, 2, 4, 3, false};

static const struct {
    const char *key, *name;
    const struct sdg_unet_config *unet; /* NULL: the decoder */
    size_t size;                        /* of the latent */
} known[] = {
    {"sd15-unet", "SD1.5 UNet, 2 x 512 x 512", &sd1, 64},
    {"sd15-vae", "SD1.5 VAE decoder, 512 x 512", NULL, 64},
    {"sd21-unet", "SD2.1 UNet, 2 x 768 x 768", &sd2, 96},
    {"sd21-vae", "SD2.1 VAE decoder, 768 x 768", NULL, 96},
    {"sdxl-unet", "SDXL UNet, 2 x 1024 x 1024", &sdxl, 128},
    {"sdxl-vae", "SDXL VAE decoder, 1024 x 1024", NULL, 128},
};
enum { KNOWN = sizeof known / sizeof known[0], TOKENS = 77 };

const char *bench_known_key(int i)
{
    return i >= 0 && i < KNOWN ? known[i].key : NULL;
}

bool bench_known(struct bench_list *list, int i)
{
    if (i < 0 || i >= KNOWN) return false;
    list->count = 0;
    snprintf(list->name, sizeof list->name, "%s", known[i].name);
    if (known[i].unet)
        bench_list_unet(list, known[i].unet, 2, known[i].size, TOKENS);
    else
        bench_list_vae(list, &vae, known[i].size);
    return true;
}

/* ---- what a shape is called and costs -------------------------------------------------------- */

void bench_shape_name(char name[BENCH_NAME], const struct bench_shape *s)
{
    static const char *const kinds[BENCH_KINDS] = {"conv",  "linear",    "qkv",
                                                   "geglu", "attention", "groupnorm"};
    const char *kind = kinds[s->kind];
    char of[32];
    if (s->kind == BENCH_CONV)
        snprintf(of, sizeof of, "%zux%zux%zu", s->n, s->size, s->size);
    else
        snprintf(of, sizeof of, "%zux%zu", s->n, s->rows);
    if (s->kind == BENCH_ATTENTION)
        snprintf(name, BENCH_NAME, "%s %s keys %zu heads %zux%zu", kind, of, s->keys, s->heads,
                 s->in / s->heads);
    else if (s->kind == BENCH_GROUPNORM)
        snprintf(name, BENCH_NAME, "%s %s %zu", kind, of, s->in);
    else
        snprintf(name, BENCH_NAME, "%s%s%s%s %s %zu->%zu", kind,
                 s->stride == 2 ? "/2"
                 : s->up == 2   ? "*2"
                                : "",
                 s->normed || s->layered ? " norm" : "", s->add ? " add" : "", of, s->in, s->out);
}

double bench_shape_flops(const struct bench_shape *s)
{
    const double places = (double)s->n * (double)s->rows;
    const double one = 2.0 * places * (double)s->in * (double)s->out;
    switch (s->kind) {
    case BENCH_CONV: return 9.0 * one;
    case BENCH_LINEAR: return one;
    case BENCH_QKV: return 3.0 * one;
    case BENCH_GEGLU: return 2.0 * one;
    case BENCH_ATTENTION: return 4.0 * places * (double)s->keys * (double)s->in;
    default: return 0;
    }
}

double bench_shape_bytes(const struct bench_shape *s, size_t weight)
{
    const double places = (double)s->n * (double)s->rows, in = (double)s->in, out = (double)s->out;
    const double resampled = (double)(s->stride * s->stride) / (double)(s->up * s->up);
    const double maps = 4.0 * places * (in * resampled + (s->add ? 2.0 : 1.0) * out);
    const double w = (double)weight * in * out;
    switch (s->kind) {
    case BENCH_CONV: return maps + 9.0 * w;
    case BENCH_LINEAR: return maps + w;
    case BENCH_QKV: return 4.0 * places * (in + 3.0 * out) + 3.0 * w;
    case BENCH_GEGLU: return maps + 2.0 * w;
    case BENCH_ATTENTION: return 8.0 * (places + (double)(s->n * s->keys)) * in;
    case BENCH_GROUPNORM: return 4.0 * places * in;
    default: return 8.0 * places * (in + out);
    }
}

enum bench_class bench_shape_class(const struct bench_shape *s)
{
    switch (s->kind) {
    case BENCH_CONV: return BENCH_CONVS;
    case BENCH_LINEAR:
    case BENCH_QKV:
    case BENCH_GEGLU: return s->n * s->rows < 64 ? BENCH_REST : BENCH_PRODUCTS;
    case BENCH_ATTENTION: return s->keys == s->rows ? BENCH_SELF : BENCH_CROSS;
    default: return BENCH_REST;
    }
}

const char *bench_class_name(enum bench_class c)
{
    static const char *const names[BENCH_CLASSES] = {
        "3x3 convolution", "products of 64 rows or more", "self-attention", "cross-attention",
        "the rest"};
    return names[c];
}
