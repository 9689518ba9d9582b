/* inspect.h - what `sdgen inspect` finds in a file, between collecting it (cmd_inspect.c), judging
 * it (inspect_advice.c) and showing it (inspect_text.c, inspect_json.c, inspect_pickles.c). */
#ifndef SDG_CLI_INSPECT_H
#define SDG_CLI_INSPECT_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "weights/binder.h"
#include "weights/family.h"
#include "files/filehashes.h"
#include "files/picklescan.h"
#include "files/sha256.h"
#include "files/tensor_values.h"
#include "files/twins.h"

struct cJSON;

enum { SDG_COMPONENTS = 8, SDG_ADVICE_MAX = 4, SDG_ADVICE_SIZE = 1024 };

/* What becomes of the file; also the command's exit status. */
enum sdg_condition {
    SDG_CONDITION_OK = 0,        /* it can be used as it is */
    SDG_CONDITION_REFUSED = 1,   /* it cannot */
    SDG_CONDITION_REPAIRABLE = 3 /* with something beside it, or after the command that is shown */
};

/* A command and what it is for. */
struct sdg_advice {
    const char *purpose; /* "run", "repair", "make smaller" */
    char command[SDG_ADVICE_SIZE];
};

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
    char hash[SDG_SHA256_HEX]; /* "" when not asked for or not to be had */
    struct sdg_filehashes hashes;
    struct sdg_scan pickles; /* of files of torch.save; its names lie in the map */
    struct sdg_filemap pickle_map;
    struct sdg_value_counts *values; /* [file.count] with --scan, else NULL */
    struct sdg_value_counts sum;
    size_t bad_tensors, bad_used; /* with NaN or infinity; those of them that networks read */
    size_t zero_tensors;          /* all of whose values are 0, and that have more than one */
    struct sdg_twins twins;       /* with --scan */
    sdgen_status status;          /* SDGEN_OK: the file can be used; else `verdict` says why not */
    sdgen_error verdict;
    enum sdg_condition condition;
    struct sdg_advice advice[SDG_ADVICE_MAX];
    int advice_count;
};

/* The condition, and what can be done. */
void sdg_inspect_advise(struct sdg_inspection *r);

/* All write to stdout. verbose: lists are not cut. */
void sdg_inspect_text(const struct sdg_inspection *r, bool verbose);
void sdg_inspect_json(const struct sdg_inspection *r);
/* A file that cannot be opened, and what its pickles are. */
void sdg_inspect_text_refused(const char *path, const sdgen_error *error,
                              const struct sdg_scan *pickles, bool verbose);
void sdg_inspect_json_refused(const char *path, const sdgen_error *error,
                              const struct sdg_scan *pickles);

/* The part about pickles; nothing where there are none. */
void sdg_inspect_pickles_text(const struct sdg_scan *s, bool verbose);
void sdg_inspect_pickles_json(struct cJSON *root, const struct sdg_scan *s);

/* ---- for the reports in words ---- */

/* Names come from strangers: what could steer a terminal is shown as '?'. At most `cut` bytes, and
 * no character in halves; 0: all. */
void sdg_inspect_put(const char *s, size_t cut);

#endif
