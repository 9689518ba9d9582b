#!/usr/bin/env python3
"""SD2.1, SDXL and SSD-1B in full size: one step at a small size, against diffusers.

usage: check_families_full.py [--sdgen FILE] [--folder FOLDER] [--originals-only] [FAMILY ...]

Checkpoints with hash weights (f16, 2.6 to 7 GB, removed afterwards) are drawn with by sdgen and then, in this process,
by diffusers' own pipeline around the same weights: 64x64 pixels, one step of Euler with guidance, f32. The latents
must agree within 1e-3 of the largest, the picture within one level of 8 bits. One model is in memory at a time: SDXL
takes 14 GB. Prints TAP and what sdgen took of memory.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

import family_runs
import make_checkpoint

TOP = make_checkpoint.TOP
FAMILIES = ("sd2_v", "sdxl", "ssd_1b")
CHANGES = dict(steps=1, sampler="euler", spacing="trailing")      # from noise to picture at once
BOUND = 1e-3


def draw(sdgen, model, run, folder):
    """Latents before and after the step, the picture in 8 bits, and a line about memory."""
    from PIL import Image
    command = [sdgen, "-m", model, "-p", run["prompt"], "-n", run["negative"], "-W", "64", "-H", "64", "--steps",
               str(run["steps"]), "-s", str(run["seed"]), "--cfg-scale", str(run["cfg"]), "--like", "diffusers",
               "--sampling-method", run["sampler"], "--scheduler", run["spacing"], "--precision", "f32", "--trace",
               folder, "-q", "--overwrite", "-o", folder / "out.png"]
    process = subprocess.Popen([str(c) for c in command], stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        return None, None, said.strip() or f"status {status}"
    latents = [np.load(f) for f in sorted(folder.glob("latent_*.npy"))]
    with Image.open(folder / "out.png") as image:
        rgb = np.asarray(image.convert("RGB")).astype(int)
    return np.concatenate(latents), rgb, f"sdgen took {usage.ru_maxrss / 2**20:.1f} GiB at most"


def compare(got, want):
    """(ok, comment)"""
    ratio = max(np.abs(g - w).max() / np.abs(w).max() for g, w in zip(got[0], want[0].numpy()))
    levels = np.abs(got[1] - want[1].numpy().astype(int)).max()
    return ratio <= BOUND and levels <= 1, f"latents within {ratio:.1e} of the largest, picture within {levels} of 255"


def check(family, sdgen, folder, originals_only):
    run = {**family_runs.parameters(family), **CHANGES}
    got = None, None, "sdgen was not asked"
    if not originals_only:
        model = folder / f"{family}.safetensors"
        make_checkpoint.make_family(model, family, "full", "safetensors", "f16", {})
        got = draw(sdgen, model, run, folder)
        model.unlink()
        if got[0] is None:
            return False, got[2]
    with torch.no_grad():
        want = family_runs.walk(family, family_runs.Originals(family, "full"), **CHANGES)
    assert torch.isfinite(want[0]).all()
    if originals_only:
        return True, f"originals alone: latents up to {want[0].abs().amax(dim=(1, 2, 3)).tolist()}"
    ok, comment = compare(got, want)
    return ok, f"{comment}; {got[2]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdgen", default=TOP / "build/sdgen", type=pathlib.Path)
    parser.add_argument("--folder", help="where there is room for 7 GB")
    parser.add_argument("--originals-only", action="store_true")
    parser.add_argument("families", nargs="*", default=FAMILIES)
    a = parser.parse_args()
    failed = 0
    for number, family in enumerate(a.families, 1):
        with tempfile.TemporaryDirectory(dir=a.folder) as folder:
            ok, comment = check(family, a.sdgen.resolve(), pathlib.Path(folder), a.originals_only)
        failed += not ok
        print(f"{'ok' if ok else 'not ok'} {number} - {family}, full size: {comment}", flush=True)
    print(f"1..{len(a.families)}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
