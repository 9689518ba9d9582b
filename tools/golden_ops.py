#!/usr/bin/env python3
"""Writes tests/golden/ops.safetensors: results of torch for the operations of src/ops; read by tests/test_ops.c.

Inputs and weights come from hashweights.py by name ("conv.3.x", ...), so only parameters and results are stored:
for case i of an operation "conv.i.p" (integers, in the order of the table below) and "conv.i.y". Results are
computed in float64 from the f32 inputs, images channels-last.

usage: golden_ops.py [OUTPUT]
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import hashweights

out = {}
DTYPES = {0: torch.float32, 1: torch.float16, 2: torch.bfloat16, 3: torch.float64}


def data(name, *shape):
    return torch.from_numpy(hashweights.normal_like(name, shape)).double()


def weight(name, dtype, *shape):
    """As the file stores it, widened again: rounding to 16 bits belongs to the file, not to the operation."""
    flat = torch.from_numpy(hashweights.values(name, shape)).reshape(shape)
    return flat.to(DTYPES[dtype]).double()


def put(name, parameters, y):
    out[name + ".p"] = torch.tensor(parameters, dtype=torch.int64)
    out[name + ".y"] = y.float().contiguous()


def last(x):
    return x.permute(0, 2, 3, 1)


# n, h, w, in, out, kernel, stride, pad, up, vh, vw, oh, ow, groups (0: no prologue), silu, extras, dtype
# extras: 1 bias, 2 channel bias, 4 residual
CONVS = [
    (2, 5, 7, 5, 6, 3, 1, 1, 1, 5, 7, 5, 7, 0, 0, 1, 0),            # same size
    (1, 7, 6, 4, 3, 3, 2, 1, 1, 7, 6, 4, 3, 0, 0, 1, 0),            # UNet downsampling of an odd side
    (1, 7, 6, 4, 3, 3, 2, 0, 1, 7, 6, 3, 3, 0, 0, 1, 0),            # VAE downsampling: padding at the end only
    (1, 6, 8, 4, 3, 3, 2, 0, 1, 6, 8, 3, 4, 0, 0, 1, 1),
    (2, 3, 4, 4, 3, 3, 1, 1, 2, 6, 8, 6, 8, 0, 0, 1, 0),            # doubled
    (1, 3, 4, 4, 3, 3, 1, 1, 2, 5, 7, 5, 7, 0, 0, 1, 0),            # doubled, cropped, convolved
    (1, 3, 4, 4, 3, 3, 1, 1, 2, 6, 8, 5, 7, 0, 0, 1, 0),            # doubled, convolved, cropped
    (2, 6, 5, 32, 20, 3, 1, 1, 1, 6, 5, 6, 5, 8, 1, 7, 1),          # residual block
    (1, 4, 5, 12, 7, 1, 1, 0, 1, 4, 5, 4, 5, 4, 0, 4, 0),           # 1x1, normalised, no bias
    (1, 5, 4, 6, 5, 5, 1, 2, 1, 5, 4, 5, 4, 3, 1, 2, 2),            # 5x5
    (1, 2, 2, 3, 4, 5, 1, 2, 1, 2, 2, 2, 2, 0, 0, 0, 0),            # kernel larger than the map
    (1, 3, 4, 8, 6, 3, 1, 1, 2, 6, 8, 6, 8, 2, 1, 1, 2),            # doubled behind a prologue
    (1, 9, 8, 6, 4, 3, 2, 1, 1, 9, 8, 5, 4, 2, 1, 3, 3),            # strided behind a prologue
    (1, 40, 37, 40, 24, 3, 1, 1, 1, 40, 37, 40, 37, 8, 1, 5, 1),    # several strips
]
# n, t, in, out, add, bias, dtype, rank of the weight
LINEARS = [
    (1, 1, 5, 7, 0, 1, 0, 2),
    (2, 3, 40, 33, 0, 1, 1, 2),
    (2, 3, 40, 33, 1, 1, 2, 2),
    (1, 77, 24, 300, 1, 1, 3, 2),
    (3, 7, 16, 9, 0, 0, 1, 4),
    (1, 600, 8, 12, 0, 1, 0, 4),
]
# n, tq, tk, heads, head size, causal, gap between rows
ATTENTIONS = [
    (1, 1, 1, 1, 3, 0, 0),
    (2, 9, 9, 2, 40, 1, 0),
    (1, 13, 77, 3, 64, 0, 8),
    (1, 20, 20, 1, 160, 0, 4),
    (1, 530, 11, 2, 8, 0, 0),
    (1, 300, 300, 1, 4, 1, 0),
    (2, 15, 15, 2, 80, 0, 0),
    (1, 18, 18, 1, 512, 0, 0),
]
NORMS = [(2, 12, 8, 2), (1, 35, 32, 32), (3, 130, 60, 12), (1, 1, 4, 2)]      # n, hw, c, groups


def convs():
    for i, p in enumerate(CONVS):
        n, h, w, c_in, c_out, kernel, stride, pad, up, vh, vw, oh, ow, groups, silu, extras, dtype = p
        name = f"conv.{i}"
        x = data(name + ".x", n, h, w, c_in).permute(0, 3, 1, 2)
        if groups:
            x = F.group_norm(x, groups, weight(name + ".gamma.weight", 0, c_in), weight(name + ".beta", 0, c_in), 1e-5)
            x = F.silu(x) if silu else x
        if up == 2:
            x = F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :vh, :vw]
        x = F.pad(x, (pad, pad + kernel + stride, pad, pad + kernel + stride))
        y = F.conv2d(x, weight(name + ".weight", dtype, c_out, c_in, kernel, kernel), stride=stride)[:, :, :oh, :ow]
        y = last(y)
        if extras & 1:
            y = y + weight(name + ".bias", dtype, c_out)
        if extras & 2:
            y = y + data(name + ".channel", n, 1, 1, c_out)
        if extras & 4:
            y = y + data(name + ".residual", n, oh, ow, c_out)
        put(name, p, y)


def linears():
    for i, p in enumerate(LINEARS):
        n, t, c_in, c_out, add, bias, dtype, rank = p
        name = f"linear.{i}"
        y = F.linear(data(name + ".x", n, t, c_in), weight(name + ".weight", dtype, c_out, c_in))
        if bias:
            y = y + weight(name + ".bias", dtype, c_out)
        if add:
            y = y + data(name + ".y", n, t, c_out)
        put(name, p, y)


def attentions():
    for i, p in enumerate(ATTENTIONS):
        n, tq, tk, heads, hd, causal, gap = p
        name = f"attention.{i}"
        width = heads * hd + gap
        q, k, v = (data(f"{name}.{part}", n, t, width)[..., :heads * hd].reshape(n, t, heads, hd).transpose(1, 2)
                   for part, t in (("q", tq), ("k", tk), ("v", tk)))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))
        put(name, p, y.transpose(1, 2).reshape(n, tq, heads * hd))


def norms():
    for i, p in enumerate(NORMS):
        n, hw, c, groups = p
        name = f"norm.{i}"
        x = data(name + ".x", n, hw, c)
        gamma, beta = weight(name + ".gamma.weight", 1, c), weight(name + ".beta", 1, c)
        put(name, p, F.layer_norm(x, (c,), gamma, beta, 1e-5))
        grouped = F.group_norm(x.transpose(1, 2), groups, gamma, beta, 1e-6).transpose(1, 2)
        out[name + ".grouped"] = F.silu(grouped).float().contiguous()


def pointwise():
    x = 4 * data("pointwise.x", 40, 26)
    for name, y in (("silu", F.silu(x)), ("gelu", F.gelu(x)), ("quick_gelu", x * torch.sigmoid(1.702 * x)),
                    ("geglu", x[:, :13] * F.gelu(x[:, 13:]))):
        out["pointwise." + name] = y.float().contiguous()


if __name__ == "__main__":
    for make in (convs, linears, attentions, norms, pointwise):
        make()
    target = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/ops.safetensors"
    save_file(out, sys.argv[1] if len(sys.argv) > 1 else target)
