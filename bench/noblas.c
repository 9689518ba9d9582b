/* noblas.c - see blas.h: no OpenBLAS. */
#include "bench/blas.h"

const char *bench_blas_name(void)
{
    return NULL;
}

void bench_blas_multiply(float *c, const float *a, const float *b, size_t m, size_t n, size_t k,
                         int threads)
{
    (void)c, (void)a, (void)b, (void)m, (void)n, (void)k, (void)threads;
}
