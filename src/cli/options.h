/* options.h - the values that the options of each command fill. Flags are 0 or 1; texts point into
 * argv, NULL when not given. */
#ifndef SDG_CLI_OPTIONS_H
#define SDG_CLI_OPTIONS_H

#include "cli/args.h"
#include "sdgen.h"

struct sdg_generate_options {
    sdgen_load_params load;
    sdgen_image_params image;
    const char *init_image, *mask, *depth; /* picture files for the fields of image, or NULL */
    const char *output, *prompt_file, *progress;
    int overwrite, verbose, quiet;
};

struct sdg_inspect_options {
    const char *path;
    int json, scan, no_hash, verbose;
};

struct sdg_tokens_options {
    const char *prompt, *file, *like, *prompt_language, *color;
    int literal, raw, json, negative, steps; /* steps 0: the program's own */
};

struct sdg_list_options {
    const char *what;
    int json;
};

struct sdg_info_options {
    const char *path;
    int json, raw;
};

struct sdg_rerun_options {
    const char *path, *model_dir;
    int print;
};

struct sdg_convert_command {
    const char *in, *out, *to, *keys, *type, *rules;
    const char *vae, *unet, *clip_l, *clip_g;
    int prune, ema, overwrite, quiet;
};

struct sdg_merge_command {
    const char *out, *a, *b, *c, *method, *blocks, *type;
    double alpha;
    int merge_vae, prune, overwrite, quiet;
};

struct sdg_generate_options sdg_generate_defaults(void);

/* Tables that the one of `generate` goes on with. */
extern const struct sdg_arg sdg_sampling_args[], sdg_output_args[];

/* Largest double below 2^63: bounds are kept as doubles. */
#define SDG_SEED_MAX 9223372036854774784.0

#endif
