"""Writes tests/golden/noise.safetensors: random numbers, Brownian paths, the draws of whole batches, guidance
and prediction conversions, from torch, torchsde, k-diffusion and diffusers; what only A1111, ComfyUI and
stable-diffusion.cpp do is computed by the short twins below. Read by tests/test_rng.c, test_noise.c,
test_brownian.c, test_guidance.c and test_prediction.c.

usage: golden_noise.py [OUTPUT]
"""
import os
import pathlib
import sys
import warnings

import numpy as np
import torch
import torchsde
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.utils.torch_utils import randn_tensor
from safetensors.numpy import save_file

import originals

SEEDS = (0, 1, 42, 123456789, 2 ** 32 + 5, 2 ** 40 + 7, -1, -987654321)
# Sixty sizes: all short ones, around multiples of 16, primes, latents of odd and even sides.
SIZES = [*range(1, 25), 29, 30, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 623, 624, 625,
         1000, 1023, 1025, 1247, 1248, 1249, 2047, 4 * 8 * 9, 4 * 9 * 7, 4 * 13 * 11, 4 * 15 * 17, 4 * 16 * 16,
         4 * 23 * 29, 4 * 33 * 31, 4 * 64 * 64]
KEEP = 32                                                   # of a long draw: that many from both ends
ROW = (6, 3, 16, 1, 20, 7, 100)
SHAPE = (4, 6, 5)                                           # 120 values: not a multiple of 16
out = {}


def put(name, value):
    if torch.is_tensor(value):
        value = value.detach().numpy()
    out[name] = np.ascontiguousarray(np.atleast_1d(np.asarray(value, dtype=np.float32)))


def words(name, value):
    out[name] = np.asarray(value, dtype=np.uint32).view(np.int32)


def cpu(seed):
    return torch.Generator().manual_seed(seed)


# ---- generators ----

def randoms():
    """Ends of each draw; the middle by its sum and sum of squares, taken in f64, and a stride of 97."""
    out["cpu.sizes"] = np.asarray(SIZES, dtype=np.int32)
    for seed in SEEDS:
        for n in SIZES:
            y = torch.randn(n, generator=cpu(seed))
            if n > 3 * KEEP:
                middle = y[KEEP:-KEEP].double()
                sums = torch.stack([middle.sum(), (middle ** 2).sum()]).float()
                y = torch.cat([y[:KEEP], y[KEEP:-KEEP:97], y[-KEEP:], sums])
            put(f"cpu.{seed}.{n}", y)
        g = cpu(seed)                                       # one generator, draws in a row
        put(f"cpu.{seed}.row", torch.cat([torch.randn(n, generator=g) for n in ROW]))
        key = seed % 2 ** 64
        put(f"cuda.{seed}", np.stack([originals.philox_normal(key, draw, (40,)) for draw in range(3)]))
        put(f"sd.cpp.{seed}", np.stack([philox_narrow(key, draw, 40) for draw in range(3)]))


def philox_narrow(seed, draw, n):
    """stable-diffusion.cpp, src/core/rng_philox.hpp: the same words, but f32 from there on."""
    zero, f = np.zeros(n), np.float32
    c = originals.philox_words([zero + draw, zero, np.arange(n), zero], (seed & 0xFFFFFFFF, seed >> 32))
    unit, turn = f(2.3283064e-10), f(2.3283064e-10) * f(6.2831855)
    u = c[0].astype(f) * unit + unit / f(2)
    v = c[1].astype(f) * turn + turn / f(2)
    return np.sqrt(f(-2) * np.log(u)) * np.sin(v)


def seed_sequences():
    for i, (entropy, key) in enumerate([(0, ()), (42, ()), (42, (0, 0)), (42, (1, 1)), (2 ** 32 + 5, (5, 3)),
                                        (2 ** 63 - 1, (2 ** 33 + 1, 34)), (7, (2 ** 24 - 1, 24))]):
        words(f"seedsequence.{i}", np.random.SeedSequence(entropy, spawn_key=key, pool_size=24).generate_state(30))


# ---- Brownian paths ----

PATHS = [(42, 4, 0.029168, 14.614642), (0, 20, 0.0291675, 14.6146469), (2 ** 32 + 5, 64, 0.002, 120.0),
         (2 ** 62 + 12345, 17, 0.0400, 4518.764), (987654321, 120, 0.1, 0.100037)]


