#!/usr/bin/env python3
"""Writes a checkpoint with random weights from the integer hash (hashweights.py): any family, any form.

usage: make_checkpoint.py [--family NAME] [--small] [--form FORM] [--dtype TYPE] OUTPUT
       make_checkpoint.py --layout NAME [--dtype TYPE] OUTPUT
       make_checkpoint.py --list

  --family NAME  a family of tests/checkpoints.json: sd1 (the default), sd2_v, sdxl, refiner, ssd_1b, ...; or
                 taesd, taesdxl
  --small        the shrunk model; without it, full size as published
  --form FORM    one of --list. Forms of one file are written to OUTPUT, the others into it as a folder
  --dtype TYPE   f16 (the default), f32, bf16, f8_e4m3, f8_e5m2: of single safetensors files
  --layout NAME  "sd15" or a layout of tests/layouts.json instead of a family: single safetensors
  --metadata K=V of single safetensors files

The weights mean nothing, but they keep the variance of what flows through, so every output is finite: good for
comparing engines and for measuring time and memory, without downloading a model. The same family has the same
numbers in every form. numpy is enough for safetensors and folders of it, which are written as a stream (a few MB of
memory at any size); .ckpt and .bin need torch, GGUF the gguf package. The parts: tools/checkpoints/.
"""
import argparse
import json
import pathlib
import shutil
import tempfile

from checkpoints import layouts, spelling, streams
from checkpoints import tensors as listing
from checkpoints.forms import FORMS, flags, metadata

TOP = layouts.TOP
TINY = ("taesd", "taesdxl")


def sd15():
    return {"clip": layouts.table()["parts"]["full"]["clip_l"], "unet": layouts.table()["unets"]["full"]["sd1"],
            "vae": layouts.table()["parts"]["full"]["vae"]}


def load_layout(name):
    """A layout of tests/layouts.json: {"clip", "unet", "vae"}."""
    if name == "sd15":
        return sd15()
    table = json.loads((TOP / "tests" / "layouts.json").read_text())
    if name not in table:
        raise SystemExit(f"no layout {name}; there are sd15, {', '.join(table)}")
    return table[name]


def unet_tensors(c):
    """(name, shape) of a UNet alone, given as a layout has it. Keys that may be left out: "depth_out" (transformers on
    the way up, each level in the order in which they run; like "depth" otherwise), "middle" (resblocks in the middle,
    2), "label", "time_cond" (0), "only_cross"."""
    return listing.unet(layouts.complete(c))


def tensors(layout):
    """(name, shape) of every tensor of such a layout, which may be a UNet alone; sorted by name."""
    makers = {"clip": lambda c: listing.clip(c, layouts.PREFIX["one"][0]), "unet": unet_tensors, "vae": listing.vae}
    return sorted(t for part, make in makers.items() if part in layout for t in make(layout[part]))


def make(path, layout="sd15", dtype="f16", form="safetensors", extra=None):
    """One file of a layout of tests/layouts.json. form: safetensors, ckpt, ckpt-bare."""
    stored = [spelling.plain(*t) for t in tensors(load_layout(layout))]
    entries = streams.plan(stored, dtype)
    if form == "safetensors":
        streams.write(path, entries, extra)
    else:
        from checkpoints import torchfiles
        torchfiles.save(torchfiles.mapped(entries, pathlib.Path(path).resolve().parent), path, form == "ckpt")


def make_tiny(path, dtype, extra):
    """Encoder and decoder in one file, under the names that sdgen and stable-diffusion.cpp read."""
    stored = [spelling.renamed(t, t.name.removeprefix("taesd."))
              for t in (spelling.plain(*n) for n in listing.taesd())]
    streams.write(path, streams.plan(stored, dtype), extra)


def make_family(output, family, size, form, dtype, extra):
    layout = layouts.load(family, size)
    names = listing.of(layout)
    if form == "safetensors":
        entries = [*streams.plan(spelling.stock(layout, names), dtype), *flags(layout)]
        streams.write(output, sorted(entries, key=lambda e: e.name), {**metadata(layout), **extra})
        return ["-m", output]
    output = pathlib.Path(output)
    with tempfile.TemporaryDirectory(dir=output.resolve().parent) as folder:
        made = FORMS[form](pathlib.Path(folder), layout, names)
        if len(made.arguments) == 2 and made.path.is_file() and not made.path.name.endswith(".json"):
            shutil.move(made.path, output)
            return ["-m", output]
        output.mkdir()
        for file in pathlib.Path(folder).iterdir():
            shutil.move(file, output)
        return [output / a.relative_to(folder) if isinstance(a, pathlib.Path) else a for a in made.arguments]


def main():
    parser = argparse.ArgumentParser(description="makes a checkpoint with hash weights")
    parser.add_argument("--family", default="sd1")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--layout")
    parser.add_argument("--dtype", choices=("f16", "f32", "bf16", "f8_e4m3", "f8_e5m2"), default="f16")
    parser.add_argument("--form", choices=sorted(FORMS), default="safetensors")
    parser.add_argument("--metadata", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--list", action="store_true", help="families, layouts and forms")
    parser.add_argument("output", nargs="?")
    a = parser.parse_args()
    if a.list:
        print("families:", *layouts.names(), *TINY)
        print("layouts: ", "sd15", *json.loads((TOP / "tests" / "layouts.json").read_text()))
        print("forms:   ", *FORMS)
        return
    if a.output is None:
        parser.error("where to? give an OUTPUT")
    extra = dict(m.split("=", 1) for m in a.metadata)
    if a.layout:
        make(a.output, a.layout, a.dtype, a.form, extra)
    elif a.family in TINY:
        make_tiny(a.output, a.dtype, extra)
    else:
        arguments = make_family(a.output, a.family, "small" if a.small else "full", a.form, a.dtype, extra)
        print(*arguments)


if __name__ == "__main__":
    main()
