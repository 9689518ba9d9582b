"""Writes tests/golden/sampling.safetensors: random numbers from torch, schedules and sampler trajectories
from diffusers and k-diffusion. Tensor names: see the functions below; read by tests/test_rng.c,
test_schedule.c and test_samplers.c.

usage: golden_sampling.py [OUTPUT]
"""
import os
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

import originals

STEPS = (1, 2, 5, 10, 20, 30, 50, 999)
SEEDS = (0, 42, 1234, 2 ** 32 + 5)
N, LEN = 2, 12                                              # the toy: two images of twelve values
out = {}


def put(name, value):
    if torch.is_tensor(value):
        value = value.numpy()
    out[name] = np.ascontiguousarray(np.atleast_1d(np.asarray(value, dtype=np.float32)))


def randoms():
    for seed in SEEDS:
        for n in (6, 16, 17, 20, 100):
            put(f"cpu.{seed}.{n}", torch.randn(n, generator=torch.Generator().manual_seed(seed)))
        g = torch.Generator().manual_seed(seed)             # one generator, draws in a row
        put(f"cpu.{seed}.row", torch.cat([torch.randn(n, generator=g) for n in (6, 3, 16, 1, 20, 7, 100)]))
        put(f"cuda.{seed}", np.stack([originals.philox_normal(seed, draw, (40,)) for draw in range(3)]))
    put("cpu.42.16384", torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(42)).flatten())


class Denoiser:
    """What CompVisDenoiser wraps: the levels, and a model."""

    def __init__(self, model=None):
        self.alphas_cumprod = originals.alphas_ldm()
        self.apply_model = model


def levels(kx):
    wrapped = kx.CompVisDenoiser(Denoiser())
    put("levels.a1111.abar", originals.alphas_ldm())
    put("levels.a1111.sigma", wrapped.sigmas)
    abar = originals.scheduler("ddim").alphas_cumprod
    put("levels.diffusers.abar", abar)
    put("levels.diffusers.sigma", ((1 - abar) / abar) ** 0.5)


def schedules(ks, kx):
    wrapped = kx.CompVisDenoiser(Denoiser())
    for n in STEPS:
        karras = ks.get_sigmas_karras(n, wrapped.sigma_min.item(), wrapped.sigma_max.item())
        for name, sigmas in (("discrete", wrapped.get_sigmas(n)), ("karras", karras)):
            put(f"a1111.euler.{name}.{n}.sigmas", sigmas)
            put(f"a1111.euler.{name}.{n}.timesteps", wrapped.sigma_to_t(sigmas[:-1]))
            put(f"a1111.euler.{name}.{n}.init", sigmas[0])
        if n > 1:
            calls = list(originals.Ddim(n).calls())
            for i, part in enumerate(("timesteps", "abar", "abar_next")):
                put(f"a1111.ddim.ddim.{n}.{part}", [c[i] for c in calls])
            put(f"a1111.ddim.ddim.{n}.init", 1.0)
        for spacing in ("leading", "linspace", "trailing"):
            for sampler in ("euler", "euler_a", "ddim"):
                diffusers_schedule(sampler, spacing, n, originals.scheduler(sampler, spacing))
        diffusers_schedule("euler", "karras", n, originals.scheduler("euler", karras=True))
    for n in (61, 103):                                     # numpy's arange gives one entry more here
        diffusers_schedule("euler", "trailing", n, originals.scheduler("euler", "trailing"))


def diffusers_schedule(sampler, name, n, s):
    s.set_timesteps(n)
    key = f"diffusers.{sampler}.{name}.{n}"
    put(f"{key}.timesteps", s.timesteps.float())
    put(f"{key}.init", float(s.init_noise_sigma))
    if sampler != "ddim":
        put(f"{key}.sigmas", s.sigmas)
        return
    before = [t - 1000 // n for t in s.timesteps.tolist()]
    put(f"{key}.abar", s.alphas_cumprod[s.timesteps])
    put(f"{key}.abar_next", [s.alphas_cumprod[t] if t >= 0 else s.final_alpha_cumprod for t in before])


def toy(x, t):
    """A model with structure: eps = 0.4 sin(x) + 0.2 cos(t/100 + j/3) for value j of an image."""
    t = torch.as_tensor(t, dtype=x.dtype).reshape(-1, 1)
    j = torch.arange(LEN, dtype=x.dtype).reshape(1, -1)
    return 0.4 * torch.sin(x) + 0.2 * torch.cos(t / 100 + j / 3)


def draws(seed, count):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(N, LEN, generator=g) for _ in range(count)]


