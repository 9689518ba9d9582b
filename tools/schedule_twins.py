"""The noise levels and schedules of programs that are no libraries, written down anew, each in the program's own
precision: torch where the program uses torch, numpy float32 where it is C++. Sources:

A1111      AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_schedulers.py, modules/sd_models.py
ComfyUI    comfy/model_sampling.py, comfy/samplers.py, comfy_extras/nodes_{align_your_steps,gits,custom_sampler}.py
SdCpp      stable-diffusion.cpp, src/runtime/denoiser.hpp, src/stable-diffusion.cpp

Each class has levels (table), to_t, to_sigma and make(name, n) -> list of levels with the final one.
"""
import math

import numpy as np
import scipy.stats
import torch

import originals

F = np.float32
ABAR_END = 4.8973451890853435e-08
AYS_PAGE = dict(sd1=[14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
                sdxl=[14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029])
AYS_EXACT = dict(sd1=[14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904,
                      0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582],
                 sdxl=[14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
                       0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582])


def rescaled(abar):
    """Lin et al. 2023, algorithm 1, on sqrt(abar); the last abar replaced. The root is the nearest f32, as on a GPU:
    torch's own on a CPU may be one unit off, which the subtraction below makes 1e-5."""
    root = abar.double().sqrt().to(abar.dtype)
    abar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    abar[-1] = ABAR_END
    return abar


def log_linear(table, n):
    x = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(table)), np.log(np.array(table)[::-1]))
    return np.exp(x)[::-1].tolist()


def linear_quadratic(n, top):
    if n == 1:
        return [top, 0.0]
    half, rest = n // 2, n - n // 2
    lag = half - 0.025 * n
    square = lag / (half * rest ** 2)
    line = 0.025 / half - 2 * lag / rest ** 2
    done = [i * 0.025 / half for i in range(half)] + [square * i ** 2 + line * i + square * half ** 2 for i in range(half, n)] + [1.0]
    return (torch.tensor([1.0 - d for d in done], dtype=torch.float32) * top).tolist()


def beta_indices(n):
    """Lee et al. 2024 by index: neighbours that coincide count once."""
    at = np.rint(scipy.stats.beta.ppf(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6) * 999).astype(int)
    return [t for i, t in enumerate(at) if i == 0 or t != at[i - 1]]


