/* attention.c - scaled dot-product attention (Vaswani et al. 2017, eq. 1), a block of queries at a
 * time.
 *
 * A task is one head of one image and a block of its queries. Scores of the block against all keys
 * [rows][tk] live in scratch of the worker, about SCORE_FLOATS of them, so they are still in its
 * second or third cache for softmax and for the product with V; the full matrix of scores never
 * exists. Under the causal mask a block stops at the last key that any of its queries sees. */
#include "ops/gemm.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

enum { SCORE_FLOATS = 1 << 19, MOST_ROWS = 256, LEAST_ROWS = 32 };

struct attention {
    const struct sdg_ops *o;
    float *out;
    const float *q, *k, *v;
    size_t tq, tk, heads, hd, ldq, ldkv, ldo;
    bool causal;
    struct sdg_cut blocks;
    struct sdg_scratch scratch;
};

/* scores [rows][keys] -> probabilities; row r is query first + r. */
static void normalise(const struct attention *a, float *scores, size_t first, size_t rows,
                      size_t keys)
{
    const float scale = 1.0f / sqrtf((float)a->hd);
    if (!a->causal) {
        a->o->k->softmax(scores, scores, rows, keys, keys, scale);
        return;
    }
    for (size_t r = 0; r < rows; r++, scores += keys) {
        const size_t seen = first + r + 1 < keys ? first + r + 1 : keys;
        a->o->k->softmax(scores, scores, 1, seen, keys, scale);
        memset(scores + seen, 0, (keys - seen) * sizeof *scores);
    }
}

static void attend_block(void *arg, size_t task, int worker)
{
    const struct attention *a = arg;
    const size_t block = task % a->blocks.count, rest = task / a->blocks.count;
    const size_t head = rest % a->heads, image = rest / a->heads;
    const struct sdg_span rows = sdg_cut_piece(&a->blocks, block);
    const size_t last = rows.first + rows.count;
    const size_t keys = a->causal && last < a->tk ? last : a->tk;
    float *scores = sdg_scratch_of(&a->scratch, worker);
    float *packing = scores + a->blocks.size * a->tk;

    const struct sdg_gemm qk = {
        .c = scores,
        .ldc = keys,
        .a = a->q + (image * a->tq + rows.first) * a->ldq + head * a->hd,
        .lda = a->ldq,
        .b = a->k + image * a->tk * a->ldkv + head * a->hd,
        .b_row = a->ldkv,
        .b_col = 1,
        .m = rows.count,
        .n = keys,
        .k = a->hd,
    };
    sdg_gemm_run(a->o, &qk, packing);
    normalise(a, scores, rows.first, rows.count, keys);
    const struct sdg_gemm pv = {
        .c = a->out + (image * a->tq + rows.first) * a->ldo + head * a->hd,
        .ldc = a->ldo,
        .a = scores,
        .lda = keys,
        .b = a->v + image * a->tk * a->ldkv + head * a->hd,
        .b_row = 1,
        .b_col = a->ldkv,
        .m = rows.count,
        .n = a->hd,
        .k = keys,
    };
    sdg_gemm_run(a->o, &pv, packing);
}

void sdg_op_attention(struct sdg_ops *o, float *out, const float *q, const float *k, const float *v,
                      size_t n, size_t tq, size_t tk, size_t heads, size_t hd, size_t ldq,
                      size_t ldkv, size_t ldo, bool causal)
{
    if (o->dry) o->macs += 2.0 * (double)(n * heads * hd) * (double)tq * (double)tk;
    if (n == 0 || tq == 0 || tk == 0 || heads == 0) return;
    size_t most = SCORE_FLOATS / tk;
    if (most > MOST_ROWS) most = MOST_ROWS;
    if (most < LEAST_ROWS) most = LEAST_ROWS;
    struct attention a = {
        .o = o,
        .out = out,
        .q = q,
        .k = k,
        .v = v,
        .tq = tq,
        .tk = tk,
        .heads = heads,
        .hd = hd,
        .ldq = ldq,
        .ldkv = ldkv,
        .ldo = ldo,
        .causal = causal,
        .blocks = sdg_cut_at_most(tq, most, 1),
    };
    const size_t mark = sdg_arena_mark(o->work);
    a.scratch = sdg_scratch_take(o, a.blocks.size * tk + sdg_gemm_scratch(o, tk > hd ? tk : hd));
    if (!o->dry) sdg_ops_for(o, n * heads * a.blocks.count, attend_block, &a);
    sdg_arena_release(o->work, mark);
}
