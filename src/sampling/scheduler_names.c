/* scheduler_names.c - what schedules are called. Labels are those of AUTOMATIC1111
 * stable-diffusion-webui 1.10 (modules/sd_schedulers.py) where it has the schedule. Spellings: its
 * names and labels, Forge's, ComfyUI's (schedulers and nodes), stable-diffusion.cpp's, diffusers'
 * flags and timestep_spacing. */
#include "base/names.h"
#include "sampling/schedule.h"

static const struct {
    const char *name, *label, *spellings;
} names[SDG_SCHEDULER_COUNT + 1] = {
    [SDG_SCHEDULER_DISCRETE] = {"discrete", "Uniform", "discrete|uniform|normal"},
    [SDG_SCHEDULER_KARRAS] = {"karras", "Karras", "karras|use_karras_sigmas|KarrasScheduler"},
    [SDG_SCHEDULER_EXPONENTIAL] = {"exponential", "Exponential",
                                   "exponential|use_exponential_sigmas|ExponentialScheduler"},
    [SDG_SCHEDULER_POLYEXPONENTIAL] = {"polyexponential", "Polyexponential",
                                       "polyexponential|PolyexponentialScheduler"},
    [SDG_SCHEDULER_SGM_UNIFORM] = {"sgm_uniform", "SGM Uniform", "sgm_uniform|SGMUniform"},
    [SDG_SCHEDULER_SIMPLE] = {"simple", "Simple", "simple"},
    [SDG_SCHEDULER_DDIM] = {"ddim", "DDIM", "ddim|ddim_uniform"},
    [SDG_SCHEDULER_BETA] = {"beta", "Beta", "beta|use_beta_sigmas|BetaSamplingScheduler"},
    [SDG_SCHEDULER_KL_OPTIMAL] = {"kl_optimal", "KL Optimal", "kl_optimal"},
    [SDG_SCHEDULER_AYS] = {"ays", "Align Your Steps",
                           "ays|align_your_steps|AlignYourStepsScheduler|AysSchedules"},
    [SDG_SCHEDULER_AYS_SD1] = {"ays_sd1", "Align Your Steps SD1",
                               "ays_sd1|align_your_steps_sd1|StableDiffusionSigmas"},
    [SDG_SCHEDULER_AYS_SDXL] = {"ays_sdxl", "Align Your Steps SDXL",
                                "ays_sdxl|align_your_steps_sdxl|StableDiffusionXLSigmas"},
    [SDG_SCHEDULER_GITS] = {"gits", "GITS", "gits|align_your_steps_GITS|ays_gits|GITSScheduler"},
    [SDG_SCHEDULER_TURBO] = {"turbo", "Turbo", "turbo|sd_turbo|SDTurboScheduler"},
    [SDG_SCHEDULER_LINEAR_QUADRATIC] = {"linear_quadratic", "Linear Quadratic", "linear_quadratic"},
    [SDG_SCHEDULER_VP] = {"vp", "VP", "vp|VPScheduler"},
    [SDG_SCHEDULER_SMOOTHSTEP] = {"smoothstep", "Smoothstep", "smoothstep"},
    [SDG_SCHEDULER_BONG_TANGENT] = {"bong_tangent", "Bong Tangent", "bong_tangent"},
    [SDG_SCHEDULER_LCM] = {"lcm", "LCM", "lcm"},
    [SDG_SCHEDULER_LEADING] = {"leading", "Leading", "leading"},
    [SDG_SCHEDULER_LINSPACE] = {"linspace", "Linspace", "linspace"},
    [SDG_SCHEDULER_TRAILING] = {"trailing", "Trailing", "trailing"},
    [SDG_SCHEDULER_SIGMAS] = {"sigmas", "Sigmas", "sigmas|custom_sigmas"},
    [SDG_SCHEDULER_TIMESTEPS] = {"timesteps", "Timesteps", "timesteps|custom_timesteps"},
    [SDG_SCHEDULER_OWN] = {"automatic", "Automatic", "automatic|auto|default|none"},
};

const char *sdg_scheduler_name(enum sdg_scheduler s)
{
    return s < SDG_SCHEDULER_COUNT ? names[s].name : NULL;
}

const char *sdg_scheduler_label(enum sdg_scheduler s)
{
    return s <= SDG_SCHEDULER_OWN ? names[s].label : NULL;
}

const char *sdg_scheduler_aliases(enum sdg_scheduler s)
{
    return s < SDG_SCHEDULER_COUNT ? names[s].spellings : NULL;
}

/* The sets of the programs: A1111 modules/sd_schedulers.py, diffusers schedulers/, ComfyUI
 * comfy/samplers.py and comfy_extras/, stable-diffusion.cpp src/runtime/denoiser.hpp. */
bool sdg_scheduler_is_own(enum sdg_scheduler s, enum sdg_like like)
{
#define BIT(name) SDG_SCHEDULER_BIT(SDG_SCHEDULER_##name)
    static const sdg_scheduler_set all = BIT(DISCRETE) | BIT(KARRAS) | BIT(EXPONENTIAL) |
                                         BIT(SGM_UNIFORM) | BIT(SIMPLE) | BIT(BETA) |
                                         BIT(KL_OPTIMAL) | BIT(AYS);
    static const sdg_scheduler_set comfyui = BIT(POLYEXPONENTIAL) | BIT(DDIM) | BIT(AYS_SD1) |
                                             BIT(AYS_SDXL) | BIT(GITS) | BIT(TURBO) |
                                             BIT(LINEAR_QUADRATIC) | BIT(VP) | BIT(SIGMAS);
    const sdg_scheduler_set own[SDG_LIKE_COUNT] = {
        [SDG_LIKE_A1111] = all | BIT(POLYEXPONENTIAL) | BIT(DDIM),
        [SDG_LIKE_DIFFUSERS] = SDG_SCHEDULERS_SPACINGS | SDG_SCHEDULERS_DIFFUSERS_FLAGS |
                               SDG_SCHEDULERS_LISTS | BIT(LCM),
        [SDG_LIKE_COMFYUI] = all | comfyui,
        [SDG_LIKE_SDCPP] =
            all | BIT(GITS) | BIT(SMOOTHSTEP) | BIT(BONG_TANGENT) | BIT(LCM) | BIT(SIGMAS)};
#undef BIT
    return s < SDG_SCHEDULER_COUNT && own[like] & SDG_SCHEDULER_BIT(s);
}

sdgen_status sdg_scheduler_find(enum sdg_scheduler *s, const char *name, sdgen_error *err)
{
    int nearest = 0, best = sdg_name_distance(name, names[0].spellings);
    for (int i = 0; i <= SDG_SCHEDULER_OWN; i++) {
        const int d = sdg_name_distance(name, names[i].spellings);
        if (sdg_name_matches(name, names[i].spellings)) {
            *s = (enum sdg_scheduler)i;
            return SDGEN_OK;
        }
        if (d < best) {
            best = d;
            nearest = i;
        }
    }
    return sdg_fail(err, SDGEN_ERR_ARG, "--scheduler %s: no such schedule; the nearest is %s", name,
                    names[nearest].name);
}
