"""Writes tests/golden/pipeline_*.safetensors: whole runs of the demo model by the original libraries.

Under `like: diffusers` the run is StableDiffusionPipeline's own; under `like: a1111` it is k-diffusion's sampler
around the diffusers UNet with A1111's habits: Philox noise of one generator per image, guidance on the denoised
image, odd sizes resized after the up-convolution, 8 bits by truncation. DDIM there is a float64 walk.

Each file: metadata = the parameters of the run; tensors latents [steps+1,n,4,h,w] (0: the initial latent),
eps [steps,n,4,h,w] (guided), sigmas, timesteps, rgb [n,H,W,3] uint8, sometimes image (float) and text_cond.

usage: golden_pipeline.py [MODEL [OUTPUT_DIRECTORY]]
"""
import contextlib
import functools
import os
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.upsampling import Upsample2D
from safetensors.numpy import save_file

import originals
from pipeline_common import Model

BLUE, GREEN = "a fox on a blue background", "a panda on a green background"
NEGATIVE = "a red apple"
LONG = " ".join([BLUE] * 15)                                # 90 tokens, no comma

RUNS = {
    # the main ones: full size, every sampler under both programs
    "diffusers_euler": dict(like="diffusers", sampler="euler", full=True),
    "diffusers_euler_a": dict(like="diffusers", sampler="euler_a"),
    "diffusers_ddim": dict(like="diffusers", sampler="ddim"),
    "a1111_euler": dict(like="a1111", sampler="euler", full=True),
    "a1111_euler_a": dict(like="a1111", sampler="euler_a"),
    "a1111_euler_karras": dict(like="a1111", sampler="euler", scheduler="karras", prompt=GREEN),
    "a1111_euler_a_karras_odd": dict(like="a1111", sampler="euler_a", scheduler="karras", height=104, full=True),
    "a1111_ddim": dict(like="a1111", sampler="ddim"),
    # small ones: the other spacings, eta, odd sizes, batches, long prompts, other noise
    "diffusers_euler_karras": dict(like="diffusers", sampler="euler", scheduler="karras", width=64, height=64, seed=7),
    "diffusers_euler_linspace_odd": dict(like="diffusers", sampler="euler", scheduler="linspace", width=72, height=56),
    "diffusers_euler_a_trailing": dict(like="diffusers", sampler="euler_a", scheduler="trailing", width=64, height=64),
    "diffusers_ddim_eta": dict(like="diffusers", sampler="ddim", eta=0.6, width=64, height=64, steps=12),
    "diffusers_long": dict(like="diffusers", sampler="euler", width=64, height=64, steps=5, prompt=LONG, full=True),
    "a1111_ddim_eta": dict(like="a1111", sampler="ddim", eta=1.0, width=64, height=64, steps=15),
    "a1111_euler_a_eta": dict(like="a1111", sampler="euler_a", eta=0.5, width=64, height=64, steps=9),
    "a1111_euler_odd": dict(like="a1111", sampler="euler", width=104, height=72, steps=12),
    "a1111_batch": dict(like="a1111", sampler="euler_a", width=64, height=64, steps=6, images=2, seed=2 ** 32 - 1),
    "a1111_cpu": dict(like="a1111", sampler="euler_a", width=64, height=64, steps=6, rng="cpu", seed=1234),
    "a1111_long": dict(like="a1111", sampler="euler", width=64, height=64, steps=5, prompt=LONG, full=True),
    "a1111_unguided": dict(like="a1111", sampler="euler", width=64, height=64, steps=5, cfg=1.0),
}
DEFAULTS = dict(prompt=BLUE, negative=NEGATIVE, width=128, height=128, steps=20, seed=42, images=1, eta=None, full=False)
ETA = {"euler": 0.0, "euler_a": 1.0, "ddim": 0.0}


def parameters(run):
    p = {**DEFAULTS, **run}
    diffusers = p["like"] == "diffusers"
    p.setdefault("cfg", 7.5 if diffusers else 7.0)
    p.setdefault("rng", "cpu" if diffusers else "cuda")
    own = "leading" if diffusers else "ddim" if p["sampler"] == "ddim" else "discrete"
    p.setdefault("scheduler", own)
    if p["eta"] is None:
        p["eta"] = ETA[p["sampler"]]
    return p


class Recorder:
    def __init__(self):
        self.latents, self.eps, self.timesteps = [], [], []

    def step(self, eps, latent):
        self.eps.append(eps.float())
        self.latents.append(latent.float())

    def tensors(self):
        return dict(latents=torch.stack(self.latents), eps=torch.stack(self.eps),
                    timesteps=torch.tensor(self.timesteps, dtype=torch.float32))


def run_diffusers(model, p):
    karras = p["scheduler"] == "karras"
    scheduler = originals.scheduler(p["sampler"], "leading" if karras else p["scheduler"], karras)
    pipe, r, step = model.pipeline(scheduler), Recorder(), scheduler.step

    @functools.wraps(step)                                  # the pipeline looks at the names of its parameters
    def recorded(model_output, timestep, sample, **rest):
        if not r.latents:
            r.latents.append(sample)
        result = step(model_output, timestep, sample, **rest)
        r.timesteps.append(float(timestep))
        r.step(model_output, result[0])
        return result

    scheduler.step = recorded
    picture = pipe(p["prompt"], negative_prompt=p["negative"], width=p["width"], height=p["height"],
                   num_inference_steps=p["steps"], guidance_scale=p["cfg"], eta=p["eta"],
                   generator=torch.Generator("cpu").manual_seed(p["seed"]), output_type="pil").images[0]
    out = r.tensors()
    out["rgb"] = torch.from_numpy(np.asarray(picture).copy())[None]
    out["image"] = model.decode(r.latents[-1])
    out["text_cond"] = pipe.encode_prompt(p["prompt"], "cpu", 1, False)[0]
    if p["sampler"] != "ddim":
        out["sigmas"] = scheduler.sigmas
    return out


