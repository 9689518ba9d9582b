/* dpmpp_sde.c - DPM-Solver++ on the reverse SDE (Lu et al. 2022b, section 5), a midpoint method
 * with noise from a Brownian path, so that the same levels always meet the same noise. Two
 * evaluations a step but for the one to level 0, which is Euler's. With t = -ln s, h = t' - t,
 * m = e^-(t + r h), f = 1/(2r), and (down, up) the ancestral split of a step:
 *
 *   s -> m    e  = (down/s) x - (down/s - 1) D(x; s) + up W(s, m)
 *   s -> s'   x' = (down'/s) x - (down'/s - 1) ((1 - f) D(x; s) + f D(e; m)) + up' W(s, s')
 *
 * k-diffusion sampling.py (sample_dpmpp_sde); A1111 and ComfyUI the same; diffusers
 * scheduling_dpmsolver_sde.py, whose list of timesteps names every evaluation and r is 1/2. */
#include <math.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* y [n][len] = x moved from level e^-t to e^-there by the denoised picture d, noise included.
 * noise [n][len]: scratch; y may be x. */
static void move(struct sdg_sampling *s, float *y, float *noise, const float *d, float t,
                 float there)
{
    const float from = expf(-t), to = expf(-there), s_noise = (float)s->options.s_noise;
    float down, up;
    sdg_sigma_ancestral(&down, &up, from, to, (float)s->options.eta);
    const float lower = -logf(down), keep = expf(-lower) / from;
    sdg_sigma_mix(s, y, keep, s->x, -expm1f(t - lower), d);
    if (!(up > 0)) return;
    s->brownian(s->user, noise, from, to);
    for (size_t j = 0; j < s->n * s->len; j++) y[j] += noise[j] * s_noise * up;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas, r = (float)s->options.r, f = 1 / (2 * r);
    float *denoised = s->buffer[0], *x2 = s->buffer[1], *denoised2 = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        if (sigmas[i + 1] == 0) {
            sdg_sigma_euler(s, s->x, s->x, denoised, sigmas[i], 0);
        } else {
            const float t = -logf(sigmas[i]), to = -logf(sigmas[i + 1]), middle = t + (to - t) * r;
            move(s, x2, denoised2, denoised, t, middle);
            if (!sdg_denoise(s, denoised2, NULL, x2, expf(-middle), i)) return false;
            sdg_sigma_mix(s, denoised2, 1 - f, denoised, f, denoised2);
            move(s, s->x, x2, denoised2, t, to);
        }
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpmpp_sde = {
    .name = "dpmpp_sde",
    .label = "DPM++ SDE",
    .aliases = "dpmpp_sde|dpm++sde|k_dpmpp_sde|dpmpp_sde_gpu|sample_dpmpp_sde|DPMSolverSDE|"
               "DPMSolverSDEScheduler",
    .order = 2, /* at eta 0 */
    .evaluations = 2,
    .buffers = 3,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE | SDG_TAKES_R,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .brownian = true,
                                .calls = 2,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,

                                    .brownian = true,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .brownian = true,
                                  .calls = 1,
                                  .default_eta = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run,
                                .borrowed = true,
                                .brownian = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
