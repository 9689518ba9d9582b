"""Writes tests/golden/image.safetensors: floats to bytes as diffusers and A1111 do it, parameters texts as A1111
writes them, and the text chunks that Pillow makes of them. Read by tests/test_png.c and tests/test_infotext.c.

usage: golden_image.py [OUTPUT]
       golden_image.py --live SDGEN MODEL      draws small pictures and reads them back with Pillow and with
                                               A1111's parser; prints TAP
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, PngImagePlugin

HEADER = pathlib.Path(__file__).parent.parent / "src/sdgen.h"
VERSION = "sdgen " + re.search(r'SDGEN_VERSION "(.*)"', HEADER.read_text())[1]

# ---- A1111's parameters text (stable-diffusion-webui 1.10, modules/processing.py and infotext_utils.py) ----


def quote(text):
    text = str(text)
    if "," not in text and "\n" not in text and ":" not in text:
        return text
    return json.dumps(text, ensure_ascii=False)


def create(prompt, negative, pairs):
    parameters = ", ".join(k if k == str(v) else f"{k}: {quote(v)}" for k, v in pairs.items() if v is not None)
    return f"{prompt}" + (f"\nNegative prompt: {negative}" if negative else "") + f"\n{parameters}"


PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parse(text):
    """(prompt, negative, pairs) as A1111 reads them."""
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines, last = lines + [last], ""
    prompt, negative, in_negative = [], [], False
    for line in (line.strip() for line in lines):
        if line.startswith("Negative prompt:"):
            in_negative, line = True, line[len("Negative prompt:"):].strip()
        (negative if in_negative else prompt).append(line)
    pairs = {}
    for key, value in PAIR.findall(last):
        if value[:1] == value[-1:] == '"':
            value = json.loads(value)
        size = re.fullmatch(r"(\d+)x(\d+)", value)
        pairs.update({f"{key}-1": size[1], f"{key}-2": size[2]} if size else {key: value})
    return "\n".join(prompt), "\n".join(negative), pairs


PLAIN = dict(prompt="a cat", negative="", steps=20, sampler="Euler a", schedule="Automatic", cfg=7, seed=965400086,
             width=512, height=512, model_hash="6ce0161689", model="v1-5-pruned-emaonly", rng="NV")
CASES = [
    PLAIN,
    PLAIN | dict(negative="blurry, bad hands", cfg=7.5, sampler="DDIM", schedule="Karras", rng="CPU"),
    PLAIN | dict(prompt="two\nlines", negative="also\ntwo", width=768, height=384, seed=2**63 - 1),
    PLAIN | dict(prompt="  stripped\t\n ", cfg=1.0),
    PLAIN | dict(prompt="\u3000\u2003wide blanks", cfg=0.1),
    PLAIN | dict(prompt="", cfg=1000.0),
    PLAIN | dict(prompt="", negative="only this", cfg=0.0),
    PLAIN | dict(prompt="caf\u00e9 au lait \u00ff"),
    PLAIN | dict(prompt="\u732b, \U0001f98a and \u0100", negative="\u00e9"),
    PLAIN | dict(model='odd, "quoted": name\\', vae="vae:one", vae_hash="0123456789"),
    PLAIN | dict(model="tab\tand\nline\x01\x7f", cfg=12.345678901234567),
    PLAIN | dict(model="Model", vae="VAE", vae_hash=None, model_hash=None),
    PLAIN | dict(clip_skip=2, eta=0.5, emphasis="None", prompt="(((cat)))"),
    PLAIN | dict(clip_skip=1, eta=1.0, eta_name="Eta DDIM", sampler="DDIM"),
    PLAIN | dict(eta=1e-05, cfg=1 / 3),
    PLAIN | dict(prompt="Steps: 20, Sampler: none, Seed: 1, Size: 2x2", negative="Negative prompt: x"),
]


def number(x):
    return int(x) if float(x) == int(x) else x


def text_of(case):
    c = dict(vae=None, vae_hash=None, clip_skip=0, eta=None, eta_name="Eta", emphasis=None) | case
    pairs = {"Steps": c["steps"], "Sampler": c["sampler"], "Schedule type": c["schedule"],
             "CFG scale": number(c["cfg"]), "Seed": c["seed"], "Size": f"{c['width']}x{c['height']}",
             "Model hash": c["model_hash"], "Model": c["model"], "VAE hash": c["vae_hash"], "VAE": c["vae"],
             "Clip skip": c["clip_skip"] if c["clip_skip"] > 1 else None, "RNG": c["rng"],
             "Emphasis": c["emphasis"], c["eta_name"]: None if c["eta"] is None else number(c["eta"]),
             "Version": VERSION}
    return create(c["prompt"], c["negative"], pairs).strip(), pairs


def check_readable(case, text, pairs):
    """The text says to A1111's reader what it was made from."""
    prompt, negative, found = parse(text)
    for key, value in pairs.items():
        if value is None or key == str(value):
            continue
        if key == "Size":
            assert (found["Size-1"], found["Size-2"]) == tuple(value.split("x")), text
        else:
            assert found[key] == str(value), (key, value, found)
    if "Negative prompt:" not in case["negative"]:
        assert (prompt.strip(), negative.strip()) == (case["prompt"].strip(), case["negative"].strip()), text


