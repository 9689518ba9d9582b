/* ops.h - threaded tensor operations: what the networks in models/ are written in.
 *
 * Layouts. Activations are f32 and channels-last: an image is [n][h][w][c], which is the same
 * memory as tokens [n][t = h*w][c]; so a 1x1 convolution is a linear layer and convolution meets
 * attention without a transpose. Weights are packed once into the panels that the tier's matrix
 * product reads (packs.h), or stay as the file stores them ([out][in] and [out][in][kh][kw], any
 * dtype) and are packed panel by panel into scratch memory each time: the same bits either way.
 *
 * Rules. Arguments go out, in, weights, sizes. Shapes were validated when weights were bound and
 * the plan was made: ops neither fail nor allocate. Scratch comes from ops->work between mark and
 * release. With ops->dry set an op only takes and returns its scratch, so that the arena learns its
 * peak, and touches no data. Once *ops->cancel is non-zero ops return early and their outputs are
 * garbage. Work is cut by the shape of one image: neither threads nor batch size change a bit.
 *
 * Beside bench/ and tests/ this layer is the only caller of kernels/. */
#ifndef SDG_OPS_H
#define SDG_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/tensor.h"

struct sdg_kernels;
struct sdg_packs;

struct sdg_ops {
    const struct sdg_kernels *k; /* the tier's kernels */
    struct sdg_arena *work;
    int threads;
    bool bf16;               /* matrix products round their inputs to bf16; sums stay f32; not
                                where there is one token: time embeddings. (With int8 this becomes
                                an enum sdg_matmul_input) */
    bool exact_conv;         /* convolutions multiply tap by tap: no Winograd, no phase filters */
    struct sdg_packs *packs; /* packed weights, or NULL; a dry run notes which ones are read */
    bool dry;
    size_t strip_bytes;         /* less scratch than the operations' own choice for a strip; 0 */
    const volatile int *cancel; /* may be NULL */
    double macs;                /* multiply-adds that a dry run counted: for progress and ETA */
};

bool sdg_ops_cancelled(const struct sdg_ops *o);

/* A linear layer: weight [out,in] or [out,in,1,1]; bias [out], or data NULL. */
struct sdg_linear {
    struct sdg_tensor weight, bias;
};

/* A convolution: weight [out,in,kh,kw]; bias [out]. */
struct sdg_conv {
    struct sdg_tensor weight, bias;
};

/* Gain and shift of a normalisation: [c] each. */
struct sdg_norm {
    struct sdg_tensor weight, bias;
};

/* A table of vectors: weight [rows,c]. */
struct sdg_embedding {
    struct sdg_tensor weight;
};

/* Further channels of an input x, from another map [n][h][w][c] of the same extent: the two are
 * read as one map, which so never has to be put together. */
struct sdg_beside {
    const float *x;
    size_t c; /* 0: none */
};

/* What a convolution or a linear layer does to its input on the way in. First the channels of x and
 * those beside it become one map; then comes normalisation folded into one multiply-add per
 * channel, then perhaps SiLU. x' = act(scale[n][c] * [x | beside] + shift[n][c]), c counting both.
 * Or, linear layers only, LayerNorm: x' = scale[c] * (x - its mean) / its deviation + shift[c], by
 * row. */
struct sdg_prologue {
    const float *scale, *shift; /* [n][c], both NULL: x' = x (silu is then ignored) */
    bool silu;
    struct sdg_beside beside;
    bool by_row; /* LayerNorm: [c], no silu, nothing beside */
    float eps;   /* added to the variance of a row */
};

/* y = x' W^T + b, or y += x' W^T + b with `add`. x [n][t][in] -> y [n][t][out]; in and out are
 * those of w->weight's shape, in counts what pro has beside x; pro may be NULL. x and y must not
 * overlap. */
void sdg_op_linear(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                   const struct sdg_linear *w, size_t n, size_t t, bool add);

/* y[i] = x' W_i^T + b_i for `count` layers of one input: queries, keys and values. */
void sdg_op_linears(struct sdg_ops *o, float *const *y, const float *x,
                    const struct sdg_prologue *pro, const struct sdg_linear *const *w, int count,
                    size_t n, size_t t);

/* y = a * gelu(g), [a | g] = x' W^T + b (GEGLU, Shazeer 2020): x [n][t][in], w [2c,in], y
 * [n][t][c]. The 2c-wide map never exists as a whole. */
void sdg_op_linear_geglu(struct sdg_ops *o, float *y, const float *x,
                         const struct sdg_prologue *pro, const struct sdg_linear *w, size_t n,
                         size_t t);

/* x += out(a * gelu(g)), [a | g] = in(x'): in [2f,c], out [c,f], x [n][t][c] in place. A strip of
 * tokens at a time, so that the f-wide map, the widest of a transformer, stays in a cache; the bits
 * of the two operations. */
void sdg_op_feed_forward(struct sdg_ops *o, float *x, const struct sdg_prologue *pro,
                         const struct sdg_linear *in, const struct sdg_linear *out, size_t n,
                         size_t t);

/* GroupNorm (Wu & He 2018, eq. 1) as a prologue: statistics of x [n][hw][c] over (hw, c/groups),
 * biased variance, folded with gamma and beta into p->scale and p->shift, which are taken from
 * o->work (so the caller's mark must be set before this call). Sums in f64, cut by shape. */
void sdg_op_groupnorm(struct sdg_ops *o, struct sdg_prologue *p, const float *x,
                      const struct sdg_norm *w, size_t n, size_t hw, size_t c, size_t groups,
                      float eps, bool silu);

/* The same of [x | beside], c channels in all, of which a group may lie on both sides: x [n][hw][c
 * - beside.c]. p will read it as one, too. */
