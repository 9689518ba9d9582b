/* panel.c - see panel.h.
 *
 * A packed weight keeps f16 and bf16 as the file has them, at half the memory, and is widened panel
 * by panel: a panel is used by hundreds of rows, so this costs less than a hundredth of the
 * product. A weight that is not packed is read from the file's own layout [out][in][taps]. */
#include "ops/panel.h"

struct sdg_panels sdg_panels_of(const struct sdg_ops *o, const struct sdg_matmul *mul,
                                const struct sdg_tensor *weight, size_t rows)
{
    struct sdg_panels p = {.o = o, .mul = mul, .weight = weight, .taps = 1};
    p.out = (size_t)weight->shape[0];
    p.in = (size_t)weight->shape[1];
    for (int i = 2; i < weight->rank; i++) p.taps *= (size_t)weight->shape[i];
    p.depth = sdg_matmul_depth(mul, p.in);
    p.count = (p.out + mul->nr - 1) / mul->nr;
    if (o->packs && o->dry) {
        sdg_packs_note(o->packs, weight, mul, rows);
        p.packed = sdg_packs_plan(o->packs, weight, mul);
    } else if (o->packs) {
        p.packed = sdg_packs_use(o->packs, weight, mul);
    }
    return p;
}

size_t sdg_panel_size(const struct sdg_panels *p)
{
    return p->taps * p->depth * p->mul->nr;
}

static bool in_place(const struct sdg_panels *p)
{
    return p->packed.data &&
           p->packed.dtype == (p->mul->input == SDG_INPUT_BF16 ? SDG_BF16 : SDG_F32);
}

size_t sdg_panel_scratch(const struct sdg_panels *p)
{
    if (in_place(p)) return 0;
    if (p->packed.data) return sdg_panel_size(p);
    return sdg_panel_size(p) + sdg_pack_scratch(p->mul, p->weight);
}

const void *sdg_panel_get(const struct sdg_panels *p, size_t i, float *scratch)
{
    if (!p->packed.data) {
        sdg_pack_panel(scratch, p->o->k, p->mul, p->weight, i, scratch + sdg_panel_size(p));
        return scratch;
    }
    const size_t size = sdg_panel_size(p);
    const char *at = (const char *)p->packed.data + i * size * sdg_dtype_size(p->packed.dtype);
    if (in_place(p)) return at;
    if (p->packed.dtype == SDG_F16)
        p->o->k->widen_f16(scratch, at, size);
    else
        p->o->k->widen_bf16(scratch, at, size);
    return scratch;
}

size_t sdg_row_pitch(const struct sdg_matmul *mul, size_t in)
{
    const size_t element = sdg_matmul_element(mul), line = SDG_ARENA_ALIGN / element;
    const size_t depth = sdg_matmul_depth(mul, in);
    const size_t lines = (depth + line - 1) / line;
    return (lines | 1) * line;
}
