/* brownian.c - see brownian.h. The same tree as torchsde 0.2.6, torchsde/_brownian/
 * brownian_interval.py and derived.py (BrownianTree: halfway_tree, tol 1e-6, pool_size 24), f32 in
 * its order: any question is answered by the fewest nodes of the halving that cover it, added from
 * left to right. torchsde keeps nodes in a cache and creates them as they are asked for; since a
 * node's seed depends on its place alone, making them again gives the same numbers. */
#include "sampling/brownian.h"

#include <math.h>
#include <stdbool.h>
#include "sampling/seedsequence.h"

#define GRID 1e6 /* 1/tol */

struct node {
    double start, end;
    uint64_t key; /* 0 at the root; 2 key and 2 key + 1 for the halves */
    int depth;
};

static double at_most(double a, double b)
{
    return a < b ? a : b;
}
static double at_least(double a, double b)
{
    return a > b ? a : b;
}

/* x to six decimals, ties to even, as Python's round does it: by the exact value of x, not by that
 * of the product x * 1e6, whose own rounding error fma gives. The quotient is the f64 nearest to
 * the decimal number. */
static double rounded(double x)
{
    const double product = x * GRID, error = fma(x, GRID, -product);
    const double below = floor(product), over = product - below - 0.5;
    const bool tie = over == 0 && error == 0;
    const bool up = tie ? fmod(below, 2) != 0 : over > 0 || (over == 0 && error > 0);
    return (below + up) / GRID;
}

/* Seed of a node's normal numbers: the first word of its SeedSequence, spawned under (key, depth);
 * the root's own increment comes from the sequence without a spawn key. */
static uint32_t seed_of(uint64_t seed, const struct node *spawn)
{
    uint32_t entropy[SDG_SEED_POOL + 4] = {0}, state;
    size_t words = sdg_seed_words(entropy, seed);
    if (spawn) {
        words = SDG_SEED_POOL;
        words += sdg_seed_words(entropy + words, spawn->key);
        words += sdg_seed_words(entropy + words, (uint64_t)spawn->depth);
    }
    sdg_seed_sequence(&state, 1, entropy, words, SDG_SEED_POOL);
    return state;
}

static void draw(const struct sdg_brownian *b, float *y, uint32_t seed)
{
    struct sdg_rng r;
    sdg_rng_seed(&r, b->rng, seed);
    sdg_rng_normal(&r, y, b->count);
}

/* left[count] = increment of the left half of n, whose own is w. */
static void split(const struct sdg_brownian *b, float *left, const float *w, const struct node *n,
                  double middle)
{
    const double before = middle - n->start, after = n->end - middle;
    const double inverse = 1 / (n->end - n->start);
    const float a = (float)before, c = (float)inverse,
                spread = (float)sqrt(before * after * inverse);
    draw(b, left, seed_of(b->seed, n));
    for (size_t i = 0; i < b->count; i++) left[i] = a * w[i] * c + spread * left[i];
}

/* y += increment of [from, to], a part of n. The increment of n lies in its level of the space; its
 * halves take turns in the level below. */
static void add(const struct sdg_brownian *b, float *y, const struct node *n, double from,
                double to)
{
    const float *w = b->space + (size_t)n->depth * b->count;
    if ((from == n->start && to == n->end) || n->depth == SDG_BROWNIAN_DEPTH) {
        const float share = (float)((to - from) / (n->end - n->start)); /* 1, but for giant paths */
        for (size_t i = 0; i < b->count; i++) y[i] += share * w[i];
        return;
    }
    float *half = b->space + (size_t)(n->depth + 1) * b->count;
    const double middle = rounded(0.5 * (n->end + n->start));
    split(b, half, w, n, middle);
    if (from < middle) {
        const struct node left = {n->start, middle, 2 * n->key, n->depth + 1};
        add(b, y, &left, from, at_most(to, middle));
    }
    if (to > middle) {
        const struct node right = {middle, n->end, 2 * n->key + 1, n->depth + 1};
        for (size_t i = 0; i < b->count; i++) half[i] = w[i] - half[i];
        add(b, y, &right, at_least(from, middle), to);
    }
}

void sdg_brownian_init(struct sdg_brownian *b, float *space, size_t count, enum sdg_rng_kind rng,
                       uint64_t seed, double from, double to)
{
    *b = (struct sdg_brownian) {
        .rng = rng,
        .seed = seed,
        .count = count,
        .start = rounded(from),
        .end = rounded(to),
        .root = (float)sqrt(to - from),
        .space = space,
    };
}

void sdg_brownian_increment(const struct sdg_brownian *b, float *y, double from, double to)
{
    const double low = rounded(at_least(at_most(from, to), b->start));
    const double high = rounded(at_most(at_least(from, to), b->end));
    for (size_t i = 0; i < b->count; i++) y[i] = 0;
    if (!(low < high))
        return; /* nothing; torchsde recurses without end where only rounding makes
                   the two the same */
    draw(b, b->space, seed_of(b->seed, NULL));
    for (size_t i = 0; i < b->count; i++) b->space[i] *= b->root;
    const struct node root = {b->start, b->end, 0, 0};
    add(b, y, &root, low, high);
    if (from > to)
        for (size_t i = 0; i < b->count; i++) y[i] = -y[i];
}
