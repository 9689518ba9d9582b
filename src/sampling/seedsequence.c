/* seedsequence.c - see seedsequence.h. Sources: O'Neill 2015, "Developing a seed_seq alternative"
 * (the construction: hash each word with an ever changing multiplier, then mix every word of the
 * pool into every other), and numpy, numpy/random/bit_generator.pyx (constants and order). */
#include "sampling/seedsequence.h"

/* Multipliers: A while words go into the pool, B while they come out. */
#define FIRST_A 0x43b0d7e5u
#define NEXT_A 0x931e8875u
#define FIRST_B 0x8b51f9ddu
#define NEXT_B 0x58f38dedu

/* One hash; no two calls of a sequence use the same multiplier. */
static uint32_t hash(uint32_t value, uint32_t *multiplier, uint32_t next)
{
    value ^= *multiplier;
    *multiplier *= next;
    value *= *multiplier;
    return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    const uint32_t r = 0xca01f9ddu * x - 0x4973f715u * y;
    return r ^ r >> 16;
}

size_t sdg_seed_words(uint32_t words[2], uint64_t n)
{
    words[0] = (uint32_t)n;
    words[1] = (uint32_t)(n >> 32);
    return words[1] ? 2 : 1;
}

void sdg_seed_sequence(uint32_t *state, size_t count, const uint32_t *entropy, size_t words,
                       size_t pool)
{
    uint32_t p[SDG_SEED_POOL], a = FIRST_A, b = FIRST_B;
    for (size_t i = 0; i < pool; i++) p[i] = hash(i < words ? entropy[i] : 0, &a, NEXT_A);
    for (size_t from = 0; from < pool; from++)
        for (size_t to = 0; to < pool; to++)
            if (from != to) p[to] = mix(p[to], hash(p[from], &a, NEXT_A));
    for (size_t from = pool; from < words; from++)
        for (size_t to = 0; to < pool; to++) p[to] = mix(p[to], hash(entropy[from], &a, NEXT_A));
    for (size_t i = 0; i < count; i++) state[i] = hash(p[i % pool], &b, NEXT_B);
}