class A1111:
    """k-diffusion's own DiscreteSchedule over the levels."""

    def __init__(self, zero_snr=False):
        self.ks, kx = originals.k_diffusion()
        abar = originals.alphas_ldm()
        self.abar = rescaled(abar) if zero_snr else abar
        self.schedule = kx.DiscreteSchedule(((1 - self.abar) / self.abar) ** 0.5, quantize=False)
        self.sigmas, self.to_sigma = self.schedule.sigmas, self.schedule.t_to_sigma
        self.low, self.high = self.sigmas[0].item(), self.sigmas[-1].item()

    def to_t(self, sigmas):
        return self.schedule.sigma_to_t(torch.as_tensor(sigmas, dtype=torch.float32))

    def make(self, name, n, low=None, high=None, rho=None):
        low, high = low or self.low, high or self.high
        if name in ("karras", "exponential", "polyexponential"):
            return getattr(self.ks, "get_sigmas_" + name)(n, low, high, **({"rho": rho} if rho else {}))
        if name == "vp":
            return self.ks.get_sigmas_vp(n)
        if name == "discrete":
            return self.schedule.get_sigmas(n)
        if name == "kl_optimal":
            part = torch.arange(n + 1) / n
            return torch.tan(part * torch.arctan(torch.tensor(low)) + (1.0 - part) * torch.arctan(torch.tensor(high)))
        if name == "sgm_uniform":
            t = torch.linspace(self.to_t(high).item(), self.to_t(low).item(), n + 1)[:-1]
            return self.to_sigma(t).tolist() + [0.0]
        if name == "simple":
            return [self.sigmas[999 - int(i * (1000 / n))] for i in range(n)] + [0.0]
        if name == "ddim":
            return self.sigmas[1::max(1000 // n, 1)].tolist()[::-1] + [0.0]
        if name == "beta":
            p = scipy.stats.beta.ppf(1 - np.linspace(0, 1, n), 0.6, 0.6)
            return (low + p * (high - low)).tolist() + [0.0]
        if name.startswith("ays_"):
            table = AYS_PAGE[name[4:]]
            return (table if n == len(table) else log_linear(table, n)) + [0.0]
        raise KeyError(name)


class ComfyUI:
    def __init__(self, zero_snr=False, edm=False):
        self.ks, _ = originals.k_diffusion()
        self.edm = edm
        if edm:
            self.sigmas = torch.linspace(math.log(0.002), math.log(120.0), 1000).exp()
            self.logs = self.sigmas.log()
        else:
            betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
            abar = torch.cumprod(1.0 - betas, dim=0)
            sigmas = ((1 - abar) / abar) ** 0.5
            if zero_snr:
                abar = rescaled(1 / (sigmas * sigmas + 1))
                sigmas = ((1 - abar) / abar) ** 0.5
            self.sigmas, self.logs = sigmas.float(), sigmas.log().float()
        self.low, self.high = float(self.sigmas[0]), float(self.sigmas[-1])

    def to_t(self, sigmas):
        log = torch.as_tensor(sigmas, dtype=torch.float32).log()
        return 0.25 * log if self.edm else (log - self.logs[:, None]).abs().argmin(dim=0)

    def to_sigma(self, t):
        t = torch.as_tensor(t, dtype=torch.float32)
        if self.edm:
            return (t / 0.25).exp()
        a, b, w = t.floor().long(), t.ceil().long(), t.frac()
        return ((1 - w) * self.logs[a] + w * self.logs[b]).exp()

    def spaced(self, n):
        ends = self.to_t(torch.stack([self.sigmas[-1], self.sigmas[0]])).tolist()
        return self.to_sigma(torch.linspace(*ends, n)).tolist()

    def make(self, name, n):
        if name in ("karras", "exponential", "polyexponential"):
            return getattr(self.ks, "get_sigmas_" + name)(n, self.low, self.high)
        if name == "vp":
            return self.ks.get_sigmas_vp(n)
        if name == "discrete":
            return self.spaced(n) + [0.0]
        if name == "sgm_uniform":
            return self.spaced(n + 1)[:-1] + [0.0]
        if name == "kl_optimal":
            part = torch.arange(n, dtype=torch.float32) / (n - 1)
            return torch.tan(part * math.atan(self.low) + (1 - part) * math.atan(self.high)).tolist() + [0.0]
        if name == "simple":
            return [self.sigmas[999 - int(i * (1000 / n))] for i in range(n)] + [0.0]
        if name == "ddim":
            return self.sigmas[1::max(1000 // n, 1)].tolist()[::-1] + [0.0]
        if name == "beta":
            return self.sigmas[beta_indices(n)].tolist() + [0.0]
        if name == "linear_quadratic":
            return linear_quadratic(n, self.high)
        if name == "turbo":
            return self.to_sigma([999 - 100 * i for i in range(n)]).tolist() + [0.0]
        if name.startswith("ays_"):
            table = AYS_EXACT[name[4:]]
            return (table if n + 1 == len(table) else log_linear(table, n + 1))[:-1] + [0.0]
        raise KeyError(name)


class SdCpp:
    """float in C++: every intermediate result is rounded."""

    def __init__(self):
        first, last, product = np.sqrt(F(0.00085)), np.sqrt(F(0.012)), F(1)
        abar = []
        for i in range(1000):
            product = product * (F(1) - (first + (last - first) * (F(i) / F(999))) ** F(2))
            abar.append(product)
        self.abar = np.array(abar, dtype=F)
        self.sigmas = np.sqrt((F(1) - self.abar) / self.abar)
        self.logs = np.log(self.sigmas)
        self.low, self.high = self.sigmas[0], self.sigmas[-1]

    def to_t(self, sigmas):
        log = np.log(np.asarray(sigmas, dtype=F))
        low = np.clip(np.array([(v >= self.logs).sum() for v in log]) - 1, 0, 998)
        w = np.clip((self.logs[low] - log) / (self.logs[low] - self.logs[low + 1]), F(0), F(1))
        return (F(1) - w) * low.astype(F) + w * (low + 1).astype(F)

    def to_sigma(self, t):
        t = np.asarray(t, dtype=F)
        a, b = np.floor(t).astype(int), np.ceil(t).astype(int)
        w = t - a.astype(F)
        return np.exp((F(1) - w) * self.logs[a] + w * self.logs[b])

    def counted(self, a, b, n):
        """linear_space: adds up a rounded stride."""
        out, step = [F(a)], (F(b) - F(a)) / F(n - 1)
        for _ in range(n - 1):
            out.append(out[-1] + step)
        return out

    def log_linear(self, table, n):
        x, y = self.counted(0, 1, len(table)), np.log(np.array(table, dtype=F)[::-1])
        places, out, j = self.counted(0, 1, n), [], 0
        places[-1] = min(places[-1], x[-1])
        for p in places:
            while x[j] > p or p > x[j + 1]:
                j += 1
            w = float(p - x[j]) / float(x[j + 1] - x[j])
            out.append(F(math.exp(float(y[j]) * (1 - w) + float(y[j + 1]) * w)))
        return out[::-1]

    def beta_index(self, i, n):
        """Newton's method on the continued fraction, as far as the program takes it."""
        a = 0.6
        scale = 2 * math.lgamma(a) - math.lgamma(2 * a)

        def part(x):
            c, d = 1.0, 1 / (1 - 2 * a * x / (a + 1))
            h = d
            for m in range(1, 201):
                for v in (m * (a - m) * x / ((a - 1 + 2 * m) * (a + 2 * m)), -(a + m) * (2 * a + m) * x / ((a + 2 * m) * (a + 1 + 2 * m))):
                    d, c = 1 / (1 + v * d), 1 + v / c
                    h *= c * d
                if abs(c * d - 1) < 3e-7:
                    break
            return math.exp(a * math.log(x) + a * math.log(1 - x) - scale) / a * h
        x, u = 0.5, 1 - i / n
        for _ in range(30):
            f = (part(x) if x < (a + 1) / (2 * a + 2) else 1 - part(1 - x)) - u
            if abs(f) < 1e-10:
                break
            x -= f / math.exp((a - 1) * (math.log(x) + math.log(1 - x)) - scale)
            x = 1e-10 if x <= 0 else 1 - 1e-10 if x >= 1 else x
        return math.floor(x * 999 + 0.5)

    def bong(self, n):
        pi, steps = F(3.14159265358979323846), n + 2
        upper = int(F(steps) * F(0.6))
        slope = F(0.2) / (F(steps) / F(40))
        middle = self.low + (self.high - self.low) * F(0.5)

        def arc(count, pivot, start, end):
            at = [((F(2) / pi) * F(math.atan(-slope * (F(x) - F(pivot)))) + F(1)) * F(0.5) for x in range(count)]
            span = at[0] - at[-1]
            return [start] if count == 1 else [((v - at[-1]) * (F(1) / span)) * (start - end) + end for v in at]
        out = arc(upper, upper, self.high, middle)[:-1] + arc(steps - upper, 0, middle, self.low)
        return (out + [self.low] * (n + 1))[:n]

    def make(self, name, n):
        i = np.arange(n).astype(F)
        if name == "discrete":
            s = self.to_sigma(F(999) - F(999) / F(n - 1) * i if n > 1 else [999])
        elif name == "exponential":
            a, b = np.log(self.low), np.log(self.high)
            s = np.exp(b - (b - a) / F(n - 1) * i)
        elif name == "karras":
            a, b = self.low ** (F(1) / F(7)), self.high ** (F(1) / F(7))
            s = (b + i / (F(n) - F(1)) * (a - b)) ** F(7)
        elif name == "sgm_uniform":
            s = self.to_sigma(self.counted(999, 0, n + 1)[:-1])
        elif name == "kl_optimal":
            part = i / F(max(n - 1, 1))
            s = np.tan(part * np.arctan(self.low) + (F(1) - part) * np.arctan(self.high)) if n > 1 else [self.high]
        elif name == "simple":
            s = self.to_sigma([999 - int(v) for v in i * (F(1000) / F(n))])
        elif name == "beta":
            t = [self.beta_index(k, n) for k in range(n)] if n > 1 else [999]
            s = self.to_sigma([v for k, v in enumerate(t) if k == 0 or v != t[k - 1]])
        elif name == "smoothstep":
            u = F(1) - i / F(n)
            s = self.to_sigma(np.floor(u * u * (F(3) - F(2) * u) * F(999) + F(0.5)) if n > 1 else [999])
        elif name == "lcm":
            s = self.to_sigma([(50 - k * 50 // n) * 20 - 1 for k in range(n)])
        elif name == "bong_tangent":
            s = self.bong(n)
        elif name.startswith("ays_"):
            table = AYS_EXACT[name[4:]]
            s = (table if n + 1 == len(table) else self.log_linear(table, n + 1))[:-1]
        else:
            raise KeyError(name)
        return [float(v) for v in s] + [0.0]
