/* sdgen.h - the public interface of sdgen, a Stable Diffusion engine for the CPU.
 *
 *     sdgen_engine *engine = NULL;
 *     sdgen_error error;
 *     sdgen_load_params load = sdgen_load_defaults();
 *     load.model_path = "v1-5-pruned-emaonly.safetensors";
 *     if (sdgen_load(&engine, &load, &error) != SDGEN_OK) ...error.text...
 *     sdgen_image_params image = sdgen_image_defaults();
 *     image.prompt = "a cat";
 *     sdgen_generate(engine, &image, on_image, user, &error);   calls on_image once per picture
 *     sdgen_free(engine);
 *
 * Nothing here is global: two engines may live in one process. One engine runs one call at a time;
 * different engines may run in different threads. The library never exits, never prints and never
 * touches signals: what it has to say goes through the callbacks and the sdgen_error.
 *
 * Strings are UTF-8 and are only read during the call. Params structs must come from their
 * _defaults() function, so that fields added later have a meaning for old callers. */
#ifndef SDGEN_H
#define SDGEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SDGEN_VERSION "0.1.0"
#if defined(__GNUC__)
#define SDGEN_API __attribute__((visibility("default")))
#define SDGEN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SDGEN_API
#define SDGEN_MUST_CHECK
#endif

typedef enum sdgen_status {
    SDGEN_OK = 0,
    SDGEN_ERR_ARG,    /* a parameter is out of range, unknown, or not supported yet */
    SDGEN_ERR_IO,     /* a file cannot be opened, read or written */
    SDGEN_ERR_FORMAT, /* a file is malformed, truncated or refused for safety */
    SDGEN_ERR_MODEL,  /* a checkpoint lacks tensors, has wrong shapes, or is of no known family */
    SDGEN_ERR_MEMORY, /* memory cannot be had */
    SDGEN_ERR_CANCELLED, /* the cancel flag was raised */
    SDGEN_ERR_INTERNAL   /* a bug: please report it */
} sdgen_status;

/* One line of text that says what is wrong, where, and what to do about it. */
typedef struct sdgen_error {
    sdgen_status status;
    char text[1024];
} sdgen_error;

enum { SDGEN_LOG_ERROR, SDGEN_LOG_WARN, SDGEN_LOG_INFO, SDGEN_LOG_VERBOSE };
/* One message without a newline. Called on the thread that called into the library. */
typedef void (*sdgen_log_fn)(void *user, int level, const char *message);

typedef enum sdgen_stage {
    SDGEN_STAGE_LOAD,   /* opening and binding the checkpoint */
    SDGEN_STAGE_TEXT,   /* text encoder */
    SDGEN_STAGE_SAMPLE, /* one event per sampler step */
    SDGEN_STAGE_DECODE  /* VAE decoder */
} sdgen_stage;

/* done of total units of the stage are finished; `image` of `images` is the first one in the batch
 * at work. share is the finished part of the whole sdgen_generate call by estimated cost, 0..1. */
typedef struct sdgen_progress {
    sdgen_stage stage;
    int done, total;
    int image, images, batch;
    double share;
} sdgen_progress;
typedef void (*sdgen_progress_fn)(void *user, const sdgen_progress *progress);

typedef struct sdgen_engine sdgen_engine;

typedef struct sdgen_load_params {
    const char *model_path; /* checkpoint of any form, a file or a folder */
    const char *vae_path;   /* other VAE, or NULL */
    const char *unet_path; /* other UNet, or NULL; these four too are of any form, whole or alone */
    const char *clip_l_path, *clip_g_path; /* other text encoders, or NULL */
    const char *taesd_path;                /* tiny autoencoder in place of the VAE, or NULL */
    const char *refiner_path; /* SDXL refiner that finishes what the model begins, or NULL */
    int threads;              /* 0: one per physical core this process may use */
    int pin;                  /* bind each thread to a physical core while a call runs */
    const char *isa;       /* NULL or "auto", else "c", "avx2", ...: only lowers what the CPU has */
    const char *precision; /* "f32", "bf16": what matrix products round their inputs to; NULL and
                              "auto": bf16 where the processor gains from it */
    int exact_conv;        /* convolutions product by product, without Winograd's transforms */
    const char *cache;     /* folder in which packed weights are kept for the next start; "": the
                              user's own ($XDG_CACHE_HOME/sdgen/packs); NULL: nowhere */
    const char *max_ram;   /* "3G", "800M" or bytes that the process may take up at most; NULL: as
                              it comes. Slower the less there is; the pictures are the same */
    const char *variant;   /* of a folder's files those of a variant: "fp16", "non_ema", ...; NULL:
                              full precision where it is there */
    int use_ema;           /* take the EMA weights where the file holds both */
    sdgen_log_fn log;      /* may be NULL */
    sdgen_progress_fn progress; /* may be NULL; SDGEN_STAGE_LOAD events */
    void *user;                 /* handed to log and progress */
    const volatile int *cancel; /* may be NULL; non-zero stops the load, at the next event or batch
                                   of weights */
} sdgen_load_params;

