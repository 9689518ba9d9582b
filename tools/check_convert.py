#!/usr/bin/env python3
"""What `sdgen convert` writes, read by the original libraries.

usage: check_convert.py [--sdgen FILE] [FAMILY ...]

For the shrunk model of each family (default: all of tests/checkpoints.json), written by tools/make_checkpoint.py:
diffusers and transformers load the folder, and every tensor of their modules has the numbers of the source; the
pipeline loads as a whole; safetensors and the gguf package read the single files, whose tensors are the source's, and
quantised ones what the gguf package makes of them. Prints TAP.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

import make_checkpoint
from checkpoints import configs, folders, layouts, modules
from checkpoints import tensors as listing

TOP = layouts.TOP


class Converter:
    def __init__(self, sdgen):
        self.sdgen = sdgen

    def __call__(self, source, target, *options):
        done = subprocess.run([self.sdgen, "convert", "-q", *options, source, target], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target


def same(module, tensors):
    """Whether a module has these numbers and no others; its own names may lack "text_model."."""
    have = {k.removeprefix("text_model."): v for k, v in module.state_dict().items()
            if not k.endswith("position_ids")}
    want = {k.removeprefix("text_model."): v for k, v in tensors.items()}
    assert have.keys() == want.keys(), sorted(have.keys() ^ want.keys())[:6]
    for k, v in have.items():
        assert torch.equal(v, want[k].reshape(v.shape).to(v.dtype)), k


CLASSES = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}


def check_folder(convert, source, folder, layout, names):
    convert(source, folder)
    for part, (_, tensors) in folders.components(layout, names).items():
        kind = CLASSES.get(part)
        if kind is None:
            i = configs.text_folders(layout).index(part)
            kind = CLIPTextModelWithProjection if configs.text_class(layout, i).endswith("Projection") else CLIPTextModel
        module, report = kind.from_pretrained(folder / part, torch_dtype=torch.float16, output_loading_info=True)
        assert not report["missing_keys"] and not report["mismatched_keys"], report
        same(module, {k: v.to(torch.float16) for k, v in modules.state(tensors).items()})
    return "UNet, VAE, text encoders"


def check_pipeline(folder, layout):
    """diffusers' own loader of whole pipelines, tokenizers included."""
    if layout["family"] == "sd2_depth":      # wants a depth estimator, which checkpoints do not hold
        return "left out"
    pipe = DiffusionPipeline.from_pretrained(folder)
    ids = [t("a fox, no\u00efve 12", padding="max_length", max_length=77).input_ids
           for t in (getattr(pipe, "tokenizer", None), getattr(pipe, "tokenizer_2", None)) if t]
    assert ids and all(i[:8] == [49406, 320, 3240, 267, 871, 2505, 563, 272] or len(i) == 77 for i in ids), ids
    return type(pipe).__name__ + ", " + type(pipe.scheduler).__name__


def check_gguf(convert, source, path):
    from gguf import GGUFReader, quants
    state = load_file(source)
    convert(source, path)
    reader = GGUFReader(path)
    assert len(reader.tensors) == len(state)
    for t in reader.tensors:
        v = state[t.name]
        shape = tuple(int(n) for n in reversed(t.shape))
        assert shape == tuple(v.shape) and np.array_equal(t.data.reshape(-1).view(np.uint8),
                                                          v.contiguous().reshape(-1).view(torch.uint8).numpy()), t.name
    path.unlink()
    convert(source, path, "--type", "q8_0")
    quantised = 0
    for t in GGUFReader(path).tensors:
        if t.tensor_type.name != "Q8_0":
            continue
        quantised += 1
        v = state[t.name].float().numpy()
        assert np.array_equal(quants.quantize(v, t.tensor_type), t.data), t.name
    assert quantised
    return f"{len(state)} tensors, {quantised} of them as Q8_0"


def check_back(convert, source, folder, layout, tmp):
    """From the folder, and with the keys of diffusers, back to the names of single files."""
    want = load_file(source)
    others = [folder]
    if layout["text_names"] != ["clip_h"]:     # SD2's encoder is known by its width, which shrunk ones have not
        others.append(convert(source, tmp / "keys.safetensors", "--keys", "diffusers"))
    for other in others:
        have = load_file(convert(other, tmp / "back.safetensors", "--overwrite"))
        assert have.keys() == want.keys(), sorted(have.keys() ^ want.keys())[:5]
        assert all(torch.equal(want[k], v) and want[k].shape == v.shape for k, v in have.items())
    return f"{len(want)} tensors"


def checks(name, convert, tmp):
    layout = layouts.load(name, "small")
    names = listing.of(layout)
    source, folder = tmp / "source.safetensors", tmp / "folder"
    make_checkpoint.make_family(source, name, "small", "safetensors", "f16", {})
    yield "folder", lambda: check_folder(convert, source, folder, layout, names)
    yield "pipeline", lambda: check_pipeline(folder, layout)
    yield "back", lambda: check_back(convert, source, folder, layout, tmp)
    yield "gguf", lambda: check_gguf(convert, source, tmp / "x.gguf")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdgen", default=TOP / "build/sdgen", type=pathlib.Path)
    parser.add_argument("families", nargs="*")
    a = parser.parse_args()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    number = failed = 0
    for family in a.families or layouts.names():
        with tempfile.TemporaryDirectory() as tmp:
            for what, check in checks(family, Converter(a.sdgen.resolve()), pathlib.Path(tmp)):
                number += 1
                try:
                    print(f"ok {number} - {family} {what}: {check()}", flush=True)
                except Exception as e:
                    failed += 1
                    print(f"not ok {number} - {family} {what}: {type(e).__name__}: {str(e)[:400]}", flush=True)
    print(f"1..{number}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
