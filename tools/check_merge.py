#!/usr/bin/env python3
"""`sdgen merge` against the same sums in numpy, bit for bit.

usage: check_merge.py [--sdgen FILE] [FAMILY ...]

For the shrunk models of the families (default: sd1, sd2, sdxl, refiner): weighted sums, differences added, weights of
blocks as the merge-block-weighted extension of A1111's WebUI numbers them, written in the type of A and in f32; an
inpainting A with a plain B. Prints TAP.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

import make_checkpoint
from checkpoints import layouts

TOP = layouts.TOP
UNET = "model.diffusion_model."


def another(state, seed):
    """The same names and shapes, other numbers."""
    rng = np.random.default_rng(seed)
    return {k: (v if v.dtype.kind != "f" else
                (v.astype(np.float32) * rng.uniform(0.5, 1.5, v.shape).astype(np.float32)).astype(v.dtype))
            for k, v in state.items()}


def block(name, inputs, outputs):
    """Number of a block among the weights, or None."""
    if not name.startswith(UNET):
        return None
    words = name[len(UNET):].split(".")
    return {"input_blocks": lambda: int(words[1]), "middle_block": lambda: inputs,
            "output_blocks": lambda: inputs + 1 + int(words[1]), "time_embed": lambda: 0, "label_emb": lambda: 0,
            "out": lambda: inputs + outputs}[words[0]]()


def numbers(state, side):
    return 1 + max(int(k[len(UNET):].split(".")[1]) for k in state if k.startswith(f"{UNET}{side}."))


def twin(a, b, c, x_of, kind=None, vae=False):
    out = {}
    for k, v in a.items():
        x = x_of(k)
        if v.dtype.kind != "f" or (k.startswith("first_stage_model.") and not vae) or "." not in k:
            y = v.astype(np.float32) if kind and "." in k else v
        elif x == 0:
            y = v.astype(np.float32)
        else:
            y, other = v.astype(np.float32), b[k].astype(np.float32)
            at = (slice(None), slice(0, other.shape[1])) if other.shape != y.shape else ...
            if c is None:
                y[at] = np.float32(1 - x) * y[at] + np.float32(x) * other
            else:
                y[at] = y[at] + np.float32(x) * (other - c[k].astype(np.float32))
        out[k] = y.astype(np.float32 if kind and "." in k else v.dtype)
    return out


def equal(path, want):
    have = load_file(path)
    assert have.keys() == want.keys(), sorted(have.keys() ^ want.keys())[:5]
    for k, v in want.items():
        assert have[k].dtype == v.dtype and have[k].tobytes() == v.tobytes(), k
    return f"{len(want)} tensors"


def checks(family, sdgen, tmp):
    paths = [tmp / f"{n}.safetensors" for n in "abc"]
    make_checkpoint.make_family(paths[0], family, "small", "safetensors", "f16", {})
    a = load_file(paths[0])
    b, c = another(a, 1), another(a, 2)
    save_file(b, paths[1])
    save_file(c, paths[2])
    inputs, outputs = numbers(a, "input_blocks"), numbers(a, "output_blocks")
    weights = [round(0.05 * i - 0.1, 2) for i in range(inputs + 1 + outputs)]

    def by_block(base):
        return lambda k: base if block(k, inputs, outputs) is None else weights[block(k, inputs, outputs)]

    def run(want, *arguments):
        out = tmp / "out.safetensors"
        done = subprocess.run([sdgen, "merge", "-q", "--overwrite", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return equal(out, want)

    out = tmp / "out.safetensors"
    a_b, a_b_c = (out, *paths[:2]), (out, *paths)
    listed = ",".join(map(str, weights))
    yield "sum", lambda: run(twin(a, b, None, lambda k: 0.3), *a_b, "--alpha", "0.3")
    yield "sum 0", lambda: run(a, *a_b, "--alpha", "0")
    yield "sum 1, f32, VAE", lambda: run(twin(a, b, None, lambda k: 1.0, "f32", True), *a_b, "--alpha", "1", "--type",
                                         "f32", "--merge-vae")
    yield "difference", lambda: run(twin(a, b, c, lambda k: 0.7), *a_b_c, "--alpha", "0.7")
    yield "blocks", lambda: run(twin(a, b, None, by_block(0.25)), *a_b, "--alpha", "0.25", "--block-weights", listed)
    yield "blocks and base", lambda: run(twin(a, b, c, by_block(0.9)), *a_b_c, "--block-weights", "0.9," + listed)
    if family == "sd1":
        wide = tmp / "wide.safetensors"
        make_checkpoint.make_family(wide, "sd1_inpaint", "small", "safetensors", "f16", {})
        w = load_file(wide)
        yield "inpainting", lambda: run(twin(w, b, None, lambda k: 0.4), out, wide, paths[1], "--alpha", "0.4")
        yield "inpainting, difference", lambda: run(twin(w, b, a, lambda k: 1.0), out, wide, paths[1], paths[0],
                                                    "--alpha", "1")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdgen", default=TOP / "build/sdgen", type=pathlib.Path)
    parser.add_argument("families", nargs="*")
    arguments = parser.parse_args()
    number = failed = 0
    for family in arguments.families or ("sd1", "sd2", "sdxl", "refiner"):
        with tempfile.TemporaryDirectory() as tmp:
            for what, check in checks(family, arguments.sdgen.resolve(), pathlib.Path(tmp)):
                number += 1
                try:
                    print(f"ok {number} - {family} {what}: {check()}", flush=True)
                except AssertionError as e:
                    failed += 1
                    print(f"not ok {number} - {family} {what}: {str(e)[:300]}", flush=True)
    print(f"1..{number}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
