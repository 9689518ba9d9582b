"""Writes tests/golden/pipeline_*.safetensors: whole runs of the demo model by the original libraries.

Under `like: diffusers` the run is StableDiffusionPipeline's own; under `like: a1111` it is k-diffusion's sampler
around the diffusers UNet with A1111's habits: Philox noise of one generator per image, guidance on the denoised
image, odd sizes resized after the up-convolution, 8 bits by truncation. DDIM there is a float64 walk. A prompt in
A1111's language is given taken apart, so that nothing here parses it.

Each file: metadata = the parameters of the run; tensors latents [steps+1,n,4,h,w] (0: the initial latent),
eps [steps,n,4,h,w] (guided), sigmas, timesteps, rgb [n,H,W,3] uint8, sometimes image (float) and text_cond.

usage: golden_pipeline.py [MODEL [OUTPUT_DIRECTORY [RUN...]]]
"""
import contextlib
import functools
import os
import pathlib
import sys

import diffusers
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
    # other samplers of diffusers, and A1111's prompt language
    "diffusers_dpmpp_2m_karras": dict(like="diffusers", sampler="dpmpp_2m", scheduler="karras", width=64, height=64, steps=8),
    "diffusers_unipc": dict(like="diffusers", sampler="unipc", width=64, height=64, steps=8),
    "diffusers_pndm": dict(like="diffusers", sampler="pndm", width=64, height=64, steps=8),
    "a1111_dpmpp_2m_karras": dict(like="a1111", sampler="dpmpp_2m", scheduler="karras", width=64, height=96, steps=8),
    "a1111_and": dict(like="a1111", sampler="euler", width=64, height=64, steps=5,
                      prompt="a (fox:1.3) on a blue background AND a panda :0.4", parts=[
                          (1.0, [(5, [("a ", 1.0), ("fox", 1.3), (" on a blue background", 1.0)])]),
                          (0.4, [(5, [("a panda", 1.0)])])]),
    "a1111_editing": dict(like="a1111", sampler="heun", width=64, height=64, steps=5,
                          prompt="a [(fox:1.2):panda:0.4] on a green background", parts=[
                              (1.0, [(4, [("a ", 1.0), ("fox", 1.2), (" on a green background", 1.0)]),
                                     (10, [("a panda on a green background", 1.0)])])]),
    "a1111_unguided": dict(like="a1111", sampler="euler", width=64, height=64, steps=5, cfg=1.0),
}
DEFAULTS = dict(prompt=BLUE, negative=NEGATIVE, width=128, height=128, steps=20, seed=42, images=1, eta=None, full=False)
ETA = {"euler_a": 1.0}                                      # of the others: 0


def parameters(run):
    p = {**DEFAULTS, **run}
    diffusers = p["like"] == "diffusers"
    p.setdefault("cfg", 7.5 if diffusers else 7.0)
    p.setdefault("rng", "cpu" if diffusers else "cuda")
    own = "leading" if diffusers else "ddim" if p["sampler"] == "ddim" else "discrete"
    p.setdefault("scheduler", own)
    if p["eta"] is None:
        p["eta"] = ETA.get(p["sampler"], 0.0)
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


def scheduler_of(p):
    karras = p["scheduler"] == "karras"
    spacing = "leading" if karras else p["scheduler"]
    if p["sampler"] == "dpmpp_2m":
        return diffusers.DPMSolverMultistepScheduler(**originals.SD1, timestep_spacing=spacing, use_karras_sigmas=karras)
    if p["sampler"] == "unipc":
        return diffusers.UniPCMultistepScheduler(**originals.SD1, timestep_spacing=spacing, use_karras_sigmas=karras)
    if p["sampler"] == "pndm":
        return diffusers.PNDMScheduler(**originals.SD1, timestep_spacing=spacing, skip_prk_steps=True, set_alpha_to_one=False)
    return originals.scheduler(p["sampler"], spacing, karras)


