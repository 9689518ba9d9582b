/* foreign_comfywalk.c - from a sampler node of ComfyUI to everything it draws with. Classes and
 * inputs: ComfyUI nodes.py, comfy_extras/nodes_custom_sampler.py, nodes_model_advanced.py,
 * nodes_align_your_steps.py, nodes_gits.py. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/foreign_comfyui.h"

enum { LONGEST_WALK = 64 };

static sdgen_status put_text(struct sdg_comfy_graph *g, enum sdg_field field, const char *name,
                             const char *value, sdgen_error *err)
{
    return sdg_settings_put(g->s, field, name, value, strlen(value), err);
}

/* ---- text ---- */

static bool is_encoder(const struct sdg_comfy_node *n)
{
    return sdg_comfy_input(n, "text") && sdg_comfy_input(n, "clip");
}

/* From an encoder to the loader of its text network. ComfyUI counts layers from the end: -2 leaves
 * out one, as 2 does in A1111. */
static sdgen_status walk_clip(struct sdg_comfy_graph *g, struct sdg_comfy_node *n, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (int i = 0; n && i < LONGEST_WALK; i++, n = sdg_comfy_follow(g, n, "clip")) {
        if (!sdg_comfy_is(n, "CLIPSetLastLayer")) continue;
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_CLIP_SKIP, n, "stop_at_clip_layer", err));
        const char *value = sdg_settings_value(g->s, SDG_FIELD_CLIP_SKIP);
        char positive[SDG_NUMBER_SIZE];
        snprintf(positive, sizeof positive, "%s", value && value[0] == '-' ? value + 1 : "");
        if (positive[0])
            SDG_TRY(put_text(g, SDG_FIELD_CLIP_SKIP, "CLIPSetLastLayer.stop_at_clip_layer",
                             positive, err));
    }
fail:
    return status;
}

/* From a conditioning input to the first encoder behind it. What else acts on the conditioning is
 * not marked as understood, so it is reported. */
static sdgen_status walk_prompt(struct sdg_comfy_graph *g, enum sdg_field field,
                                struct sdg_comfy_node *n, sdgen_error *err)
{
    static const char *const ways[] = {"conditioning", "conditioning_1", "conditioning_to"};
    sdgen_status status = SDGEN_OK;
    for (int i = 0; n && i < LONGEST_WALK; i++) {
        if (is_encoder(n)) {
            n->understood = true;
            SDG_TRY(sdg_comfy_put(g, field, n, "text", err));
            SDG_TRY(walk_clip(g, sdg_comfy_follow(g, n, "clip"), err));
            return SDGEN_OK;
        }
        struct sdg_comfy_node *next =
            sdg_comfy_follow(g, n, field == SDG_FIELD_PROMPT ? "positive" : "negative");
        for (size_t k = 0; !next && k < sizeof ways / sizeof ways[0]; k++)
            next = sdg_comfy_follow(g, n, ways[k]);
        n = next;
    }
fail:
    return status;
}

/* ---- model ---- */

static sdgen_status model_sampling(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                                   sdgen_error *err)
{
    static const char *const known[][2] = {{"eps", "eps"}, {"v_prediction", "v"}, {"x0", "x0"}};
    sdgen_status status = SDGEN_OK;
    sdg_comfy_drop(g, n, "zsnr", "False");
    const cJSON *sampling = sdg_comfy_input(n, "sampling");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cJSON_IsString(sampling) && strcmp(sampling->valuestring, known[i][0]) == 0) {
            sdg_comfy_drop(g, n, "sampling", known[i][0]);
            SDG_TRY(put_text(g, SDG_FIELD_PREDICTION, "ModelSamplingDiscrete.sampling", known[i][1],
                             err));
        }
    if (cJSON_IsTrue(sdg_comfy_input(n, "zsnr"))) {
        sdg_comfy_drop(g, n, "zsnr", "True");
        SDG_TRY(put_text(g, SDG_FIELD_NOISE_SCHEDULE, "ModelSamplingDiscrete.zsnr",
                         "Zero Terminal SNR", err));
    }
fail:
    return status;
}

static sdgen_status walk_model(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                               sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (int i = 0; n && i < LONGEST_WALK; i++, n = sdg_comfy_follow(g, n, "model")) {
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_MODEL, n, "ckpt_name", err));
        if (sdg_comfy_is(n, "RescaleCFG"))
            SDG_TRY(sdg_comfy_put(g, SDG_FIELD_CFG_RESCALE, n, "multiplier", err));
        if (sdg_comfy_is(n, "ModelSamplingDiscrete")) SDG_TRY(model_sampling(g, n, err));
    }