void sdg_op_groupnorm_beside(struct sdg_ops *o, struct sdg_prologue *p, const float *x,
                             struct sdg_beside beside, const struct sdg_norm *w, size_t n,
                             size_t hw, size_t c, size_t groups, float eps, bool silu);

/* The same for a map of one image that comes in strips and perhaps never exists as a whole: begin,
 * add its rows from the first to the last, end. The same bits, however it is cut. The sums are
 * taken from o->work until the caller's release. */
struct sdg_map_sums {
    double *parts; /* [chunks][2][c] */
    size_t hw, c;
};
void sdg_op_sums_begin(struct sdg_ops *o, struct sdg_map_sums *s, size_t hw, size_t c);
/* x [rows][c]: rows [first, first + rows) of the map. */
void sdg_op_sums_add(struct sdg_ops *o, struct sdg_map_sums *s, const float *x, size_t first,
                     size_t rows);
void sdg_op_sums_end(struct sdg_ops *o, struct sdg_prologue *p, const struct sdg_map_sums *s,
                     const struct sdg_norm *w, size_t groups, float eps, bool silu);

/* y = act(scale*x + shift) written out; y may be x. x, y [n][hw][c]; nothing beside. */
void sdg_op_apply(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *p,
                  size_t n, size_t hw, size_t c);

/* Geometry of a convolution whose kernel extent comes from its weight.
 * The input is x [n][h][w][c], with what the prologue has beside it. It is read as if enlarged by
 * `up` (1, or 2 for nearest-neighbour doubling) to the extent vh x vw, vh <= up*h and vw <= up*w:
 * pixel (i,j) is x(i/up, j/up); outside [0,vh) x [0,vw) everything is zero (after the prologue).
 * Output pixel (i,j) is centred so that its first tap lies at (i*stride - pad, j*stride - pad).
 * Trailing padding needs no field: oh and ow say how far the output goes.
 * A strip: of one image only output lines [from, from + lines) are made, with the bits they have in
 * the whole; y and residual begin with line `from`, x with line x_from. Strips begin at multiples
 * of SDG_STRIP_STEP. */
enum { SDG_STRIP_STEP = 4 }; /* the tallest tile of a Winograd convolution */
struct sdg_conv_geometry {
    size_t n, h, w, vh, vw, oh, ow;
    int up, stride, pad;
    size_t from, lines, x_from; /* lines 0: the whole map */
};

/* Same-size k x k convolution, stride 1, padding k/2. */
struct sdg_conv_geometry sdg_conv_same(size_t n, size_t h, size_t w, int kernel);

/* y = conv(prologue(x)) + bias [+ channel_bias[n][out]] [+ residual [n][oh][ow][out]].
 * pro, channel_bias and residual may be NULL; residual may be y; x and y must not overlap.
 * An implicit matrix product: x' is written once, padded, in strips that are bounded in size, and
 * read in place at every tap of the filter. */
void sdg_op_conv(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                 const struct sdg_conv *w, const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g);

/* LayerNorm (Ba et al. 2016) over the last dimension as a prologue of linear layers; gain and shift
 * in f32 are taken from o->work. Statistics and normalised rows never leave the pass that rounds
 * them for the product: the bits of sdg_op_layernorm, without a map of its own. */
void sdg_op_layernorm_prologue(struct sdg_ops *o, struct sdg_prologue *p, const struct sdg_norm *w,
                               size_t c, float eps);

/* The same written out: x, y [rows][c]; y may be x. Biased variance. */
void sdg_op_layernorm(struct sdg_ops *o, float *y, const float *x, const struct sdg_norm *w,
                      size_t rows, size_t c, float eps);

/* out = softmax(scale q k^T [causal mask]) v per head, scale = head_dim^-0.5 (Vaswani et al. 2017,
 * eq. 1). q [n][tq][ldq], k and v [n][tk][ldkv], out [n][tq][ldo]: head i is the slice of columns
 * [i*hd, (i+1)*hd). causal: query i sees keys 0..i. Scores exist only for a block of queries at a
 * time. out must not overlap the inputs. */
void sdg_op_attention(struct sdg_ops *o, float *out, const float *q, const float *k, const float *v,
                      size_t n, size_t tq, size_t tk, size_t heads, size_t hd, size_t ldq,
                      size_t ldkv, size_t ldo, bool causal);

enum sdg_activation { SDG_SILU, SDG_GELU, SDG_QUICK_GELU, SDG_RELU };
/* y = act(x): x*sigmoid(x); x*Phi(x) with the exact erf; x*sigmoid(1.702 x); max(x, 0), NaN kept. y
 * may be x. [count] */
void sdg_op_activate(struct sdg_ops *o, float *y, const float *x, enum sdg_activation act,
                     size_t count);

/* GEGLU (Shazeer 2020): y[r][i] = x[r][i] * gelu(x[r][c + i]); x [rows][2c], y [rows][c]. */
void sdg_op_geglu(struct sdg_ops *o, float *y, const float *x, size_t rows, size_t c);

/* y += x. [count] */
void sdg_op_add(struct sdg_ops *o, float *y, const float *x, size_t count);

/* y [n][hw][c] <- x [n][c][hw], and back. */
void sdg_op_to_channels_last(struct sdg_ops *o, float *y, const float *x, size_t n, size_t c,
                             size_t hw);
void sdg_op_to_channels_first(struct sdg_ops *o, float *y, const float *x, size_t n, size_t c,
                              size_t hw);

/* y[i] = table[ids[i]] + positions[i % t]; y [n*t][c]; ids were checked against the table. */
void sdg_op_embed(struct sdg_ops *o, float *y, const int32_t *ids,
                  const struct sdg_embedding *table, const struct sdg_embedding *positions,
                  size_t n, size_t t);

#endif