def questions(low, high, count, rng):
    """Levels of a run in order, then in reverse; nested halves; repeated, tiny, clipped and random pairs."""
    ladder = np.exp(np.linspace(np.log(high), np.log(low), 9))
    pairs = list(zip(ladder[:-1], ladder[1:]))
    pairs += [(b, a) for a, b in reversed(pairs)] + pairs[2:5]
    a, b = low, high
    for _ in range(12):
        pairs.append((b, a))
        a, b = (a, (a + b) / 2) if rng.random() < 0.5 else ((a + b) / 2, b)
    pairs += [(low - 1, high + 1), (high, high + 3), (low, low), (low, np.nextafter(np.float32(low), np.float32(99)))]
    pairs += [(x, x + (high - low) * 10.0 ** -k) for k, x in enumerate(rng.uniform(low, (low + high) / 2, 6))]
    pairs += [tuple(rng.uniform(low, high, 2)) for _ in range(count - len(pairs))]
    return np.asarray(pairs, dtype=np.float32)


def rounds_to_nothing(pair, low, high):
    """torchsde recurses until Python's stack ends where six decimals make two different levels one."""
    a, b = (min(max(float(t), round(low, 6)), round(high, 6)) for t in pair)
    return a != b and round(a, 6) == round(b, 6)


def brownian(ks):
    rng = np.random.default_rng(1)
    for i, (seed, size, low, high) in enumerate(PATHS):
        low, high = torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)
        tree = torchsde.BrownianTree(low, torch.zeros(size), high, entropy=seed)
        sampler = ks.BrownianTreeNoiseSampler(torch.zeros(1, size), low, high, seed=[seed])
        ends = low.item(), high.item()
        asked = [q for q in questions(*ends, 70, rng) if not rounds_to_nothing(q, *ends)]
        path, noise = [], []
        for a, b in asked:
            a, b = torch.tensor(a), torch.tensor(b)
            w = tree(min(a, b), max(a, b)) * (1 if a <= b else -1)
            path.append(w)
            noise.append(sampler(a, b)[0] if a != b else torch.zeros(size))
        put(f"brownian.{i}.range", [low, high])
        put(f"brownian.{i}.asked", np.asarray(asked))
        put(f"brownian.{i}.path", torch.stack(path))
        put(f"brownian.{i}.noise", torch.stack(noise))


# ---- batches: who draws what ----

class Cuda:
    """A1111's "NV" generator."""

    def __init__(self, seed):
        self.seed, self.draw = seed % 2 ** 64, 0

    def randn(self, shape):
        self.draw += 1
        return torch.from_numpy(originals.philox_normal(self.seed, self.draw - 1, shape))


class Cpu:
    def __init__(self, seed):
        self.generator = cpu(seed)

    def randn(self, shape):
        return torch.randn(shape, generator=self.generator)


def slerp(v, a, b):
    """modules/rng.py, in f64: columns of every channel, and the swapped straight blend."""
    a, b = a.double(), b.double()
    dot = (a / a.norm(dim=1, keepdim=True) * (b / b.norm(dim=1, keepdim=True))).sum(1)
    if dot.mean() > 0.9995:
        return (a * v + b * (1 - v)).float()
    w = dot.acos()
    of_a, of_b = (((1 - v) * w).sin() / w.sin()).unsqueeze(1), ((v * w).sin() / w.sin()).unsqueeze(1)
    return (of_a * a + of_b * b).float()


def paste(x, y):
    """modules/rng.py: y over the middle of x, row by row and column by column."""
    dy, dx = (x.shape[1] - y.shape[1]) // 2, (x.shape[2] - y.shape[2]) // 2
    for r in range(y.shape[1]):
        for c in range(y.shape[2]):
            # a margin that is negative is taken off both sides
            if (dy < 0 and r >= y.shape[1] + dy) or (dx < 0 and c >= y.shape[2] + dx):
                continue
            if r + dy >= 0 and c + dx >= 0:
                x[:, r + dy, c + dx] = y[:, r, c]
    return x


def a1111(kind, n, seed, subseed=0, strength=0.0, resize=None, ensd=0):
    seeds = [seed + (0 if strength else i) for i in range(n)]
    images = [kind(s) for s in seeds]
    first = []
    for i, image in enumerate(images):
        shape = (SHAPE[0], *(resize or SHAPE[1:]))
        noise = (kind(seeds[i]) if resize else image).randn(shape)
        if strength:
            noise = slerp(strength, noise, kind(subseed + i).randn(shape))
        first.append(paste(image.randn(SHAPE), noise) if resize else noise)
    if ensd:
        images = [kind(s + ensd) for s in seeds]
    return [torch.stack(first), *(torch.stack([image.randn(SHAPE) for image in images]) for _ in range(2))]


