#!/usr/bin/env python3
"""Writes tests/golden/models_NAME.safetensors: what transformers and diffusers (f32, CPU) make of the networks of
every layout in tests/layouts.json with hash weights, and of the bundled model.

usage: golden_models.py [--check] [NAME ...]

Only outputs are stored; weights and inputs come from hashweights.py here and tests/support/hashweights.c there.
The cases below have their twins in tests/test_models.c. tools/reference.py runs through the same cases and must
agree to TWIN_BOUND. --check writes nothing and compares the originals with the stored files instead.
"""
import argparse
import json
import math
import pathlib

import torch
from diffusers import LatentConsistencyModelPipeline
from diffusers.models.upsampling import Upsample2D
from safetensors.torch import load_file, save_file

import hashweights
import make_checkpoint
import reference
from checkpoints import layouts
from checkpoints import tensors as listing
from ldm_to_diffusers import Models

TOP = pathlib.Path(__file__).resolve().parent.parent
EMOJI = TOP / "models" / "data" / "sdgen-emoji.safetensors"
TWIN_BOUND = 2e-5       # of the largest output
TIMESTEPS = (981.0, 500.5, 1.0)
CONTEXT_LENGTHS = (77, 5, 154)
# what a vector's numbers may be, for three images: the base's sizes and crops; the refiner's end in a score
NUMBERS = {6: ((1024, 768, 0, 16, 1024, 1024), (512, 512, 0, 0, 640, 1536), (31, 4096, 7, 0, 1152, 896)),
           5: ((1024, 768, 0, 16, 6.0), (512, 512, 0, 0, 2.5), (31, 4096, 7, 0, 9.75))}
GUIDANCE = (7.5, 1.0, 0.35)
QUIET = 2**-9
ACTIVATIONS = {"quick_gelu": reference.quick_gelu, "gelu": torch.nn.functional.gelu}


def hashed(name, *shape):
    return torch.from_numpy(hashweights.normal_like(f"input.{name}", shape))


def hash_model(layout):
    """The layout's three networks, or its UNet where it has no other."""
    names = (make_checkpoint.tensors(layout) if "clip" in layout else
             listing.unet(layouts.complete(layout["unet"])))
    return {name: torch.from_numpy(hashweights.values(name, shape)).reshape(shape) for name, shape in names}


# ---- one network, original beside twin ------------------------------------------------------------

def text_cases(models, state, activation):
    embeddings = state[reference.TEXT + "embeddings.token_embedding.weight"]
    t = state[reference.TEXT + "embeddings.position_embedding.weight"].shape[0]
    ids = torch.from_numpy(hashweights.token_ids("input.text.ids", (2, t), embeddings.shape[0])).long()
    out = models.text(ids, output_hidden_states=True)
    yield "text", out.last_hidden_state, reference.clip_text(state, ids, 0, activation)
    inner = getattr(models.text, "text_model", models.text)
    if len(out.hidden_states) > 2:      # clip skip: the layer before the last through the final norm
        before_last = inner.final_layer_norm(out.hidden_states[-2])
        yield "text.skip1", before_last, reference.clip_text(state, ids, 1, activation)
        plain = reference.clip_text(state, ids, 1, activation, plain=True)      # as SDXL takes it
        assert ratio(plain, out.hidden_states[-2]) < TWIN_BOUND


def crop_after(upsample):
    """A1111's order: convolve the full double, then drop what the skip does not have."""
    def forward(self, x, output_size=None, *args, **kwargs):
        y = upsample(self, x)
        return y if output_size is None else y[:, :, :output_size[0], :output_size[1]]
    return forward


def steering(models, state, sizes):
    """What steers the three images beside timestep and text: arguments for diffusers, and for reference.unet."""
    originals, twins = [{}, {}, {}], [{}, {}, {}]
    for i in range(3):
        if sizes:
            count, width = sizes
            numbers = torch.tensor([NUMBERS[count][i]])
            text = hashed(f"unet.label.{i}", 1, state[reference.UNET + "label_emb.0.0.weight"].shape[1] - count * width)
            originals[i]["added_cond_kwargs"] = {"text_embeds": text, "time_ids": numbers}
            twins[i]["label"] = reference.label_vector(text, numbers, width)
        if width := models.unet.config.time_cond_proj_dim:
            scale = torch.tensor([GUIDANCE[i]])
            make = LatentConsistencyModelPipeline.get_guidance_scale_embedding
            originals[i]["timestep_cond"] = make(None, scale, embedding_dim=width)
            twins[i]["guidance"] = reference.guidance_embedding(scale, width)
    return originals, twins


