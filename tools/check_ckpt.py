#!/usr/bin/env python3
"""The bundled model as torch.save writes it, in every form: sdgen must draw the same bits as from safetensors.

usage: check_ckpt.py [--sdgen FILE] [--model FILE]

Forms: f16 and f32, with and without "state_dict" nesting, zip container. Prints TAP.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

TOP = pathlib.Path(__file__).resolve().parent.parent
FORMS = [(dtype, nested) for dtype in (torch.float16, torch.float32) for nested in (True, False)]


def draw(sdgen, model, output):
    """Draws one picture, always the same, and returns the file's bytes; the model's name must not matter."""
    subprocess.run([sdgen, "-m", model, "-p", "a fox on a blue background", "-W", "128", "-H", "128", "--steps", "8",
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
        for number, (dtype, nested) in enumerate(FORMS, 1):
            cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
            save_file(cast, folder / "model.safetensors")
            torch.save({"state_dict": cast, "global_step": 1} if nested else cast, folder / "model.ckpt")
            want = draw(args.sdgen, folder / "model.safetensors", folder / "want.png")
            same = draw(args.sdgen, folder / "model.ckpt", folder / "got.png") == want
            failed += not same
            print(f"{'ok' if same else 'not ok'} {number} - ckpt {dtype}, "
                  f"{'in state_dict' if nested else 'bare'}: the picture of safetensors, bit for bit", flush=True)
    print(f"1..{len(FORMS)}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
