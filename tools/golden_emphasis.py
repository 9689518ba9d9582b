#!/usr/bin/env python3
"""golden_emphasis.py - writes tests/golden/emphasis.safetensors: random encodings of two chunks, weights, and
what the formulas of the programs make of them (AUTOMATIC1111 modules/sd_emphasis.py chunk by chunk as
sd_hijack_clip.py calls it; ComfyUI comfy/sd1_clip.py encode_token_weights), in float32 by PyTorch."""
import pathlib

import torch
from safetensors.torch import save_file

CHUNKS, LENGTH, WIDTH = 2, 77, 12
PATH = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "emphasis.safetensors"


def original(z, w):
    out = []
    for chunk, factors in zip(z, w):
        before = chunk.mean()
        chunk = chunk * factors[:, None]
        out.append(chunk * (before / chunk.mean()))
    return torch.stack(out)


def comfyui(z, empty, w):
    z = z.clone()
    for chunk, factors in zip(z, w):
        for i, factor in enumerate(factors.tolist()):
            if factor != 1.0:
                chunk[i] = (chunk[i] - empty[i]) * factor + empty[i]
    return z


if __name__ == "__main__":
    torch.manual_seed(5)
    z = torch.randn(CHUNKS, LENGTH, WIDTH) + 0.1
    empty = torch.randn(LENGTH, WIDTH)
    ones = torch.ones(CHUNKS, LENGTH)
    mild, wild = ones.clone(), ones.clone()
    mild[0, 3:9], mild[0, 20], mild[1, 1:40] = 1.1, 1 / 1.1, 1.3
    wild[0, 1:70], wild[1, 5] = torch.linspace(-1, 2, 69), 0
    out = {"z": z, "empty": empty, "ones": ones, "mild": mild, "wild": wild}
    for name in ("mild", "wild"):
        w = out[name]
        out["original." + name] = original(z, w)
        out["no_norm." + name] = z * w[..., None]
        out["comfyui." + name] = comfyui(z, empty, w)
    save_file({name: t.contiguous() for name, t in out.items()}, PATH)