def unet_cases(models, state, sizes=None, short=False):
    config = models.unet.config
    contexts = [hashed(f"unet.context.{i}", 1, t, config.cross_attention_dim) for i, t in enumerate(CONTEXT_LENGTHS)]
    times = [torch.tensor([t]) for t in TIMESTEPS]
    originals, twins = steering(models, state, sizes)

    def one(x, i, crop="before"):
        x = x[None]
        return (models.unet(x, times[i], contexts[i], **originals[i]).sample,
                reference.unet(state, x, times[i], contexts[i], crop, **twins[i]))

    x = hashed("unet.10x6", 3, config.in_channels, 10, 6)
    yield "unet.10x6", *(torch.cat(y) for y in zip(*(one(x[i], i) for i in range(3))))
    odd = hashed("unet.13x7", 1, config.in_channels, 13, 7)[0]
    yield "unet.13x7.before", *one(odd, 1)
    if short:
        return
    yield "unet.8x8", *one(hashed("unet.8x8", 1, config.in_channels, 8, 8)[0], 0)
    original = Upsample2D.forward
    Upsample2D.forward = crop_after(original)
    try:
        yield "unet.13x7.after", *one(odd, 1, "after")
    finally:
        Upsample2D.forward = original


def block_cases(models, state):
    """The middle blocks alone, channels-last, on inputs so quiet that the epsilon of their norms counts."""
    config = models.unet.config
    c, p = config.block_out_channels[-1], reference.UNET + "middle_block"
    context = hashed("unet.context.1", 1, CONTEXT_LENGTHS[1], config.cross_attention_dim)
    emb = hashed("block.emb", 1, 4 * config.block_out_channels[0])
    x = QUIET * hashed("block.x", 1, 3, 4, c).permute(0, 3, 1, 2)
    middle = models.unet.mid_block

    def last(*maps):
        return (y.permute(0, 2, 3, 1) for y in maps)

    yield "block.res", *last(middle.resnets[0](x, emb), reference.unet_resblock(state, p + ".0", x, emb))
    yield "block.transformer", *last(middle.attentions[0](x, encoder_hidden_states=context).sample,
                                     reference.transformer(state, p + ".1", x, context))


def vae_cases(models, state):
    z, f = models.vae.config.latent_channels, 2 ** (len(models.vae.config.block_out_channels) - 1)
    for n, h, w in (1, 5, 7), (3, 3, 2):
        x = hashed(f"decode.{h}x{w}", n, z, h, w)
        yield f"decode.{h}x{w}", models.vae.decode(x).sample, reference.vae_decode(state, x)
    for n, h, w in (1, 5, 3), (3, 2, 3):
        x = hashed(f"encode.{h}x{w}", n, 3, h * f, w * f)
        yield f"encode.{h}x{w}", models.vae.encode(x).latent_dist.parameters, reference.vae_encode(state, x)


# ---- files ------------------------------------------------------------------------------------

def ratio(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def outputs(name, table):
    layout = table.get(name)
    state = hash_model(layout) if layout else {k: v.float() if v.is_floating_point() else v
                                               for k, v in load_file(EMOJI).items()}
    whole = not layout or "clip" in layout      # otherwise it is a UNet alone
    activation = layout["clip"]["activation"] if layout and whole else "quick_gelu"
    sizes = layout.get("sizes") if layout else None
    models, golden, worst = Models(state, activation, sizes), {}, 0.0
    groups = [unet_cases(models, state, sizes, short=not whole)]
    if whole:
        groups += [text_cases(models, state, ACTIVATIONS[activation]), block_cases(models, state),
                   vae_cases(models, state)]
    for cases in groups:
        for case, original, twin in cases:
            assert math.isfinite(r := ratio(twin, original)) and r < TWIN_BOUND, (name, case, r)
            golden[case], worst = original.contiguous(), max(worst, r)
    print(f"{name}: {len(golden)} cases, reference.py within {worst:.1e} of the originals", flush=True)
    return golden


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    table = json.loads((TOP / "tests" / "layouts.json").read_text())
    for name in options.names or [*table, "emoji"]:
        path = TOP / "tests" / "golden" / f"models_{name}.safetensors"
        golden = outputs(name, table)
        if not options.check:
            save_file(golden, path)
            continue
        stored = load_file(path)
        worst = max(ratio(golden[case], stored[case]) for case in golden)
        assert worst < TWIN_BOUND and stored.keys() == golden.keys(), (name, worst)


if __name__ == "__main__":
    main()
