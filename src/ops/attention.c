/* attention.c - scaled dot-product attention (Vaswani et al. 2017, eq. 1) without the matrix of
 * scores: a block of keys at a time, with the softmax corrected as larger scores turn up (Milakov &
 * Gimelshein 2018; Dao et al. 2022, "FlashAttention").
 *
 *      Q^T packed [hd][nr]                           Everything is transposed: nr queries are the
 *   K [keys][hd]  ->  S^T [keys][nr]                 columns of a panel. Then the softmax works in
 *                     P^T = exp(S^T - max)           whole vectors, P^T already lies as the second
 *   V^T [hd][keys] -> O^T [hd][nr] += V^T P^T        product reads its panel, and neither product
 *                                                    pads the head's size, be it 40 or 160.
 *
 * First keys and values of every head are prepared: K row by row, V transposed, both in the input
 * type and contiguous. Then a task is a head and a few panels of queries. Where scratch is short
 * (ops.strip_bytes) a few heads go at a time. */
#include "ops/panel.h"

#include <math.h>
#include <string.h>

enum { KEYS = 128, PANELS = 4 }; /* keys of a block; panels of queries of a task */

struct attention {
    const struct sdg_ops *o;
    const struct sdg_matmul *mul;
    float *out;
    const float *q, *k, *v;
    size_t tq, tk, heads, hd, ldq, ldkv, ldo;
    bool causal;
    size_t depth, k_pitch; /* of K's rows: hd rounded up */
    size_t v_pitch;        /* of V^T's rows: KEYS */
    struct sdg_cut keys, queries;
    struct sdg_cut rounds; /* of the heads of all images: as many as are prepared together */
    struct sdg_span at;    /* the round at work */
    char *kp, *vt;         /* prepared: [round][tk][k_pitch], [round][blocks][hd][v_pitch] */
    struct sdg_scratch scratch;
};

/* What one worker needs, as parts of its scratch. */
struct desk {
    float *queries;            /* Q^T packed [depth][nr] */
    float *scores;             /* S^T [KEYS][nr] */
    void *p;                   /* P^T, as the product reads it: in place of S^T, but for tiles */
    float *out;                /* O^T [hd][nr] */
    float *max, *sum, *factor; /* [nr] */
};

static bool in_place(const struct attention *a)
{
    return a->mul->layout != SDG_MATMUL_TILES;
}

static size_t desk_floats(const struct attention *a)
{
    return (a->depth + KEYS + (in_place(a) ? 0 : KEYS / 2) + a->hd + 3) * a->mul->nr;
}

static struct desk desk_of(const struct attention *a, int worker)
{
    const size_t nr = a->mul->nr;
    float *p = sdg_scratch_of(&a->scratch, worker);
    struct desk d = {.queries = p};
    d.scores = d.queries + a->depth * nr;
    d.p = in_place(a) ? d.scores : d.scores + KEYS * nr;
    d.out = d.scores + (in_place(a) ? KEYS : KEYS + KEYS / 2) * nr;
    d.max = d.out + a->hd * nr;
    d.sum = d.max + nr;
    d.factor = d.sum + nr;
    return d;
}

/* ---- keys and values ------------------------------------------------------------------------- */

/* Of the head in a slot of the round. */
static char *keys_of(const struct attention *a, size_t slot, size_t block)
{
    return a->kp + (slot * a->tk + block * KEYS) * a->k_pitch * sdg_matmul_element(a->mul);
}

static char *values_of(const struct attention *a, size_t slot, size_t block)
{
    const size_t at = (slot * a->keys.count + block) * a->hd * a->v_pitch;
    return a->vt + at * sdg_matmul_element(a->mul);
}

/* Block of keys of one head: K's rows, then V transposed a few columns at a time. */
static void prepare_block(void *arg, size_t task, int worker)
{
    (void)worker;
    enum { COLUMNS = 8 };
    const struct attention *a = arg;
    const size_t slot = task / a->keys.count, block = task % a->keys.count;
    const struct sdg_span keys = sdg_cut_piece(&a->keys, block);
    const size_t head = a->at.first + slot, image = head / a->heads;
    const size_t column = head % a->heads * a->hd;
    const size_t at = (image * a->tk + keys.first) * a->ldkv + column;
    const size_t padded = sdg_matmul_depth(a->mul, keys.count);
    a->mul->prep(keys_of(a, slot, block), a->k_pitch, a->k + at, a->ldkv, NULL, NULL, false,
                 keys.count, a->hd, a->depth);
    float flipped[COLUMNS * KEYS];
    for (size_t i = 0; i < a->hd; i += COLUMNS) {
        const size_t count = a->hd - i < COLUMNS ? a->hd - i : COLUMNS;
        for (size_t t = 0; t < keys.count; t++)
            for (size_t c = 0; c < count; c++)
                flipped[c * KEYS + t] = a->v[at + t * a->ldkv + i + c];
        char *to = values_of(a, slot, block) + i * a->v_pitch * sdg_matmul_element(a->mul);
        a->mul->prep(to, a->v_pitch, flipped, KEYS, NULL, NULL, false, count, keys.count, padded);
    }
}

/* ---- one panel of queries -------------------------------------------------------------------- */

/* Scores that the causal mask hides: key i is seen by queries i and later. */
static void hide(float *scores, const struct sdg_span *keys, size_t first_query, size_t nr)
{
    for (size_t i = 0; i < keys->count; i++)
        for (size_t j = 0; j < nr && first_query + j < keys->first + i; j++)
            scores[i * nr + j] = -INFINITY;
}

