/* samplers_all.h - every sampler by its symbol (the table of sampler.c). */
#ifndef SDG_SAMPLING_SAMPLERS_ALL_H
#define SDG_SAMPLING_SAMPLERS_ALL_H

#include "sampling/sampler.h"

/* What a class of diffusers with all flags can follow. */
#define SDG_SCHEDULERS_OF_CLASS \
    (SDG_SCHEDULERS_SPACINGS | SDG_SCHEDULERS_DIFFUSERS_FLAGS | SDG_SCHEDULERS_LISTS)

/* Euler and its second-order relatives */
extern const struct sdg_sampler sdg_sampler_euler, sdg_sampler_euler_a, sdg_sampler_heun,
    sdg_sampler_heunpp2, sdg_sampler_dpm2, sdg_sampler_dpm2_a, sdg_sampler_restart;

/* exponential integrators of one step */
extern const struct sdg_sampler sdg_sampler_dpm_fast, sdg_sampler_dpm_adaptive,
    sdg_sampler_dpmpp_2s_a, sdg_sampler_dpmpp_sde, sdg_sampler_res_2s;

/* multistep */
extern const struct sdg_sampler sdg_sampler_lms, sdg_sampler_dpmpp_2m, sdg_sampler_dpmpp_2m_v2,
    sdg_sampler_dpmpp_2m_sde, sdg_sampler_dpmpp_2m_sde_heun, sdg_sampler_dpmpp_3m_sde,
    sdg_sampler_ipndm, sdg_sampler_ipndm_v, sdg_sampler_deis, sdg_sampler_unipc,
    sdg_sampler_unipc_bh2, sdg_sampler_res_multistep, sdg_sampler_res_multistep_a,
    sdg_sampler_er_sde, sdg_sampler_gradient_estimation;

/* distilled models and the reverse diffusion of training */
extern const struct sdg_sampler sdg_sampler_lcm, sdg_sampler_tcd, sdg_sampler_ddpm;

/* abar space */
extern const struct sdg_sampler sdg_sampler_ddim, sdg_sampler_ddim_cfg_pp, sdg_sampler_ddim_inverse,
    sdg_sampler_plms, sdg_sampler_pndm;

/* CFG++ (Chung et al. 2024) */
extern const struct sdg_sampler sdg_sampler_euler_cfg_pp, sdg_sampler_euler_a_cfg_pp,
    sdg_sampler_dpmpp_2s_a_cfg_pp, sdg_sampler_dpmpp_2m_cfg_pp, sdg_sampler_res_multistep_cfg_pp,
    sdg_sampler_res_multistep_a_cfg_pp, sdg_sampler_gradient_estimation_cfg_pp;

#endif
