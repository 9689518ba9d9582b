#!/usr/bin/env python3
"""Writes a checkpoint in SD1 single-file layout with random weights from the integer hash (hashweights.py).

usage: make_checkpoint.py [--layout NAME] [--dtype f16|f32] [--form FORM] OUTPUT

  --layout NAME  "sd15" (full size, the default) or a layout of tests/layouts.json
  --form FORM    safetensors (numpy is enough; written as a stream, a few MB of memory)
                 ckpt        torch.save of {"state_dict": {...}, "global_step": 0}, as CompVis wrote them
                 ckpt-bare   torch.save of {...}

The weights mean nothing, but they keep the variance of what flows through, so every output is finite: good
for comparing engines and for measuring time and memory, without downloading a model.
"""
import argparse
import json
import pathlib
import struct
import tempfile

import numpy as np

import hashweights

TOP = pathlib.Path(__file__).resolve().parent.parent
PIECE = 1 << 22     # elements made at a time
SD15 = {
    "clip": {"vocab": 49408, "positions": 77, "width": 768, "layers": 12, "mlp": 3072},
    "unet": {"in": 4, "out": 4, "model": 320, "channels": [320, 640, 1280, 1280], "blocks": 2,
             "depth": [1, 1, 1, 0], "middle_depth": 1, "context": 768, "time": 1280, "linear": False},
    "vae": {"channels": [128, 256, 512, 512], "blocks": 2, "z": 4, "image": 3, "encoder": True},
}


# ---- names and shapes -------------------------------------------------------------------------

def layer(name, *shape, bias=True):
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def clip_tensors(c):
    d, text = c["width"], "cond_stage_model.transformer.text_model"
    yield f"{text}.embeddings.token_embedding.weight", (c["vocab"], d)
    yield f"{text}.embeddings.position_embedding.weight", (c["positions"], d)
    for i in range(c["layers"]):
        p = f"{text}.encoder.layers.{i}"
        for name in ("layer_norm1", "layer_norm2"):
            yield from layer(f"{p}.{name}", d)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from layer(f"{p}.self_attn.{name}", d, d)
        yield from layer(f"{p}.mlp.fc1", c["mlp"], d)
        yield from layer(f"{p}.mlp.fc2", d, c["mlp"])
    yield from layer(f"{text}.final_layer_norm", d)


def unet_res(p, c_in, c_out, time):
    yield from layer(f"{p}.in_layers.0", c_in)
    yield from layer(f"{p}.in_layers.2", c_out, c_in, 3, 3)
    yield from layer(f"{p}.emb_layers.1", c_out, time)
    yield from layer(f"{p}.out_layers.0", c_out)
    yield from layer(f"{p}.out_layers.3", c_out, c_out, 3, 3)
    if c_in != c_out:
        yield from layer(f"{p}.skip_connection", c_out, c_in, 1, 1)


def unet_transformer(p, c, depth, context, linear):
    if not depth:
        return
    yield from layer(f"{p}.norm", c)
    tail = () if linear else (1, 1)
    yield from layer(f"{p}.proj_in", c, c, *tail)
    for k in range(depth):
        b = f"{p}.transformer_blocks.{k}"
        for attention, width in (("attn1", c), ("attn2", context)):
            yield from layer(f"{b}.{attention}.to_q", c, c, bias=False)
            yield from layer(f"{b}.{attention}.to_k", c, width, bias=False)
            yield from layer(f"{b}.{attention}.to_v", c, width, bias=False)
            yield from layer(f"{b}.{attention}.to_out.0", c, c)
        yield from layer(f"{b}.ff.net.0.proj", 8 * c, c)
        yield from layer(f"{b}.ff.net.2", c, 4 * c)
        for n in (1, 2, 3):
            yield from layer(f"{b}.norm{n}", c)
    yield from layer(f"{p}.proj_out", c, c, *tail)


def unet_tensors(c):
    root, widths, time = "model.diffusion_model", c["channels"], c["time"]

    def transformer(p, width, depth):
        return unet_transformer(p, width, depth, c["context"], c["linear"])

    yield from layer(f"{root}.time_embed.0", time, c["model"])
    yield from layer(f"{root}.time_embed.2", time, time)
    yield from layer(f"{root}.input_blocks.0.0", c["model"], c["in"], 3, 3)
    width, number, skips = c["model"], 1, [c["model"]]
    for level, wide in enumerate(widths):
        for _ in range(c["blocks"]):
            yield from unet_res(f"{root}.input_blocks.{number}.0", width, wide, time)
            yield from transformer(f"{root}.input_blocks.{number}.1", wide, c["depth"][level])
            width, number = wide, number + 1
            skips.append(width)
        if level + 1 < len(widths):
            yield from layer(f"{root}.input_blocks.{number}.0.op", width, width, 3, 3)
            number += 1
            skips.append(width)
    yield from unet_res(f"{root}.middle_block.0", width, width, time)
    yield from transformer(f"{root}.middle_block.1", width, c["middle_depth"])
    yield from unet_res(f"{root}.middle_block.2", width, width, time)
    number = 0
    for level in reversed(range(len(widths))):
        for i in range(c["blocks"] + 1):
            p = f"{root}.output_blocks.{number}"
            yield from unet_res(f"{p}.0", width + skips.pop(), widths[level], time)
            width, number = widths[level], number + 1
            yield from transformer(f"{p}.1", width, c["depth"][level])
            if level and i == c["blocks"]:
                yield from layer(f"{p}.{2 if c['depth'][level] else 1}.conv", width, width, 3, 3)
    yield from layer(f"{root}.out.0", width)
    yield from layer(f"{root}.out.2", c["out"], width, 3, 3)


