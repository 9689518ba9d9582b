/* gemm.c - see gemm.h. */
#include "ops/gemm.h"

#include "kernels.h"
#include "ops/blas.h"

static bool by_blas(const struct sdg_ops *o)
{
    return o->blas && sdg_blas_present();
}

size_t sdg_gemm_scratch(const struct sdg_ops *o, size_t k)
{
    return by_blas(o) ? 0 : o->k->gemm_f32.nr * k;
}

/* Panel by panel: pack nr columns of B, then all rows of A pass by it. */
static void multiply_by_kernel(const struct sdg_gemm_f32 *kernel, const struct sdg_gemm *g,
                               float *panel)
{
    for (size_t j = 0; j < g->n; j += kernel->nr) {
        const size_t n = g->n - j < kernel->nr ? g->n - j : kernel->nr;
        kernel->pack_b(panel, g->b + j * g->b_row, g->b_row, g->b_col, n, g->k);
        kernel->run(g->c + j, g->ldc, g->a, g->lda, panel, g->m, n, g->k, g->accumulate);
    }
}

void sdg_gemm_run(const struct sdg_ops *o, const struct sdg_gemm *g, float *scratch)
{
    if (g->m == 0 || g->n == 0) return;
    if (by_blas(o) && g->k)
        sdg_blas_gemm(g->c, g->ldc, g->a, g->lda, g->b, g->b_row, g->b_col, g->m, g->n, g->k,
                      g->accumulate);
    else
        multiply_by_kernel(&o->k->gemm_f32, g, scratch);
}