/* A picture as 8-bit numbers, [height][width][channels]; channels 3 (RGB) or 1 (grey). */
typedef struct sdgen_pixels {
    int width, height, channels;
    uint8_t *data;
} sdgen_pixels;

/* What to draw. "Own" is what the sampler, or the program that `like` names, does when nobody
 * chooses. Names are understood in every spelling that people use; unknown ones are errors. A value
 * that means nothing to the chosen sampler is an error too. */
typedef struct sdgen_image_params {
    const char *prompt,
        *negative_prompt; /* negative NULL: none, to SDXL not quite the same as "" */
    /* What models for inpainting, editing and depth read beside the prompt; NULL: nothing. They
     * live through the call. */
    const sdgen_pixels *init_image; /* RGB */
    const sdgen_pixels *mask;       /* grey: repaint where it is 128 or brighter */
    const sdgen_pixels *depth;      /* grey: brighter is nearer; of any size */
    int width, height;              /* pixels; 0: those of init_image, or the model's own size */
    int steps;                      /* 0: own (20; diffusers 50) */
    double cfg_scale; /* guidance; 1 leaves the negative prompt out; -1: own (7; diffusers 7.5,
                         comfyui 8) */
    double image_cfg_scale; /* editing: how closely to keep to the picture (1.5) */
    double refiner_switch;  /* share of the run after which the refiner takes over (0.8) */
    /* SDXL was told of every training picture how large it was, where it was cut, what size it
     * became. 0: the size that is drawn, crop 0. Scores are the refiner's (6, negative 2.5). */
    int original_width, original_height, crop_left, crop_top, target_width, target_height;
    double aesthetic_score, negative_aesthetic_score;
    int64_t seed;                /* image i uses seed + i; negative: drawn at random */
    int batch_count, batch_size; /* images in all; images that go through the UNet together */
    const char *like;    /* "a1111" (NULL too), "diffusers", "comfyui", "sd.cpp": whose conventions
                            to follow */
    int clip_skip;       /* counted as `like` counts; 0: the model's default */
    const char *sampler; /* "euler_a", "DPM++ 2M Karras", ...; NULL: own */
    double eta;          /* share of fresh noise, 0..1; negative: own */
    double s_churn, s_tmin, s_tmax, s_noise; /* Karras et al. 2022, algorithm 2; negative: own */
    double r;              /* place of the midpoint in a step, 0..1; negative: own */
    int solver_order;      /* 0: own */
    int lower_order_final; /* last steps with a lower order: 0 no, 1 yes, negative: own */
    const char *scheduler; /* "discrete", "karras", ...; NULL: own */
    const char *spacing;   /* "leading", "linspace", "trailing": the ends of diffusers' karras,
                              exponential and beta; alone: the schedule; NULL: own */
    double rho, sigma_min, sigma_max; /* of the schedules that have them; 0: own */
    double gits_coefficient;          /* 0.80 to 1.50; 0: own (1.20) */
    const char *sigmas, *timesteps;   /* lists in place of a schedule, "14.6, 7.8, 0"; or NULL */
    int discard_penultimate;          /* leave out the last level above 0, as A1111's option does */
    const char *prediction;           /* "eps", "v", "x0", "edm-v"; NULL: the model's */
    int zero_terminal_snr;            /* levels rescaled to end in pure noise */
    double cfg_rescale;               /* 0 (off) to 1: Lin et al. 2023, eq. 16 */
    double guidance_start, guidance_end; /* share of the run in which guidance acts: 0, 1 */
    double skip_early_cfg;               /* A1111: first share of the steps without guidance, 0 */
    double s_min_uncond;       /* A1111's NGMS: below this level every second step goes without
                                  guidance, 0: none */
    int s_min_uncond_all;      /*   every step */
    int64_t variation_seed;    /* of image 0; negative: drawn at random */
    double variation_strength; /* 0..1: from the seed's noise to the variation seed's. Above 0 image
                                  i has variation_seed + i, and the seed stays */
    int seed_resize_width,
        seed_resize_height;  /* pixels: noise of that size in the middle; 0: off */
    int64_t ensd;            /* A1111's eta noise seed delta, 0 */
    const char *batch_noise; /* "each" (NULL too): every image draws for itself; "joint": a batch
                                from one stream */
    const char *rng;         /* "cpu", "cuda"; NULL: own */
    const char *prompt_language; /* "a1111", "comfyui", "compel", "sd.cpp", "plain"; NULL: own */
    const char *emphasis;        /* "original", "no-norm", "ignore", "none"; NULL: own */
    int literal_prompt;          /* brackets, weights and the like are plain text */
    int old_prompt_editing;      /* steps of prompt editing as A1111 counted them before 1.6 */
    int vae_tiling;              /* the VAE decodes overlapping tiles and blends them: less memory,
                                    and a slightly different picture */
    int vae_tile_width, vae_tile_height; /* pixels; 0: 512 */
    double vae_tile_overlap;             /* share of a tile, 0 to 0.9; negative: 0.25 */
    int ignore_unsupported;              /* extra networks in the prompt are only warned of */
    const char *trace_dir;      /* existing directory for NumPy files of the first batch, or NULL */
    sdgen_progress_fn progress; /* may be NULL */
    void *user;                 /* handed to progress */
    const volatile int *cancel; /* may be NULL; non-zero drops the step in progress */
} sdgen_image_params;

