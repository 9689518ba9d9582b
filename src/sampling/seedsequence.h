/* seedsequence.h - numpy's SeedSequence: many unrelated seeds from one number.
 *
 * torchsde asks it for the seed of every node of a Brownian tree (brownian.c). */
#ifndef SDG_SAMPLING_SEEDSEQUENCE_H
#define SDG_SAMPLING_SEEDSEQUENCE_H

#include <stddef.h>
#include <stdint.h>

enum { SDG_SEED_POOL = 24 }; /* largest pool */

/* Writes n as 32-bit words, lowest first, without leading zeros; 0 is one word. Returns how many.
 */
size_t sdg_seed_words(uint32_t words[2], uint64_t n);

/* state[count] = SeedSequence(...).generate_state(count) of a pool of `pool` words, 1 to
 * SDG_SEED_POOL. entropy[words]: the seed's words; with a spawn key, zeros up to `pool` words and
 * then the key's. */
void sdg_seed_sequence(uint32_t *state, size_t count, const uint32_t *entropy, size_t words,
                       size_t pool);

#endif
