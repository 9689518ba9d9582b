/* blas.h - OpenBLAS as a comparator. blas.c knows it and is linked into build/sdgen-bench alone;
 * noblas.c stands in its place in the sdgen that is installed. */
#ifndef SDG_BENCH_BLAS_H
#define SDG_BENCH_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* The name and build of the library, or NULL where none is linked. */
const char *bench_blas_name(void);

/* C[m][n] = A[m][k] B[n][k]^T on `threads` threads of the library's own. */
void bench_blas_multiply(float *c, const float *a, const float *b, size_t m, size_t n, size_t k,
                         int threads);

#endif
