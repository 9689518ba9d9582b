/* taesd_bind.c - which tensors the tiny autoencoder is made of. */
#include "models/taesd.h"

#include <stdio.h>

#define KERNEL(k) SDG_LITERAL(k), SDG_LITERAL(k) /* the extents of a k x k convolution */

enum { WIDTH, IN, OUT };

#define AT(member) offsetof(struct sdg_taesd_block, member)
static const struct sdg_bind_row block_rows[] = {
    {"conv.0.weight", AT(conv[0].weight), 4, {WIDTH, WIDTH, KERNEL(3)}, 0},
    {"conv.0.bias", AT(conv[0].bias), 1, {WIDTH}, 0},
    {"conv.2.weight", AT(conv[1].weight), 4, {WIDTH, WIDTH, KERNEL(3)}, 0},
    {"conv.2.bias", AT(conv[1].bias), 1, {WIDTH}, 0},
    {"conv.4.weight", AT(conv[2].weight), 4, {WIDTH, WIDTH, KERNEL(3)}, 0},
    {"conv.4.bias", AT(conv[2].bias), 1, {WIDTH}, 0},
};
#undef AT

static const struct sdg_bind_row resample_rows[] = {
    {"weight", offsetof(struct sdg_conv, weight), 4, {WIDTH, WIDTH, KERNEL(3)}, 0},
};

#define AT(member) offsetof(struct sdg_taesd_half, member)
static const struct sdg_bind_row encoder_rows[] = {
    {"encoder.0.weight", AT(conv_in.weight), 4, {WIDTH, IN, KERNEL(3)}, 0},
    {"encoder.0.bias", AT(conv_in.bias), 1, {WIDTH}, 0},
    {"encoder.14.weight", AT(conv_out.weight), 4, {OUT, WIDTH, KERNEL(3)}, 0},
    {"encoder.14.bias", AT(conv_out.bias), 1, {OUT}, 0},
};
static const struct sdg_bind_row decoder_rows[] = {
    {"decoder.1.weight", AT(conv_in.weight), 4, {WIDTH, IN, KERNEL(3)}, 0},
    {"decoder.1.bias", AT(conv_in.bias), 1, {WIDTH}, 0},
    {"decoder.19.weight", AT(conv_out.weight), 4, {OUT, WIDTH, KERNEL(3)}, 0},
    {"decoder.19.bias", AT(conv_out.bias), 1, {OUT}, 0},
};
#undef AT

/* Where things stand in the two sequences. */
struct places {
    const char *half;
    int block;                       /* the block of full size */
    int first_block, first_resample; /* of the first stage */
    int stage;                       /* from one stage to the next */
};
static const struct places encoder_places = {"encoder", 1, 3, 2, 4};
static const struct places decoder_places = {"decoder", 18, 3, 7, 5};

static void bind_half(struct sdg_taesd_half *m, const struct places *p, const int64_t *dims,
                      struct sdg_binder *b)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%d.", p->half, p->block);
    sdg_bind_rows(b, name, block_rows, SDG_ROWS(block_rows), dims, &m->block);
    for (int s = 0; s < SDG_TAESD_STAGES; s++) {
        snprintf(name, sizeof name, "%s.%d.", p->half, p->first_resample + s * p->stage);
        sdg_bind_rows(b, name, resample_rows, SDG_ROWS(resample_rows), dims,
                      &m->stages[s].resample);
        for (int i = 0; i < SDG_TAESD_BLOCKS; i++) {
            snprintf(name, sizeof name, "%s.%d.", p->half, p->first_block + s * p->stage + i);
            sdg_bind_rows(b, name, block_rows, SDG_ROWS(block_rows), dims, &m->stages[s].blocks[i]);
        }
    }
}

void sdg_taesd_bind(struct sdg_taesd *m, const struct sdg_taesd_config *config,
                    struct sdg_binder *b)
{
    *m = (struct sdg_taesd) {.config = *config};
    const int64_t to_z[] = {
        [WIDTH] = config->width, [IN] = config->image_channels, [OUT] = config->z_channels};
    const int64_t from_z[] = {
        [WIDTH] = config->width, [IN] = config->z_channels, [OUT] = config->image_channels};
    if (config->has_encoder) {
        sdg_bind_rows(b, "", encoder_rows, SDG_ROWS(encoder_rows), to_z, &m->encoder);
        bind_half(&m->encoder, &encoder_places, to_z, b);
    }
    if (config->has_decoder) {
        sdg_bind_rows(b, "", decoder_rows, SDG_ROWS(decoder_rows), from_z, &m->decoder);
        bind_half(&m->decoder, &decoder_places, from_z, b);
    }
}
