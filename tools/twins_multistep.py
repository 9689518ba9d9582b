"""Multistep samplers that no package offers, written again from their equations; with torch tensors, in the precision of
the levels they are given. Sources, one per function: ComfyUI's comfy/k_diffusion/sampling.py and deis.py,
comfy/extra_samplers/uni_pc.py; stable-diffusion.cpp's src/runtime/denoiser.hpp; A1111's
modules/models/diffusion/uni_pc/uni_pc.py. check() compares with values found by running ComfyUI and diffusers.

Every walk is a generator of x after each step: walk(model, x, s, z), model = (D, U) with D(x, s) and U(x, s), s the levels
with their end, z() a draw.
"""
import math

import torch

import samplers_common as common

AB = [[1.0], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]


def split(a, b, eta):
    """(down, up) of an ancestral step."""
    if not eta:
        return b, 0 * b
    up = torch.minimum(b, eta * (b * b * (a * a - b * b) / (a * a)) ** 0.5)
    return (b * b - up * up) ** 0.5, up


def slopes(weights, to_zero=True, order=4):
    """Samplers that add up slopes: weights(s, i, k) -> k weights, newest first. to_zero: x = D on the step to 0."""
    def walk(model, x, s, z):
        past = []
        for i in range(len(s) - 1):
            d = model[0](x, s[i])
            past.insert(0, (x - d) / s[i])
            w = weights(s, i, min(order, i + 1))
            x = d if s[i + 1] == 0 and to_zero else x + sum(a * b for a, b in zip(w, past))
            yield x
    return walk


def lagrange(nodes, j, v):
    p = 1.0
    for k, n in enumerate(nodes):
        if k != j:
            p = p * (v - n) / (nodes[j] - n)
    return p


def lms_weights(s, i, k):
    """By Simpson's rule on one piece, exact for a cubic polynomial."""
    nodes, a, b = [float(s[i - n]) for n in range(k)], float(s[i]), float(s[i + 1])
    return [(b - a) / 6 * (lagrange(nodes, j, a) + 4 * lagrange(nodes, j, (a + b) / 2) + lagrange(nodes, j, b))
            for j in range(k)]


