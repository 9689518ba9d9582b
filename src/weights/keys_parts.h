/* keys_parts.h - the rules of one network each, which keys.c puts together (see keys.h).
 *
 * Every function below works on what stands behind the network's own prefix, and in both
 * directions. "Single" is the spelling of the single files (CompVis for UNet and VAE, OpenCLIP for
 * the text encoders that came from there), "folder" that of diffusers and transformers. */
#ifndef SDG_WEIGHTS_KEYS_PARTS_H
#define SDG_WEIGHTS_KEYS_PARTS_H

#include "weights/keys.h"

enum sdg_key_way { SDG_KEY_TO_SINGLE, SDG_KEY_TO_FOLDER };

/* What the two sides call the same thing, up to and with a dot, so that a rule is also a prefix. */
struct sdg_key_pair {
    const char *single, *folder;
};

/* to[SDG_KEY_SIZE] = before + the other side's word + what follows it in `name`; false when no pair
 * begins name, or the result is too long. */
bool sdg_key_swap(char *to, const char *before, const char *name, const struct sdg_key_pair *pairs,
                  size_t count, enum sdg_key_way way);

/* to[SDG_KEY_SIZE] = before + name; false when that is too long. */
bool sdg_key_join(char *to, const char *before, const char *name);

/* ---- UNet ---- */

enum { SDG_WALK_LEVELS = 16, SDG_WALK_LAYERS = 16, SDG_WALK_BLOCKS = 128 };

/* CompVis numbers all blocks of a side through; diffusers counts within levels. Which is which
 * follows from the names that are there. Zero it, note every name of the UNet, end it, translate.
 */
struct sdg_unet_walk {
    int down[SDG_WALK_LEVELS],
        up[SDG_WALK_LEVELS]; /* resnets of a level, in the order of the walk */
    bool shrinks[SDG_WALK_LEVELS], grows[SDG_WALK_LEVELS];
    bool attends[SDG_WALK_LEVELS]
                [SDG_WALK_LAYERS]; /* a transformer beside resnet l of up level b */
    struct {
        bool res, attention, resample;
    } input[SDG_WALK_BLOCKS], output[SDG_WALK_BLOCKS];
};
void sdg_unet_walk_note(struct sdg_unet_walk *walk, const char *name);
void sdg_unet_walk_end(struct sdg_unet_walk *walk);

/* False when `name` is not in the other spelling: then it is already right, or of no UNet. */
bool sdg_keys_unet(char *to, const struct sdg_unet_walk *walk, const char *name,
                   enum sdg_key_way way);
bool sdg_key_is_unet(const char *name, enum sdg_key_way spelt);

/* ---- VAE ---- */

/* levels: of the decoder, which the two sides count from opposite ends. */
int sdg_keys_vae_levels(int levels,
                        const char *name); /* the larger of levels and what name shows */
bool sdg_keys_vae(char *to, int levels, const char *name, enum sdg_key_way way);
bool sdg_key_is_vae(const char *name);

/* Tiny autoencoder: to = "encoder.3.conv.0.weight" from diffusers'
 * "encoder.layers.3.conv.0.weight"; its decoder leaves out the first, a clamp. */
bool sdg_keys_taesd(char *to, const char *name, enum sdg_key_way way);

/* ---- text encoder ---- */

enum { SDG_KEY_WHOLE = -1 };

/* One name of OpenCLIP may stand for three tensors (rows of queries, keys and values), and one of
 * them is stored transposed. */
struct sdg_key_text {
    char name[SDG_KEY_SIZE];
    int third;       /* SDG_KEY_WHOLE, or which third of the rows of the fused tensor; from a fused
                        name: 0, and the other two are had by sdg_keys_third */
    bool transposed; /* text_projection */
};
/* To the folder's spelling from any ("text_model." may be left out there, too); to the single's
 * from the folder's. False when `name` is of no text encoder. */
bool sdg_keys_text(struct sdg_key_text *to, const char *name, enum sdg_key_way way);
void sdg_keys_third(char *name, int third); /* q_proj in name becomes k_proj, v_proj */
bool sdg_key_is_openclip(const char *name);

/* ---- prefixes ---- */

enum sdg_key_place {
    SDG_PLACE_NONE,
    SDG_PLACE_UNET,
    SDG_PLACE_VAE,
    SDG_PLACE_TAESD_ENCODER,
    SDG_PLACE_TAESD_DECODER,
    SDG_PLACE_TEXT,   /* cond_stage_model */
    SDG_PLACE_FIRST,  /* conditioner.embedders.0 */
    SDG_PLACE_SECOND, /* conditioner.embedders.1 */
    SDG_PLACE_ONE,    /* a text encoder, the first or the only one */
    SDG_PLACE_TWO     /* a text encoder, the second */
};

/* Where an entry belongs by its folder, its prefix or, in the file of a single network, its own
 * first words; *rest is what follows. bare: names without a prefix may be of such a file. */
enum sdg_key_place sdg_key_placed(const char **rest, const struct sdg_entry *e, bool bare);

#endif
