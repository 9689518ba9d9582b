/* facts.h - what shapes do not tell about a checkpoint, and by what evidence it was told.
 *
 * The networks' plans come from shapes alone (arch.h). The rest is a handful of facts, each found
 * by the first of these that speaks: a flag tensor of the file, its metadata, the configuration
 * beside it (a diffusers folder), the family. family.c finds them; the words of the evidence are
 * shown. */
#ifndef SDG_WEIGHTS_FACTS_H
#define SDG_WEIGHTS_FACTS_H

#include <stdbool.h>

enum sdg_family { SDG_FAMILY_SD1, SDG_FAMILY_SD2, SDG_FAMILY_SDXL, SDG_FAMILY_SDXL_REFINER };

/* What the UNet was trained to predict. */
enum sdg_target {
    SDG_TARGET_EPS,   /* the noise */
    SDG_TARGET_V,     /* the velocity (Salimans & Ho 2022) */
    SDG_TARGET_X0,    /* the clean latent */
    SDG_TARGET_EDM_V, /* velocity under the continuous noise levels of EDM (CosXL) */
    SDG_TARGET_EDM    /* EDM's preconditioned output (Karras et al. 2022; Playground 2.5) */
};

/* What the UNet reads behind the noisy latent. */
enum sdg_extra {
    SDG_EXTRA_NONE,
    SDG_EXTRA_INPAINT, /* 5 channels: mask, masked picture's latent */
    SDG_EXTRA_EDIT,    /* 4 channels: picture's latent (InstructPix2Pix) */
    SDG_EXTRA_DEPTH    /* 1 channel: depth */
};

/* What label_emb takes beside the pooled text: embeddings of 256 values each. */
enum sdg_label {
    SDG_LABEL_NONE,   /* there is no label_emb */
    SDG_LABEL_SIZES,  /* original height, width, crop top, left, target height, width */
    SDG_LABEL_REFINER /* original height, width, crop top, left, aesthetic score */
};

/* Trained to draw in few steps, as far as the file says so. */
enum sdg_distilled {
    SDG_DISTILLED_NO,
    SDG_DISTILLED_TURBO, /* SD-Turbo, SDXL-Turbo: 1 to 4 steps, no guidance */
    SDG_DISTILLED_LIGHTNING,
    SDG_DISTILLED_HYPER,
    SDG_DISTILLED_LCM, /* latent consistency; with a guidance input if the UNet has time_cond_proj
                        */
    SDG_DISTILLED_ONE_STEP /* SDXS: one step */
};

/* scheduler/scheduler_config.json of a diffusers folder: what is not said is "", NAN or -1. */
enum { SDG_SCHEDULER_WORD = 40 };
struct sdg_scheduler_facts {
    bool there;
    char class_name[SDG_SCHEDULER_WORD];        /* "EulerDiscreteScheduler"; "": not said */
    char prediction_type[SDG_SCHEDULER_WORD];   /* "epsilon", "v_prediction", "sample" */
    char timestep_spacing[SDG_SCHEDULER_WORD];  /* "leading", "trailing", "linspace" */
    char beta_schedule[SDG_SCHEDULER_WORD];     /* "scaled_linear", "linear", "squaredcos_cap_v2" */
    char algorithm_type[SDG_SCHEDULER_WORD];    /* "dpmsolver++", ... */
    char solver_type[SDG_SCHEDULER_WORD];       /* "midpoint", ... */
    char final_sigmas_type[SDG_SCHEDULER_WORD]; /* "zero", "sigma_min" */
    char interpolation_type[SDG_SCHEDULER_WORD];                   /* "linear", "log_linear" */
    double beta_start, beta_end, sigma_min, sigma_max, sigma_data; /* NAN: not said */
    int num_train_timesteps, steps_offset, solver_order;           /* -1: not said */
    int rescale_betas_zero_snr, set_alpha_to_one, skip_prk_steps;  /* 0, 1; -1: not said */
    int use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas, thresholding, clip_sample;
};

enum { SDG_FACT_EVIDENCE_MAX = 12, SDG_FACT_EVIDENCE_SIZE = 160, SDG_LATENT_CHANNELS = 4 };

struct sdg_facts {
    enum sdg_family family;
    enum sdg_target target;
    bool zero_terminal_snr;     /* betas are to be rescaled (Lin et al. 2023) */
    float sigma_min, sigma_max; /* of EDM and EDM-v; 0 where the trained betas say them */
    float sigma_data;           /* of EDM and EDM-v, else 0 */
    /* The UNet's latent is (the VAE's - mean) * latent_scale / std, channel by channel. mean 0 and
     * std 1 but for Playground 2.5. latent_scale: 0.18215 or 0.13025. */
    float latent_scale, latent_mean[SDG_LATENT_CHANNELS], latent_std[SDG_LATENT_CHANNELS];
    int native_width, native_height;
    enum sdg_extra extra;
    enum sdg_label label;
    enum sdg_distilled distilled;
    bool zero_empty_prompt; /* SDXL base: an absent negative prompt is zeros (model_index.json) */
    struct sdg_scheduler_facts scheduler;
    int evidence_count;
    char evidence[SDG_FACT_EVIDENCE_MAX][SDG_FACT_EVIDENCE_SIZE];
};

struct sdg_finding;
struct sdg_weights;

/* unet: the file that holds the UNet, which `found` is about; folder: the file the model was named
 * by, whose configurations speak for the whole; vae: the one that holds the VAE, or NULL. factor:
 * pixels a latent value is wide. */
void sdg_facts_find(struct sdg_facts *facts, const struct sdg_finding *found,
                    const struct sdg_weights *unet, const struct sdg_weights *folder,
                    const struct sdg_weights *vae, int factor);

/* From the text of a scheduler_config.json; *s says "not there" when text is NULL or no JSON
 * object. */
void sdg_scheduler_read(struct sdg_scheduler_facts *s, const char *text);

const char *sdg_family_name(enum sdg_family family); /* "SD1", "SD2", "SDXL", "SDXL refiner" */
const char *sdg_target_name(enum sdg_target target); /* "epsilon", "v", "x0", "EDM v", "EDM" */

#endif
