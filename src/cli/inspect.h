/* inspect.h - what `sdgen inspect` finds in a file, between collecting it (cmd_inspect.c) and
 * showing it (inspect_text.c, inspect_json.c). */
#ifndef SDG_CLI_INSPECT_H
#define SDG_CLI_INSPECT_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "weights/binder.h"
#include "weights/family.h"
#include "weights/nonfinite.h"
#include "weights/sha256.h"

enum { SDG_COMPONENTS = 8 };

/* The entries whose names begin alike. */
struct sdg_component {
    const char *label, *prefix;
    size_t tensors, parameters, by_dtype[SDG_DTYPE_COUNT]; /* tensors of each type */
};

struct sdg_inspection {
    struct sdg_weights file;
    struct sdg_finding finding;
    struct sdg_component components[SDG_COMPONENTS];
    /* The networks' plans: those that could be read. */
    bool has_unet, has_vae;
    struct sdg_unet_config unet;
    struct sdg_clip_config clips[SDG_TEXTS_MAX];
    int clip_count;
    struct sdg_facts facts; /* where there is a UNet */
    struct sdg_vae_config vae;
    bool bound; /* the networks were bound: binder and the next two are filled */
    struct sdg_filebinder binder;
    size_t unused, leftovers;
    char hash[SDG_SHA256_HEX];    /* "" when not asked for or not to be had */
    struct sdg_nonfinite *values; /* [file.count] with --scan, else NULL */
    size_t bad_tensors, nan, inf;
    sdgen_status status; /* SDGEN_OK: the file can be used; else `verdict` says why not */
    sdgen_error verdict;
};

/* All write to stdout. verbose: lists are not cut. */
void sdg_inspect_text(const struct sdg_inspection *r, bool verbose);
void sdg_inspect_json(const struct sdg_inspection *r);
void sdg_inspect_json_error(const char *path, const sdgen_error *error); /* it cannot be opened */

#endif
