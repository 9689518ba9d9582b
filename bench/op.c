/* op.c - see op.h. Calls operations as the networks do: weights packed by what a dry run noted,
 * scratch of the size that it measured. */
#include "bench/op.h"

#include <stdlib.h>
#include <string.h>

#include "ops/packs.h"

static float *take_floats(size_t count)
{
    float *p = malloc((count ? count : 1) * sizeof *p);
    for (size_t i = 0; p && i < count; i++) p[i] = 0.001f * (float)(i * 7919 % 2003) - 1.0f;
    return p;
}

/* Numbers of all mantissas and small exponents, whatever 16 bits mean. */
static void *take_weights(size_t count, enum sdg_dtype dtype)
{
    if (dtype == SDG_F32) return take_floats(count);
    uint16_t *p = malloc((count ? count : 1) * sizeof *p);
    const uint16_t first = dtype == SDG_F16 ? 0x2400 : 0x3c00;
    for (size_t i = 0; p && i < count; i++)
        p[i] = (uint16_t)(((i * 2654435761u) >> 7 & 1) << 15 | (first + i * 7919 % 509));
    return p;
}

static struct sdg_tensor vector(const float *data, size_t count)
{
    return (struct sdg_tensor) {data, SDG_F32, 1, {(int64_t)count}};
}

static struct sdg_linear linear(const struct bench_op *op, const void *weight, size_t out)
{
    const int64_t rows = (int64_t)out, in = (int64_t)op->shape.in;
    return (struct sdg_linear) {.weight = {weight, op->way.weights, 2, {rows, in}},
                                .bias = vector(op->bias, out)};
}

