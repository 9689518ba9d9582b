/* hashweights.c - see hashweights.h. Keep in step with tools/hashweights.py. */
#include "tests/support/hashweights.h"

#include <math.h>
#include <string.h>

/* FNV-1a, 32 bits (Fowler, Noll, Vo). */
static uint32_t name_hash(const char *name)
{
    uint32_t h = 0x811C9DC5u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x01000193u;
    return h;
}

/* Element i of the stream h, through the finaliser of MurmurHash3 (Appleby). */
static uint32_t bits(uint32_t h, size_t i)
{
    uint32_t x = h + (uint32_t)i * 0x9E3779B9u;
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    return x ^ x >> 16;
}

/* Uniform on [-1, 1), a multiple of 2^-23: every step is exact. */
static float uniform(uint32_t h, size_t i)
{
    return (float)(bits(h, i) >> 8) * 0x1p-23f - 1.0f;
}

void test_hash_weight(float *y, const char *name, const int64_t *shape, int rank)
{
    static const char norm[] = ".weight";
    const size_t length = strlen(name), tail = sizeof norm - 1;
    const uint32_t h = name_hash(name);
    size_t fan_in = 1;
    for (int d = 1; d < rank; d++) fan_in *= (size_t)shape[d];
    const size_t count = fan_in * (size_t)(rank ? shape[0] : 1);

    float scale = 0.1f, base = 0;
    if (rank >= 2)
        scale = (float)sqrt(3.0 / (double)fan_in);
    else if (length >= tail && strcmp(name + length - tail, norm) == 0)
        base = 1;
    for (size_t i = 0; i < count; i++) y[i] = base + scale * uniform(h, i);
}

void test_hash_input(float *y, const char *name, size_t count)
{
    const uint32_t h = name_hash(name);
    const float scale = (float)sqrt(3.0);
    for (size_t i = 0; i < count; i++) y[i] = scale * uniform(h, i);
}

void test_hash_ids(int32_t *y, const char *name, size_t count, uint32_t vocab)
{
    const uint32_t h = name_hash(name);
    for (size_t i = 0; i < count; i++) y[i] = (int32_t)(bits(h, i) % vocab);
}
