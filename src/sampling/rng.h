/* rng.h - the two noise sources that shared pictures were made with.
 *   cpu   torch.Generator("cpu"): MT19937 (Matsumoto & Nishimura 1998) and torch's normal_ fill
 *   cuda  torch.randn on CUDA: Philox4x32-10 (Salmon et al. 2011), as A1111's "NV" source computes it */
#ifndef SDG_SAMPLING_RNG_H
#define SDG_SAMPLING_RNG_H

#include <stddef.h>
#include <stdint.h>

enum sdg_rng_kind { SDG_RNG_CPU, SDG_RNG_CUDA };

struct sdg_rng {
    enum sdg_rng_kind kind;
    uint32_t state[624]; /* MT19937 */
    int next;
    double spare;        /* second half of a Box-Muller pair (draws of fewer than 16) */
    int has_spare;
    uint64_t seed;       /* Philox key */
    uint32_t offset;     /* Philox: number of draws so far */
};

void sdg_rng_seed(struct sdg_rng *r, enum sdg_rng_kind kind, uint64_t seed);

/* y[count] = what torch.randn of that many f32 elements returns next from this generator. */
void sdg_rng_normal(struct sdg_rng *r, float *y, size_t count);

#endif
