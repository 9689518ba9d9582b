/* brownian.h - one fixed Brownian path per seed, asked for its increments.
 *
 * Samplers that solve a stochastic equation step through noise levels in an order of their own:
 * back and forth, twice over a piece, in halves. Noise that belongs to the levels and not to the
 * order of asking makes their picture converge when steps are added. The path is a binary tree
 * (Li et al. 2020, "Scalable gradients for stochastic differential equations", section 4): an
 * interval's increment W, split at the middle, gives its left half's by a Brownian bridge, and the
 * right half's as the rest.
 *
 *         [start, end]          W   = sqrt(end - start) z
 *          /        \
 *    [start, mid]  [mid, end]   W_l = W (mid - start)/h + sqrt((mid - start)(end - mid)/h) z'
 *      /     \       /    \     W_r = W - W_l
 *
 * z, z' are drawn anew for every node from a seed that depends on the path's seed and the node's
 * place alone. Nothing is stored between questions: a question walks down from the root. */
#ifndef SDG_SAMPLING_BROWNIAN_H
#define SDG_SAMPLING_BROWNIAN_H

#include "sampling/rng.h"

/* Ends are rounded to 1e-6, so 40 halvings exhaust any interval shorter than a million. */
enum { SDG_BROWNIAN_DEPTH = 40, SDG_BROWNIAN_LEVELS = SDG_BROWNIAN_DEPTH + 1 };

struct sdg_brownian {
    enum sdg_rng_kind rng; /* what nodes draw from */
    uint64_t seed;
    size_t count;
    double start, end; /* rounded */
    float root;        /* square root of the length before rounding */
    float *space;      /* [SDG_BROWNIAN_LEVELS][count] increments along the walk */
};

/* space [SDG_BROWNIAN_LEVELS][count] may be shared by paths that are asked in turn. from < to. */
void sdg_brownian_init(struct sdg_brownian *b, float *space, size_t count, enum sdg_rng_kind rng,
                       uint64_t seed, double from, double to);

/* y[count] = W(to) - W(from), whichever is larger; places outside of the path count as its ends.
 * About 2 log2(length/1e-6) draws of `count` numbers at most. */
void sdg_brownian_increment(const struct sdg_brownian *b, float *y, double from, double to);

#endif
