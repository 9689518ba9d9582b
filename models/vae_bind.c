/* vae_bind.c - which tensors the autoencoder is made of: the same residual block and the same
 * middle in both halves, levels counted from the picture (level 0) to the latent. */
#include "models/vae.h"

#include <stdio.h>

/* ---- tables ---------------------------------------------------------------------------------- */

#define KERNEL(k) SDG_LITERAL(k), SDG_LITERAL(k) /* the extents of a k x k convolution */

enum { C_IN, C_OUT };

#define AT(member) offsetof(struct sdg_vae_resblock, member)
static const struct sdg_bind_row resblock_rows[] = {
    {"norm1.weight", AT(norm1.weight), 1, {C_IN}, 0},
    {"norm1.bias", AT(norm1.bias), 1, {C_IN}, 0},
    {"conv1.weight", AT(conv1.weight), 4, {C_OUT, C_IN, KERNEL(3)}, 0},
    {"conv1.bias", AT(conv1.bias), 1, {C_OUT}, 0},
    {"norm2.weight", AT(norm2.weight), 1, {C_OUT}, 0},
    {"norm2.bias", AT(norm2.bias), 1, {C_OUT}, 0},
    {"conv2.weight", AT(conv2.weight), 4, {C_OUT, C_OUT, KERNEL(3)}, 0},
    {"conv2.bias", AT(conv2.bias), 1, {C_OUT}, 0},
};
/* Only where C_IN and C_OUT differ. */
static const struct sdg_bind_row shortcut_rows[] = {
    {"nin_shortcut.weight", AT(shortcut.weight), 4, {C_OUT, C_IN, KERNEL(1)}, SDG_SQUEEZE},
    {"nin_shortcut.bias", AT(shortcut.bias), 1, {C_OUT}, 0},
};
#undef AT

enum { C };