def vae_res(p, c_in, c_out):
    yield from layer(f"{p}.norm1", c_in)
    yield from layer(f"{p}.conv1", c_out, c_in, 3, 3)
    yield from layer(f"{p}.norm2", c_out)
    yield from layer(f"{p}.conv2", c_out, c_out, 3, 3)
    if c_in != c_out:
        yield from layer(f"{p}.nin_shortcut", c_out, c_in, 1, 1)


def vae_middle(p, c):
    yield from vae_res(f"{p}.block_1", c, c)
    yield from layer(f"{p}.attn_1.norm", c)
    for name in ("q", "k", "v", "proj_out"):
        yield from layer(f"{p}.attn_1.{name}", c, c, 1, 1)
    yield from vae_res(f"{p}.block_2", c, c)


def vae_tensors(c):
    root, widths, z = "first_stage_model", c["channels"], c["z"]
    if c["encoder"]:
        width = widths[0]
        yield from layer(f"{root}.encoder.conv_in", width, c["image"], 3, 3)
        for level, wide in enumerate(widths):
            for i in range(c["blocks"]):
                yield from vae_res(f"{root}.encoder.down.{level}.block.{i}", width, wide)
                width = wide
            if level + 1 < len(widths):
                yield from layer(f"{root}.encoder.down.{level}.downsample.conv", width, width, 3, 3)
        yield from vae_middle(f"{root}.encoder.mid", width)
        yield from layer(f"{root}.encoder.norm_out", width)
        yield from layer(f"{root}.encoder.conv_out", 2 * z, width, 3, 3)
        yield from layer(f"{root}.quant_conv", 2 * z, 2 * z, 1, 1)
    width = widths[-1]
    yield from layer(f"{root}.post_quant_conv", z, z, 1, 1)
    yield from layer(f"{root}.decoder.conv_in", width, z, 3, 3)
    yield from vae_middle(f"{root}.decoder.mid", width)
    for level in reversed(range(len(widths))):
        for i in range(c["blocks"] + 1):
            yield from vae_res(f"{root}.decoder.up.{level}.block.{i}", width, widths[level])
            width = widths[level]
        if level:
            yield from layer(f"{root}.decoder.up.{level}.upsample.conv", width, width, 3, 3)
    yield from layer(f"{root}.decoder.norm_out", width)
    yield from layer(f"{root}.decoder.conv_out", c["image"], width, 3, 3)


def tensors(layout):
    """(name, shape) of every tensor, sorted by name."""
    return sorted([*clip_tensors(layout["clip"]), *unet_tensors(layout["unet"]), *vae_tensors(layout["vae"])])


# ---- files ------------------------------------------------------------------------------------

DTYPES = {"f16": ("F16", np.float16), "f32": ("F32", np.float32)}


def pieces(name, shape, dtype):
    """The tensor's values, a few million at a time."""
    count = int(np.prod(shape))
    for first in range(0, count, PIECE):
        yield hashweights.values(name, shape, first, min(PIECE, count - first)).astype(dtype)


def write_safetensors(path, layout, dtype, metadata):
    spelled, kind = DTYPES[dtype]
    header, offset = {"__metadata__": {"format": "pt", **metadata}}, 0
    for name, shape in tensors(layout):
        end = offset + int(np.prod(shape)) * np.dtype(kind).itemsize
        header[name] = {"dtype": spelled, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors(layout):
            for piece in pieces(name, shape, kind):
                piece.tofile(f)


def write_torch(path, layout, dtype, nested):
    """Through a temporary safetensors file that torch sees as memory-mapped arrays."""
    import torch
    kind = DTYPES[dtype][1]
    with tempfile.NamedTemporaryFile(dir=pathlib.Path(path).resolve().parent) as f:
        state, offset = {}, 0
        for name, shape in tensors(layout):
            for piece in pieces(name, shape, kind):
                piece.tofile(f)
        f.flush()
        for name, shape in tensors(layout):
            array = np.memmap(f.name, kind, "c", offset, tuple(shape))
            state[name] = torch.from_numpy(array)
            offset += array.nbytes
        torch.save({"state_dict": state, "global_step": 0} if nested else state, path)


def load_layout(name):
    if name == "sd15":
        return SD15
    layouts = json.loads((TOP / "tests" / "layouts.json").read_text())
    if name not in layouts:
        raise SystemExit(f"no layout {name}; there are sd15, {', '.join(layouts)}")
    return layouts[name]


def make(path, layout="sd15", dtype="f16", form="safetensors", metadata=None):
    layout = load_layout(layout)
    if form == "safetensors":
        write_safetensors(path, layout, dtype, metadata or {})
    else:
        write_torch(path, layout, dtype, nested=form == "ckpt")


def main():
    parser = argparse.ArgumentParser(description="makes a checkpoint with hash weights")
    parser.add_argument("--layout", default="sd15")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="f16")
    parser.add_argument("--form", choices=("safetensors", "ckpt", "ckpt-bare"), default="safetensors")
    parser.add_argument("--metadata", action="append", default=[], metavar="KEY=VALUE", help="safetensors only")
    parser.add_argument("output")
    a = parser.parse_args()
    make(a.output, a.layout, a.dtype, a.form, dict(m.split("=", 1) for m in a.metadata))


if __name__ == "__main__":
    main()