/* A finished picture. Memory belongs to the library and lives during the callback. */
typedef struct sdgen_image {
    int width, height;      /* pixels */
    const uint8_t *rgb;     /* [height][width][3] */
    int index, count;       /* image index of count in this call */
    int64_t seed;           /* of this image */
    const char *parameters; /* A1111's "parameters" text for this image */
} sdgen_image;
/* Return non-zero to stop: sdgen_generate then returns SDGEN_ERR_CANCELLED. */
typedef int (*sdgen_image_fn)(void *user, const sdgen_image *image);

SDGEN_API sdgen_load_params sdgen_load_defaults(void);
SDGEN_API sdgen_image_params sdgen_image_defaults(void);

/* Reads a PNG, JPEG or BMP file, as grey or as RGB. *pixels is freed with sdgen_pixels_free. */
SDGEN_API SDGEN_MUST_CHECK sdgen_status sdgen_pixels_read(sdgen_pixels *pixels, const char *path,
                                                          int grey, sdgen_error *error);
SDGEN_API void sdgen_pixels_free(sdgen_pixels *pixels); /* accepts a zeroed one */

/* Opens, checks and binds a checkpoint. On failure *engine is NULL and error says why. */
SDGEN_API SDGEN_MUST_CHECK sdgen_status sdgen_load(sdgen_engine **engine,
                                                   const sdgen_load_params *params,
                                                   sdgen_error *error);

/* Checks params against the loaded model without computing: what sdgen_generate would refuse. */
SDGEN_API SDGEN_MUST_CHECK sdgen_status sdgen_check(sdgen_engine *engine,
                                                    const sdgen_image_params *params,
                                                    sdgen_error *error);

/* Draws params->batch_count images and hands each to on_image as soon as it is finished. */
SDGEN_API SDGEN_MUST_CHECK sdgen_status sdgen_generate(sdgen_engine *engine,
                                                       const sdgen_image_params *params,
                                                       sdgen_image_fn on_image, void *user,
                                                       sdgen_error *error);

/* Writes the image as PNG with its parameters text. The file appears under `path` only when it is
 * complete (temporary file, fsync, rename). With overwrite == 0 an existing file is an error. */
SDGEN_API SDGEN_MUST_CHECK sdgen_status sdgen_write_png(const sdgen_image *image, const char *path,
                                                        int overwrite, sdgen_error *error);

/* NULL is fine. */
SDGEN_API void sdgen_free(sdgen_engine *engine);

SDGEN_API const char *sdgen_version(void);
SDGEN_API const char *sdgen_isa_name(const sdgen_engine *engine); /* the tier in use: "avx2", ... */
/* The i-th known name, or NULL past the end: for help texts and menus. */
SDGEN_API const char *sdgen_sampler_name(int i);
SDGEN_API const char *sdgen_scheduler_name(int i);

#ifdef __cplusplus
}
#endif
#endif
