/* join.h - a checkpoint as it is to be written: the tensors of one file, some of its networks taken
 * from other files, under canonical names (keys.h). For convert.c and merging.c. */
#ifndef SDG_CONVERT_JOIN_H
#define SDG_CONVERT_JOIN_H

#include <stdbool.h>
#include "files/weights.h"

/* Paths may be NULL, but for path. Each may be of any form, a whole checkpoint or the network
 * alone. */
struct sdg_join_options {
    const char *path, *unet_path, *vae_path, *clip_l_path, *clip_g_path;
    bool ema;    /* the running average becomes the UNet */
    bool prune;  /* without what no network needs */
    bool no_ema; /* without running averages, which would be of another UNet than the one written */
};

enum sdg_join_file {
    SDG_JOIN_MAIN,
    SDG_JOIN_UNET,
    SDG_JOIN_VAE,
    SDG_JOIN_CLIP_L,
    SDG_JOIN_CLIP_G,
    SDG_JOIN_FILES
};

struct sdg_joined {
    struct sdg_weights files[SDG_JOIN_FILES]; /* zeroed where none was named */
    /* Views into those files; metadata and texts are the main file's. sdg_weights_let_go works with
     * it, sdg_weights_close does not. */
    struct sdg_weights all;
    size_t dropped; /* tensors that pruning or an exchange left out */
};

/* Errors: those of sdg_weights_open and sdg_keys_canonical; SDGEN_ERR_MODEL where a file has not
 * the network that was asked of it, or no (whole) running average. On failure *j is closed. */
SDGEN_MUST_CHECK sdgen_status sdg_joined_open(struct sdg_joined *j,
                                              const struct sdg_join_options *o, sdgen_error *err);
void sdg_joined_close(struct sdg_joined *j); /* accepts a zeroed or closed one */

/* Adds the tensors by which a single file says what the configurations of a folder said. */
SDGEN_MUST_CHECK sdgen_status sdg_joined_flags(struct sdg_joined *j, sdgen_error *err);
/* Whether a tensor of that name is such a flag. */
bool sdg_is_flag(const char *name);

/* The file that holds this network: the one named for it, else the main one. */
const struct sdg_weights *sdg_joined_file(const struct sdg_joined *j, enum sdg_join_file network);

/* Whether a canonical name is of one of the networks. */
bool sdg_is_network(const char *canonical);

#endif
