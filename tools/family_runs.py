"""Whole runs of every family by diffusers' own pipelines, for golden_families.py: small pictures, few steps.

RUNS says what differs from DEFAULTS; the JSON of these parameters goes into the golden file. Pictures come from the
hash, so that both sides have them: rgb, grey depth; a mask is white on its right.
"""
import functools

import diffusers
import numpy as np
import torch
from PIL import Image

import hashweights
import original_tokenizer
from checkpoints import configs, layouts, modules
from checkpoints import tensors as listing

SIDE = 64
DEFAULTS = dict(prompt="a fox on a blue background", negative="blurry", steps=4, seed=5, cfg=7.5, sampler="euler",
                spacing="leading")
XL = dict(cfg=5.0)
TRAILING = dict(spacing="trailing")
# Families that are the same network as one above run once, with that one.
RUNS = {
    "sd1": {}, "sd1_v": dict(TRAILING, prediction="v", ztsnr=True, cfg_rescale=0.7),
    "sd1_inpaint": dict(picture=True, mask=True), "sd1_pix2pix": dict(picture=True, image_cfg=1.5),
    "lcm": dict(sampler="lcm", cfg=8.5),
    "sd2": {}, "sd2_v": dict(sampler="ddim", prediction="v"), "sd2_inpaint": dict(picture=True, mask=True),
    "sd2_pix2pix": dict(picture=True, image_cfg=1.5), "sd2_depth": dict(depth=True),
    "sdxl": XL, "sdxl_v": dict(XL, **TRAILING, prediction="v", ztsnr=True),
    "cosxl": dict(XL, spacing="exponential", prediction="edm-v"),
    "sdxl_inpaint": dict(XL, picture=True, mask=True),
    "refiner": dict(XL, refiner_switch=0.5), "sdxl_pix2pix": dict(XL, picture=True, image_cfg=1.5),
    "ssd_1b": XL, "vega": dict(XL, negative=None), "koala_700m": XL, "koala_1b": XL,
    "bk_base": {}, "bk_small": dict(sampler="pndm"), "bk_tiny": {}, "bk_v2_tiny": {},
    "sdxs_ds": dict(TRAILING, steps=1, cfg=1.0), "sdxs_09": dict(TRAILING, steps=1, cfg=1.0),
    "sdxl_turbo": dict(TRAILING, steps=1, cfg=1.0, sampler="euler_a"),
    "sdxl_lightning": dict(TRAILING, steps=2, cfg=1.0),
    "cosxl_karras": dict(XL, spacing="karras", prediction="edm-v", steps=3),
}
# Runs of a family that has one already.
FAMILY = {"sdxl_turbo": "sdxl", "sdxl_lightning": "sdxl", "cosxl_karras": "cosxl"}
EXTRA = tuple(FAMILY)


def parameters(name):
    return {"family": FAMILY.get(name, name), **DEFAULTS, **RUNS[name]}


# ---- inputs -------------------------------------------------------------------------------------

def picture():
    """[side, side, 3] of 8 bits."""
    return hashweights.token_ids("input.picture", (SIDE, SIDE, 3), 256).astype(np.uint8)


def depth():
    return hashweights.token_ids("input.depth", (SIDE, SIDE), 256).astype(np.uint8)