BATCHES = [dict(n=3, seed=1234), dict(n=2, seed=2 ** 32 - 1), dict(n=2, seed=5, ensd=31337),
           dict(n=2, seed=7, subseed=99, strength=0.25), dict(n=2, seed=7, subseed=7, strength=0.125),
           dict(n=1, seed=3, resize=(9, 8)), dict(n=2, seed=3, resize=(3, 4)), dict(n=1, seed=3, resize=(9, 2)),
           dict(n=2, seed=11, subseed=5, strength=0.5, resize=(4, 9), ensd=-3),
           dict(n=1, seed=6, subseed=8, strength=1.0)]


def batches():
    for i, case in enumerate(BATCHES):
        for name, kind in (("cpu", Cpu), ("cuda", Cuda)):
            put(f"a1111.{name}.{i}", torch.stack(a1111(kind, **case)))
    n, seed, batch = 3, 2024, (3, *SHAPE)
    each = [cpu(seed + i) for i in range(n)]
    put("diffusers.each", torch.stack([randn_tensor(batch, generator=each) for _ in range(3)]))
    one = cpu(seed)
    put("diffusers.joint", torch.stack([randn_tensor(batch, generator=one) for _ in range(3)]))
    for joint, shape in ((True, batch), (False, (1, *SHAPE))):
        for gpu in (False, True):
            rows = []
            for s in (seed,) if joint else (seed, seed + 1, seed + 2):
                first = torch.randn(shape, generator=torch.manual_seed(s))   # prepare_noise
                later = Cuda(s) if gpu else Cpu(s + 1)                       # default_noise_sampler
                rows.append(torch.stack([first, later.randn(shape), later.randn(shape)]))
            put(f"comfyui.{'joint' if joint else 'each'}.{'cuda' if gpu else 'cpu'}", torch.cat(rows, dim=1))
    put("sd.cpp.each", np.stack([[philox_narrow(seed + i, draw, 120) for i in range(n)] for draw in range(3)]))


STEPS = np.asarray([(14.614642, 5.1), (5.1, 1.3), (14.614642, 1.3), (1.3, 5.1), (1.3, 0.0291677)], dtype=np.float32)


def trees(ks):
    """A1111: a tree per image whose randn is the chosen one; ComfyUI: one tree for the whole batch, on the CPU."""
    module = sys.modules["torchsde._brownian.brownian_interval"]
    original = module._randn
    out["tree.steps"] = STEPS
    x, seeds = torch.zeros(2, *SHAPE), [77, 78]
    for name, kind in (("cpu", Cpu), ("cuda", Cuda)):
        module._randn = lambda size, dtype, device, seed: kind(int(seed)).randn(tuple(size))
        sampler = ks.BrownianTreeNoiseSampler(x, torch.tensor(0.0291677), torch.tensor(14.614642), seed=seeds)
        put(f"tree.each.{name}", torch.stack([sampler(torch.tensor(a), torch.tensor(b)) for a, b in STEPS]))
    module._randn = original
    sampler = ks.BrownianTreeNoiseSampler(x, torch.tensor(0.0291677), torch.tensor(14.614642), seed=77)
    put("tree.joint", torch.stack([sampler(torch.tensor(a), torch.tensor(b)) for a, b in STEPS]))


# ---- predictions ----

SIGMAS = (0.0291672, 0.5, 1.0, 3.25, 14.614642, 120.0, 4518.764)


class Answer:
    """A model that says what it is told to."""

    def __init__(self, value):
        self.alphas_cumprod, self.value = originals.alphas_ldm(), value

    def apply_model(self, *args, **kwargs):
        return self.value


def predictions(kx):
    rng = np.random.default_rng(2)
    output = torch.from_numpy(rng.standard_normal(32).astype(np.float32))
    unit = torch.from_numpy(rng.standard_normal(32).astype(np.float32))
    out["predict.sigmas"] = np.asarray(SIGMAS, dtype=np.float32)
    put("predict.output", output)
    put("predict.unit", unit)
    for i, sigma in enumerate(SIGMAS):
        s = torch.full((1,), sigma)
        x = (unit * s)[None]
        put(f"predict.{i}.x", x)
        put(f"predict.{i}.eps", kx.CompVisDenoiser(Answer(output[None]))(x, s))
        put(f"predict.{i}.v", kx.CompVisVDenoiser(Answer(output[None]))(x, s, cond=None))
    for name, kind in (("eps", "epsilon"), ("v", "v_prediction"), ("x0", "sample")):
        settings = {**originals.SD1, "prediction_type": kind}
        ddim = DDIMScheduler(**settings, clip_sample=False)
        solver = DPMSolverMultistepScheduler(**settings, algorithm_type="dpmsolver", final_sigmas_type="sigma_min")
        ddim.set_timesteps(10)
        solver.set_timesteps(10)
        put("predict.abar", ddim.alphas_cumprod[ddim.timesteps])
        clean = [ddim.step(output, t, unit).pred_original_sample for t in ddim.timesteps]
        put(f"predict.{name}.clean", torch.stack(clean))
        noise, abar = [], []
        for step in range(10):
            solver._step_index = step
            noise.append(solver.convert_model_output(output, sample=unit))
            abar.append(1 / (1 + solver.sigmas[step] ** 2))
        put(f"predict.{name}.noise", torch.stack(noise))
        put("predict.noise.abar", abar)


