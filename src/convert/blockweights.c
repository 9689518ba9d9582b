/* blockweights.c - see blockweights.h. */
#include "convert/blockweights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys.h"

static void count_blocks(int *inputs, int *outputs, const struct sdg_weights *w)
{
    *inputs = *outputs = 0;
    for (size_t i = 0; i < w->count; i++) {
        const char *rest, *name = sdg_name_after(w->entries[i].name, SDG_KEY_UNET);
        int n;
        if (!name) continue;
        if (sdg_name_number(&rest, &n, name, "input_blocks.") && n >= *inputs) *inputs = n + 1;
        if (sdg_name_number(&rest, &n, name, "output_blocks.") && n >= *outputs) *outputs = n + 1;
    }
}

static sdgen_status wrong_count(int given, int wanted, sdgen_error *err)
{
    return sdg_fail(
        err, SDGEN_ERR_ARG,
        "--block-weights: %d numbers, where this UNet takes %d (IN, M, OUT), or %d with "
        "that of the text encoders in front",
        given, wanted, wanted + 1);
}

sdgen_status sdg_block_weights_read(struct sdg_block_weights *b, const char *text, double alpha,
                                    const struct sdg_weights *w, sdgen_error *err)
{
    double given[SDG_BLOCK_WEIGHTS_MAX + 1];
    int inputs, outputs, n = 0;
    count_blocks(&inputs, &outputs, w);
    *b = (struct sdg_block_weights) {.base = alpha, .inputs = inputs};
    if (!text) return SDGEN_OK;
    const int wanted = inputs + 1 + outputs;
    if (wanted > SDG_BLOCK_WEIGHTS_MAX)
        return sdg_fail(err, SDGEN_ERR_ARG, "--block-weights: %d blocks are too many", wanted);
    for (const char *at = text;;) {
        char *end;
        if (n > wanted) return wrong_count(n + 1, wanted, err);
        given[n] = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !isfinite(given[n]))
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--block-weights: number %d is none (\"%.20s\"); separate them by "
                            "commas",
                            n + 1, at);
        n++;
        if (!*end) break;
        at = end + 1;
    }
    if (n != wanted && n != wanted + 1) return wrong_count(n, wanted, err);
    if (n > wanted) b->base = given[0];
    memcpy(b->blocks, given + (n - wanted), (size_t)wanted * sizeof *given);
    b->count = wanted;
    return SDGEN_OK;
}

double sdg_block_weight(const struct sdg_block_weights *b, const char *canonical)
{
    const char *rest, *name = sdg_name_after(canonical, SDG_KEY_UNET);
    int n, at = -1;
    if (!name || b->count == 0) return b->base;
    if (sdg_name_number(&rest, &n, name, "input_blocks."))
        at = n;
    else if (sdg_name_after(name, "middle_block."))
        at = b->inputs;
    else if (sdg_name_number(&rest, &n, name, "output_blocks."))
        at = b->inputs + 1 + n;
    else if (sdg_name_after(name, "time_embed.") || sdg_name_after(name, "label_emb."))
        at = 0;
    else if (sdg_name_after(name, "out."))
        at = b->count - 1;
    return at >= 0 && at < b->count ? b->blocks[at] : b->base;
}