/* O^T *= factor, column by column; mostly all factors are 1. */
static void rescale(float *out, const float *factor, size_t rows, size_t nr)
{
    bool same = true;
    for (size_t j = 0; j < nr; j++) same = same && factor[j] == 1.0f;
    for (size_t i = 0; !same && i < rows; i++)
        for (size_t j = 0; j < nr; j++) out[i * nr + j] *= factor[j];
}

static void attend_block(const struct attention *a, const struct desk *d, size_t slot, size_t block,
                         size_t first_query)
{
    const size_t nr = a->mul->nr;
    const struct sdg_span keys = sdg_cut_piece(&a->keys, block);
    const ptrdiff_t tap = 0;
    const struct sdg_product scores = {
        .c = d->scores,
        .ldc = nr,
        .a = keys_of(a, slot, block),
        .lda = a->k_pitch,
        .taps = &tap,
        .tap_count = 1,
        .b = d->queries,
        .m = keys.count,
        .n = nr,
        .k = a->depth,
    };
    a->mul->run(&scores);
    if (a->causal) hide(d->scores, &keys, first_query, nr);
    a->mul->softmax_block(d->p, d->scores, d->max, d->sum, d->factor, keys.count,
                          1.0f / sqrtf((float)a->hd));
    rescale(d->out, d->factor, a->hd, nr);
    const struct sdg_product values = {
        .c = d->out,
        .ldc = nr,
        .base = d->out,
        .ld_base = nr,
        .a = values_of(a, slot, block),
        .lda = a->v_pitch,
        .taps = &tap,
        .tap_count = 1,
        .b = d->p,
        .m = a->hd,
        .n = nr,
        .k = sdg_matmul_depth(a->mul, keys.count),
    };
    a->mul->run(&values);
}

static void attend_panel(const struct attention *a, const struct desk *d, size_t slot, size_t first,
                         size_t count)
{
    const size_t nr = a->mul->nr, head = a->at.first + slot, image = head / a->heads;
    const size_t column = head % a->heads * a->hd;
    const float *q = a->q + (image * a->tq + first) * a->ldq + column;
    float *out = a->out + (image * a->tq + first) * a->ldo + column;
    a->mul->pack(d->queries, nr, q, a->ldq, 1, count, a->hd);
    memset(d->out, 0, a->hd * nr * sizeof *d->out);
    for (size_t j = 0; j < nr; j++) {
        d->max[j] = -INFINITY;
        d->sum[j] = 0.0f;
    }
    for (size_t b = 0; b < a->keys.count; b++) {
        if (a->causal && b * KEYS >= first + count) break; /* seen by none of them */
        attend_block(a, d, slot, b, first);
    }
    for (size_t j = 0; j < count; j++) {
        const float share = 1.0f / d->sum[j];
        for (size_t i = 0; i < a->hd; i++) out[j * a->ldo + i] = d->out[i * nr + j] * share;
    }
}

static void attend_task(void *arg, size_t task, int worker)
{
    const struct attention *a = arg;
    const struct desk d = desk_of(a, worker);
    const struct sdg_span span = sdg_cut_piece(&a->queries, task % a->queries.count);
    const size_t slot = task / a->queries.count, last = span.first + span.count;
    for (size_t q = span.first; q < last; q += a->mul->nr)
        attend_panel(a, &d, slot, q, last - q < a->mul->nr ? last - q : a->mul->nr);
}

void sdg_op_attention(struct sdg_ops *o, float *out, const float *q, const float *k, const float *v,
                      size_t n, size_t tq, size_t tk, size_t heads, size_t hd, size_t ldq,
                      size_t ldkv, size_t ldo, bool causal)
{
    if (o->dry) o->macs += 2.0 * (double)(n * heads * hd) * (double)tq * (double)tk;
    if (n == 0 || tq == 0 || tk == 0 || heads == 0 || hd == 0) return;
    const struct sdg_matmul *mul = sdg_ops_matmul(o, false);
    const size_t element = sdg_matmul_element(mul), mark = sdg_arena_mark(o->work);
    struct attention a = {.o = o,
                          .mul = mul,
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
                          .causal = causal};
    a.depth = sdg_matmul_depth(mul, hd);
    a.k_pitch = sdg_row_pitch(mul, hd);
    a.v_pitch = sdg_row_pitch(mul, KEYS);
    a.keys = (struct sdg_cut) {tk, KEYS, (tk + KEYS - 1) / KEYS};
    a.queries = sdg_cut_at_most(tq, PANELS * mul->nr, mul->nr);
    const size_t kp = tk * a.k_pitch, vt = a.keys.count * hd * a.v_pitch; /* of a head */
    const size_t fit = o->strip_bytes / ((kp + vt) * element);
    a.rounds = sdg_cut_at_most(n * heads, !o->strip_bytes ? n * heads : fit ? fit : 1, 1);
    a.kp = sdg_arena_alloc(o->work, a.rounds.size * kp, element);
    a.vt = sdg_arena_alloc(o->work, a.rounds.size * vt, element);
    a.scratch = sdg_scratch_take(o, desk_floats(&a));
    for (size_t i = 0; !o->dry && i < a.rounds.count; i++) {
        a.at = sdg_cut_piece(&a.rounds, i);
        sdg_ops_for(o, a.at.count * a.keys.count, prepare_block, &a);
        sdg_ops_for(o, a.at.count * a.queries.count, attend_task, &a);
    }
    sdg_arena_release(o->work, mark);
}
