/* blas.c - see blas.h. The only file that includes cblas.h.
 *
 * OpenBLAS comes in builds of two kinds. One brings threads of its own, and how many a call uses is
 * a setting of the whole process: it is put to 1 here and left there, since putting it back could
 * change the bits of another engine's call that is under way. (Whoever raises it again meanwhile is
 * overruled at the next operation.) Writing the same 1 from several threads is harmless. The other
 * kind takes the compiler's threads, and inside sdg_parallel_for those are down to one
 * (base/parallel.c); its setting is not touched.
 *
 * Which of its kernels OpenBLAS takes depends on the CPU and on m, n and k, not on the thread: so
 * calls whose sizes are fixed by shape give the same bits on one machine. */
#include "bench/blas.h"

#ifdef SDG_NO_OPENBLAS

bool sdg_blas_present(void)
{
    return false;
}

void sdg_blas_prepare(void)
{
}

void sdg_blas_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t b_row,
                   size_t b_col, size_t m, size_t n, size_t k, bool accumulate)
{
    (void)c, (void)ldc, (void)a, (void)lda, (void)b, (void)b_row, (void)b_col;
    (void)m, (void)n, (void)k, (void)accumulate;
}

#else
#include <cblas.h>

enum { OWN_THREADS = 1 }; /* openblas_get_parallel(): 0 none, 1 its own, 2 the compiler's */

bool sdg_blas_present(void)
{
    return true;
}

void sdg_blas_prepare(void)
{
    if (openblas_get_parallel() == OWN_THREADS && openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
}

void sdg_blas_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t b_row,
                   size_t b_col, size_t m, size_t n, size_t k, bool accumulate)
{
    const bool rows = b_col == 1; /* B lies there as [n][k]; else as [k][n] */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, rows ? CblasTrans : CblasNoTrans, (blasint)m,
                (blasint)n, (blasint)k, 1.0f, a, (blasint)lda, b, (blasint)(rows ? b_row : b_col),
                accumulate ? 1.0f : 0.0f, c, (blasint)ldc);
}

#endif