fail:
    return status;
}

/* ---- latent ---- */

/* The first node behind the latent input that has a width and a height. */
static sdgen_status walk_latent(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                                sdgen_error *err)
{
    static const char *const ways[] = {"samples", "latent_image", "latent", "samples1"};
    sdgen_status status = SDGEN_OK;
    for (int i = 0; n && i < LONGEST_WALK; i++) {
        if (sdg_comfy_input(n, "width") && sdg_comfy_input(n, "height") &&
            strstr(n->class, "Empty")) {
            SDG_TRY(sdg_comfy_put(g, SDG_FIELD_WIDTH, n, "width", err));
            SDG_TRY(sdg_comfy_put(g, SDG_FIELD_HEIGHT, n, "height", err));
            sdg_comfy_drop(g, n, "batch_size", "1");
            const cJSON *batch = sdg_comfy_input(n, "batch_size");
            if (cJSON_IsNumber(batch) && batch->valuedouble != 1)
                SDG_TRY(sdg_comfy_put(g, SDG_FIELD_BATCH_SIZE, n, "batch_size", err));
            return SDGEN_OK;
        }
        struct sdg_comfy_node *next = NULL;
        for (size_t k = 0; !next && k < sizeof ways / sizeof ways[0]; k++)
            next = sdg_comfy_follow(g, n, ways[k]);
        n = next;
    }
fail:
    return status;
}

/* ---- samplers and schedules that are nodes of their own ---- */

static sdgen_status sampler_node(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                                 sdgen_error *err)
{
    static const char *const classes[][2] = {
        {"SamplerEulerAncestral", "euler_ancestral"},
        {"SamplerEulerAncestralCFGPP", "euler_ancestral_cfg_pp"},
        {"SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral"},
        {"SamplerDPMPP_2M_SDE", "dpmpp_2m_sde"},
        {"SamplerDPMPP_3M_SDE", "dpmpp_3m_sde"},
        {"SamplerDPMPP_SDE", "dpmpp_sde"},
        {"SamplerDPMAdaptative", "dpm_adaptive"},
        {"SamplerLMS", "lms"},
        {"SamplerER_SDE", "er_sde"},
    };
    sdgen_status status = SDGEN_OK;
    if (!n) return SDGEN_OK;
    SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SAMPLER, n, "sampler_name", err));
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (!sdg_comfy_is(n, classes[i][0])) continue;
        const cJSON *solver = sdg_comfy_input(n, "solver_type");
        const bool heun = cJSON_IsString(solver) && strcmp(solver->valuestring, "heun") == 0;
        n->understood = true;
        sdg_comfy_drop(g, n, "solver_type", heun ? "heun" : "midpoint");
        sdg_comfy_drop(g, n, "noise_device", "cpu");
        sdg_comfy_drop(g, n, "noise_device", "gpu");
        SDG_TRY(put_text(g, SDG_FIELD_SAMPLER, n->class, heun ? "dpmpp_2m_sde_heun" : classes[i][1],
                         err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_ETA, n, "eta", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_S_NOISE, n, "s_noise", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_MIDPOINT, n, "r", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_ORDER, n, "order", err));
    }
fail:
    return status;
}

static sdgen_status schedule_node(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                                  sdgen_error *err)
{
    static const char *const classes[][2] = {
        {"KarrasScheduler", "karras"},
        {"ExponentialScheduler", "exponential"},
        {"PolyexponentialScheduler", "polyexponential"},
        {"SDTurboScheduler", "turbo"},
        {"VPScheduler", "vp"},
        {"BetaSamplingScheduler", "beta"},
        {"AlignYourStepsScheduler", "ays"},
        {"GITSScheduler", "gits"},
    };
    sdgen_status status = SDGEN_OK;
    if (!n) return SDGEN_OK;
    SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SCHEDULE, n, "scheduler", err));
    SDG_TRY(sdg_comfy_put(g, SDG_FIELD_STEPS, n, "steps", err));
    sdg_comfy_drop(g, n, "denoise", "1");
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (!sdg_comfy_is(n, classes[i][0])) continue;
        n->understood = true;
        SDG_TRY(put_text(g, SDG_FIELD_SCHEDULE, n->class, classes[i][1], err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SCHEDULE_MAX, n, "sigma_max", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SCHEDULE_MIN, n, "sigma_min", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SCHEDULE_RHO, n, "rho", err));
        SDG_TRY(sdg_comfy_put(g, SDG_FIELD_GITS_COEFFICIENT, n, "coeff", err));
        sdg_comfy_drop(g, n, "alpha", "0.6");
        sdg_comfy_drop(g, n, "beta", "0.6");
        sdg_comfy_drop(g, n, "beta_d", "19.9");
        sdg_comfy_drop(g, n, "beta_min", "0.1");
        sdg_comfy_drop(g, n, "eps_s", "0.001");
    }
