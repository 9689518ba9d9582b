"""Writes tests/golden/samplers.safetensors: walks of samplers over the denoiser of samplers_common.py.

sigmas.LIST                   the levels of a walk, with the final 0
kdiffusion.SAMPLER.LIST       the latent after every step, from k-diffusion
diffusers.SAMPLER.LIST        from diffusers, on its own lists
twin.SAMPLER.LIST             from sampler_twins.py
toy.SAMPLER                   the twins' scalar walk from x = 7: its end, and its end without the final 0

usage: golden_samplers.py [OUTPUT]
"""
import os
import pathlib
import sys

import diffusers
import numpy as np
import torch
from safetensors.numpy import save_file

import originals
import sampler_twins as twins
import samplers_common as common

CHURN = dict(s_churn=3.0, s_tmin=0.3, s_tmax=6.0, s_noise=1.1)
out = {}


def put(name, value):
    out[name] = common.f32(value).reshape(-1)


def torch_noise(cls):
    return cls(like=lambda a: torch.from_numpy(np.ascontiguousarray(a)))


# ---- k-diffusion ----

def churn_walk(sample, sigmas):
    """The callback shows x after the noise: it is taken off again."""
    noise, drawn, heads = torch_noise(common.Draws), [], []
    original, torch.randn_like = torch.randn_like, lambda x: drawn.append(noise()) or drawn[-1]
    try:
        def callback(d):
            s, hat = d["sigma"], d["sigma_hat"]
            heads.append(d["x"] - drawn[d["i"]] * CHURN["s_noise"] * (hat ** 2 - s ** 2) ** 0.5)
        x = torch.from_numpy(common.start(float(sigmas[0])))
        end = sample(common.model, x, sigmas, callback=callback, disable=True, **CHURN)
    finally:
        torch.randn_like = original
    return torch.stack([*heads[1:], end])


def k_walks(ks, lists):
    for name, sigmas in lists.items():
        walk = lambda key, sample, **options: put(f"kdiffusion.{key}.{name}", common.k_walk(sample, sigmas, **options))
        drawn = lambda: dict(noise_sampler=torch_noise(common.Draws))
        path = lambda: dict(noise_sampler=torch_noise(common.Path))
        walk("euler", ks.sample_euler)
        walk("heun", ks.sample_heun)
        walk("dpm2", ks.sample_dpm_2)
        walk("euler_a", ks.sample_euler_ancestral, **drawn())
        walk("euler_a_half", ks.sample_euler_ancestral, eta=0.5, s_noise=1.05, **drawn())
        walk("dpm2_a", ks.sample_dpm_2_ancestral, **drawn())
        walk("dpmpp_2s_a", ks.sample_dpmpp_2s_ancestral, **drawn())
        walk("dpmpp_sde", ks.sample_dpmpp_sde, **path())
        walk("dpmpp_sde_r", ks.sample_dpmpp_sde, r=0.3, eta=0.7, s_noise=1.05, **path())
        if name.startswith("karras"):
            for key in ("euler", "heun", "dpm2"):
                put(f"kdiffusion.{key}_churn.{name}", churn_walk(getattr(ks, "sample_" + key.replace("m2", "m_2")), sigmas))
            for eta in (0, 1):
                fast(ks, sigmas, name, eta)
                adaptive(ks, sigmas, name, eta)


def ends(sigmas):
    return sigmas[-2].item(), sigmas[0].item()


def fast(ks, sigmas, name, eta):
    before = []
    x = torch.from_numpy(common.start(float(sigmas[0])))
    end = ks.sample_dpm_fast(common.model, x, *ends(sigmas), len(sigmas) - 1, callback=lambda d: before.append(d["x"]),
                             disable=True, eta=eta, noise_sampler=torch_noise(common.Draws))
    put(f"kdiffusion.dpm_fast_{eta}.{name}", torch.stack([*before[1:], end]))


def adaptive(ks, sigmas, name, eta):
    """States after the steps that counted."""
    states = []
    x = torch.from_numpy(common.start(float(sigmas[0])))
    keep = lambda d: states.append(d["x"]) if d["n_accept"] > len(states) else None
    ks.sample_dpm_adaptive(common.model, x, *ends(sigmas), callback=keep, disable=True, eta=eta,
                           noise_sampler=torch_noise(common.Draws))
    put(f"kdiffusion.dpm_adaptive_{eta}.{name}", torch.stack(states))


# ---- diffusers ----

def level(s):
    """The level at which the class will use the next answer of the model."""
    i = s.step_index or 0
    if getattr(s, "mid_point_sigma", None) is not None:
        return s.mid_point_sigma
    if not hasattr(s, "state_in_first_order") or s.state_in_first_order or not hasattr(s, "sigmas_interpol"):
        return s.sigmas[i]
    return s.sigmas_interpol[i - 1 if "Ancestral" in type(s).__name__ else i]


