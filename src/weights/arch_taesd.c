/* arch_taesd.c - the plan of a tiny autoencoder, read from a checkpoint (see arch.h).
 *
 * Its blocks stand at fixed places of two sequences, so only widths are to be read, and what stands
 * elsewhere tells that a file is of another kind: TAESD for video, or with a wider decoder. Those
 * for SD3 and Flux have the same places and 16 channels in the latent. */
#include "weights/arch.h"
#include "weights/arch_names.h"

enum { LAST_OF_ENCODER = 14, LAST_OF_DECODER = 19, Z_CHANNELS = 4 };

static sdgen_status read_names(struct sdg_taesd_config *c, const struct sdg_weights *w,
                               const char *prefix, sdgen_error *err)
{
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, prefix), *rest;
        int place, last;
        if (!name) continue;
        if (sdg_name_number(&rest, &place, name, "encoder.")) {
            c->has_encoder = true;
            last = LAST_OF_ENCODER;
        } else if (sdg_name_number(&rest, &place, name, "decoder.")) {
            c->has_decoder = true;
            last = LAST_OF_DECODER;
        } else {
            continue;
        }
        if (place > last || sdg_name_after(rest, "skip.") || sdg_name_after(rest, "pool."))
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %s: no part of a TAESD for Stable Diffusion (15 places in the "
                            "encoder, 20 in the decoder, one width)",
                            w->path, w->entries[e].name);
    }
    if (c->has_encoder || c->has_decoder) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_MODEL, "%s: no TAESD below %sencoder or %sdecoder", w->path,
                    prefix, prefix);
}

sdgen_status sdg_arch_taesd(struct sdg_taesd_config *c, const struct sdg_weights *w,
                            const char *prefix, sdgen_error *err)
{
    static const struct sdg_width_rule
        width[2] =
            {{{{"encoder.0.weight", 0}, {"encoder.0.bias", 0}, {"encoder.1.conv.0.weight", 0}}, 0},
             {{{"decoder.1.weight", 0}, {"decoder.1.bias", 0}, {"decoder.3.conv.0.weight", 0}}, 0}},
        z[2] = {{{{"encoder.14.weight", 0}, {"encoder.14.bias", 0}, {"decoder.1.weight", 1}}, 0},
                {{{"decoder.1.weight", 1}, {"encoder.14.weight", 0}, {"encoder.14.bias", 0}}, 0}},
        image[2] = {
            {{{"encoder.0.weight", 1}, {"decoder.19.weight", 0}, {"decoder.19.bias", 0}}, 0},
            {{{"decoder.19.weight", 0}, {"decoder.19.bias", 0}, {"encoder.0.weight", 1}}, 0}};
    sdgen_status status;
    *c = (struct sdg_taesd_config) {0};
    SDG_TRY(read_names(c, w, prefix, err));
    SDG_TRY(sdg_arch_width(&c->width, w, prefix, "", &width[c->has_decoder], err));
    SDG_TRY(sdg_arch_width(&c->z_channels, w, prefix, "", &z[c->has_decoder], err));
    SDG_TRY(sdg_arch_width(&c->image_channels, w, prefix, "", &image[c->has_decoder], err));
    if (c->z_channels != Z_CHANNELS)
        status = sdg_fail(err, SDGEN_ERR_MODEL,
                          "%s: a TAESD for latents of %d channels; those of Stable Diffusion have "
                          "%d (taesd, taesdxl)%s",
                          w->path, c->z_channels, Z_CHANNELS,
                          c->z_channels == 16 ? "; 16 is SD3's and Flux's" : "");
fail:
    return status;
}
