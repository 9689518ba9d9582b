#!/usr/bin/env python3
"""Every form of a checkpoint draws the picture of the single safetensors file, bit for bit.

usage: check_forms.py [--sdgen FILE] [--families NAME,...] [FORM ...]

Shrunk models of SD1, SD2 and SDXL (or the families named), in every form of checkpoints/forms.py and as diffusers' own
save_pretrained writes them; some with texts of the published width (up to 700 MB a file). Where a form rounds its
numbers, the single file has the same rounded numbers in f32. Compared are all latents and the pixels. Prints TAP; forms whose packages are not there are skipped.
"""
import argparse
import hashlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from checkpoints import forms, layouts
from checkpoints import tensors as listing

TOP = layouts.TOP
PACKAGES = {"torch": forms.NEEDS_TORCH, "gguf": forms.NEEDS_GGUF}


def saved(variant=None, safe=True, shard="10GB"):
    """diffusers' own writer, f16 for the variant of that name."""
    def form(folder, layout, names):
        import torch

        import family_runs
        from checkpoints import modules

        class Parts:
            unet, vae = modules.unet(layout, names), modules.vae(layout, names)
            texts = [modules.text(layout, names, i) for i in range(len(layout["text"]))]
        Parts.layout = layout
        pipe = family_runs.pipeline(Parts, family_runs.parameters(layout["family"]))
        kind = "f16" if variant == "fp16" else "f32"
        if kind == "f16":
            pipe = pipe.to(torch.float16)
        pipe.save_pretrained(folder / "model", safe_serialization=safe, variant=variant, max_shard_size=shard)
        return forms.Made(["-m", folder / "model"], kind)
    return form


SAVED = {"saved": saved(), "saved-fp16": saved(variant="fp16"), "saved-shards": saved(shard="1MB"),
         "saved-fp16-shards": saved(variant="fp16", shard="1MB"), "saved-bin": saved(safe=False)}
ALL = {**forms.FORMS, **SAVED}


def missing(form):
    """The package that a form needs and that is not there."""
    needs = [p for p, which in PACKAGES.items() if form in which] + (["diffusers"] if form in SAVED else [])
    return next((p for p in needs if importlib.util.find_spec(p) is None), None)


def draw(sdgen, arguments, folder):
    """A digest of every latent and of the pixels; or what sdgen said when it would not draw."""
    trace = folder / "trace"
    shutil.rmtree(trace, ignore_errors=True)
    trace.mkdir()
    done = subprocess.run([sdgen, *map(str, arguments), "-p", "a fox", "-n", "blurry", "-W", "64", "-H", "64",
                           "--steps", "3", "-s", "7", "--cfg-scale", "5", "--precision", "f32", "--like", "a1111",
                           "--sampling-method", "euler", "--scheduler", "discrete", "-t", "1", "-q", "--overwrite",
                           "--trace", trace, "-o", folder / "out.png"], capture_output=True, text=True)
    if done.returncode:
        return None, f"exit status {done.returncode}: {done.stderr.strip()}"
    digest = hashlib.sha256()
    files = sorted(trace.glob("latent_*.npy")) + [trace / "image.npy"]
    for file in files:
        values = np.load(file)
        if not np.isfinite(values).all():
            return None, f"{file.name} is not finite"
        digest.update(values.tobytes())
    return digest.hexdigest(), f"{len(files)} arrays"


class Twins:
    """Pictures of single files, one for each way of rounding."""

    def __init__(self, sdgen, folder, layout, names):
        self.sdgen, self.folder, self.layout, self.names, self.known = sdgen, folder, layout, names, {}

    def draw(self, made):
        key = made.through
        if made.values is None and key in self.known:
            return self.known[key]
        path = forms.twin(self.folder / "twin.safetensors", made, self.layout, self.names)
        result = draw(self.sdgen, ["-m", path], self.folder)
        if made.values is None:
            self.known[key] = result
        return result


def check(form, sdgen, folder, layout, names, twins):
    """(ok, comment)"""
    made = ALL[form](folder, layout, names)
    want, why = twins.draw(made)
    if want is None:
        return False, f"the single file: {why}"
    got, comment = draw(sdgen, made.arguments, folder)
    if got is None:
        return False, comment
    return got == want, comment if got == want else "another picture"


def checks(family, size, wanted, sdgen):
    """(form, (ok, comment)) for the forms that are checked in this size."""
    wanted = [f for f in wanted if forms.size_for(f, family) == size]
    if not wanted:
        return
    layout = layouts.load(family, size)
    names = listing.of(layout)
    with tempfile.TemporaryDirectory() as top:
        top = pathlib.Path(top)
        twins = Twins(sdgen, top, layout, names)
        for form in wanted:
            if form in forms.FORMS and not forms.applies(form, layout):
                continue
            if package := missing(form):
                yield form, (True, f" # SKIP no {package}")
                continue
            folder = top / "form"
            folder.mkdir()
            ok, comment = check(form, sdgen, folder, layout, names, twins)
            shutil.rmtree(folder)
            yield form, (ok, f": {comment}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdgen", default=TOP / "build/sdgen", type=pathlib.Path)
    parser.add_argument("--families", default="sd1,sd2,sdxl")
    parser.add_argument("forms", nargs="*")
    a = parser.parse_args()
    number = failed = 0
    for family in a.families.split(","):
        for size in "small", "wide":
            for form, verdict in checks(family, size, a.forms or ALL, a.sdgen.resolve()):
                ok, comment = verdict
                number, failed = number + 1, failed + (not ok)
                print(f"{'ok' if ok else 'not ok'} {number} - {family} {form}{comment}", flush=True)
    print(f"1..{number}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
