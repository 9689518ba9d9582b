/* mt19937.c - see mt19937.h. Source: Matsumoto & Nishimura 1998, "Mersenne Twister: a
 * 623-dimensionally equidistributed uniform pseudo-random number generator", ACM TOMACS 8(1), with
 * the initialisation of 2002. std::mt19937 and the engine inside torch's CPU generator are the
 * same. */
#include "sampling/mt19937.h"

enum { N = SDG_MT19937_WORDS, M = 397 };
#define MATRIX 0x9908b0dfu /* last row of the twist matrix */
#define UPPER 0x80000000u  /* the one bit of word k that takes part in the recurrence */
#define LOWER 0x7fffffffu  /* the 31 bits of word k + 1 */

void sdg_mt19937_seed(struct sdg_mt19937 *m, uint32_t seed)
{
    m->state[0] = seed;
    for (uint32_t i = 1; i < N; i++) {
        const uint32_t before = m->state[i - 1];
        m->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    m->next = N;
}

/* x[k+N] = x[k+M] ^ (upper bit of x[k] | lower bits of x[k+1]) A, for a whole state at once. */
static void renew(struct sdg_mt19937 *m)
{
    uint32_t *x = m->state;
    for (int k = 0; k < N; k++) {
        const uint32_t y = (x[k] & UPPER) | (x[(k + 1) % N] & LOWER);
        x[k] = x[(k + M) % N] ^ (y >> 1) ^ (y & 1 ? MATRIX : 0);
    }
    m->next = 0;
}

uint32_t sdg_mt19937_next(struct sdg_mt19937 *m)
{
    if (m->next >= N) renew(m);
    uint32_t y = m->state[m->next++];
    y ^= y >> 11; /* tempering: spreads the bits over the word */
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}