fail:
    return status;
}

/* CFGGuider and BasicGuider: what KSampler has itself. */
static sdgen_status guider_node(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                                sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (!n) return SDGEN_OK;
    n->understood = true;
    SDG_TRY(sdg_comfy_put(g, SDG_FIELD_CFG_SCALE, n, "cfg", err));
    if (sdg_comfy_is(n, "BasicGuider"))
        SDG_TRY(put_text(g, SDG_FIELD_CFG_SCALE, n->class, "1", err));
    SDG_TRY(walk_model(g, sdg_comfy_follow(g, n, "model"), err));
    SDG_TRY(walk_prompt(g, SDG_FIELD_PROMPT, sdg_comfy_follow(g, n, "conditioning"), err));
    SDG_TRY(walk_prompt(g, SDG_FIELD_PROMPT, sdg_comfy_follow(g, n, "positive"), err));
    SDG_TRY(walk_prompt(g, SDG_FIELD_NEGATIVE, sdg_comfy_follow(g, n, "negative"), err));
fail:
    return status;
}

/* ---- all of it ---- */

/* VAELoader, where one stands before a decoder. */
static sdgen_status find_vae(struct sdg_comfy_graph *g, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (size_t i = 0; i < g->count; i++) {
        struct sdg_comfy_node *loader = NULL;
        if (strncmp(g->nodes[i].class, "VAEDecode", 9) == 0)
            loader = sdg_comfy_follow(g, &g->nodes[i], "vae");
        if (loader) SDG_TRY(sdg_comfy_put(g, SDG_FIELD_VAE, loader, "vae_name", err));
    }
fail:
    return status;
}

/* KSamplerAdvanced draws a stretch of the schedule; all of it is the usual case. */
static void drop_stretch(struct sdg_comfy_graph *g, struct sdg_comfy_node *n)
{
    const char *steps = sdg_settings_value(g->s, SDG_FIELD_STEPS);
    const cJSON *end = sdg_comfy_input(n, "end_at_step");
    char buffer[SDG_NUMBER_SIZE];
    sdg_comfy_drop(g, n, "denoise", "1");
    sdg_comfy_drop(g, n, "add_noise", "enable");
    sdg_comfy_drop(g, n, "add_noise", "True");
    sdg_comfy_drop(g, n, "start_at_step", "0");
    sdg_comfy_drop(g, n, "return_with_leftover_noise", "disable");
    if (steps && cJSON_IsNumber(end) && end->valuedouble >= strtod(steps, NULL))
        sdg_comfy_drop(g, n, "end_at_step", sdg_foreign_text(buffer, end));
}

sdgen_status sdg_comfy_sampler(struct sdg_comfy_graph *g, struct sdg_comfy_node *n,
                               sdgen_error *err)
{
    static const struct sdg_foreign_key own[] = {
        {"steps", SDG_FIELD_STEPS},        {"sampler_name", SDG_FIELD_SAMPLER},
        {"scheduler", SDG_FIELD_SCHEDULE}, {"cfg", SDG_FIELD_CFG_SCALE},
        {"seed", SDG_FIELD_SEED},          {"noise_seed", SDG_FIELD_SEED},
    };
    sdgen_status status = SDGEN_OK;
    n->understood = true;
    SDG_TRY(guider_node(g, n, err)); /* first: prompts come before the rest */
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        SDG_TRY(sdg_comfy_put(g, own[i].field, n, own[i].key, err));
    SDG_TRY(guider_node(g, sdg_comfy_follow(g, n, "guider"), err));
    SDG_TRY(sampler_node(g, sdg_comfy_follow(g, n, "sampler"), err));
    SDG_TRY(schedule_node(g, sdg_comfy_follow(g, n, "sigmas"), err));
    struct sdg_comfy_node *noise = sdg_comfy_follow(g, n, "noise");
    if (noise) SDG_TRY(sdg_comfy_put(g, SDG_FIELD_SEED, noise, "noise_seed", err));
    struct sdg_comfy_node *latent = sdg_comfy_follow(g, n, "latent_image");
    SDG_TRY(walk_latent(g, latent ? latent : sdg_comfy_follow(g, n, "latent"), err));
    SDG_TRY(find_vae(g, err));
    drop_stretch(g, n);
fail:
    return status;
}
