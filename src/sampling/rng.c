/* rng.c - see rng.h. */
#include "sampling/rng.h"

#include "sampling/philox.h"
#include "sampling/torch_normal.h"

void sdg_rng_seed(struct sdg_rng *r, enum sdg_rng_kind kind, uint64_t seed)
{
    *r = (struct sdg_rng) {.kind = kind, .seed = seed};
    if (kind == SDG_RNG_CPU) sdg_mt19937_seed(&r->engine, (uint32_t)seed);
}

void sdg_rng_normal(struct sdg_rng *r, float *y, size_t count)
{
    if (r->kind == SDG_RNG_CPU)
        sdg_torch_normal(r, y, count);
    else if (r->narrow)
        sdg_philox_normal_f32(y, count, r->seed, r->offset++);
    else
        sdg_philox_normal(y, count, r->seed, r->offset++);
}
