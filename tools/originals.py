"""The original libraries behind the sampling and whole-run goldens, brought into one shape.

k_diffusion()      k-diffusion's sampling and external modules
scheduler(...)     a diffusers scheduler made from Stable Diffusion 1's stock configuration
alphas_ldm()       the training levels as CompVis latent-diffusion computes them
philox_normal()    torch.randn on CUDA as AUTOMATIC1111's "NV" noise source computes it
Ddim               A1111's DDIM walk, in float64
"""
import importlib
import importlib.util
import math
import sys
import types
from unittest.mock import MagicMock

import diffusers
import numpy as np
import torch

SD1 = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
           steps_offset=1, prediction_type="epsilon")


def k_diffusion():
    """Imports the two modules alone: the package's __init__ and torchvision are not needed for them."""
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules.setdefault(name, MagicMock())
    if "k_diffusion" not in sys.modules:
        spec = importlib.util.find_spec("k_diffusion")
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["k_diffusion"] = package
    return importlib.import_module("k_diffusion.sampling"), importlib.import_module("k_diffusion.external")


def scheduler(sampler, spacing="leading", karras=False):
    if sampler == "ddim":
        return diffusers.DDIMScheduler(**SD1, clip_sample=False, set_alpha_to_one=False, timestep_spacing=spacing)
    if sampler == "euler_a":
        return diffusers.EulerAncestralDiscreteScheduler(**SD1, timestep_spacing=spacing)
    return diffusers.EulerDiscreteScheduler(**SD1, timestep_spacing=spacing, use_karras_sigmas=karras)


def alphas_ldm():
    """ldm/modules/diffusionmodules/util.py make_beta_schedule("linear"), kept as the float32 buffer."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64).numpy() ** 2
    return torch.tensor(np.cumprod(1.0 - betas, axis=0), dtype=torch.float32)


def philox_words(counter, key):
    """Philox4x32-10 (Salmon et al. 2011) on arrays: counter [4][n] uint32, key two integers."""
    c = [np.asarray(w, dtype=np.uint64) for w in counter]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low,
             (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def philox_normal(seed, draw, shape):
    n = int(np.prod(shape))
    zero = np.zeros(n)
    words = philox_words([zero + draw, zero, np.arange(n), zero], (seed & 0xFFFFFFFF, seed >> 32))
    unit = np.float32(2.3283064e-10)
    turn = np.float32(2.3283064e-10 * 6.2831855)
    u = words[0] * np.float64(unit) + np.float64(unit / np.float32(2))
    v = words[1] * np.float64(turn) + np.float64(turn / np.float32(2))
    return (np.sqrt(-2.0 * np.log(u)) * np.sin(v)).astype(np.float32).reshape(shape)


class Ddim:
    """The list and the walk of AUTOMATIC1111's DDIM (modules/sd_samplers_timesteps*.py) in float64."""

    def __init__(self, steps):
        self.list = [min(t + 1, 999) for t in range(0, 1000, 1000 // steps)]
        self.abar = alphas_ldm().double().numpy()

    def calls(self):
        """(t, abar, abar after the step) of every model call."""
        for i in range(len(self.list) - 1, 0, -1):
            yield self.list[i], self.abar[self.list[i]], self.abar[self.list[i - 1]]

    def run(self, model, x, eta, noise):
        """model(x, t) -> eps; noise() -> z, drawn on every step. Yields (eps, x) after each step."""
        for t, a, b in self.calls():
            e = model(x, t)
            level = eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))
            x0 = (x - math.sqrt(1 - a) * e) / math.sqrt(a)
            x = math.sqrt(b) * x0 + math.sqrt(1 - b - level ** 2) * e + level * noise()
            yield e, x