def texts(tensors, metadata):
    metadata["cases"] = str(len(CASES))
    for i, case in enumerate(CASES):
        text, pairs = text_of(case)
        check_readable(case, text, pairs)
        metadata[f"{i}.text"] = text
        for key, value in case.items():
            if value is not None:
                metadata[f"{i}.{key}"] = str(value)
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", text)
        (kind, data, *_), = info.chunks
        tensors[f"{i}.chunk"] = np.frombuffer(kind + data, dtype=np.uint8)


# ---- floats to bytes ----


def pixels(tensors):
    import torch
    from diffusers.image_processor import VaeImageProcessor
    values = np.concatenate([
        (2 * (np.arange(256, dtype=np.float64) + half) / 255 - 1).astype(np.float32) for half in (0, 0.5)])
    near = [np.nextafter(values, np.float32(s)) for s in (-9, 9)]
    special = np.array([-np.inf, np.inf, -1, 1, -1e30, 1e30, -0.0, 0.0, 1e-30], dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 0.7, 2000).astype(np.float32)
    x = np.concatenate([values, *near, special, noise])
    x = np.resize(x, (3, 29, 41))
    image = torch.from_numpy(x)[None]
    tensors["x"] = x
    tensors["diffusers"] = np.array(VaeImageProcessor().postprocess(image, output_type="pil")[0])
    sample = torch.clamp((image[0] + 1.0) / 2.0, min=0.0, max=1.0)       # as A1111's process_images does
    tensors["a1111"] = np.ascontiguousarray((255.0 * np.moveaxis(sample.numpy(), 0, 2)).astype(np.uint8))


# ---- live ----


def live(program, model):
    bad = 0
    runs = [([], "a cat", ""), (["--like", "diffusers"], "caf\u00e9", "blurry, dark: bad"),
            (["-s", "77", "--cfg-scale", "7.5"], "\u732b \U0001f98a", "two\nlines")]
    for i, (flags, prompt, negative) in enumerate(runs):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "x.png"
            subprocess.run([program, "-m", model, "-p", prompt, "-n", negative, "-W", "64", "-H", "72", "--steps",
                            "2", "-q", "-o", path, *flags], check=True, stdout=subprocess.DEVNULL)
            with Image.open(path) as image:
                image.load()
                text, size = image.text["parameters"], image.size
            got = parse(text)
            good = got[:2] == (prompt, negative) and size == (64, 72) and got[2]["Size-2"] == "72" and \
                got[2]["Steps"] == "2" and got[2]["Version"] == VERSION and got[2].get("RNG") in ("NV", "CPU") and \
                len(got[2]["Model hash"]) == 10
            print("" if good else "not ", f"ok {i + 1} - Pillow and A1111's parser read {prompt}", sep="")
            if not good:
                bad += 1
                print("#", repr(text))
    print(f"1..{len(runs)}")
    sys.exit(bad > 0)


def main():
    if sys.argv[1:2] == ["--live"]:
        return live(*sys.argv[2:4])
    from safetensors.numpy import save_file
    path = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "tests/golden/image.safetensors"
    tensors, metadata = {}, {}
    pixels(tensors)
    texts(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


main()
