/* rng.h - the two noise sources that shared pictures were made with.
 *   cpu   torch.Generator("cpu"): MT19937 (mt19937.c) and torch's normal_ fill (torch_normal.c)
 *   cuda  torch.randn on CUDA: Philox4x32-10 (philox.c), as A1111's "NV" source computes it
 *
 * Both are streams: the second draw from a generator differs from the first, and what it returns
 * depends on the sizes drawn before. Every image of a run owns one generator. */
#ifndef SDG_SAMPLING_RNG_H
#define SDG_SAMPLING_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sampling/mt19937.h"

enum sdg_rng_kind { SDG_RNG_CPU, SDG_RNG_CUDA };

struct sdg_rng {
    enum sdg_rng_kind kind;
    struct sdg_mt19937 engine; /* cpu */
    double spare;              /* cpu: second half of a Box-Muller pair (draws of fewer than 16) */
    int has_spare;
    uint64_t seed;   /* cuda: Philox key */
    uint32_t offset; /* cuda: number of draws so far */
    bool narrow;     /* cuda: in f32 (stable-diffusion.cpp); set after seeding */
};

/* cpu uses the low 32 bits of seed, as torch does; cuda all 64. */
void sdg_rng_seed(struct sdg_rng *r, enum sdg_rng_kind kind, uint64_t seed);

/* y[count] = what torch.randn of that many f32 elements returns next from this generator. */
void sdg_rng_normal(struct sdg_rng *r, float *y, size_t count);

#endif
