"""Walks of the original samplers on the bundled model: prompt, guidance 5, seed 7, one latent of 8x8.

walk(demo, program, sampler, schedule, steps) gives the latent after every step. k-diffusion and diffusers' classes are
the originals; where a program cannot be installed, the twins of sampler_twins.py, twins_multistep.py and twins_vp.py
walk, and for what A1111, ComfyUI and stable-diffusion.cpp compute as k-diffusion does, k-diffusion stands for them.

Noise is drawn as each program draws it on the CPU: one torch generator per picture; ComfyUI's samplers from a new one
with the next seed; Brownian paths are torchsde's.
"""
import inspect
import math
import warnings

import diffusers
import numpy as np
import torch

import originals
import sampler_twins
import twins_multistep
import twins_vp
from pipeline_common import Model

PROMPT, NEGATIVE, SCALE, SEED, SIDE = "a fox on a blue background", "a red apple", 5.0, 7, 8
SHAPE = (1, 4, SIDE, SIDE)
LISTS = ("discrete", "karras", "exponential")               # of samplers in sigma space
SPACINGS = ("leading", "linspace", "trailing")              # of diffusers' classes


class Demo:
    """The guided network. program: ComfyUI asks it at whole timesteps."""

    def __init__(self, path):
        model = Model(path)
        self.unet = model.unet
        with torch.no_grad():
            self.context = torch.cat([model.encode(NEGATIVE), model.encode(PROMPT)])
        self.abar = originals.alphas_ldm()
        self.log_sigmas = ((1 - self.abar) / self.abar).sqrt().log()
        self.program, self.key, self.said = None, None, None

    @torch.no_grad()
    def eps(self, x, t):
        """(guided, without prompt) of x [1,4,h,w] as the network takes it. The last answer is kept."""
        x = torch.as_tensor(x, dtype=torch.float32)
        if self.key is None or self.key[1] != float(t) or not torch.equal(self.key[0], x):
            u, c = self.unet(torch.cat([x, x]), torch.full((2,), float(t)), encoder_hidden_states=self.context).sample.chunk(2)
            self.key, self.said = (x.clone(), float(t)), (u + SCALE * (c - u), u)
        return self.said

    def timestep(self, sigma):
        """k-diffusion, external.py (DiscreteSchedule.sigma_to_t)"""
        off = math.log(sigma) - self.log_sigmas
        if self.program == "comfyui":
            return float(off.abs().argmin())
        low = min(int((off >= 0).sum()) - 1, 998) if off[0] >= 0 else 0
        a, b = float(self.log_sigmas[low]), float(self.log_sigmas[low + 1])
        return low + min(max((math.log(sigma) - a) / (b - a), 0.0), 1.0)

    def both(self, x, sigma, t=None):
        s = float(torch.as_tensor(sigma).max())
        y = torch.as_tensor(x)
        answers = self.eps(y / math.sqrt(s * s + 1), self.timestep(s) if t is None else t)
        d, u = (y - s * e.to(y.dtype) for e in answers)
        return (d, u) if torch.is_tensor(x) else (d.numpy(), u.numpy())

    def __call__(self, x, sigma, **_):
        return self.both(x, sigma)[0]

    def uncond(self, x, sigma):
        return self.both(x, sigma)[1]


class Draws:
    """The picture's generator; call it for the next draw."""

    def __init__(self, program, dtype=torch.float32):
        self.dtype, self.generator = dtype, torch.Generator("cpu").manual_seed(SEED)
        self.first = torch.randn(SHAPE, generator=self.generator)
        if program == "comfyui":
            self.generator = torch.Generator("cpu").manual_seed(SEED + 1)

    def __call__(self, *_, **__):
        z = torch.randn(SHAPE, generator=self.generator)
        return z.numpy().astype(np.float64) if self.dtype is None else z.to(self.dtype)


def sigmas_of(name, steps):
    """A list of k-diffusion with its final 0, as f32."""
    ks, kx = originals.k_diffusion()

    class Bare:
        alphas_cumprod = originals.alphas_ldm()

    wrapped = kx.CompVisDenoiser(Bare())
    ends = wrapped.sigma_min.item(), wrapped.sigma_max.item()
    return wrapped.get_sigmas(steps) if name == "discrete" else getattr(ks, "get_sigmas_" + name)(steps, *ends)


# ---- k-diffusion ----

# name: function of k-diffusion, where its noise comes from
K = dict(
    euler=("euler", None), heun=("heun", None), dpm2=("dpm_2", None), lms=("lms", None), dpmpp_2m=("dpmpp_2m", None),
    euler_a=("euler_ancestral", "draws"), dpm2_a=("dpm_2_ancestral", "draws"), dpmpp_2s_a=("dpmpp_2s_ancestral", "draws"),
    dpmpp_sde=("dpmpp_sde", "path"), dpmpp_2m_sde=("dpmpp_2m_sde", "path"), dpmpp_2m_sde_heun=("dpmpp_2m_sde", "path"),
    dpmpp_3m_sde=("dpmpp_3m_sde", "path"), dpm_fast=("dpm_fast", "draws"), dpm_adaptive=("dpm_adaptive", "draws"),
    ddim=("euler", None))


