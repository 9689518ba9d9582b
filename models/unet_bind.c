/* unet_bind.c - which tensors the UNet is made of, and which channel counts meet where.
 *
 * The single-file checkpoints number the entries of input_blocks and output_blocks through all
 * levels, resampling convolutions included, so the walks below count instead of computing names
 * from levels. Every output block takes what one input block left, last come first served: its
 * input width is the width that flows plus the width on top of that stack. */
#include "models/unet_blocks.h"

#include <stdio.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------------------- */

#define KERNEL(k) SDG_LITERAL(k), SDG_LITERAL(k) /* the extents of a k x k convolution */

enum { C_IN, C_OUT, TIME };

#define AT(member) offsetof(struct sdg_unet_resblock, member)
static const struct sdg_bind_row resblock_rows[] = {
    {"in_layers.0.weight", AT(norm1.weight), 1, {C_IN}, 0},
    {"in_layers.0.bias", AT(norm1.bias), 1, {C_IN}, 0},
    {"in_layers.2.weight", AT(conv1.weight), 4, {C_OUT, C_IN, KERNEL(3)}, 0},
    {"in_layers.2.bias", AT(conv1.bias), 1, {C_OUT}, 0},
    {"emb_layers.1.weight", AT(time.weight), 2, {C_OUT, TIME}, 0},
    {"emb_layers.1.bias", AT(time.bias), 1, {C_OUT}, 0},
    {"out_layers.0.weight", AT(norm2.weight), 1, {C_OUT}, 0},
    {"out_layers.0.bias", AT(norm2.bias), 1, {C_OUT}, 0},
    {"out_layers.3.weight", AT(conv2.weight), 4, {C_OUT, C_OUT, KERNEL(3)}, 0},
    {"out_layers.3.bias", AT(conv2.bias), 1, {C_OUT}, 0},
};
/* Only where C_IN and C_OUT differ. */
static const struct sdg_bind_row skip_rows[] = {
    {"skip_connection.weight", AT(skip.weight), 4, {C_OUT, C_IN, KERNEL(1)}, SDG_SQUEEZE},
    {"skip_connection.bias", AT(skip.bias), 1, {C_OUT}, 0},
};
#undef AT

enum { C, SOURCE, CONTEXT, GATED, FF };

