/* blas.h - matrix product by OpenBLAS. blas.c is the only file that knows it. */
#ifndef SDG_BENCH_BLAS_H
#define SDG_BENCH_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* False where the build left OpenBLAS out (make OPENBLAS=0). */
bool sdg_blas_present(void);

/* To be called before a parallel loop whose tasks call sdg_blas_gemm: sees to it that each call
 * keeps to the thread it is made on. */
void sdg_blas_prepare(void);

/* C[m][n] (+)= A[m][k] B[n][k]^T. B's element (j, p) is b[j * b_row + p * b_col], and one of the
 * two steps is 1. m, n, k >= 1. May be called from several threads at once. */
void sdg_blas_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t b_row,
                   size_t b_col, size_t m, size_t n, size_t k, bool accumulate);

#endif