def k_walk(demo, program, sampler, sigmas):
    ks, _ = originals.k_diffusion()
    name, source = K[sampler]
    draws = Draws(program)
    options = {}
    if source == "draws":
        options["noise_sampler"] = draws
    if source == "path":
        if program == "sd.cpp":                             # its tree is of its own making; sdgen draws from the stream
            return None
        options["noise_sampler"] = ks.BrownianTreeNoiseSampler(torch.zeros(SHAPE), sigmas[sigmas > 0].min(), sigmas.max(), seed=SEED)
    if sampler == "dpmpp_2m_sde_heun":
        options["solver_type"] = "heun"
    heads, sample = [], getattr(ks, "sample_" + name)
    x = draws.first * start_level(program, sigmas, demo)
    if sampler in ("dpm_fast", "dpm_adaptive"):
        count = [len(sigmas) - 1] if sampler == "dpm_fast" else []
        eta = 1.0 if program == "a1111" else 0.0
        end = sample(demo, x, sigmas[-2].item(), sigmas[0].item(), *count, callback=lambda d: heads.append(d["x"]), disable=True,
                     eta=eta, **options)
        return [*heads[1:], end] if sampler == "dpm_fast" else [end]
    end = sample(demo, x, sigmas, callback=lambda d: heads.append(d["x"]), disable=True, **options)
    return [*heads[1:], end]


def start_level(program, sigmas, demo):
    """comfy/model_sampling.py (noise_scaling): a walk from the highest level starts with its whole variance."""
    full = program == "comfyui" and float(sigmas[0]) >= float(demo.log_sigmas[-1].exp()) * (1 - 1e-5)
    return (1 + sigmas[0] ** 2).sqrt() if full else sigmas[0]


# ---- twins ----

def twin(function, **options):
    """A float64 twin of sampler_twins.py."""
    def walk(demo, program, sigmas):
        draws = Draws(program, dtype=None)
        more = {"U": demo.uncond} if "U" in inspect.signature(function).parameters else {}
        x = (draws.first * start_level(program, sigmas, demo)).double().numpy()
        return list(function(x, sigmas.double().tolist(), demo, draws, **more, **options))
    return walk


def multistep(walk_of, key):
    """A twin of twins_multistep.py, in the precision of its original."""
    def walk(demo, program, sigmas):
        kind = torch.float32 if key in ("deis", "unipc", "unipc_bh2") else torch.float64
        draws = Draws(program, dtype=kind)
        x = (draws.first * start_level(program, sigmas, demo)).to(kind)
        return list(walk_of((demo, demo.uncond), x, sigmas.to(kind), draws))
    return walk


def lcm_of_a1111(demo, program, sigmas):
    """modules/sd_samplers_lcm.py (sigma_to_t): the network is asked at the nearest of the fifty distilled timesteps."""
    draws = Draws(program, dtype=None)
    nearest = lambda a: int(19 + 20 * (math.log(a) - demo.log_sigmas[19::20]).abs().argmin())
    clean = lambda x, a: demo.both(x, a, nearest(a))[0]
    x = (draws.first * sigmas[0]).double().numpy()
    return list(sampler_twins.lcm_a1111(x, sigmas.double().tolist(), clean, draws))


TWINS = {("a1111", "restart"): twin(sampler_twins.restart), ("a1111", "lcm"): lcm_of_a1111,
         ("comfyui", "lcm"): twin(sampler_twins.lcm), ("sd.cpp", "lcm"): twin(sampler_twins.lcm),
         ("sd.cpp", "tcd"): twin(sampler_twins.tcd), ("sd.cpp", "res_2s"): twin(sampler_twins.res_2s)}
for _name, _function, _options in (
        ("heunpp2", sampler_twins.heunpp2, {}), ("ddpm", sampler_twins.ddpm, {}), ("euler_cfg_pp", sampler_twins.euler_cfg_pp, {}),
        ("euler_a_cfg_pp", sampler_twins.euler_cfg_pp, dict(eta=1.0)), ("dpmpp_2s_a_cfg_pp", sampler_twins.dpmpp_2s_a_cfg_pp, {}),
        ("dpmpp_2m_cfg_pp", sampler_twins.dpmpp_2m_cfg_pp, {})):
    for _program in ("a1111", "comfyui", "sd.cpp"):
        TWINS[_program, _name] = twin(_function, **_options)
for _key, _walk in twins_multistep.COMFYUI.items():
    for _program in ("comfyui", "sd.cpp"):
        TWINS[_program, _key] = multistep(_walk, _key)