# ---- guidance ----

def combined(u, conds, weights, scale):
    """AND in A1111: the sum of the prompts' directions, f64."""
    return u + sum(w * scale * (c - u) for c, w in zip(conds, weights))


def comfy_rescaled(kind, shown, sigma, u, c, scale, phi):
    """ComfyUI's RescaleCFG in terms of denoised images, f64: to v, rescale there, back."""
    root = np.sqrt(sigma ** 2 + 1)
    x = shown * root
    denoised = {"eps": lambda o: x - sigma * o, "v": lambda o: x / root ** 2 - o * sigma / root,
                "x0": lambda o: o}[kind]
    v = [(x / root ** 2 - denoised(o)) * root / sigma for o in (u, c)]
    guided = v[0] + scale * (v[1] - v[0])
    guided = phi * guided * (v[1].std(ddof=1) / guided.std(ddof=1)) + (1 - phi) * guided
    d = x / root ** 2 - guided * sigma / root
    return {"eps": (x - d) / sigma, "v": guided, "x0": d}[kind]


def guidance():
    rng = np.random.default_rng(3)
    conds = rng.standard_normal((3, 96)).astype(np.float32)
    u = (0.5 * conds[0] + rng.standard_normal(96)).astype(np.float32)
    shown = rng.standard_normal(96).astype(np.float32)
    put("guide.cond", conds)
    put("guide.uncond", u)
    put("guide.input", shown)
    c64, u64 = conds.astype(np.float64), u.astype(np.float64)
    weights = (1.0, 0.75, -0.5)
    for i, scale in enumerate((0.0, 1.5, 7.5, 30.0)):
        put(f"guide.and.{i}", combined(u64, c64, weights, scale))
        put(f"guide.plain.{i}", combined(u64, c64[:1], (1.0,), scale))
        cfg = torch.from_numpy(u + np.float32(scale) * (conds[0] - u))
        for j, phi in enumerate((0.25, 0.7, 1.0)):
            put(f"guide.rescaled.{i}.{j}", rescale_noise_cfg(cfg[None], torch.from_numpy(conds[:1]), phi))
            for kind in ("eps", "v", "x0"):
                put(f"guide.{kind}.{i}.{j}", np.stack([
                    comfy_rescaled(kind, shown.astype(np.float64), s, u64, c64[0], scale, phi)
                    for s in (0.0625, 1.0, 14.5)]))
    put("guide.alone", combined(c64[0], c64, weights, 1.0))  # no uncond: the first prompt in its place
    wanted = []
    for _ in range(600):
        scale = rng.choice([0.5, 1.0, 1.0, 4.0, 7.5])
        start, end = rng.choice([0, 0, 0.25, 0.5]), rng.choice([1, 1, 0.75, 0.375])
        early, level = rng.choice([0, 0, 0.125, 0.5]), rng.choice([0, 0, 1.5, 4.0])
        every, above, steps = rng.integers(2), rng.integers(2), rng.integers(1, 31)
        step, sigma = rng.integers(steps), rng.choice([0.5, 1.5, 3.0, 8.0])
        yes = scale > 1 if above else scale != 1
        yes = yes and int(start * steps) <= step < int(end * steps)
        yes = yes and not (early != 0 and step / steps <= early)
        yes = yes and not ((step % 2 or every) and level > 0 and sigma < level)
        wanted.append((scale, start, end, early, level, every, above, steps, step, sigma, yes))
    out["guide.wanted"] = np.asarray(wanted, dtype=np.float64)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/noise.safetensors"
    warnings.simplefilter("ignore")                         # torchsde: queries outside of the path
    ks, kx = originals.k_diffusion()
    randoms()
    seed_sequences()
    brownian(ks)
    batches()
    trees(ks)
    predictions(kx)
    guidance()
    save_file(dict(sorted(out.items())), path, metadata={"made_by": "tools/golden_noise.py"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