def lms_sdcpp(model, x, s, z):
    """Midpoint sums; the second newest slope serves two weights."""
    past = []
    for i in range(len(s) - 1):
        past.insert(0, (x - model[0](x, s[i])) / s[i])
        k = min(4, i + 1)
        nodes, a, b = [float(s[i - n]) for n in range(k)], float(s[i]), float(s[i + 1])
        v = a + (b - a) * (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
        weight = [float((lagrange(nodes, j, v) * torch.ones_like(v)).sum()) * (b - a) / 1000 for j in range(k)]
        x = x + sum(w * past[j if j < 2 else j - 1] for j, w in enumerate(weight))
        yield x


def equal_weights(s, i, k):
    return [w * (s[i + 1] - s[i]) for w in AB[k - 1]]


def variable_weights(s, i, k):
    """iPNDM-v as ComfyUI has it."""
    h = [s[i + 1 - n] - s[i - n] for n in range(k)] + [None] * 4
    a, b, c, e = h[:4]
    w = [1 + 0 * a]
    if k >= 2:
        w = [(2 + a / b) / 2, -(a / b) / 2]
    if k >= 3:
        t = (1 - a / (3 * (a + b)) * (a * (a + b)) / (b * (b + c))) / 2
        w = [w[0] + t, w[1] - (1 + b / c) * t, t * b / c]
    if k == 4:
        t = ((1 - a / (3 * (a + b))) / 2 + (1 - a / (2 * (a + b))) * a / (6 * (a + b + c))) \
            * (a * (a + b) * (a + b + c)) / (b * (b + c) * (b + c + e))
        q = b * (b + c) / (c * (c + e))
        w = [w[0] + t, w[1] - (1 + b / c + q) * t, w[2] + (b / c + q * (1 + c / e)) * t, -t * q * b / c]
    return [a * v for v in w]


def variable_weights_sdcpp(s, i, k):
    return variable_weights(s, i, k) if k <= 2 else equal_weights(s, i, k)


def deis_weights(s, i, k):
    if k == 1 or s[i + 1] == 0:
        return [s[i + 1] - s[i]]
    lam = lambda v: torch.log(torch.as_tensor(v, dtype=s.dtype) ** 2 + 1)
    b = 2 * (lam(0.002) / 1e-3 - lam(80.0)) / (1e-3 - 1)
    m = lam(80.0) - 0.5 * b
    u = ((m * m + 2 * b * lam(s)).sqrt() - m) / b
    tau = torch.linspace(float(u[i]), float(u[i + 1]), 10000, dtype=s.dtype)
    alpha = torch.exp(-0.5 * tau ** 2 * b - tau * m)
    rate = 0.5 * (tau * b + m) * alpha / torch.sqrt(alpha * (1 - alpha)) / alpha
    return [(rate * lagrange([u[i - n] for n in range(k)], j, tau)).sum() * (u[i + 1] - u[i]) / 10000 for j in range(k)]


def dpmpp_2m_v2(model, x, s, z):
    old = None
    for i in range(len(s) - 1):
        d = model[0](x, s[i])
        if s[i + 1] == 0:
            x = d
        else:
            h = (s[i] / s[i + 1]).log()
            fall, mix = torch.expm1(-h), d
            if old is not None:
                low, high = sorted([h, (s[i - 1] / s[i]).log()])
                fall, r = torch.expm1(-(low + high) / 2), high / low
                mix = (1 + 1 / (2 * r)) * d - old / (2 * r)
            x = s[i + 1] / s[i] * x - fall * mix
        old = d
        yield x


def res_multistep(eta, pp):
    def walk(model, x, s, z):
        old = old_down = None
        for i in range(len(s) - 1):
            d = model[0](x, s[i])
            g = model[1](x, s[i]) if pp else d
            down, up = split(s[i], s[i + 1], eta)
            if down == 0 or old is None:
                x = d + (x - g) / s[i] * down if pp else x + (x - d) / s[i] * (down - s[i])
            else:
                h = (s[i] / down).log()
                c2 = (old_down.log() - s[i - 1].log()) / h
                p1 = torch.expm1(-h) / -h
                b2 = (p1 - 1) / -h / c2
                x = torch.exp(-h) * (x + d - g if pp else x) + h * ((p1 - b2) * g + b2 * old)
            if up > 0:
                x = x + z() * up
            old, old_down = g, down
            yield x
    return walk


def gradient_estimation(pp, eta=0.0):
    def walk(model, x, s, z):
        old = None
        for i in range(len(s) - 1):
            d = model[0](x, s[i])
            g = (x - (model[1](x, s[i]) if pp else d)) / s[i]
            down, up = split(s[i], s[i + 1], eta)
            if s[i + 1] == 0:
                x = d
            else:
                x = d + g * down if pp else x + g * (down - s[i])
                if old is not None:
                    x = x + (g - old) * (down - s[i])
            if up > 0:
                x = x + z() * up
            old = g
            yield x
    return walk


def er_sde(model, x, s, z):
    f = lambda v: v * (torch.exp(v ** 0.3) + 10)
    old = old_slope = None
    for i in range(len(s) - 1):
        d, a, b = model[0](x, s[i]), s[i], s[i + 1]
        if b == 0:
            x = d
        else:
            r, g = f(b) / f(a), b - a
            x = r * x + (1 - r) * d
            if old is not None:
                v = b + torch.arange(200, dtype=s.dtype) * (-g / 200)
                slope = (d - old) / (a - s[i - 1])
                x = x + (g - g / 200 * (1 / f(v)).sum() * f(b)) * slope
                if old_slope is not None:
                    x = x + (g * g / 2 - g / 200 * ((v - a) / f(v)).sum() * f(b)) * (slope - old_slope) / ((a - s[i - 2]) / 2)
                old_slope = slope
            x = x + z() * (b * b - a * a * r * r).clamp(min=0).sqrt()
        old = d
        yield x


def unipc_steps(x, n, order, bh2, level, clean, lower_order_final=True):
    """UniPC over levels 0..n: level(k) -> (alpha, sigma, lambda), clean(x, k) -> x0. Yields x after each step."""
    m = [clean(x, 0)]
    for k in range(1, n + 1):
        o = k if k < order else min(order, n + 1 - k) if lower_order_final else order
        (alpha, sigma, lam), (_, sigma0, lam0) = level(k), level(k - 1)
        h = lam - lam0
        phi1 = torch.expm1(-h)
        big_b = phi1 if bh2 else -h
        rk = torch.stack([(level(k - 1 - j)[2] - lam0) / h for j in range(1, o)] + [torch.ones_like(h)])
        phi, factorial, b = phi1 / -h - 1, 1, []
        for j in range(1, o + 1):
            b.append(phi * factorial / big_b)
            factorial *= j + 1
            phi = phi / -h - 1 / factorial
        rows, b = torch.stack([rk ** j for j in range(o)]), torch.stack(b)
        base = sigma / sigma0 * x - alpha * phi1 * m[0]
        past = [(m[j + 1] - m[0]) / rk[j] for j in range(o - 1)]
        half = torch.full((1,), 0.5, dtype=h.dtype)
        rho = half[:0] if o == 1 else half if o == 2 else torch.linalg.solve(rows[:-1, :-1], b[:-1])
        x = base - alpha * big_b * sum(a * q for a, q in zip(rho, past))
        if k < n:
            new = clean(x, k)
            rho = half if o == 1 else torch.linalg.solve(rows, b)
            x = base - alpha * big_b * (sum(a * q for a, q in zip(rho, past)) + rho[-1] * (new - m[0]))
            m.insert(0, new)
        yield x


def from_log_alpha(log_alpha):
    variance = 1 - torch.exp(2 * log_alpha)
    return torch.exp(log_alpha), variance.sqrt(), log_alpha - 0.5 * variance.log()


def unipc_comfyui(bh2, order=3):
    def walk(model, x, s, z):
        s = s.clone()
        s[-1] = 0.001 if s[-1] == 0 else s[-1]
        n = len(s) - 1
        level = lambda k: from_log_alpha(0.5 * torch.log(1 / (s[k] ** 2 + 1)))

        def clean(x, k):
            alpha, sigma, _ = level(k)
            y = x * (s[k] ** 2 + 1) ** 0.5
            return (x - sigma * ((y - model[0](y, s[k])) / s[k])) / alpha
        x = x / torch.sqrt(1 + s[0] ** 2)
        for k, x in enumerate(unipc_steps(x, n, min(order, n - 1), bh2, level, clean)):
            yield x / level(k + 1)[0]
    return walk


def unipc_a1111(model, x, n, abar, bh2=False, order=3, v=False):
    """x and the yielded states as the network takes them. Times 1 .. 1/1000, n + 1 of them. v: the network says v, which
    modules/sd_samplers_timesteps.py turns into noise with the level of the timestep without its fraction."""
    times = torch.linspace(1.0, 1.0 / 1000, n + 1, dtype=abar.dtype)
    grid = torch.linspace(0.0, 1.0, 1001, dtype=abar.dtype)[1:]
    table = 0.5 * torch.log(abar)

    def level(k):
        i = min(max(int((grid < times[k]).sum()) - 1, 0), 998)
        return from_log_alpha(table[i] + (times[k] - grid[i]) * (table[i + 1] - table[i]) / (grid[i + 1] - grid[i]))

    def clean(x, k):
        alpha, sigma, _ = level(k)
        at = sigma / alpha
        y = x * (at * at + 1) ** 0.5
        eps = (y - model[0](y, at)) / at
        if v:
            known = abar[int((times[k] - 1.0 / 1000) * 1000)]
            wide_y, wide = y.double(), at.double()
            said = (wide_y / (wide * wide + 1) - common.denoised(wide_y, wide)) * torch.sqrt(wide * wide + 1) / wide
            eps = known.sqrt() * said.to(x.dtype) + (1 - known).sqrt() * x
        return (x - sigma * eps) / alpha
    yield from unipc_steps(x, n, min(order, n), bh2, level, clean)


COMFYUI = dict(ipndm=slopes(equal_weights), ipndm_v=slopes(variable_weights), lms=slopes(lms_weights),
               deis=slopes(deis_weights, to_zero=False, order=3), unipc=unipc_comfyui(False), unipc_bh2=unipc_comfyui(True),
               res_multistep=res_multistep(0.0, False), res_multistep_a=res_multistep(1.0, False),
               res_multistep_cfg_pp=res_multistep(0.0, True), res_multistep_a_cfg_pp=res_multistep(1.0, True),
               er_sde=er_sde, gradient_estimation=gradient_estimation(False),
               gradient_estimation_cfg_pp=gradient_estimation(True))
SDCPP = dict(lms=lms_sdcpp, dpmpp_2m_v2=dpmpp_2m_v2, ipndm=slopes(equal_weights, to_zero=False),
             ipndm_v=slopes(variable_weights_sdcpp, to_zero=False))

# The scalar walk from 7 over common.TOY_SIGMAS with counted noise: x after all steps, x without the step to 0.
KNOWN = {
    "comfyui": dict(
        lms=(0.528033005, 0.549995331), ipndm=(0.590369280, 0.748539791), ipndm_v=(0.542162650, 0.592444016),
        deis=(0.549890, 0.616252), unipc=(0.590660708, 0.547168388), unipc_bh2=(0.560318566, 0.542028652),
        res_multistep=(0.568904737, 0.676738050), res_multistep_a=(0.627727395, 0.883561784),
        res_multistep_cfg_pp=(0.465487756, 0.376797544), res_multistep_a_cfg_pp=(0.485847631, 0.430774892),
        er_sde=(0.522473706, 0.533660799), gradient_estimation=(0.560029591, 0.648158425),
        gradient_estimation_cfg_pp=(0.520179398, 0.526977840)),
    "sdcpp": dict(dpmpp_2m_v2=(0.512693718, 0.505404099), ipndm=(0.340838194, 0.748539791),
                  ipndm_v=(0.393493168, 0.699586731)),
}


def toy(walk, levels):
    s = torch.tensor(levels, dtype=torch.float64)
    draw = common.Draws(1, 1, counted=True, like=torch.from_numpy)
    *_, x = walk((common.denoised, common.uncond), torch.full((1, 1), 7.0, dtype=torch.float64), s, lambda: draw().double())
    return float(x)


def check():
    for program, table in (("comfyui", COMFYUI), ("sdcpp", SDCPP)):
        for name, want in KNOWN[program].items():
            got = toy(table[name], common.TOY_SIGMAS), toy(table[name], common.TOY_SIGMAS[:-1])
            off = max(abs(a - b) for a, b in zip(got, want))
            print(f"{program:8} {name:28} {got[0]:.9f} | {got[1]:.9f}   off {off:.1e}")
            if not off < (1e-6 if name == "deis" else 2e-9):
                raise SystemExit(f"{program} {name}: twin and known value differ")


if __name__ == "__main__":
    check()