for _key, _walk in twins_multistep.SDCPP.items():
    TWINS["sd.cpp", _key] = multistep(_walk, _key)


# ---- A1111's samplers that hold abar ----

def abar_walk(demo, sampler, steps):
    draws = Draws("a1111", dtype=None)
    x = draws.first.double().numpy()
    guided = lambda x, t: demo.eps(x, t)[0].double().numpy()
    plain = lambda x, t: demo.eps(x, t)[1].double().numpy()
    if sampler == "ddim":
        return [x for _, x in originals.Ddim(steps).run(guided, x, 0.0, draws)]
    if sampler == "plms":
        return list(twins_vp.plms(x, guided, steps))
    if sampler == "ddim_cfg_pp":
        # the twin joins the two answers itself
        cond = lambda x, t: plain(x, t) + (guided(x, t) - plain(x, t)) / SCALE
        return list(twins_vp.ddim_cfgpp(x, cond, plain, SCALE, steps, 0.0, draws))
    times = torch.linspace(1.0, 1.0 / 1000, steps + 1)
    calls = iter(times)

    def clean(x, sigma):                                    # is asked once at each of the times
        return demo.both(x, sigma, (float(next(calls)) - 1.0 / 1000) * 1000)[0]
    return list(twins_multistep.unipc_a1111((clean,), draws.first, steps, demo.abar, sampler == "unipc_bh2"))


# ---- diffusers ----

CLASSES = dict(
    euler=("EulerDiscrete", {}), euler_a=("EulerAncestralDiscrete", {}), heun=("HeunDiscrete", {}), lms=("LMSDiscrete", {}),
    dpm2=("KDPM2Discrete", {}), dpm2_a=("KDPM2AncestralDiscrete", {}), dpmpp_sde=("DPMSolverSDE", dict(noise_sampler_seed=SEED)),
    dpmpp_2m=("DPMSolverMultistep", {}), dpmpp_2m_sde=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++")),
    dpmpp_2m_sde_heun=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++", solver_type="heun")),
    dpmpp_3m_sde=("DPMSolverMultistep", dict(algorithm_type="sde-dpmsolver++", solver_order=3)), deis=("DEISMultistep", {}),
    unipc=("UniPCMultistep", {}), unipc_bh2=("UniPCMultistep", {}), ddim=("DDIM", {}),
    ddim_inverse=("DDIMInverse", {}), ddpm=("DDPM", {}), plms=("PNDM", {}), pndm=("PNDM", {}), lcm=("LCM", {}), tcd=("TCD", {}))


def diffusers_walk(demo, sampler, spacing, steps):
    name, more = CLASSES[sampler]
    cls = getattr(diffusers, name + "Scheduler")
    options = dict(originals.SD1, clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, **more)
    if spacing != "lcm":
        options["timestep_spacing"] = spacing
    takes = cls.__init__.__wrapped__.__code__.co_varnames
    s = cls(**{k: v for k, v in options.items() if k in takes})
    s.set_timesteps(steps)
    draws = Draws("diffusers")
    x, states = draws.first * s.init_noise_sigma, []
    takes = inspect.signature(s.step).parameters
    step = {"generator": draws.generator} if "generator" in takes else {}
    twice = hasattr(s, "state_in_first_order")
    for t in s.timesteps:
        e = demo.eps(s.scale_model_input(x, t), t)[0]
        x = s.step(e, int(t) if name == "DDIM" else t, x, **step).prev_sample
        if not twice or s.state_in_first_order or t == s.timesteps[-1]:
            states.append(x)
    return states


# ---- all of them ----

def schedules(program, sampler):
    """Those that an original walks; the first one is that of the short test."""
    if program == "diffusers":
        return ("lcm",) if sampler in ("lcm", "tcd") else ("leading", "trailing") if sampler == "ddim_inverse" else SPACINGS
    if program == "a1111" and sampler in ("ddim", "plms", "ddim_cfg_pp", "unipc", "unipc_bh2"):
        return ("ddim",)
    return ("karras", "discrete", "exponential")


def walk(demo, program, sampler, schedule, steps):
    """[latent after every step], each [256] f32; None when nothing here is the original of that."""
    demo.program, demo.key = program, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if program == "diffusers":
            states = diffusers_walk(demo, sampler, schedule, steps) if sampler in CLASSES else None
        elif schedule == "ddim":
            states = abar_walk(demo, sampler, steps)
        elif (program, sampler) in TWINS:
            states = TWINS[program, sampler](demo, program, sigmas_of(schedule, steps))
        else:
            states = k_walk(demo, program, sampler, sigmas_of(schedule, steps)) if sampler in K else None
    return None if states is None else [np.asarray(x, dtype=np.float32).reshape(-1) for x in states]
