"""Writes tests/golden/samplers_multistep.safetensors: walks of the multistep samplers on the denoiser of
samplers_common.py, from k-diffusion, diffusers' scheduler classes and, where a program cannot be installed, the twins of
twins_multistep.py, which are first compared with known values. Read by tests/test_samplers_multistep.c.

    sigmas.<list>                levels in sigma space; list: discrete.4, karras.10, ...
    <program>.<sampler>.<list>   x after every step [steps][N*LEN]
    sigmas.<case>.<list>         the levels of a class of diffusers; list: leading.4, ..., karras.25
    diffusers.<case>.<list>      its x after every step
    a1111.unipc.<steps>          x after every step

usage: golden_samplers_multistep.py [OUTPUT]
"""
import pathlib
import sys

import diffusers
import numpy as np
import torch
from safetensors.numpy import save_file

import originals
import samplers_common as common
import twins_multistep as twins

SPACINGS = ("leading", "linspace", "trailing", "karras")
F32_TWINS = ("deis", "unipc", "unipc_bh2")                  # where the rounding of the original shows
out = {}


def of_k_diffusion(lists):
    ks, _ = originals.k_diffusion()
    path, draws = common.Path(like=torch.from_numpy), None
    for name, sigmas in lists.items():
        out[f"sigmas.{name}"] = common.f32(sigmas)
        draws = common.Draws(like=torch.from_numpy)
        for key, sample, options in (
                ("kd.lms", ks.sample_lms, {}), ("kd.lms2", ks.sample_lms, dict(order=2)),
                ("kd.dpmpp_2m", ks.sample_dpmpp_2m, {}),
                ("kd.dpmpp_2m_sde", ks.sample_dpmpp_2m_sde, dict(noise_sampler=path)),
                ("kd.dpmpp_2m_sde_eta", ks.sample_dpmpp_2m_sde, dict(noise_sampler=path, eta=0.6, s_noise=1.1)),
                ("kd.dpmpp_2m_sde_drawn", ks.sample_dpmpp_2m_sde, dict(noise_sampler=draws)),
                ("kd.dpmpp_2m_sde_heun", ks.sample_dpmpp_2m_sde, dict(noise_sampler=path, solver_type="heun")),
                ("kd.dpmpp_3m_sde", ks.sample_dpmpp_3m_sde, dict(noise_sampler=path)),
                ("kd.dpmpp_3m_sde_ode", ks.sample_dpmpp_3m_sde, dict(noise_sampler=path, eta=0.0))):
            out[f"{key}.{name}"] = common.f32(common.k_walk(sample, sigmas, **options))


def of_twins(lists):
    for program, table in (("comfyui", twins.COMFYUI), ("sdcpp", twins.SDCPP)):
        for key, walk in table.items():
            kind = torch.float32 if key in F32_TWINS else torch.float64
            for name, sigmas in lists.items():
                draws = common.Draws(like=torch.from_numpy)
                x = torch.from_numpy(common.start(float(sigmas[0]))).to(kind)
                states = walk((common.model, wide_uncond), x, sigmas.to(kind), lambda: draws().to(kind))
                out[f"{program}.{key}.{name}"] = common.f32(torch.stack(list(states)).reshape(len(sigmas) - 1, -1))


def wide_uncond(x, sigma):
    return common.uncond(x.double(), torch.as_tensor(sigma).double()).to(x.dtype)


def of_a1111():
    abar = originals.alphas_ldm()
    for key, bh2, v in (("unipc", False, False), ("unipc_bh2", True, False), ("unipc_v", False, True)):
        for n in common.STEPS:
            states = twins.unipc_a1111((common.model,), torch.from_numpy(common.start(1.0)), n, abar, bh2, v=v)
            out[f"a1111.{key}.{n}"] = common.f32(torch.stack(list(states)).reshape(n, -1))


CASES = dict(
    lms=("LMSDiscrete", {}),
    dpm1=("DPMSolverMultistep", dict(solver_order=1)), dpm2=("DPMSolverMultistep", {}),
    dpm2_heun=("DPMSolverMultistep", dict(solver_type="heun")), dpm3=("DPMSolverMultistep", dict(solver_order=3)),
    dpm3_full=("DPMSolverMultistep", dict(solver_order=3, lower_order_final=False)),
    sde2=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++")),
    sde2_heun=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++", solver_type="heun")),
    sde3=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++", solver_order=3)),
    deis2=("DEISMultistep", {}), deis3=("DEISMultistep", dict(solver_order=3)),
    dpm2_v=("DPMSolverMultistep", dict(prediction_type="v_prediction")),
    deis2_v=("DEISMultistep", dict(prediction_type="v_prediction")),
    unipc2_v=("UniPCMultistep", dict(prediction_type="v_prediction")),
    unipc2=("UniPCMultistep", {}), unipc3=("UniPCMultistep", dict(solver_order=3)),
)


def walk_class(scheduler, n):
    """x after every step. The model's answer is what gives the denoiser at the scheduler's own level, computed in double."""
    module = sys.modules[type(scheduler).__module__]
    draws = common.Draws(like=torch.from_numpy)
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = lambda *_a, **_k: draws()
    scheduler.set_timesteps(n)
    sigma_space = isinstance(scheduler, diffusers.LMSDiscreteScheduler)
    x = torch.from_numpy(common.start(float(scheduler.sigmas[0]) if sigma_space else 1.0))
    states = []
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i].double()
        y = scheduler.scale_model_input(x, t).double() * torch.sqrt(sigma ** 2 + 1)
        said = (y - common.denoised(y, sigma)) / sigma
        if scheduler.config.prediction_type == "v_prediction":
            root = torch.sqrt(sigma ** 2 + 1)
            said = (y / root ** 2 - common.denoised(y, sigma)) * root / sigma
        x = scheduler.step(said.float(), t, x).prev_sample
        states.append(x.flatten())
    return torch.stack(states)


def of_diffusers():
    for key, (name, options) in CASES.items():
        for spacing in SPACINGS:
            extra = dict(use_karras_sigmas=True) if spacing == "karras" else dict(timestep_spacing=spacing)
            for n in common.STEPS:
                scheduler = getattr(diffusers, name + "Scheduler")(**{**originals.SD1, **options}, **extra)
                out[f"diffusers.{key}.{spacing}.{n}"] = common.f32(walk_class(scheduler, n))
                out[f"sigmas.{key}.{spacing}.{n}"] = common.f32(scheduler.sigmas)


def main():
    here = pathlib.Path(__file__).resolve().parent
    path = sys.argv[1] if len(sys.argv) > 1 else here.parent / "tests/golden/samplers_multistep.safetensors"
    diffusers.logging.set_verbosity_error()
    twins.check()
    lists = common.lists()
    of_k_diffusion(lists)
    of_twins(lists)
    of_a1111()
    of_diffusers()
    for name, value in out.items():
        if not np.isfinite(value).all():
            raise SystemExit(f"{name}: not finite")
    save_file(dict(sorted(out.items())), path)
    print(f"{path}: {len(out)} tensors")


if __name__ == "__main__":
    main()
