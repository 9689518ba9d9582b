/* keys.h - one list of names for tensors, whatever program wrote the file.
 *
 * The same tensor is `model.diffusion_model.input_blocks.1.0.in_layers.2.weight` in a single file
 * of CompVis, and `down_blocks.0.resnets.0.conv1.weight` in the folder unet of diffusers. The
 * networks, the family and every message know canonical names only:
 *
 *   model.diffusion_model.           UNet, CompVis' numbering (openaimodel.py)
 *   model_ema.                       its running average, as CompVis' LitEma stores it
 *   first_stage_model.               VAE, CompVis' names
 *   taesd.encoder., taesd.decoder.   tiny autoencoder, the indices of taesd.py's nn.Sequential
 *   cond_stage_model.transformer.    the text encoder of SD1 and SD2, transformers' names
 *   conditioner.embedders.0.transformer., .1.transformer.   those of SDXL: CLIP-L, OpenCLIP bigG;
 *                                    the refiner has its bigG at 0
 *
 * keys_*.c hold the rules, as tables that are read in both directions. */
#ifndef SDG_WEIGHTS_KEYS_H
#define SDG_WEIGHTS_KEYS_H

#include <stdbool.h>
#include "files/weights.h"

#define SDG_KEY_UNET "model.diffusion_model."
#define SDG_KEY_EMA "model_ema."
#define SDG_KEY_VAE "first_stage_model."
#define SDG_KEY_TAESD "taesd."
#define SDG_KEY_CLIP "cond_stage_model.transformer."
#define SDG_KEY_CLIP_0 "conditioner.embedders.0.transformer."
#define SDG_KEY_CLIP_1 "conditioner.embedders.1.transformer."

enum { SDG_KEY_SIZE = 320 }; /* of a name, with its NUL; longer ones are of no network */

/* Gives every entry its canonical name, splits fused tensors into views of their parts, and sorts
 * the names anew; what is of no network keeps the name it has. .stored and .part stay: of the parts
 * of a fused tensor all have the one name it is stored under. To be called once. Errors:
 * SDGEN_ERR_FORMAT when two tensors turn out to be the same one with different numbers,
 * SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_keys_canonical(struct sdg_weights *w, sdgen_error *err);

/* ---- the other way ---- */

enum sdg_spelling {
    SDG_SPELL_SINGLE, /* a single file as CompVis and Stability AI write them */
    SDG_SPELL_FOLDER  /* diffusers */
};

struct sdg_spelt {
    const char *folder; /* "unet", "vae", "text_encoder", "text_encoder_2"; "" in a single file */
    char name[SDG_KEY_SIZE];
    int third;       /* -1, or 0, 1, 2: these rows of a fused tensor of queries, keys and values */
    bool transposed; /* stored as the transpose of the canonical one */
};

/* Spells canonical names of one checkpoint. */
struct sdg_speller;
/* From the canonical names of w, which only sdg_speller_stored looks at again. Errors:
 * SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_speller_create(struct sdg_speller **speller,
                                                 const struct sdg_weights *w, sdgen_error *err);
/* The only text encoder is OpenCLIP's, known by other evidence than names and width. */
void sdg_speller_openclip(struct sdg_speller *speller);
void sdg_speller_destroy(struct sdg_speller *speller); /* accepts NULL */
/* False for a name of no network: spelt is the name itself then, without a folder. */
bool sdg_speller_spell(struct sdg_spelt *spelt, const struct sdg_speller *speller,
                       const char *canonical, enum sdg_spelling spelling);

/* What the tensor of this canonical name, which the weights may lack, is or would be called in
 * their files, the folder in front: by the spelling of its neighbours. */
void sdg_speller_stored(char stored[SDG_KEY_SIZE], const struct sdg_speller *speller,
                        const char *canonical);

#endif
