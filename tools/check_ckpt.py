#!/usr/bin/env python3
"""The bundled model as torch.save writes it, in every form: sdgen must draw the same bits as from safetensors.

usage: check_ckpt.py [--sdgen FILE] [--model FILE]

f16 and f32, with and without "state_dict" nesting, as zip, as the stream of before PyTorch 1.6, each in pickle protocols
1, 2 and 4, and as the tar of before 0.1.12. Prints TAP.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

import torch_forms

TOP = pathlib.Path(__file__).resolve().parent.parent
FORMS = [(dtype, nested, form, protocol) for dtype in (torch.float16, torch.float32) for nested in (True, False)
         for form, protocol in (("zip", 2), ("zip", 1), ("zip", 4), ("stream", 2), ("stream", 1), ("stream", 4), ("tar", 2))]


def save(path, tensors, nested, form, protocol):
    if form == "tar":
        torch_forms.write_tar(path, tensors, lambda of: {"state_dict": of, "global_step": 1} if nested else of)
        return
    torch.save({"state_dict": tensors, "global_step": 1} if nested else tensors, path, pickle_protocol=protocol,
               _use_new_zipfile_serialization=form == "zip")


def draw(sdgen, model, output):
    """Draws one picture, always the same, and returns the file's bytes; the model's name must not matter."""
    subprocess.run([sdgen, "-m", model, "-p", "a fox on a blue background", "-W", "64", "-H", "64", "--steps", "2",
                    "-s", "7", "--cfg-scale", "5", "-q", "--overwrite", "-o", output],
                   check=True, stdout=subprocess.DEVNULL)
    from PIL import Image
    with Image.open(output) as image:
        return image.size, image.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdgen", default=TOP / "build/sdgen")
    parser.add_argument("--model", default=TOP / "models/data/sdgen-emoji.safetensors")
    args = parser.parse_args()
    tensors, failed = load_file(args.model), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        wanted = {}
        for number, (dtype, nested, form, protocol) in enumerate(FORMS, 1):
            cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
            if dtype not in wanted:
                save_file(cast, folder / "model.safetensors")
                wanted[dtype] = draw(args.sdgen, folder / "model.safetensors", folder / "want.png")
            save(folder / "model.ckpt", cast, nested, form, protocol)
            same = draw(args.sdgen, folder / "model.ckpt", folder / "got.png") == wanted[dtype]
            failed += not same
            print(f"{'ok' if same else 'not ok'} {number} - {form} of protocol {protocol}, {dtype}, "
                  f"{'in state_dict' if nested else 'bare'}: the picture of safetensors, bit for bit", flush=True)
    print(f"1..{len(FORMS)}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