def record(key, start, noise, states):
    put(f"{key}.start", start.flatten())
    put(f"{key}.noise", torch.stack(noise).flatten())
    put(f"{key}.states", torch.stack([s.float() for s in states]).flatten())


def diffusers_trajectory(sampler, spacing, n, eta=0.0, karras=False):
    s = originals.scheduler(sampler, spacing, karras)
    s.set_timesteps(n)
    noise = draws(7, n)
    left = list(noise)
    x = draws(3, 1)[0] * s.init_noise_sigma
    start, states = x, []
    for t in s.timesteps:
        e = toy(s.scale_model_input(x, t), float(t))
        if sampler == "ddim":
            x = s.step(e, t, x, eta=eta, variance_noise=left.pop(0) if eta > 0 else None).prev_sample
        elif sampler == "euler_a":
            x = step_with_noise(s, e, t, x, left.pop(0))
        else:
            x = s.step(e, t, x).prev_sample
        states.append(x)
    name = "karras" if karras else spacing
    record(f"walk.diffusers.{sampler}.{name}.{n}.eta{eta:g}", start, noise, states)


def step_with_noise(s, e, t, x, noise):
    """The class draws by itself; hand it the noise of our list."""
    module = sys.modules[type(s).__module__]
    original, module.randn_tensor = module.randn_tensor, lambda *a, **k: noise
    try:
        return s.step(e, t, x).prev_sample
    finally:
        module.randn_tensor = original


def kdiffusion_trajectory(ks, kx, sampler, name, n, eta=1.0):
    wrapped = kx.CompVisDenoiser(Denoiser(toy))
    sigmas = wrapped.get_sigmas(n) if name == "discrete" else ks.get_sigmas_karras(n, wrapped.sigma_min.item(), wrapped.sigma_max.item())
    noise = draws(7, n)
    left = list(noise)
    start = draws(3, 1)[0] * sigmas[0]
    before = []
    keep = dict(callback=lambda d: before.append(d["x"]), disable=True)
    if sampler == "euler":
        eta = 0.0
        end = ks.sample_euler(wrapped, start, sigmas, **keep)
    else:
        end = ks.sample_euler_ancestral(wrapped, start, sigmas, eta=eta, noise_sampler=lambda a, b: left.pop(0), **keep)
    record(f"walk.a1111.{sampler}.{name}.{n}.eta{eta:g}", start, noise, before[1:] + [end])


def ddim_trajectory(n, eta):
    walk = originals.Ddim(n)
    count = len(walk.list) - 1
    noise = draws(7, count)
    left = list(noise)
    start = draws(3, 1)[0]
    states = [x for _, x in walk.run(toy, start.double(), eta, lambda: left.pop(0).double())]
    record(f"walk.a1111.ddim.ddim.{n}.eta{eta:g}", start, noise, states)


def trajectories(ks, kx):
    for n in (1, 7, 20):
        for name in ("leading", "linspace", "trailing"):
            diffusers_trajectory("euler", name, n)
            diffusers_trajectory("euler_a", name, n, eta=1.0)
            for eta in (0.0, 0.5, 1.0):
                diffusers_trajectory("ddim", name, n, eta)
        diffusers_trajectory("euler", "leading", n, karras=True)
        for name in ("discrete", "karras"):
            kdiffusion_trajectory(ks, kx, "euler", name, n)
            for eta in (0.0, 0.7, 1.0):
                kdiffusion_trajectory(ks, kx, "euler_a", name, n, eta)
        for eta in (0.0, 0.5, 1.0):
            if n > 1:
                ddim_trajectory(n, eta)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/sampling.safetensors"
    ks, kx = originals.k_diffusion()
    randoms()
    levels(kx)
    schedules(ks, kx)
    trajectories(ks, kx)
    save_file(dict(sorted(out.items())), path, metadata={"made_by": "tools/golden_sampling.py"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
