#!/usr/bin/env python3
"""Writes tests/golden/families/NAME.safetensors: what diffusers and transformers make of every family's shrunk model.

usage: golden_families.py [--check] [--names] [NAME ...]

The models are those of tests/checkpoints.json with hash weights rounded to f16, as tests/test_families.c writes
them. Each file has, as far as the family differs from those before it:

    unet [3,4,8,8]      the UNet alone, at three timesteps, on hashed inputs; with labels and guidance where it has them
    text.I, pooled      a prompt's hidden states from encoder I as the pipeline takes them; the pooled vector
    decode, encode      the VAE on hashed inputs
    latents [5,4,8,8]   a whole run of the family's own pipeline class, 64x64 pixels: the noise, then after every step
    rgb [64,64,3]       its picture, for a few

The run's parameters are in the file's metadata, under "run", as JSON; test_family_runs.c reads them there. Besides,
names.tsv, what the full sizes consist of, after the listing of checkpoints/tensors.py was held against what diffusers
and transformers ask for and against the published sizes, and the spellings against diffusers' own converters of
single files. --names does that alone. --check writes nothing and compares with the stored files.
"""
import argparse
import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import family_names
import family_runs
import hashweights
from checkpoints import layouts, modules

TOP = layouts.TOP
FOLDER = TOP / "tests" / "golden" / "families"
BOUND = 2e-5        # of the largest: a second run of the originals must agree this well
TIMESTEPS = (981.0, 500.5, 1.0)
SIZES = ((1024, 768, 0, 16, 1024, 1024), (512, 512, 0, 0, 640, 1536), (31, 4096, 7, 0, 1152, 896))
SCORES = ((1024, 768, 0, 16, 6.0), (512, 512, 0, 0, 2.5), (31, 4096, 7, 0, 9.75))
GUIDANCE = (7.5, 1.0, 0.35)
TOKENS = 77
# Networks that several families share are compared once, with the first of them.
TEXT_OF = ("sd1", "sd2", "sdxl", "refiner")
VAE_OF = ("sd1",)
PICTURE_OF = ("sd1", "sd2_v", "sdxl", "sd1_inpaint", "sd1_pix2pix", "cosxl")


def hashed(name, *shape):
    return torch.from_numpy(hashweights.normal_like(f"input.{name}", shape))


# ---- networks -----------------------------------------------------------------------------------

def unet_case(m):
    c = m.layout["unet"]
    numbers = SCORES if m.layout["family"] == "refiner" else SIZES
    out = []
    for i, t in enumerate(TIMESTEPS):
        more = {}
        if c["label"]:
            pooled = c["label"] - 256 * len(numbers[0])
            more["added_cond_kwargs"] = {"text_embeds": hashed(f"unet.pooled.{i}", 1, pooled),
                                         "time_ids": torch.tensor([numbers[i]])}
        if c["time_cond"]:
            more["timestep_cond"] = family_runs.guidance_embedding(GUIDANCE[i], c["time_cond"])
        x, context = hashed(f"unet.x.{i}", 1, c["in"], 8, 8), hashed(f"unet.context.{i}", 1, TOKENS, c["context"])
        out.append(m.unet(x, torch.tensor([t]), context, **more).sample)
    return {"unet": torch.cat(out)}


def text_cases(m, run):
    ids = family_runs.tokens(run["prompt"], m.layout["text_names"])
    out = {}
    for i, (text, row) in enumerate(zip(m.texts, ids)):
        y = text(row, output_hidden_states=True)
        sd1 = m.layout["text_names"] in (["clip_l"], ["clip_h"])    # last of the layers that folders have, normalised
        out[f"text.{i}"] = (y.last_hidden_state if sd1 else y.hidden_states[-2])[0]
        if m.layout["text_names"][i] == "clip_g":
            out["pooled"] = y.text_embeds[0]
    return out


def vae_cases(m):
    return {"decode": m.vae.decode(hashed("vae.z", 1, 4, 3, 2)).sample,
            "encode": m.vae.encode(hashed("vae.image", 1, 3, 24, 16)).latent_dist.parameters}


def tiny_cases():
    tiny = modules.taesd("f16")
    return {"decode": tiny.decode(hashed("taesd.z", 1, 4, 3, 2)).sample,
            "encode": tiny.encode(hashed("taesd.image", 1, 3, 24, 16)).latents}


def outputs(name):
    if name == "taesd":
        return tiny_cases(), {}
    m, run, out = family_runs.Originals(family_runs.FAMILY.get(name, name)), {}, {}
    if name not in family_runs.FAMILY:
        out = unet_case(m)
    if name in VAE_OF:
        out |= vae_cases(m)
    if name in family_runs.RUNS:
        run = family_runs.parameters(name)
        if name in TEXT_OF:
            out |= text_cases(m, run)
        latents, rgb = family_runs.walk(name, m)
        out["latents"] = latents
        if name in PICTURE_OF:
            out["rgb"] = rgb
    return out, run


# ---- files --------------------------------------------------------------------------------------

def ratio(a, b):
    return ((a.float() - b.float()).abs().max() / b.float().abs().max()).item()


def stored_run(path):
    with safe_open(path, "pt") as f:
        return json.loads((f.metadata() or {}).get("run", "{}"))


def finish(name, out, run, check):
    path = FOLDER / f"{name}.safetensors"
    out = {k: v.contiguous() for k, v in out.items()}
    assert all(torch.isfinite(v.float()).all() for v in out.values()), name
    if not check:
        save_file(out, path, {"run": json.dumps(run)} if run else None)
        print(f"{name}: {', '.join(out)}, {path.stat().st_size} bytes", flush=True)
        return
    stored = load_file(path)
    assert stored.keys() == out.keys() and stored_run(path) == run, name
    worst = max(ratio(out[k], stored[k]) for k in out if k != "rgb")
    assert worst < BOUND, (name, worst)
    assert "rgb" not in out or (out["rgb"].int() - stored["rgb"].int()).abs().max() <= 1, name
    print(f"{name}: as stored, within {worst:.1e}", flush=True)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("families", nargs="*")
    a = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    if not a.families:
        family_names.check(FOLDER / "names.tsv", not a.check)
    if a.names:
        return
    for name in a.families or [*layouts.names(), *family_runs.EXTRA, "taesd"]:
        finish(name, *outputs(name), a.check)


if __name__ == "__main__":
    main()
