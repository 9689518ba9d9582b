/* conv_plan.c - which way a convolution is done: see conv_plan.h. */
#include "ops/conv_plan.h"

#include "ops/winograd.h"

static bool is_3x3(const struct sdg_convolution *c)
{
    return c->kh == 3 && c->kw == 3 && c->g.stride == 1 && c->g.pad == 1;
}

/* Whether transformed weights can be made from the panels: in the same places, or pair by pair. */
static bool can_transform(const struct sdg_convolution *c, size_t tile)
{
    const struct sdg_matmul *from = c->panels.mul, *to = sdg_winograd_product(c, tile);
    return from->nr == to->nr && from->layout != SDG_MATMUL_TILES;
}

bool sdg_conv_can(const struct sdg_convolution *c, enum sdg_conv_way way)
{
    const struct sdg_conv_geometry *g = &c->g;
    switch (way) {
    case SDG_CONV_DIRECT: return true;
    case SDG_CONV_WINOGRAD_4: return is_3x3(c) && can_transform(c, 4);
    case SDG_CONV_WINOGRAD_2: return is_3x3(c) && can_transform(c, 2);
    case SDG_CONV_PHASES:
        return is_3x3(c) && g->up == 2 && g->vh == 2 * g->h && g->vw == 2 * g->w &&
               g->oh == g->vh && g->ow == g->vw;
    default: return false;
    }
}

/* The rule, from measurements that bench/SPEED.md holds. Narrow layers leave the products too
 * little to save against the transforms, and small maps too many columns that are dropped. In f32
 * tiles of 4x4 win at every other shape. In bf16, tiles of 2x2 do where a processor multiplies bf16
 * at twice the rate of f32, at twice the rounding error of the direct way; where it has no such
 * instruction, the sums of 4x4 tiles in f32 are both faster and more exact. */
enum { LEAST_CHANNELS = 64, LEAST_SIDE = 8 };

static bool is_worth_it(const struct sdg_convolution *c)
{
    return c->panels.in >= LEAST_CHANNELS && c->panels.out >= LEAST_CHANNELS &&
           c->g.oh >= LEAST_SIDE && c->g.ow >= LEAST_SIDE;
}

enum sdg_conv_way sdg_conv_choose(const struct sdg_convolution *c)
{
    if (c->o->exact_conv) return SDG_CONV_DIRECT;
    const enum sdg_conv_way otherwise =
        sdg_conv_can(c, SDG_CONV_PHASES) ? SDG_CONV_PHASES : SDG_CONV_DIRECT;
    if (!is_worth_it(c)) return otherwise;
    const bool fast_bf16 =
        c->panels.mul->input == SDG_INPUT_BF16 && c->o->k->isa >= SDG_ISA_AVX512BF16;
    if (fast_bf16 && otherwise == SDG_CONV_PHASES) return otherwise;
    const enum sdg_conv_way way = fast_bf16 ? SDG_CONV_WINOGRAD_2 : SDG_CONV_WINOGRAD_4;
    return sdg_conv_can(c, way) ? way : otherwise;
}
