/* arch_vae.c - the plan of an AutoencoderKL, read from a checkpoint (see arch.h).
 *
 * Names are those of the CompVis single files (ldm/modules/diffusionmodules/model.py):
 * decoder.up.L. block.B counts levels from the full-size picture, so up.0 is the last to run. The
 * decoder is always there and gives the plan; the encoder must follow it, with one resblock less
 * per level. */
#include <stdio.h>

#include "weights/arch.h"
#include "weights/arch_names.h"

enum { GROUPS = 32, MAX_LEVELS = SDG_VAE_MAX_LEVELS, MAX_BLOCKS = SDG_VAE_MAX_BLOCKS + 1 };

/* Resblocks per level on one side, by their names. */
struct seen {
    bool any;
    int levels, blocks[MAX_LEVELS];
};

/* One name, `rest` being what follows "decoder." or "encoder.". False when it is out of bounds or
 * of a kind that the network has no room for. */
static bool note(struct seen *s, const char *rest, const char *levels_stem)
{
    int level, block;
    s->any = true;
    if (!sdg_name_number(&rest, &level, rest, levels_stem)) return true;
    if (level >= MAX_LEVELS) return false;
    if (level >= s->levels) s->levels = level + 1;
    if (sdg_name_after(rest, "attn.")) return false; /* attention on a level: the f4, f8-cls kin */
    if (!sdg_name_number(&rest, &block, rest, "block.")) return true;
    if (block >= MAX_BLOCKS) return false;
    if (block >= s->blocks[level]) s->blocks[level] = block + 1;
    return true;
}

static sdgen_status read_names(struct seen *encoder, struct seen *decoder,
                               const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    *encoder = *decoder = (struct seen) {0};
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, prefix);
        if (!name) continue;
        const char *d = sdg_name_after(name, "decoder."), *n = sdg_name_after(name, "encoder.");
        if ((d && !note(decoder, d, "up.")) || (n && !note(encoder, n, "down.")))
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %s: a VAE with such a block is not supported (at most %d levels "
                            "of %d resblocks, attention only in the middle)",
                            w->path, w->entries[e].name, MAX_LEVELS, MAX_BLOCKS);
    }
    return SDGEN_OK;
}

/* Every level of a side must have `want` resblocks. */
static sdgen_status check_blocks(const struct seen *s, int levels, int want, const char *side,
                                 const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    if (s->levels != levels)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: %s%s has %d levels; the decoder has %d: the two do not belong "
                        "together",
                        w->path, prefix, side, s->levels, levels);
    for (int l = 0; l < levels; l++)
        if (s->blocks[l] != want)
            return sdg_fail(err, SDGEN_ERR_MODEL, "%s: %s%s.%d has %d resblocks, not %d", w->path,
                            prefix, side, l, s->blocks[l], want);
    return SDGEN_OK;
}

sdgen_status sdg_arch_vae(struct sdg_vae_config *c, const struct sdg_weights *w, const char *prefix,
                          sdgen_error *err)
{
    static const struct sdg_width_rule level = {{{"block.0.conv1.weight", 0},
                                                 {"block.0.norm2.weight", 0},
                                                 {"block.0.conv2.weight", 0}},
                                                GROUPS},
                                       z = {{{"decoder.conv_in.weight", 1},
                                             {"post_quant_conv.weight", 0},
                                             {"post_quant_conv.bias", 0}},
                                            0},
                                       image = {{{"decoder.conv_out.weight", 0},
                                                 {"decoder.conv_out.bias", 0},
                                                 {"encoder.conv_in.weight", 1}},
                                                0};
    sdgen_status status;
    struct seen encoder, decoder;
    *c = (struct sdg_vae_config) {0};
    SDG_TRY(read_names(&encoder, &decoder, w, prefix, err));
    if (decoder.levels == 0 || decoder.blocks[0] < 2) {
        status = sdg_fail(err, SDGEN_ERR_MODEL,
                          "%s: no VAE decoder below %sdecoder.up: the file is incomplete or holds "
                          "no VAE",
                          w->path, prefix);
        goto fail;
    }
    c->levels = decoder.levels;
    c->blocks = decoder.blocks[0] - 1;
    c->has_encoder = encoder.any;
    SDG_TRY(check_blocks(&decoder, c->levels, c->blocks + 1, "decoder.up", w, prefix, err));
    if (encoder.any)
        SDG_TRY(check_blocks(&encoder, c->levels, c->blocks, "encoder.down", w, prefix, err));
    for (int l = 0; l < c->levels; l++) {
        char block[64];
        snprintf(block, sizeof block, "decoder.up.%d.", l);
        SDG_TRY(sdg_arch_width(&c->channels[l], w, prefix, block, &level, err));
    }
    SDG_TRY(sdg_arch_width(&c->z_channels, w, prefix, "", &z, err));
    SDG_TRY(sdg_arch_width(&c->image_channels, w, prefix, "", &image, err));
fail:
    return status;
}
