"""Samplers in float64 that no installable library has, written from what the programs compute. x and noise are numpy
arrays; D(x, sigma) and U(x, sigma) are the guided denoiser and the one without prompt; sigmas is a list of floats
that falls; noise() gives the next draw. Each is a generator of the latent after every step.

A1111    AUTOMATIC1111 stable-diffusion-webui 1.10, modules/
ComfyUI  comfy/k_diffusion/sampling.py
sd.cpp   stable-diffusion.cpp, src/runtime/denoiser.hpp
"""
import math

import numpy as np

import originals


def ancestral(a, b, eta):
    """(down, up) of a step from level a to level b: k-diffusion, sampling.py (get_ancestral_step)."""
    if not eta:
        return b, 0.0
    up = min(b, eta * math.sqrt(b * b * (a * a - b * b) / (a * a)))
    return math.sqrt(b * b - up * up), up


def karras(n, low, high):
    """k-diffusion, sampling.py (get_sigmas_karras), without the final 0."""
    a, b = high ** (1 / 7), low ** (1 / 7)
    return [(a + i / (n - 1) * (b - a)) ** 7 for i in range(n)]


def heun_step(x, D, a, b):
    d = (x - D(x, a)) / a
    if b == 0:
        return x + d * (b - a)
    e = x + d * (b - a)
    return x + (d + (e - D(e, b)) / b) / 2 * (b - a)


# ---- A1111 ----

def restart(x, sigmas, D, noise, s_noise=1.0):
    """sd_samplers_extra.py (restart_sampler)"""
    steps = len(sigmas) - 1
    times = 2 if steps >= 36 else 1 if steps >= 20 else 0
    again = steps // 4 if steps >= 36 else 9
    if times:
        sigmas = karras(steps - again * times, sigmas[-2], sigmas[0]) + [0.0]
    nearest = lambda v: min(range(len(sigmas)), key=lambda i: abs(sigmas[i] - v))
    pairs, bottom, top = [], nearest(0.1), nearest(2.0)
    for i in range(len(sigmas) - 1):
        pairs.append((sigmas[i], sigmas[i + 1]))
        if times and i + 1 == bottom and top < bottom:
            loop = karras(again + 1, sigmas[bottom], sigmas[top])
            pairs += list(zip(loop[:-1], loop[1:])) * times
    last = pairs[0][0]
    for a, b in pairs:
        if last < a:
            x = x + noise() * s_noise * math.sqrt(a * a - last * last)
        x = heun_step(x, D, a, b)
        last = b
        yield x


def lcm_a1111(x, sigmas, D, noise):
    """sd_samplers_lcm.py: LCMCompVisDenoiser around sample_lcm"""
    abar = originals.alphas_ldm().double().numpy()
    levels = {t: 0.5 * math.log((1 - abar[t]) / abar[t]) for t in range(19, 1000, 20)}
    for a, b in zip(sigmas, sigmas[1:]):
        t = min(levels, key=lambda t: abs(levels[t] - math.log(a)))
        s = 10.0 * t
        x = s / math.sqrt(s * s + 0.25) * D(x, a) + 0.25 / (s * s + 0.25) * x
        if b > 0:
            x = x + b * noise()
        yield x


# ---- ComfyUI ----

def churned(x, sigmas, i, noise, always, churn, tmin=0.0, tmax=math.inf, s_noise=1.0):
    """(x, level) before step i: the head of sample_euler, sample_heun, sample_dpm_2, sample_heunpp2"""
    s = sigmas[i]
    gamma = min(churn / (len(sigmas) - 1), math.sqrt(2) - 1) if tmin <= s <= tmax else 0.0
    z = noise() if always or gamma > 0 else None
    hat = s * (gamma + 1)
    return (x + z * s_noise * math.sqrt(hat * hat - s * s), hat) if gamma > 0 else (x, s)


def euler(x, sigmas, D, noise, **churn):
    for i, b in enumerate(sigmas[1:]):
        x, a = churned(x, sigmas, i, noise, False, **churn)
        x = x + (x - D(x, a)) / a * (b - a)
        yield x