/* Gain and shift of every image are the same piece of z. */
static struct sdg_prologue prologue(const struct bench_op *op, bool silu)
{
    const struct bench_shape *s = &op->shape;
    if (!s->normed && !s->layered) return (struct sdg_prologue) {0};
    return (struct sdg_prologue) {
        .scale = op->z, .shift = op->z, .silu = silu, .by_row = s->layered, .eps = 1e-5f};
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool run_conv(struct sdg_ops *o, const struct bench_op *op)
{
    const struct bench_shape *s = &op->shape;
    const size_t size = s->stride == 2 ? 2 * s->size : s->size / (size_t)s->up;
    struct sdg_conv_geometry g = sdg_conv_same(s->n, size, size, 3);
    g.stride = s->stride;
    g.up = s->up;
    g.vh = g.vw = size * (size_t)s->up;
    g.oh = g.ow = s->size;
    const int64_t out = (int64_t)s->out, in = (int64_t)s->in;
    const struct sdg_conv w = {.weight = {op->weight, op->way.weights, 4, {out, in, 3, 3}},
                               .bias = vector(op->bias, s->out)};
    const struct sdg_prologue pro = prologue(op, true);
    return sdg_conv_by(o, op->way.conv, op->y, op->x, &pro, &w, NULL, s->add ? op->y : NULL, &g);
}

static void run_linear(struct sdg_ops *o, const struct bench_op *op)
{
    const struct bench_shape *s = &op->shape;
    const struct sdg_linear w = linear(op, op->weight, s->out);
    const struct sdg_prologue pro = prologue(op, false);
    sdg_op_linear(o, op->y, op->x, &pro, &w, s->n, s->rows, s->add);
}

static void run_qkv(struct sdg_ops *o, const struct bench_op *op)
{
    const struct bench_shape *s = &op->shape;
    const struct sdg_linear q = linear(op, op->weight, s->out);
    const struct sdg_linear k = linear(op, op->more[0], s->out);
    const struct sdg_linear v = linear(op, op->more[1], s->out);
    const struct sdg_linear *const w[] = {&q, &k, &v};
    const size_t map = s->n * s->rows * s->out;
    float *const y[] = {op->y, op->y + map, op->y + 2 * map};
    const struct sdg_prologue pro = prologue(op, false);
    sdg_op_linears(o, y, op->x, &pro, w, 3, s->n, s->rows);
}

static void run_geglu(struct sdg_ops *o, const struct bench_op *op)
{
    const struct sdg_linear w = linear(op, op->weight, 2 * op->shape.out);
    const struct sdg_prologue pro = prologue(op, false);
    sdg_op_linear_geglu(o, op->y, op->x, &pro, &w, op->shape.n, op->shape.rows);
}

static void run_attention(struct sdg_ops *o, const struct bench_op *op)
{
    const struct bench_shape *s = &op->shape;
    sdg_op_attention(o, op->y, op->x, op->z, op->z + s->n * s->keys * s->in, s->n, s->rows, s->keys,
                     s->heads, s->in / s->heads, s->in, s->in, s->in, false);
}

/* False, with nothing done, where the way of convolutions cannot. */
static bool call(struct sdg_ops *o, const struct bench_op *op)
{
    const struct bench_shape *s = &op->shape;
    const struct sdg_norm norm = {vector(op->bias, s->in), vector(op->bias, s->in)};
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_prologue p;
    bool done = true;
    switch (s->kind) {
    case BENCH_CONV: done = run_conv(o, op); break;
    case BENCH_LINEAR: run_linear(o, op); break;
    case BENCH_QKV: run_qkv(o, op); break;
    case BENCH_GEGLU: run_geglu(o, op); break;
    case BENCH_ATTENTION: run_attention(o, op); break;
    case BENCH_GROUPNORM:
        sdg_op_groupnorm(o, &p, op->x, &norm, s->n, s->rows, s->in, 32, 1e-5f, true);
        break;
    case BENCH_KINDS: break;
    }
    sdg_arena_release(o->work, mark);
    return done;
}

void bench_op_run(struct bench_op *op, bool packed)
{
    struct sdg_ops o = op->ops;
    if (!packed) o.packs = NULL;
    call(&o, op);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Floats of x, y and z; elements of each weight. */
struct extent {
    size_t x, y, z, bias, weight;
};

static struct extent extent_of(const struct bench_shape *s)
{
    const size_t places = s->n * s->rows;
    struct extent e = {.x = places * s->in, .y = places * s->out, .weight = s->in * s->out};
    e.z = s->n * s->in;
    e.bias = s->in > s->out ? s->in : s->out;
    switch (s->kind) {
    case BENCH_CONV:
        e.weight *= 9;
        e.x = e.x * (size_t)(s->stride * s->stride) / (size_t)(s->up * s->up);
        break;
    case BENCH_QKV: e.y *= 3; break;
    case BENCH_GEGLU:
        e.weight *= 2;
        e.bias = s->in > 2 * s->out ? s->in : 2 * s->out;
        break;
    case BENCH_ATTENTION:
        e.weight = 0;
        e.z = 2 * s->n * s->keys * s->in;
        break;
    case BENCH_GROUPNORM: e.y = e.weight = 0; break;
    default: break;
    }
    return e;
}

/* A dry run with packs and one without: notes weights, counts, and measures the larger scratch. */
static bool prepare(struct bench_op *op)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    if (sdg_packs_create(&op->packs, NULL) != SDGEN_OK) return false;
    op->ops = (struct sdg_ops) {.k = op->way.k,
                                .work = &nowhere,
                                .threads = op->way.threads,
                                .bf16 = op->way.bf16,
                                .packs = op->packs,
                                .exact_conv = op->way.exact_conv,
                                .dry = true};
    op->possible = call(&op->ops, op);
    if (!op->possible) return false;
    if (sdg_packs_build(op->packs, 0, op->way.k, op->way.threads, NULL) != SDGEN_OK) return false;
    call(&op->ops, op); /* again: what is packed may want other scratch */
    op->ops.packs = NULL;
    call(&op->ops, op);
    if (sdg_arena_create(&op->work, nowhere.peak, NULL) != SDGEN_OK) return false;
    op->ops.dry = false;
    op->ops.packs = op->packs;
    op->ops.work = &op->work;
    return true;
}

bool bench_op_open(struct bench_op *op, const struct bench_shape *shape,
                   const struct bench_way *way)
{
    *op = (struct bench_op) {.shape = *shape, .way = *way};
    const struct extent e = extent_of(shape);
    op->x = take_floats(e.x);
    op->y = take_floats(e.y);
    op->z = take_floats(e.z);
    op->bias = take_floats(e.bias);
    op->weight = take_weights(e.weight, way->weights);
    for (int i = 0; i < 2; i++)
        op->more[i] = take_weights(shape->kind == BENCH_QKV ? e.weight : 0, way->weights);
    return op->x && op->y && op->z && op->bias && op->weight && op->more[0] && op->more[1] &&
           prepare(op);
}

void bench_op_close(struct bench_op *op)
{
    free(op->x);
    free(op->y);
    free(op->z);
    free(op->bias);
    free(op->weight);
    free(op->more[0]);
    free(op->more[1]);
    sdg_packs_destroy(op->packs);
    sdg_arena_destroy(&op->work);
}
