/* mt19937.h - the Mersenne Twister (Matsumoto & Nishimura 1998), 32 bits at a time. */
#ifndef SDG_SAMPLING_MT19937_H
#define SDG_SAMPLING_MT19937_H

#include <stdint.h>

enum { SDG_MT19937_WORDS = 624 };

struct sdg_mt19937 {
    uint32_t state[SDG_MT19937_WORDS];
    int next; /* word to hand out next; at the end the state is renewed */
};

void sdg_mt19937_seed(struct sdg_mt19937 *m, uint32_t seed);
uint32_t sdg_mt19937_next(struct sdg_mt19937 *m);

#endif
