"""A denoiser known in closed form and noise known by formula, for comparing samplers with their originals: the same
lines as tests/support/samplercase.c.

    D(x; s) = 0.5 x / (1 + s^2) + 0.3 cos x       the guided denoiser
    U(x; s) = 0.6 x / (1 + s^2) - 0.1             the one without prompt

Works on torch tensors and, for twins in float64, on numpy arrays.
"""
import math

import numpy as np
import torch

import hashweights
import originals

N, LEN = 2, 8                                               # the latent: two images of eight values
STEPS = (4, 10, 25)
LISTS = ("discrete", "karras", "exponential")
TOY_SIGMAS = [10.0, 5.0, 2.5, 1.2, 0.5, 0.1, 0.0]           # the scalar walk from x = 7 with counted noise


def cos(x):
    return torch.cos(x) if torch.is_tensor(x) else np.cos(x)


def denoised(x, sigma):
    return 0.5 * x / (1 + sigma * sigma) + 0.3 * cos(x)


def uncond(x, sigma):
    return 0.6 * x / (1 + sigma * sigma) - 0.1


def start(level, n=N, length=LEN):
    return hashweights.normal_like("start", (n, length)) * np.float32(level)


class Draws:
    """Draw k is hash noise "draw.k"; counted: ((7k) mod 11 - 5)/4 everywhere."""

    def __init__(self, n=N, length=LEN, counted=False, like=np.asarray):
        self.shape, self.counted, self.like, self.k = (n, length), counted, like, 0

    def __call__(self, *_args, **_kwargs):
        k, self.k = self.k, self.k + 1
        if self.counted:
            return self.like(np.full(self.shape, ((7 * k) % 11 - 5) / 4, dtype=np.float32))
        return self.like(hashweights.normal_like(f"draw.{k}", self.shape))


class Path:
    """A path of about the size of Brownian motion, but smooth: W_j(s) = 2 sqrt(s) sin(6 ln s + 0.7 j)."""

    def __init__(self, n=N, length=LEN, like=np.asarray):
        self.shape, self.like, self.count = (n, length), like, 0

    def at(self, sigma):
        j = np.arange(math.prod(self.shape), dtype=np.float64)
        return 2 * math.sqrt(sigma) * np.sin(6 * math.log(sigma) + 0.7 * j) if sigma > 0 else 0 * j

    def __call__(self, a, b):
        self.count += 1
        a, b = float(a), float(b)
        w = (self.at(b) - self.at(a)) / math.sqrt(abs(b - a))
        return self.like(w.reshape(self.shape).astype(np.float32))


def lists():
    """name -> f32 sigmas with their final 0, from k-diffusion over latent-diffusion's levels."""
    ks, kx = originals.k_diffusion()

    class Bare:
        alphas_cumprod = originals.alphas_ldm()

    wrapped = kx.CompVisDenoiser(Bare())
    low, high = wrapped.sigma_min.item(), wrapped.sigma_max.item()
    out = {}
    for n in STEPS:
        out[f"discrete.{n}"] = wrapped.get_sigmas(n)
        out[f"karras.{n}"] = ks.get_sigmas_karras(n, low, high)
        out[f"exponential.{n}"] = ks.get_sigmas_exponential(n, low, high)
    return out


def model(x, sigma, **_kwargs):
    """The denoiser as k-diffusion calls it; computed in double, so that only the sampler rounds."""
    s = torch.as_tensor(sigma).double().reshape(-1, *[1] * (x.ndim - 1))
    return denoised(x.double(), s).to(x.dtype)


def k_walk(sample, sigmas, **options):
    """States [steps][N*LEN] of a sampler of k-diffusion that reports x at the head of every step."""
    before = []
    x = torch.from_numpy(start(float(sigmas[0])))
    end = sample(model, x, sigmas, callback=lambda d: before.append(d["x"]), disable=True, **options)
    return torch.stack([*before[1:], end]).reshape(len(sigmas) - 1, -1).numpy()


def f32(a):
    return np.ascontiguousarray(np.asarray(a, dtype=np.float32))