@contextlib.contextmanager
def upsampling_of_a1111():
    """modules/sd_hijack_unet.py: the nearest resize to the skip's size comes after the up-convolution."""
    original = Upsample2D.forward

    def forward(self, hidden_states, output_size=None, *args, **kwargs):
        y = original(self, hidden_states, None, *args, **kwargs)
        return y if output_size is None else F.interpolate(y, size=tuple(output_size), mode="nearest")

    Upsample2D.forward = forward
    try:
        yield
    finally:
        Upsample2D.forward = original


class Guided:
    """A1111's CFGDenoiser over k-diffusion's CompVisDenoiser: D = D_u + scale (D_c - D_u)."""

    def __init__(self, model, p, external):
        self.unet, self.scale = model.unet, p["cfg"]
        self.alphas_cumprod = originals.alphas_ldm()
        self.cond, self.uncond = model.encode(p["prompt"]), model.encode(p["negative"])
        self.inner = external.CompVisDenoiser(self)

    def apply_model(self, x, t, context):
        return self.unet(x, t, encoder_hidden_states=context.expand(len(x), -1, -1)).sample

    def eps(self, x, t):
        t = torch.as_tensor(t, dtype=torch.float32).expand(len(x))
        c = self.apply_model(x, t, self.cond)
        self.last = c
        if self.scale != 1.0:
            u = self.apply_model(x, t, self.uncond)
            self.last = u + self.scale * (c - u)
        return self.last

    def __call__(self, x, sigma):
        c_in = 1 / (sigma[0] ** 2 + 1) ** 0.5
        self.t = self.inner.sigma_to_t(sigma)[0].item()
        self.eps(x * c_in, self.t)                          # what the trace shows
        d = self.inner(x, sigma, context=self.cond)
        if self.scale == 1.0:
            return d
        u = self.inner(x, sigma, context=self.uncond)
        return u + (d - u) * self.scale


class Noise:
    """One generator per image; every draw is one latent of each."""

    def __init__(self, p):
        self.shape, self.seeds, self.draw = (4, p["height"] // 8, p["width"] // 8), [p["seed"] + i for i in range(p["images"])], 0
        self.generators = [torch.Generator("cpu").manual_seed(s) for s in self.seeds] if p["rng"] == "cpu" else None

    def __call__(self, *_):
        self.draw += 1
        if self.generators:
            return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])
        return torch.stack([torch.from_numpy(originals.philox_normal(s, self.draw - 1, self.shape)) for s in self.seeds])


def run_a1111(model, p):
    sampling, external = originals.k_diffusion()
    guided, noise, r = Guided(model, p, external), Noise(p), Recorder()
    with upsampling_of_a1111():
        if p["sampler"] == "ddim":
            out = walk_ddim(guided, noise, r, p)
        else:
            out = walk_kdiffusion(guided, noise, r, p, sampling)
    out["image"] = model.decode(r.latents[-1].float())
    out["rgb"] = (255.0 * torch.clamp((out["image"] + 1.0) / 2.0, 0.0, 1.0)).to(torch.uint8)
    out["text_cond"] = guided.cond
    return out


def walk_kdiffusion(guided, noise, r, p, sampling):
    inner = guided.inner
    if p["scheduler"] == "karras":
        sigmas = sampling.get_sigmas_karras(p["steps"], inner.sigma_min.item(), inner.sigma_max.item())
    else:
        sigmas = inner.get_sigmas(p["steps"])
    x, eps = noise() * sigmas[0], []

    def callback(d):
        r.latents.append(d["x"])
        r.eps.append(guided.last)
        r.timesteps.append(guided.t)

    if p["sampler"] == "euler":
        x = sampling.sample_euler(guided, x, sigmas, callback=callback, disable=True)
    else:
        x = sampling.sample_euler_ancestral(guided, x, sigmas, callback=callback, disable=True, eta=p["eta"], noise_sampler=noise)
    r.latents.append(x)
    return r.tensors() | dict(sigmas=sigmas)


def walk_ddim(guided, noise, r, p):
    walk = originals.Ddim(p["steps"])
    x = noise()
    r.latents.append(x)
    for e, x in walk.run(lambda x, t: guided.eps(x.float(), t).double(), x.double(), p["eta"], lambda: noise().double()):
        r.step(e, x)
    r.timesteps = [t for t, _, _ in walk.calls()]
    return r.tensors()


def write(path, p, tensors):
    if not p.pop("full"):
        for name in ("image", "text_cond"):
            tensors.pop(name, None)
    arrays = {k: np.ascontiguousarray(v.detach().numpy()) for k, v in tensors.items()}
    save_file(arrays, path, metadata={k: str(v) for k, v in p.items()} | {"made_by": "tools/golden_pipeline.py"})
    os.chmod(path, 0o644)
    print(f"{path.name}: {path.stat().st_size} bytes, latent {float(tensors['latents'][-1].abs().max()):.3f}")


@torch.no_grad()
def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    source = sys.argv[1] if len(sys.argv) > 1 else root / "models/data/sdgen-emoji.safetensors"
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else root / "tests/golden"
    model = Model(source)
    for name, run in RUNS.items():
        p = parameters(run)
        tensors = (run_diffusers if p["like"] == "diffusers" else run_a1111)(model, p)
        write(folder / f"pipeline_{name}.safetensors", p, tensors)


if __name__ == "__main__":
    main()
