#!/usr/bin/env python3
"""oneDNN's column for `sdgen bench`: the same operations through PyTorch, in turns with sdgen.

usage: bench_torch.py [--sdgen PROGRAM] [--rounds N] [--threads N] [--precision f32|bf16] [-o FILE] [ARGUMENT...]

Every round runs `PROGRAM bench --rounds 1 ARGUMENT...` (ARGUMENTs such as --network sd15-unet, --quick, conv) and
then the same operations here. Convolutions are channels-last; they and linear layers go to oneDNN with the weights
packed before, as inductor's compiled graphs do (torch/_inductor/fx_passes/mkldnn_fusion.py). Attention is PyTorch's
own scaled_dot_product_attention. Prints a table of medians and writes FILE, which `sdgen bench --with FILE` reads.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

LEAST = 0.04    # seconds a measurement lasts


def conv(s, dtype):
    size, stride = s["size"] * s["stride"] // s["up"], s["stride"]
    x = torch.randn(s["n"], s["in"], size, size, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(s["out"], s["in"], 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    bias, geometry = torch.randn(s["out"], dtype=dtype), ((1, 1), (stride, stride), (1, 1), 1)
    wide = (s["n"], s["in"], size * s["up"], size * s["up"])
    packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *geometry, wide)

    def call():
        y = F.interpolate(x, scale_factor=2, mode="nearest") if s["up"] == 2 else x
        return torch.ops.mkldnn._convolution_pointwise(y, packed, bias, *geometry, "none", [], "")
    return call


def product(s, dtype, columns):
    x = torch.randn(s["n"] * s["rows"], s["in"], dtype=dtype)
    weight, bias = torch.randn(columns, s["in"], dtype=dtype), torch.randn(columns, dtype=dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, x.shape[0])
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def geglu(s, dtype):
    both = product(s, dtype, 2 * s["out"])

    def call():
        value, gate = both().chunk(2, dim=-1)
        return value * F.gelu(gate)
    return call


def attention(s, dtype):
    def heads(rows):
        return torch.randn(s["n"], rows, s["heads"], s["in"] // s["heads"], dtype=dtype).transpose(1, 2)
    q, k, v = heads(s["rows"]), heads(s["keys"]), heads(s["keys"])
    return lambda: F.scaled_dot_product_attention(q, k, v)


MAKERS = {
    "conv": conv,
    "linear": lambda s, dtype: product(s, dtype, s["out"]),
    "qkv": lambda s, dtype: product(s, dtype, 3 * s["out"]),
    "geglu": geglu,
    "attention": attention,
}


def seconds_of(call, threads):
    now = time.process_time if threads == 1 else time.perf_counter
    call()
    start, calls = now(), 0
    while True:
        call()
        calls += 1
        spent = now() - start
        if spent >= LEAST:
            return spent / calls


def sdgen_round(a, arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        command = [a.sdgen, "bench", "--rounds", "1", "-t", str(a.threads), "--precision", a.precision, "--json", f.name]
        subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)
        return json.load(open(f.name))


def main():
    top = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="the operations of sdgen bench in PyTorch")
    parser.add_argument("--sdgen", default=os.environ.get("SDGEN", str(top / "build" / "sdgen")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("-o", "--output", help="file for sdgen bench --with")
    a, arguments = parser.parse_known_args()
    torch.set_num_threads(a.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[a.precision]
    ours, theirs, shapes = {}, {}, {}
    for number in range(a.rounds):
        for network in sdgen_round(a, arguments)["networks"]:
            for s in network["shapes"]:
                if s["kind"] in MAKERS:
                    shapes[s["name"]] = s
                    ours.setdefault(s["name"], []).append(s["seconds"][0])
        with torch.no_grad():
            for name, s in shapes.items():
                theirs.setdefault(name, []).append(seconds_of(MAKERS[s["kind"]](s, dtype), a.threads))
        print(f"round {number + 1} of {a.rounds}", file=sys.stderr, flush=True)

    print(f"{a.precision}, {a.threads} threads, PyTorch {torch.__version__}, GFLOP/s of medians\n"
          f"{'':42s} {'sdgen':>9s} {'oneDNN':>9s} {'ratio':>6s}")
    for name, s in sorted(shapes.items(), key=lambda item: -item[1]["flops"] * item[1]["count"]):
        own, other = statistics.median(ours[name]), statistics.median(theirs[name])
        print(f"{name:42s} {1e-9 * s['flops'] / own:9.1f} {1e-9 * s['flops'] / other:9.1f} {other / own:6.2f}")
    if a.output:
        medians = {name: statistics.median(times) for name, times in theirs.items()}
        pathlib.Path(a.output).write_text(json.dumps({"threads": a.threads, "precision": a.precision,
                                                      "torch": torch.__version__, "onednn": medians}, indent=1))


if __name__ == "__main__":
    main()
