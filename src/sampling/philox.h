/* philox.h - Philox4x32-10 (Salmon et al. 2011): random numbers from a counter instead of a state,
 * so that each of thousands of GPU threads computes its own without asking the others. */
#ifndef SDG_SAMPLING_PHILOX_H
#define SDG_SAMPLING_PHILOX_H

#include <stddef.h>
#include <stdint.h>

/* The ten rounds: c[4] is replaced by four random words. */
void sdg_philox4x32(uint32_t c[4], uint64_t key);

/* y[count] = draw number `draw` (0, 1, ...) of normal numbers under `seed`; element i depends on
 * (seed, draw, i) only. */
void sdg_philox_normal(float *y, size_t count, uint64_t seed, uint32_t draw);

/* The same in f32 throughout, as stable-diffusion.cpp computes it: most values agree to 1e-6, those
 * near 0 to 1e-4 only. */
void sdg_philox_normal_f32(float *y, size_t count, uint64_t seed, uint32_t draw);

#endif
