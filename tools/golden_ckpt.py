"""Writes tests/golden/ckpt/: a whole model of SD1's layout, very small, as torch.save writes it. Read by
tests/test_ckpt.c, which makes the same model as safetensors and wants the same picture from both.

usage: golden_ckpt.py [FOLDER]

nested_f16.ckpt, nested_f32.ckpt    {"state_dict": {...}, "epoch": ..., "callbacks": ...}, as pytorch-lightning 1.4 wrote
bare_f16.ckpt, bare_f32.ckpt        {...}

Values come from the integer hash (hashweights.py), with two exceptions that keep the files small and make torch
store what a reader has to unfold:
    3x3 kernels of one shape are one tensor under many names, hashed as "[out,in,3,3]"; torch stores it once
    the token embedding has 49,408 rows, but row i is a window on one line of values from value i on
"""
import pathlib
import sys
import types

import torch

import hashweights
from make_checkpoint import TOP, tensors

# Keep in step with tests/test_ckpt.c.
LAYOUT = {
    "clip": {"vocab": 49408, "positions": 77, "width": 64, "layers": 1, "mlp": 64},
    "unet": {"in": 4, "out": 4, "model": 32, "channels": [32, 32], "blocks": 1, "depth": [0, 0], "middle_depth": 1,
             "context": 64, "time": 32, "linear": False},
    "vae": {"channels": [32, 32, 32, 32], "blocks": 1, "z": 4, "image": 3, "encoder": True},
}
TOKENS = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"


def hashed(name, *shape):
    return torch.from_numpy(hashweights.values(name, shape)).reshape(shape)


def weights(dtype):
    kernels, state = {}, {}
    for name, shape in tensors(LAYOUT):
        if name == TOKENS:
            rows, width = shape
            line = torch.from_numpy(hashweights.values(name, shape, 0, rows + width - 1)).to(dtype)
            state[name] = torch.as_strided(line, shape, (1, 1))
        elif shape[2:] == (3, 3):
            if shape not in kernels:
                kernels[shape] = hashed(str(list(shape)).replace(" ", ""), *shape).to(dtype)
            state[name] = kernels[shape]
        else:
            state[name] = hashed(name, *shape).to(dtype)
    return state


def lightning(state):
    """What stands beside the weights in the checkpoints of CompVis: numbers, and a class of the trainer as a key."""
    def module(name):
        return sys.modules.setdefault(name, types.ModuleType(name))

    callbacks = module("pytorch_lightning.callbacks.model_checkpoint")
    module("pytorch_lightning").callbacks = module("pytorch_lightning.callbacks")
    callbacks.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": callbacks.__name__})
    return {"epoch": 6, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "state_dict": state,
            "callbacks": {callbacks.ModelCheckpoint: {"monitor": None, "best_model_score": None, "dirpath": "/tmp"}},
            "lr_schedulers": []}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "tests/golden/ckpt")
    folder.mkdir(parents=True, exist_ok=True)
    for name, dtype in (("f16", torch.float16), ("f32", torch.float32)):
        state = weights(dtype)
        torch.save(lightning(state), folder / f"nested_{name}.ckpt")
        torch.save(state, folder / f"bare_{name}.ckpt")


if __name__ == "__main__":
    main()
