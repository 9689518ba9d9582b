/* gemm.h - matrix product inside an operation, by OpenBLAS or by the tier's own kernel. */
#ifndef SDG_OPS_GEMM_H
#define SDG_OPS_GEMM_H

#include "ops/work.h"

/* C[m][n] (+)= A[m][k] B[n][k]^T; B's element (j, p) is b[j * b_row + p * b_col], and one of the
 * two steps is 1: b_col = 1 for a matrix [n][k], b_row = 1 for [k][n]. */
struct sdg_gemm {
    float *c;
    size_t ldc;
    const float *a;
    size_t lda;
    const float *b;
    size_t b_row, b_col;
    size_t m, n, k;
    bool accumulate;
};

/* Floats of scratch that sdg_gemm_run needs for sums over k. */
size_t sdg_gemm_scratch(const struct sdg_ops *o, size_t k);
void sdg_gemm_run(const struct sdg_ops *o, const struct sdg_gemm *g, float *scratch);

#endif