def run_diffusers(model, p):
    scheduler = scheduler_of(p)
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
    if hasattr(scheduler, "sigmas"):
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
    """A1111's CFGDenoiser over k-diffusion's CompVisDenoiser: D = D_u + scale sum_i w_i (D_i - D_u)."""

    def __init__(self, model, p, external):
        self.unet, self.scale, self.calls, self.last = model.unet, p["cfg"], 0, None
        self.alphas_cumprod = originals.alphas_ldm()
        self.cond, self.uncond = model.encode(p["prompt"]), model.encode(p["negative"])
        self.parts = [(1.0, [(10 ** 6, self.cond)])]
        if p.get("parts"):
            self.parts = [(w, encode_turns(model, turns)) for w, turns in p["parts"]]
            self.cond = self.parts[0][1][0][1]
        self.inner = external.CompVisDenoiser(self)

    def apply_model(self, x, t, context):
        return self.unet(x, t, encoder_hidden_states=context.expand(len(x), -1, -1)).sample

    def guide(self, ask):
        """The guided answer to ask(context), and of which the plain prompt's is the first."""
        conds = [(w, next(c for until, c in turns if self.calls <= until)) for w, turns in self.parts]
        if self.scale == 1.0 and len(conds) == 1:
            return ask(conds[0][1])
        u = ask(self.uncond)
        return u + sum((ask(c) - u) * (w * self.scale) for w, c in conds)

    def eps(self, x, t):
        t = torch.as_tensor(t, dtype=torch.float32).expand(len(x))
        self.before, self.last = self.last, self.guide(lambda context: self.apply_model(x, t, context))
        return self.last

    def __call__(self, x, sigma):
        c_in = 1 / (sigma[0] ** 2 + 1) ** 0.5
        self.t = self.inner.sigma_to_t(sigma)[0].item()
        self.eps(x * c_in, self.t)                          # what the trace shows
        d = self.guide(lambda context: self.inner(x, sigma, context=context))
        self.calls += 1
        return d


def encode_turns(model, turns):
    """[(until, segments)]: A1111 encodes all turns of a part as one batch, here of one chunk, multiplies every token's
    vector by its weight and restores the mean of the batch (sd_emphasis.py, "Original")."""
    rows, weights = [], []
    for _, segments in turns:
        ids = [model.tokenizer(text, add_special_tokens=False).input_ids for text, _ in segments]
        w = [w for i, (_, w) in zip(ids, segments) for _ in i]
        i = [x for s in ids for x in s]
        rows.append([49406, *i, *[49407] * (76 - len(i))])
        weights.append([1.0, *w, *[1.0] * (76 - len(w))])
    z = model.text(torch.tensor(rows)).last_hidden_state
    mean = z.mean()
    z = z * torch.tensor(weights)[..., None]
    z = z * (mean / z.mean())
    return [(until, z[i:i + 1]) for i, (until, _) in enumerate(turns)]


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
    x = noise() * sigmas[0]

    def callback(d):                                        # after the first model call of a step
        if r.latents:
            r.eps.append(guided.before)                     # of the last call of the step before
        r.latents.append(d["x"])
        r.timesteps.append(guided.t)

    if p["sampler"] in ("euler", "heun", "dpmpp_2m"):
        x = getattr(sampling, "sample_" + p["sampler"])(guided, x, sigmas, callback=callback, disable=True)
    else:
        x = sampling.sample_euler_ancestral(guided, x, sigmas, callback=callback, disable=True, eta=p["eta"], noise_sampler=noise)
    r.latents.append(x)
    r.eps.append(guided.last)
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
    p.pop("parts", None)
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
        if sys.argv[3:] and name not in sys.argv[3:]:
            continue
        p = parameters(run)
        tensors = (run_diffusers if p["like"] == "diffusers" else run_a1111)(model, p)
        write(folder / f"pipeline_{name}.safetensors", p, tensors)


if __name__ == "__main__":
    main()
