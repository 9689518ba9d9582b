"""The samplers of AUTOMATIC1111 stable-diffusion-webui 1.10 that hold abar, in float64, from what modules/
sd_samplers_timesteps_impl.py (plms, ddim_cfgpp) computes on the list of modules/sd_samplers_timesteps.py; ddim
itself is in originals.py. x and noise are numpy arrays; eps(x, t) is the guided noise, cond and uncond its parts.
Each is a generator of the latent after every step. Run by itself it prints a scalar check value.
"""
import math

import numpy as np

import originals


def step(x, eps, a, b, back=None, level=0.0, noise=None):
    """DDIM from abar a to b: x0 from eps, the way back up from `back`."""
    x0 = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
    x = math.sqrt(b) * x0 + math.sqrt(1 - b - level ** 2) * (eps if back is None else back)
    return x if noise is None else x + level * noise


def plms(x, eps, n):
    walk, old = originals.Ddim(n), []
    calls = list(walk.calls())
    for i, (t, a, b) in enumerate(calls):
        e = eps(x, t)
        if not old:
            following = calls[i + 1][0] if i + 1 < len(calls) else walk.list[0]
            mixed = (e + eps(step(x, e, a, b), following)) / 2
        elif len(old) == 1:
            mixed = (3 * e - old[-1]) / 2
        elif len(old) == 2:
            mixed = (23 * e - 16 * old[-1] + 5 * old[-2]) / 12
        else:
            mixed = (55 * e - 59 * old[-1] + 37 * old[-2] - 9 * old[-3]) / 24
        x = step(x, mixed, a, b)
        old.append(e)
        yield x


def ddim_cfgpp(x, cond, uncond, scale, n, eta, noise):
    """noise() is drawn on every step."""
    for t, a, b in originals.Ddim(n).calls():
        u = uncond(x, t)
        e = u + scale / 12.5 * (cond(x, t) - u)
        level = eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))
        x = step(x, e, a, b, u, level, noise())
        yield x


if __name__ == "__main__":
    *_, last = ddim_cfgpp(1.3, lambda x, t: 0.4 * np.sin(x) + 0.2 * math.cos(t / 100), lambda x, t: 0.3 * np.sin(x) + 0.1,
                          7.0, 6, 0.0, lambda: 0.0)
    print(f"ddim_cfgpp {last:.7f}, want 16.8618512")
    assert abs(last - 16.8618512) < 2e-6
