/* blas.c - see blas.h. The only file that includes cblas.h. */
#include "bench/blas.h"

#include <cblas.h>

const char *bench_blas_name(void)
{
    return openblas_get_config();
}

void bench_blas_multiply(float *c, const float *a, const float *b, size_t m, size_t n, size_t k,
                         int threads)
{
    if (openblas_get_num_threads() != threads) openblas_set_num_threads(threads);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f,
                a, (blasint)k, b, (blasint)k, 0.0f, c, (blasint)n);
}