#define AT(member) offsetof(struct sdg_unet_transformer, member)
static const struct sdg_bind_row transformer_rows[] = {
    {"norm.weight", AT(norm.weight), 1, {C}, 0},
    {"norm.bias", AT(norm.bias), 1, {C}, 0},
    {"proj_in.bias", AT(in.bias), 1, {C}, 0},
    {"proj_out.bias", AT(out.bias), 1, {C}, 0},
};
/* The same layer is stored as a 1x1 convolution by SD1 and as a linear layer by SD2. */
static const struct sdg_bind_row conv_projection_rows[] = {
    {"proj_in.weight", AT(in.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
    {"proj_out.weight", AT(out.weight), 4, {C, C, KERNEL(1)}, SDG_SQUEEZE},
};
static const struct sdg_bind_row linear_projection_rows[] = {
    {"proj_in.weight", AT(in.weight), 2, {C, C}, SDG_SQUEEZE},
    {"proj_out.weight", AT(out.weight), 2, {C, C}, SDG_SQUEEZE},
};
#undef AT

#define AT(member) offsetof(struct sdg_unet_layer, member)
static const struct sdg_bind_row layer_rows[] = {
    {"norm1.weight", AT(norm1.weight), 1, {C}, 0},
    {"norm1.bias", AT(norm1.bias), 1, {C}, 0},
    {"attn1.to_q.weight", AT(self.q.weight), 2, {C, C}, 0},
    {"attn1.to_k.weight", AT(self.k.weight), 2, {C, SOURCE}, 0},
    {"attn1.to_v.weight", AT(self.v.weight), 2, {C, SOURCE}, 0},
    {"attn1.to_out.0.weight", AT(self.out.weight), 2, {C, C}, 0},
    {"attn1.to_out.0.bias", AT(self.out.bias), 1, {C}, 0},
    {"norm2.weight", AT(norm2.weight), 1, {C}, 0},
    {"norm2.bias", AT(norm2.bias), 1, {C}, 0},
    {"attn2.to_q.weight", AT(cross.q.weight), 2, {C, C}, 0},
    {"attn2.to_k.weight", AT(cross.k.weight), 2, {C, CONTEXT}, 0},
    {"attn2.to_v.weight", AT(cross.v.weight), 2, {C, CONTEXT}, 0},
    {"attn2.to_out.0.weight", AT(cross.out.weight), 2, {C, C}, 0},
    {"attn2.to_out.0.bias", AT(cross.out.bias), 1, {C}, 0},
    {"norm3.weight", AT(norm3.weight), 1, {C}, 0},
    {"norm3.bias", AT(norm3.bias), 1, {C}, 0},
    {"ff.net.0.proj.weight", AT(ff_in.weight), 2, {GATED, C}, 0},
    {"ff.net.0.proj.bias", AT(ff_in.bias), 1, {GATED}, 0},
    {"ff.net.2.weight", AT(ff_out.weight), 2, {C, FF}, 0},
    {"ff.net.2.bias", AT(ff_out.bias), 1, {C}, 0},
};
#undef AT

static const struct sdg_bind_row resample_rows[] = {
    {"weight", offsetof(struct sdg_conv, weight), 4, {C, C, KERNEL(3)}, 0},
    {"bias", offsetof(struct sdg_conv, bias), 1, {C}, 0},
};

enum { IN, OUT, MODEL, TIME_WIDTH, LABEL, TIME_COND };

#define AT(member) offsetof(struct sdg_unet, member)
static const struct sdg_bind_row ends_rows[] = {
    {"time_embed.0.weight", AT(time1.weight), 2, {TIME_WIDTH, MODEL}, 0},
    {"time_embed.0.bias", AT(time1.bias), 1, {TIME_WIDTH}, 0},
    {"time_embed.2.weight", AT(time2.weight), 2, {TIME_WIDTH, TIME_WIDTH}, 0},
    {"time_embed.2.bias", AT(time2.bias), 1, {TIME_WIDTH}, 0},
    {"input_blocks.0.0.weight", AT(conv_in.weight), 4, {MODEL, IN, KERNEL(3)}, 0},
    {"input_blocks.0.0.bias", AT(conv_in.bias), 1, {MODEL}, 0},
    {"out.0.weight", AT(norm_out.weight), 1, {MODEL}, 0},
    {"out.0.bias", AT(norm_out.bias), 1, {MODEL}, 0},
    {"out.2.weight", AT(conv_out.weight), 4, {OUT, MODEL, KERNEL(3)}, 0},
    {"out.2.bias", AT(conv_out.bias), 1, {OUT}, 0},
};
/* Only in models that take a guidance scale (LCM), under the name that ldm would have given it. */
static const struct sdg_bind_row time_cond_rows[] = {
    {"time_embed.cond_proj.weight", AT(time_cond.weight), 2, {MODEL, TIME_COND}, 0},
};
/* Only in models that take a vector (SDXL). */
static const struct sdg_bind_row label_rows[] = {
    {"label_emb.0.0.weight", AT(label1.weight), 2, {TIME_WIDTH, LABEL}, 0},
    {"label_emb.0.0.bias", AT(label1.bias), 1, {TIME_WIDTH}, 0},
    {"label_emb.0.2.weight", AT(label2.weight), 2, {TIME_WIDTH, TIME_WIDTH}, 0},
    {"label_emb.0.2.bias", AT(label2.bias), 1, {TIME_WIDTH}, 0},
};
#undef AT

/* ---- blocks ---------------------------------------------------------------------------------- */

enum { PREFIX_MAX = 64 };

static void bind_resblock(struct sdg_unet_resblock *r, const char *prefix, int c_in, int c_out,
                          const struct sdg_unet_config *config, struct sdg_binder *b)
{
    const int64_t dims[] = {[C_IN] = c_in, [C_OUT] = c_out, [TIME] = config->time_width};
    r->c_in = c_in;
    r->c_out = c_out;
    sdg_bind_rows(b, prefix, resblock_rows, SDG_ROWS(resblock_rows), dims, r);
    if (c_in != c_out) sdg_bind_rows(b, prefix, skip_rows, SDG_ROWS(skip_rows), dims, r);
}

static void bind_transformer(struct sdg_unet_transformer *m, const char *prefix, int level,
                             int depth, int heads, const struct sdg_unet_config *config,
                             struct sdg_binder *b)
{
    const int c = config->channels[level];
    m->c = c;
    m->depth = depth;
    m->heads = heads;
    m->only_cross = config->only_cross[level];
    if (depth == 0) return;
    const int64_t dims[] = {[C] = c,
                            [SOURCE] = m->only_cross ? config->context : c,
                            [CONTEXT] = config->context,
                            [GATED] = (int64_t)8 * c,
                            [FF] = (int64_t)4 * c};
    sdg_bind_rows(b, prefix, transformer_rows, SDG_ROWS(transformer_rows), dims, m);
    if (config->linear_projection)
        sdg_bind_rows(b, prefix, linear_projection_rows, SDG_ROWS(linear_projection_rows), dims, m);
    else
        sdg_bind_rows(b, prefix, conv_projection_rows, SDG_ROWS(conv_projection_rows), dims, m);
    for (int i = 0; i < depth; i++) {
        char name[PREFIX_MAX];
        snprintf(name, sizeof name, "%stransformer_blocks.%d.", prefix, i);
        sdg_bind_rows(b, name, layer_rows, SDG_ROWS(layer_rows), dims, &m->layers[i]);
    }
}

/* Entry `number` of `list`: part .0 residual block, part .1 transformer where depth says so. */
static void bind_block(struct sdg_unet_block *block, const char *list, int number, int c_in,
                       int level, int depth, const struct sdg_unet_config *config,
                       struct sdg_binder *b)
{
    char name[PREFIX_MAX];
    const int c_out = config->channels[level];
    block->has_res = true;
    snprintf(name, sizeof name, "%s.%d.0.", list, number);
    bind_resblock(&block->res, name, c_in, c_out, config, b);
    snprintf(name, sizeof name, "%s.%d.1.", list, number);
    bind_transformer(&block->transformer, name, level, depth, config->heads[level], config, b);
}

static void bind_resample(struct sdg_conv *conv, const char *prefix, int c, struct sdg_binder *b)
{
    const int64_t dims[] = {[C] = c};
    sdg_bind_rows(b, prefix, resample_rows, SDG_ROWS(resample_rows), dims, conv);
}

/* ---- walks ----------------------------------------------------------------------------------- */

/* skips[k] becomes the width that input block k leaves for the way back. */
static void bind_inputs(struct sdg_unet *m, int *skips, struct sdg_binder *b)
{
    const struct sdg_unet_config *c = &m->config;
    int k = 0, width = c->model_channels;
    skips[k++] = width;
    for (int level = 0; level < c->levels; level++) {
        for (int i = 0; i < c->blocks[level]; i++, k++) {
            bind_block(&m->input[k], "input_blocks", k, width, level, c->depth_in[level][i], c, b);
            skips[k] = width = c->channels[level];
        }
        if (level + 1 == c->levels) break;
        char name[PREFIX_MAX];
        snprintf(name, sizeof name, "input_blocks.%d.0.op.", k);
        bind_resample(&m->input[k].resample, name, width, b);
        skips[k++] = width;
    }
}

static void bind_middle(struct sdg_unet *m, struct sdg_binder *b)
{
    const struct sdg_unet_config *c = &m->config;
    const int width = c->channels[c->levels - 1];
    if (c->middle == 0) return;
    m->middle->has_res = true;
    bind_resblock(&m->middle->res, "middle_block.0.", width, width, c, b);
    bind_transformer(&m->middle->transformer, "middle_block.1.", c->levels - 1, c->middle_depth,
                     c->middle_heads, c, b);
    if (c->middle > 1) bind_resblock(&m->middle_res2, "middle_block.2.", width, width, c, b);
}

static void bind_outputs(struct sdg_unet *m, const int *skips, struct sdg_binder *b)
{
    const struct sdg_unet_config *c = &m->config;
    int k = 0, top = m->inputs, width = c->channels[c->levels - 1];
    for (int level = c->levels - 1; level >= 0; level--) {
        for (int i = 0; i <= c->blocks[level]; i++, k++) {
            const int depth = c->depth_out[level][i];
            bind_block(&m->output[k], "output_blocks", k, width + skips[--top], level, depth, c, b);
            width = c->channels[level];
            if (i < c->blocks[level] || level == 0) continue;
            char name[PREFIX_MAX]; /* the part after the last one: .1 or .2 */
            snprintf(name, sizeof name, "output_blocks.%d.%d.conv.", k, depth ? 2 : 1);
            bind_resample(&m->output[k].resample, name, width, b);
        }
    }
}

/* Where each transformer's keys begin among those of all (sdg_unet_remember). */
static void place_keys(struct sdg_unet *m)
{
    const int blocks = m->inputs + 1 + m->outputs;
    for (int k = 0; k < blocks; k++) {
        struct sdg_unet_block *b = k < m->inputs    ? &m->input[k]
                                   : k == m->inputs ? m->middle
                                                    : &m->output[k - m->inputs - 1];
        b->transformer.keys_at = m->key_columns;
        m->key_columns += (size_t)b->transformer.depth * sdg_unet_layer_keys(&b->transformer);
    }
}

/* count zeroed blocks, or NULL. */
static struct sdg_unet_block *take_blocks(struct sdg_arena *a, int count)
{
    struct sdg_unet_block *blocks = sdg_arena_alloc(a, (size_t)count, sizeof *blocks);
    if (blocks) memset(blocks, 0, (size_t)count * sizeof *blocks);
    return blocks;
}

sdgen_status sdg_unet_arena_create(struct sdg_arena *model, sdgen_error *err)
{
    const size_t blocks = 2 * SDG_UNET_MAX_BLOCKS + 1; /* input, output, middle */
    return sdg_arena_create(model, blocks * (sizeof(struct sdg_unet_block) + SDG_ARENA_ALIGN), err);
}

sdgen_status sdg_unet_bind(struct sdg_unet *m, const struct sdg_unet_config *config,
                           struct sdg_binder *b, struct sdg_arena *model, sdgen_error *err)
{
    *m = (struct sdg_unet) {.config = *config};
    /* The first level has conv_in on top of its blocks, all but the last have a downsampling: both
     * lists are of one length. */
    for (int level = 0; level < config->levels; level++) m->inputs += config->blocks[level] + 1;
    m->outputs = m->inputs;
    m->input = take_blocks(model, m->inputs);
    m->output = take_blocks(model, m->outputs);
    m->middle = take_blocks(model, 1);
    if (!m->input || !m->output || !m->middle)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "no room for the %d blocks of the UNet",
                        m->inputs + m->outputs + 1);

    const int64_t dims[] = {[IN] = config->in_channels,       [OUT] = config->out_channels,
                            [MODEL] = config->model_channels, [TIME_WIDTH] = config->time_width,
                            [LABEL] = config->label,          [TIME_COND] = config->time_cond};
    int skips[SDG_UNET_MAX_BLOCKS];
    sdg_bind_rows(b, "", ends_rows, SDG_ROWS(ends_rows), dims, m);
    if (config->time_cond) sdg_bind_rows(b, "", time_cond_rows, SDG_ROWS(time_cond_rows), dims, m);
    if (config->label) sdg_bind_rows(b, "", label_rows, SDG_ROWS(label_rows), dims, m);
    bind_inputs(m, skips, b);
    bind_middle(m, b);
    bind_outputs(m, skips, b);
    place_keys(m);
    return SDGEN_OK;
}