def heunpp2(x, sigmas, D, noise, churn=0.0, **more):
    for i, b in enumerate(sigmas[1:]):
        x, a = churned(x, sigmas, i, noise, True, churn, **more)
        d, dt = (x - D(x, a)) / a, b - a
        if b != sigmas[-1]:
            e = x + d * dt
            d2 = (e - D(e, b)) / b
            c = sigmas[i + 2]
            if c == sigmas[-1]:
                w = b / (2 * sigmas[0])
                d = d * (1 - w) + d2 * w
            else:
                f = e + d2 * (c - b)
                d3 = (f - D(f, c)) / c
                w2, w3 = b / (3 * sigmas[0]), c / (3 * sigmas[0])
                d = (1 - w2 - w3) * d + w2 * d2 + w3 * d3
        x = x + d * dt
        yield x


def ddpm(x, sigmas, D, noise):
    for a, b in zip(sigmas, sigmas[1:]):
        eps, one, two = (x - D(x, a)) / a, 1 / (a * a + 1), 1 / (b * b + 1)
        alpha = one / two
        y = math.sqrt(1 / alpha) * (x / math.sqrt(1 + a * a) - (1 - alpha) * eps / math.sqrt(1 - one))
        if b > 0:
            y = y + math.sqrt((1 - alpha) * (1 - two) / (1 - one)) * noise()
        x = y * math.sqrt(1 + b * b)
        yield x


def lcm(x, sigmas, D, noise, s_noise=1.0):
    for a, b in zip(sigmas, sigmas[1:]):
        x = D(x, a)
        if b > 0:
            x = x + b * s_noise * noise()
        yield x


def euler_cfg_pp(x, sigmas, D, noise, U, eta=0.0, s_noise=1.0):
    for a, b in zip(sigmas, sigmas[1:]):
        down, up = ancestral(a, b, eta)
        x = D(x, a) + down * (x - U(x, a)) / a
        if eta > 0 and b > 0:
            x = x + noise() * s_noise * up
        yield x


def dpmpp_2s_a_cfg_pp(x, sigmas, D, noise, U, eta=1.0, s_noise=1.0):
    for a, b in zip(sigmas, sigmas[1:]):
        down, up = ancestral(a, b, eta)
        d, u = D(x, a), U(x, a)
        if down == 0:
            x = d
        else:
            h = math.log(a / down)
            m = math.sqrt(a * down)
            e = m / a * (x + d - u) - math.expm1(-h / 2) * d
            x = down / a * (x + d - U(e, m)) - math.expm1(-h) * D(e, m)
        if b > 0:
            x = x + noise() * s_noise * up
        yield x


def dpmpp_2m_cfg_pp(x, sigmas, D, noise, U):
    old = before = None
    for a, b in zip(sigmas, sigmas[1:]):
        d, u = D(x, a), U(x, a)
        if b == 0:
            x = d
        else:
            h = math.log(a / b)
            new = d - math.exp(-h) * u + math.exp(-h) * x
            if old is not None:
                new = new - math.expm1(-h) * h / (2 * before) * (d - old)
            x, before = new, h
        old = u
        yield x


# ---- sd.cpp ----

def tcd(x, sigmas, D, noise, eta=0.0):
    abar = originals.alphas_ldm().double().numpy()
    table = np.sqrt((1 - abar) / abar)
    for a, b in zip(sigmas, sigmas[1:]):
        q = abar[math.floor((1 - eta) * int(np.abs(table - b).argmin()))]
        p, d = 1 / (b * b + 1), D(x, a)
        x = math.sqrt(q / p) * d + math.sqrt((1 - q) / p) * (x - d) / a
        if eta > 0 and b > 0:
            x = math.sqrt(p / q) * x + math.sqrt(1 / p - 1 / q) * noise()
        yield x


def res_2s(x, sigmas, D, noise, eta=0.0):
    phi1 = lambda z: math.expm1(z) / z
    phi2 = lambda z: (phi1(z) - 1) / z
    for a, b in zip(sigmas, sigmas[1:]):
        down, up = ancestral(a, b, eta)
        d = D(x, a)
        if down == 0:
            x = d
        else:
            h = math.log(a / down)
            m = a * math.exp(-h / 2)
            e = x + h * 0.5 * phi1(-h / 2) * (d - x)
            b2 = 2 * phi2(-h)
            x = x + h * ((phi1(-h) - b2) * (d - x) + b2 * (D(e, m) - x))
        if up > 0:
            x = x + noise() * up
        yield x
