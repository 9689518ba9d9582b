"""Writes tests/golden/forms/: a tiny model in many files, as diffusers, transformers and huggingface_hub write them.
Read by tests/test_forms.c.

usage: golden_forms.py [FOLDER]

    model/        a pipeline's folder. Every number of a file says which file it is:
                  unet          plain in shards (1), fp16 in shards (2), non_ema whole (3)
                  vae           fp16 whole (4), the old .bin of non_ema (5)
                  text_encoder  whole (6), fp16 in shards (7)
                  text_encoder_2  .bin (8), fp16 whole (10)
    model.dduf    the same without .bin, which such a file may not hold
    legacy/       one component whose shards and index are spelled as diffusers did before 0.25
    hub/models--somebody--tiny   as in huggingface_hub's cache, with links: a component (9)
"""
import json
import os
import pathlib
import shutil
import sys

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from huggingface_hub import export_folder_as_dduf
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

TOP = pathlib.Path(__file__).resolve().parent.parent


class Tiny(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, width=16):
        super().__init__()
        self.first = torch.nn.Linear(width, width)
        self.second = torch.nn.Linear(width, width)
        self.third = torch.nn.Linear(width, width)


def filled(model, number):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(number)
    return model


def text_model(number):
    return filled(CLIPTextModel(CLIPTextConfig(
        vocab_size=8, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=4)), number)


def pipeline(folder):
    filled(Tiny(), 1).save_pretrained(folder / "unet", max_shard_size="1KB")
    filled(Tiny(), 2).half().save_pretrained(folder / "unet", max_shard_size="1KB", variant="fp16")
    filled(Tiny(), 3).save_pretrained(folder / "unet", variant="non_ema")
    filled(Tiny(), 4).half().save_pretrained(folder / "vae", variant="fp16")
    filled(Tiny(), 5).save_pretrained(folder / "vae", variant="non_ema", safe_serialization=False)
    text_model(6).save_pretrained(folder / "text_encoder")
    text_model(7).half().save_pretrained(folder / "text_encoder", max_shard_size=250, variant="fp16")
    filled(Tiny(), 8).save_pretrained(folder / "text_encoder_2", safe_serialization=False)
    filled(Tiny(), 10).half().save_pretrained(folder / "text_encoder_2", variant="fp16")
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text('{"_class_name": "PNDMScheduler"}\n')
    index = {"_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.42.1"}
    index |= {name: ["diffusers", "Tiny"] for name in ["unet", "vae", "text_encoder", "text_encoder_2"]}
    index["scheduler"] = ["diffusers", "PNDMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def legacy(folder):
    """diffusers/utils/hub_utils.py reads these; the names are from its variant_compatible_siblings."""
    folder.mkdir()
    weights = filled(Tiny(), 1).state_dict()
    names, shards = sorted(weights), {}
    for i, part in enumerate([names[:3], names[3:]]):
        name = f"diffusion_pytorch_model-0000{i + 1}-of-00002.fp16.safetensors"
        save_file({n: weights[n] for n in part}, folder / name)
        shards |= dict.fromkeys(part, name)
    (folder / "diffusion_pytorch_model.safetensors.fp16.index.json").write_text(
        json.dumps({"metadata": {"total_size": 3264}, "weight_map": shards}, indent=2) + "\n")


def hub(folder):
    model, revision = folder / "models--somebody--tiny", "0123456789abcdef0123456789abcdef01234567"
    snapshot = model / "snapshots" / revision
    filled(Tiny(), 9).save_pretrained(snapshot)
    (model / "blobs").mkdir()
    for i, path in enumerate(sorted(snapshot.iterdir())):
        blob = model / "blobs" / f"{i + 1:064x}"
        path.rename(blob)
        path.symlink_to(os.path.relpath(blob, snapshot))
    (model / "refs").mkdir()
    (model / "refs/main").write_text(revision)


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "tests/golden/forms")
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir(parents=True)
    pipeline(top / "model")
    legacy(top / "legacy")
    hub(top / "hub")
    export_folder_as_dduf(top / "model.dduf", top / "model")


if __name__ == "__main__":
    main()
