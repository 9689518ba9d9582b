/* philox.c - see philox.h. Sources: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as
 * easy as 1, 2, 3", section 3.3 (the rounds); AUTOMATIC1111 stable-diffusion-webui 1.10,
 * modules/rng_philox.py (which counter each element of a torch.randn on CUDA gets, and the rounding
 * of the two constants below). */
#include "sampling/philox.h"

#include <math.h>

enum { ROUNDS = 10 };

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

/* Box & Muller 1958 on the first two words; the sine alone is kept. Word x becomes the middle of
 * its interval, (x + 1/2) 2^-32, with 2^-32 in the f32 rounding and decimals of the CUDA headers.
 */
void sdg_philox_normal(float *y, size_t count, uint64_t seed, uint32_t draw)
{
    const float unit = 2.3283064e-10f;
    const float turn = (float)(2.3283064e-10 * 6.2831855);
    for (size_t i = 0; i < count; i++) {
        uint32_t c[4] = {draw, 0, (uint32_t)i, 0};
        sdg_philox4x32(c, seed);
        const double u = c[0] * (double)unit + (double)(unit / 2);
        const double angle = c[1] * (double)turn + (double)(turn / 2);
        y[i] = (float)(sqrt(-2.0 * log(u)) * sin(angle));
    }
}