def diffusers_walk(name, cls, key, n, options, **step):
    s = cls(**originals.SD1 | options)
    s.set_timesteps(n)
    s.noise_sampler = torch_noise(common.Path)              # of DPMSolverSDE
    twice = hasattr(s, "state_in_first_order")
    sigmas = torch.cat([s.sigmas[:1], s.sigmas[1::2]])[:n + 1] if twice else s.sigmas
    module, noise, states = sys.modules[type(s).__module__], torch_noise(common.Draws), []
    original, module.randn_tensor = getattr(module, "randn_tensor", None), lambda *a, **k: noise()
    x = torch.from_numpy(common.start(float(sigmas[0])))
    for t in s.timesteps:
        s.scale_model_input(x, t)
        sigma = level(s).double()
        d, root = common.denoised(x.double(), sigma), (sigma * sigma + 1).sqrt()
        v = s.config.prediction_type == "v_prediction"
        output = (x.double() / root ** 2 - d) * root / sigma if v else (x.double() - d) / sigma
        x = s.step(output.float(), t, x, **step).prev_sample
        if not twice or s.state_in_first_order or t == s.timesteps[-1]:
            states.append(x)
    module.randn_tensor = original
    put(f"sigmas.diffusers_{key}.{n}", sigmas)
    put(f"diffusers.{name}.diffusers_{key}.{n}", torch.stack(states))


def diffusers_walks():
    spaced = {k: dict(timestep_spacing=k) for k in ("leading", "linspace", "trailing")}
    flags = {"karras": dict(use_karras_sigmas=True), "exponential": dict(use_exponential_sigmas=True)}
    for n in common.STEPS:
        for key, options in (spaced | flags).items():
            diffusers_walk("euler", diffusers.EulerDiscreteScheduler, key, n, options)
            diffusers_walk("heun", diffusers.HeunDiscreteScheduler, key, n, options)
            diffusers_walk("dpm2", diffusers.KDPM2DiscreteScheduler, key, n, options)
            diffusers_walk("dpm2_a", diffusers.KDPM2AncestralDiscreteScheduler, key, n, options)
            diffusers_walk("dpmpp_sde", diffusers.DPMSolverSDEScheduler, key, n, options)
            if key in spaced:
                diffusers_walk("euler_a", diffusers.EulerAncestralDiscreteScheduler, key, n, options)
        diffusers_walk("euler_churn", diffusers.EulerDiscreteScheduler, "leading", n, spaced["leading"], **CHURN)
        diffusers_walk("euler_churn_v", diffusers.EulerDiscreteScheduler, "leading", n,
                       spaced["leading"] | dict(prediction_type="v_prediction"), **CHURN)


# ---- twins ----

def churn(o):
    return dict(churn=o["s_churn"], tmin=o["s_tmin"], tmax=o["s_tmax"], s_noise=o["s_noise"])


TWINS = dict(
    restart=(twins.restart, {}), lcm_a1111=(twins.lcm_a1111, {}), lcm=(twins.lcm, {}),
    euler_churn=(twins.euler, churn(CHURN)), heunpp2=(twins.heunpp2, {}), heunpp2_churn=(twins.heunpp2, churn(CHURN)),
    ddpm=(twins.ddpm, {}), euler_cfg_pp=(twins.euler_cfg_pp, dict(U=common.uncond)),
    euler_a_cfg_pp=(twins.euler_cfg_pp, dict(U=common.uncond, eta=1.0)),
    dpmpp_2s_a_cfg_pp=(twins.dpmpp_2s_a_cfg_pp, dict(U=common.uncond)),
    dpmpp_2m_cfg_pp=(twins.dpmpp_2m_cfg_pp, dict(U=common.uncond)), tcd=(twins.tcd, {}),
    tcd_eta=(twins.tcd, dict(eta=0.3)), res_2s=(twins.res_2s, {}), res_2s_eta=(twins.res_2s, dict(eta=1.0)))


def twin_walks(lists):
    for key, (twin, options) in TWINS.items():
        for name, sigmas in lists.items():
            noise = common.Draws(like=lambda a: a.astype(np.float64))
            levels = sigmas.double().tolist()
            x = common.start(levels[0]).astype(np.float64)
            put(f"twin.{key}.{name}", np.stack(list(twin(x, levels, common.denoised, noise, **options))))
        toy = []
        for levels in (common.TOY_SIGMAS, common.TOY_SIGMAS[:-1]):
            noise = common.Draws(1, 1, counted=True, like=lambda a: a.astype(np.float64))
            toy.append(list(twin(np.full((1, 1), 7.0), levels, common.denoised, noise, **options))[-1].item())
        put(f"toy.{key}", toy)
        print(f"{key:20s} {toy[0]:.9f} {toy[1]:.9f}")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/samplers.safetensors"
    ks, _ = originals.k_diffusion()
    lists = common.lists()
    more = {"karras.9": ks.get_sigmas_karras(9, *ends(lists["karras.4"])),
            "karras.40": ks.get_sigmas_karras(40, *ends(lists["karras.4"]))}
    for name, sigmas in (lists | more).items():
        put(f"sigmas.{name}", sigmas)
    k_walks(ks, lists)
    for eta in (0, 1):
        fast(ks, more["karras.9"], "karras.9", eta)
    diffusers_walks()
    twin_walks(lists)
    noise = common.Draws(like=lambda a: a.astype(np.float64))
    levels = more["karras.40"].double().tolist()
    put("twin.restart.karras.40", np.stack(list(twins.restart(common.start(levels[0]).astype(np.float64), levels,
                                                              common.denoised, noise))))
    save_file(dict(sorted(out.items())), path, metadata={"made_by": "tools/golden_samplers.py"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
