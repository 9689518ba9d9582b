"""The names of checkpoints, held against the original libraries (golden_families.py --names).

published   sizes of the listing, full size, against those of the published files
asked       full size: every name and shape that diffusers and transformers ask for, no more and no less
spelled     shrunk: single files in their stock spelling, read by diffusers' own converters
written     tests/golden/families/names.tsv, for tests/test_families.c: number of tensors, of weights, and a digest of
            each network of each family in full size: the sum over FNV-1a (64 bits) of "name[shape]"
"""
import math

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from checkpoints import configs, folders, layouts, modules, spelling
from checkpoints import tensors as listing


def size(names):
    return sum(math.prod(shape) for _, shape in names)


def published():
    parts = layouts.table()["parts"]["full"]
    listed = {k: list(listing.vae(c) if k == "vae" else listing.clip(c, "")) for k, c in parts.items()}
    listed |= {n: list(listing.unet(layouts.load(n)["unet"])) for n in layouts.names()}
    for name, (elements, count) in layouts.PUBLISHED.items():
        assert size(listed[name]) == elements, name
        assert count in (None, len(listed[name])), name
    for name, millions in layouts.ROUNDED.items():
        assert abs(size(listed[name]) / 1e6 / millions - 1) < 0.03, name
    print(f"published: {len(layouts.PUBLISHED)} sizes to the last weight, {len(layouts.ROUNDED)} as rounded")


def original(layout, folder):
    """The module of a folder, without its numbers."""
    with torch.device("meta"):
        if folder == "unet":
            return UNet2DConditionModel(**modules.arguments(configs.unet(layout)))
        if folder == "vae":
            return AutoencoderKL(**modules.arguments(configs.vae(layout)))
        i = configs.text_folders(layout).index(folder)
        config = configs.text(layout, i)
        kind = CLIPTextModelWithProjection if config.pop("architectures")[0].endswith("Projection") else CLIPTextModel
        return kind(CLIPTextConfig(**config))


def asked():
    for name in layouts.names():
        layout = layouts.load(name)
        for folder, (_, tensors) in folders.components(layout, listing.of(layout)).items():
            want = {k.removeprefix("text_model."): tuple(v.shape)
                    for k, v in original(layout, folder).state_dict().items() if not k.endswith("position_ids")}
            have = {t.name.removeprefix("text_model."): tuple(t.shape) for t in tensors}
            assert want == have, (name, folder, set(want.items()) ^ set(have.items()))
    print(f"asked: {len(layouts.names())} families, full size, every name and shape as the originals have them")


def equal(a, b):
    a, b = ({k.removeprefix("text_model."): v for k, v in x.items()} for x in (a, b))
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    assert all(torch.equal(a[k].reshape(b[k].shape), b[k]) for k in a)


def spelled():
    """No converter of diffusers knows the models that were made in its own names, so those are left out."""
    for name in ("sd1", "sd2", "sdxl", "refiner"):
        layout = layouts.load(name, "small")
        names = listing.of(layout)
        stock = modules.state(spelling.stock(layout, names))
        folder = {k: modules.state(t) for k, (_, t) in folders.components(layout, names).items()}
        config = configs.unet(layout) | {"class_embed_type": None}
        equal(single_file_utils.convert_ldm_unet_checkpoint(dict(stock), config), folder["unet"])
        equal(single_file_utils.convert_ldm_vae_checkpoint(dict(stock), configs.vae(layout)), folder["vae"])
        for i, where in enumerate(configs.text_folders(layout)):
            prefix = layout["text"][i][0]
            if not spelling.is_openclip(layout, i):
                got = single_file_utils.convert_ldm_clip_checkpoint(dict(stock), remove_prefix=prefix)
                equal({k: v for k, v in got.items() if k in folder[where]}, folder[where])
                continue
            model = modules.text(layout, names, i)
            part = {k: v for k, v in stock.items() if k.startswith(prefix.replace("transformer.", "model."))}
            got = single_file_utils.convert_open_clip_checkpoint(model, part, prefix.replace("transformer.", "model."))
            have = {k.removeprefix("text_model."): v for k, v in folder[where].items()}
            got = {k.removeprefix("text_model."): v for k, v in got.items()}
            equal({k: v for k, v in got.items() if k in have}, have)
    print("spelled: the single files of sd1, sd2, sdxl, refiner, read by diffusers' converters, bit for bit")


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def rows():
    for name in layouts.names():
        layout = layouts.load(name)
        for part, tensors in spelling.parts(layout, listing.of(layout)).items():
            names = [(t.name, t.shape) for t in tensors]
            digest = sum(fnv1a(f"{n}[{','.join(map(str, s))}]") for n, s in names) & 0xFFFFFFFFFFFFFFFF
            yield f"{name}\t{part}\t{len(names)}\t{size(names)}\t{digest:016x}\n"


def check(path, write):
    published()
    asked()
    spelled()
    text = "".join(rows())
    if write:
        path.write_text(text)
    assert path.read_text() == text, path
    print(f"written: {text.count(chr(10))} networks in {path.name}")
