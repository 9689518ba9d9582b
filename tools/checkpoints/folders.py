"""A checkpoint as a diffusers folder: components, configurations, variants, shards, .bin; and what packs folders:
the cache of the hub with its symbolic links, and DDUF."""
import hashlib
import json
import os
import pathlib
import zipfile

from . import configs, spelling, streams


def components(layout, names, bare=False):
    """{folder: (stem of the weight file, tensors)}"""
    parts = spelling.parts(layout, names)
    out = {"unet": ("diffusion_pytorch_model", spelling.diffusers_unet(layout, parts["unet"])),
           "vae": ("diffusion_pytorch_model", spelling.diffusers_vae(layout, parts["vae"]))}
    for i, folder in enumerate(configs.text_folders(layout)):
        out[folder] = ("model", spelling.folder_text(layout, parts[f"text_{i}"], i, bare))
    return out


def texts(layout):
    """{path in the folder: JSON}"""
    out = {"model_index.json": configs.model_index(layout), "unet/config.json": configs.unet(layout),
           "vae/config.json": configs.vae(layout), "scheduler/scheduler_config.json": configs.scheduler(layout)}
    for i, folder in enumerate(configs.text_folders(layout)):
        out[f"{folder}/config.json"] = configs.text(layout, i)
        words = folder.replace("text_encoder", "tokenizer")
        out[f"{words}/tokenizer_config.json"] = configs.tokenizer(words)
    return out


def write_texts(path, layout):
    for name, value in texts(layout).items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value, indent=2) + "\n")


def write(path, layout, names, kind="f32", through="f32", variant="", shard=0, binary=False, bare=False):
    """variant: "fp16", "non_ema", ...; shard: largest weight file in bytes; binary: .bin instead of safetensors."""
    path = pathlib.Path(path)
    write_texts(path, layout)
    dot = f".{variant}" if variant else ""
    for folder, (stem, tensors) in components(layout, names, bare).items():
        entries = streams.plan(tensors, kind, through)
        if binary:
            from . import torchfiles
            stem = stem.replace("model", "pytorch_model") if stem == "model" else stem
            torchfiles.save({e.name: torchfiles.tensor(e) for e in entries}, path / folder / f"{stem}{dot}.bin")
        elif shard and sum(e.size for e in entries) > shard:
            streams.write_shards(path / folder, stem, entries, shard, variant)
        else:
            streams.write(path / folder / f"{stem}{dot}.safetensors", entries)
    return path


def hub(cache, folder, name="models--somebody--model"):
    """The folder as huggingface_hub keeps it: blobs by their hash, snapshots of symbolic links. Returns the
    snapshot. The files of `folder` move."""
    root = pathlib.Path(cache) / name
    commit = hashlib.sha1(name.encode()).hexdigest()
    snapshot = root / "snapshots" / commit
    (root / "blobs").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    for file in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        blob = root / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def dduf(path, folder):
    """By huggingface_hub where it is installed, as its export_folder_as_dduf writes it elsewhere: stored entries,
    zip64 sizes in every one, only names that DDUF allows."""
    folder = pathlib.Path(folder)
    try:
        from huggingface_hub import export_folder_as_dduf
    except ImportError:
        files = [p for p in sorted(folder.rglob("*")) if p.suffix in (".json", ".safetensors", ".txt", ".model")]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
            for file in files:
                with z.open(file.relative_to(folder).as_posix(), "w", force_zip64=True) as out:
                    out.write(file.read_bytes())
        return path
    export_folder_as_dduf(path, folder_path=folder)
    return path