#define AT(member) offsetof(struct sdg_vae_attention, member)
static const struct sdg_bind_row attention_rows[] = {
    {"norm.weight", AT(norm.weight), 1, {C}, 0},
    {"norm.bias", AT(norm.bias), 1, {C}, 0},
    {"q.weight", AT(q.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
    {"q.bias", AT(q.bias), 1, {C}, 0},
    {"k.weight", AT(k.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
    {"k.bias", AT(k.bias), 1, {C}, 0},
    {"v.weight", AT(v.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
    {"v.bias", AT(v.bias), 1, {C}, 0},
    {"proj_out.weight", AT(out.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
    {"proj_out.bias", AT(out.bias), 1, {C}, 0},
};
#undef AT

static const struct sdg_bind_row resample_rows[] = {
    {"weight", offsetof(struct sdg_conv, weight), 4, {C, C, KERNEL(3)}, 0},
    {"bias", offsetof(struct sdg_conv, bias), 1, {C}, 0},
};

/* Widths of the input, behind conv_in, before conv_out, of the output, and of the 1x1 convolution
 * next to the latent. */
enum { IN, FIRST, LAST, OUT, QUANT };

#define AT(member) offsetof(struct sdg_vae_half, member)
static const struct sdg_bind_row half_rows[] = {
    {"conv_in.weight", AT(conv_in.weight), 4, {FIRST, IN, KERNEL(3)}, 0},
    {"conv_in.bias", AT(conv_in.bias), 1, {FIRST}, 0},
    {"norm_out.weight", AT(norm_out.weight), 1, {LAST}, 0},
    {"norm_out.bias", AT(norm_out.bias), 1, {LAST}, 0},
    {"conv_out.weight", AT(conv_out.weight), 4, {OUT, LAST, KERNEL(3)}, 0},
    {"conv_out.bias", AT(conv_out.bias), 1, {OUT}, 0},
};
static const struct sdg_bind_row quant_rows[] = {
    {"weight", AT(quant.weight), 4, {QUANT, QUANT, KERNEL(1)}, SDG_SQUEEZE},
    {"bias", AT(quant.bias), 1, {QUANT}, 0},
};
#undef AT

/* ---- walk ------------------------------------------------------------------------------------ */

enum { PREFIX_MAX = 64 };

static void bind_resblock(struct sdg_vae_resblock *r, const char *prefix, int c_in, int c_out,
                          struct sdg_binder *b)
{
    const int64_t dims[] = {[C_IN] = c_in, [C_OUT] = c_out};
    sdg_bind_rows(b, prefix, resblock_rows, SDG_ROWS(resblock_rows), dims, r);
    if (c_in != c_out) sdg_bind_rows(b, prefix, shortcut_rows, SDG_ROWS(shortcut_rows), dims, r);
}

static void bind_middle(struct sdg_vae_middle *m, const char *half, int c, struct sdg_binder *b)
{
    const int64_t dims[] = {[C] = c};
    char name[PREFIX_MAX];
    snprintf(name, sizeof name, "%s.mid.block_1.", half);
    bind_resblock(&m->block1, name, c, c, b);
    snprintf(name, sizeof name, "%s.mid.attn_1.", half);
    sdg_bind_rows(b, name, attention_rows, SDG_ROWS(attention_rows), dims, &m->attention);
    snprintf(name, sizeof name, "%s.mid.block_2.", half);
    bind_resblock(&m->block2, name, c, c, b);
}

/* Residual blocks c_in -> c -> ... -> c, then the resampling convolution unless it is NULL. */
static void bind_level(struct sdg_vae_level *l, const char *level, const char *resample, int blocks,
                       int c_in, int c, struct sdg_binder *b)
{
    const int64_t dims[] = {[C] = c};
    char name[PREFIX_MAX];
    for (int i = 0; i < blocks; i++) {
        snprintf(name, sizeof name, "%s.block.%d.", level, i);
        bind_resblock(&l->blocks[i], name, i ? c : c_in, c, b);
    }
    if (!resample) return;
    snprintf(name, sizeof name, "%s.%s.conv.", level, resample);
    sdg_bind_rows(b, name, resample_rows, SDG_ROWS(resample_rows), dims, &l->resample);
}

static void bind_encoder(struct sdg_vae_half *m, const struct sdg_vae_config *c,
                         struct sdg_binder *b)
{
    const int deepest = c->channels[c->levels - 1];
    const int64_t dims[] = {[IN] = c->image_channels,
                            [FIRST] = c->channels[0],
                            [LAST] = deepest,
                            [OUT] = (int64_t)2 * c->z_channels,
                            [QUANT] = (int64_t)2 * c->z_channels};
    sdg_bind_rows(b, "encoder.", half_rows, SDG_ROWS(half_rows), dims, m);
    for (int i = 0; i < c->levels; i++) {
        char name[PREFIX_MAX];
        snprintf(name, sizeof name, "encoder.down.%d", i);
        bind_level(&m->levels[i], name, i + 1 < c->levels ? "downsample" : NULL, c->blocks,
                   c->channels[i ? i - 1 : 0], c->channels[i], b);
    }
    bind_middle(&m->middle, "encoder", deepest, b);
    sdg_bind_rows(b, "quant_conv.", quant_rows, SDG_ROWS(quant_rows), dims, m);
}

static void bind_decoder(struct sdg_vae_half *m, const struct sdg_vae_config *c,
                         struct sdg_binder *b)
{
    const int deepest = c->channels[c->levels - 1];
    const int64_t dims[] = {[IN] = c->z_channels,
                            [FIRST] = deepest,
                            [LAST] = c->channels[0],
                            [OUT] = c->image_channels,
                            [QUANT] = c->z_channels};
    sdg_bind_rows(b, "post_quant_conv.", quant_rows, SDG_ROWS(quant_rows), dims, m);
    sdg_bind_rows(b, "decoder.", half_rows, SDG_ROWS(half_rows), dims, m);
    bind_middle(&m->middle, "decoder", deepest, b);
    for (int i = c->levels - 1; i >= 0; i--) {
        char name[PREFIX_MAX];
        snprintf(name, sizeof name, "decoder.up.%d", i);
        bind_level(&m->levels[i], name, i ? "upsample" : NULL, c->blocks + 1,
                   i + 1 < c->levels ? c->channels[i + 1] : deepest, c->channels[i], b);
    }
}

void sdg_vae_bind(struct sdg_vae *m, const struct sdg_vae_config *config, struct sdg_binder *b)
{
    *m = (struct sdg_vae) {.config = *config};
    if (config->has_encoder) bind_encoder(&m->encoder, config, b);
    bind_decoder(&m->decoder, config, b);
}

int sdg_vae_factor(const struct sdg_vae_config *config)
{
    return 1 << (config->levels - 1);
}
