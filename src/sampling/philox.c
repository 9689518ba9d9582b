/* philox.c - see philox.h. Sources: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as
 * easy as 1, 2, 3", section 3.3 (the rounds); AUTOMATIC1111 stable-diffusion-webui 1.10,
 * modules/rng_philox.py (which counter each element of a torch.randn on CUDA gets, and the rounding
 * of the two constants below); stable-diffusion.cpp, src/core/rng_philox.hpp. */
#include "sampling/philox.h"

#include <math.h>

enum { ROUNDS = 10 };

/* 2^-32 and 2 pi 2^-32, with the decimals of the CUDA headers. */
#define UNIT 2.3283064e-10f
#define TURN ((float)(2.3283064e-10 * 6.2831855))

void sdg_philox4x32(uint32_t c[4], uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t a = (uint64_t)c[0] * 0xD2511F53u;
        const uint64_t b = (uint64_t)c[2] * 0xCD9E8D57u;
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)a;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1: Weyl sequences */
        k1 += 0xBB67AE85u;
    }
}

/* The words of element i. */
static void words(uint32_t c[4], uint64_t seed, uint32_t draw, size_t i)
{
    c[0] = draw;
    c[1] = 0;
    c[2] = (uint32_t)i;
    c[3] = 0;
    sdg_philox4x32(c, seed);
}

/* Box & Muller 1958 on the first two words; the sine alone is kept. Word x becomes the middle of
 * its interval, (x + 1/2) 2^-32, with 2^-32 in f32. */
void sdg_philox_normal(float *y, size_t count, uint64_t seed, uint32_t draw)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t c[4];
        words(c, seed, draw, i);
        const double u = c[0] * (double)UNIT + (double)(UNIT / 2);
        const double angle = c[1] * (double)TURN + (double)(TURN / 2);
        y[i] = (float)(sqrt(-2.0 * log(u)) * sin(angle));
    }
}

/* The words lose their last eight bits to the format before anything else happens. */
void sdg_philox_normal_f32(float *y, size_t count, uint64_t seed, uint32_t draw)
{
    const float turn = UNIT * 6.2831855f;
    for (size_t i = 0; i < count; i++) {
        uint32_t c[4];
        words(c, seed, draw, i);
        const float u = (float)c[0] * UNIT + UNIT / 2;
        const float angle = (float)c[1] * turn + turn / 2;
        const float radius = sqrtf(-2.0f * (float)log((double)u));
        y[i] = radius * (float)sin((double)angle);
    }
}