def mask():
    return np.where(np.arange(SIDE)[None] >= 3 * SIDE // 8, 255, 0).astype(np.uint8).repeat(SIDE, 0)


@functools.cache
def tokenizer(pad):
    made = original_tokenizer.clip()
    made.pad_token = pad
    return made


def tokenizers(text_names):
    """CLIP-L's fills with the end token, OpenCLIP's with "!", which is 0."""
    return [tokenizer("<|endoftext|>" if name == "clip_l" else "!") for name in text_names]


def tokens(prompt, text_names):
    return [t(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            for t in tokenizers(text_names)]


def guidance_embedding(scale, width):
    make = diffusers.LatentConsistencyModelPipeline.get_guidance_scale_embedding
    return make(None, torch.tensor([scale]), embedding_dim=width)


class Originals:
    """The modules of one family, made when they are asked for. Weights are rounded to f16."""

    def __init__(self, name, size="small"):
        self.layout = layouts.load(name, size)
        self.names = listing.of(self.layout)
        self.made = {}

    def module(self, part, *i):
        if (part, *i) not in self.made:
            self.made[part, *i] = getattr(modules, part)(self.layout, self.names, *i, kind="f16")
        return self.made[part, *i]

    unet = property(lambda self: self.module("unet"))
    vae = property(lambda self: self.module("vae"))
    texts = property(lambda self: [self.module("text", i) for i in range(len(self.layout["text"]))])


# ---- pipelines ----------------------------------------------------------------------------------

def scheduler(run):
    if run.get("prediction") == "edm-v":
        return diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=120.0, sigma_data=1.0,
                                           prediction_type="v_prediction", sigma_schedule=run["spacing"])
    base = dict(configs.SCHEDULES, steps_offset=1,
                prediction_type="v_prediction" if run.get("prediction") == "v" else "epsilon")
    if run["sampler"] == "lcm":
        return diffusers.LCMScheduler(**configs.SCHEDULES)
    if run["sampler"] == "pndm":
        return diffusers.PNDMScheduler(**base, skip_prk_steps=True, set_alpha_to_one=False)
    if run["sampler"] == "ddim":
        return diffusers.DDIMScheduler(**base, clip_sample=False, set_alpha_to_one=False)
    kind = {"euler": diffusers.EulerDiscreteScheduler, "euler_a": diffusers.EulerAncestralDiscreteScheduler}
    more = {"rescale_betas_zero_snr": True} if run.get("ztsnr") else {}
    return kind[run["sampler"]](**base, timestep_spacing=run["spacing"], **more)


def pipeline(m, run):
    layout = m.layout
    name = "StableDiffusionPipeline" if layout["family"] == "sd2_depth" else configs.pipeline_class(layout)
    texts, words = m.texts, tokenizers(layout["text_names"])
    parts = dict(unet=m.unet, vae=m.vae, scheduler=scheduler(run))
    if layout["family"] == "refiner":
        parts |= dict(text_encoder=None, tokenizer=None, text_encoder_2=texts[0], tokenizer_2=words[0],
                      requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False)
    elif layout["unet"]["label"]:
        parts |= dict(text_encoder=texts[0], tokenizer=words[0], text_encoder_2=texts[1], tokenizer_2=words[1],
                      add_watermarker=False)
    else:
        parts |= dict(text_encoder=texts[0], tokenizer=words[0], safety_checker=None, feature_extractor=None,
                      requires_safety_checker=False)
    pipe = getattr(diffusers, name)(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Recorder:
    """Latents before the first step and after every one."""

    def __init__(self, pipe):
        self.latents, step = [], pipe.scheduler.step

        @functools.wraps(step)
        def recorded(model_output, timestep, sample, **rest):
            if not self.latents:
                self.latents.append(sample.float())
            result = step(model_output, timestep, sample, **rest)
            self.latents.append(result[0].float())
            return result

        pipe.scheduler.step = recorded


def with_depth(pipe):
    """Depth to image from noise alone: the channel that StableDiffusionDepth2ImgPipeline makes of a depth map, behind
    the latent of a plain run. (That pipeline itself only changes pictures.)"""
    prepare = diffusers.StableDiffusionDepth2ImgPipeline.prepare_depth_map
    pipe.vae_scale_factor = 8
    channel = prepare(pipe, Image.fromarray(picture()), torch.from_numpy(depth()).float()[None], 1, False,
                      torch.float32, torch.device("cpu"))
    forward = pipe.unet.forward

    def joined(sample, *args, **kwargs):
        return forward(torch.cat([sample, channel.expand(sample.shape[0], -1, -1, -1)], 1), *args, **kwargs)

    pipe.unet.forward = joined
    pipe.prepare_latents = functools.partial(latents_of_four, pipe)
    return lambda: setattr(pipe.unet, "forward", forward)


def latents_of_four(pipe, batch, channels, height, width, dtype, device, generator, latents=None):
    return type(pipe).prepare_latents(pipe, batch, 4, height, width, dtype, device, generator, latents)


def arguments(run):
    a = dict(prompt=run["prompt"], negative_prompt=run["negative"], num_inference_steps=run["steps"],
             guidance_scale=run["cfg"], generator=torch.Generator("cpu").manual_seed(run["seed"]), height=SIDE,
             width=SIDE, output_type="np")
    if run.get("picture"):
        a["image"] = Image.fromarray(picture())
    if run.get("mask"):
        a |= dict(mask_image=Image.fromarray(mask()), strength=1.0)
    if "image_cfg" in run:
        a["image_guidance_scale"] = run["image_cfg"]
    if "cfg_rescale" in run:
        a["guidance_rescale"] = run["cfg_rescale"]
    return a


def fitting(pipe, a):
    """Without what this pipeline class does not take (size, negative prompt)."""
    import inspect
    takes = inspect.signature(pipe.__call__).parameters
    return {k: v for k, v in a.items() if k in takes}


def refined(m, run):
    """Base until the switch, then the refiner, which goes on with the same latent."""
    base = Originals("sdxl")
    first, a = pipeline(base, run), arguments(run)
    r1 = Recorder(first)
    latent = first(**a | dict(output_type="latent", denoising_end=run["refiner_switch"])).images
    second = pipeline(m, run)
    r2 = Recorder(second)
    a = fitting(second, a | dict(image=latent, denoising_start=run["refiner_switch"]))
    image = second(**a).images[0]
    return [*r1.latents, *r2.latents[1:]], image


def walk(name, m, **changes):
    """Latents [steps + 1, 4, 8, 8] and the picture, 8 bits. m: Originals of the run's family."""
    run = {**parameters(name), **changes}
    if "refiner_switch" in run:
        latents, image = refined(m, run)
    else:
        pipe = pipeline(m, run)
        undo = with_depth(pipe) if run.get("depth") else None
        recorder = Recorder(pipe)
        image = pipe(**fitting(pipe, arguments(run))).images[0]
        latents = recorder.latents
        if undo:
            undo()
    rgb = torch.from_numpy((image * 255).round().astype(np.uint8))
    return torch.cat(latents), rgb
