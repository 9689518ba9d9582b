"""Writes tests/golden/torch/: small checkpoints as torch.save writes them. Read by tests/test_torchfile.c and
tests/test_hostile.c.

usage: golden_torchfile.py [FOLDER]

NAME.safetensors: tensors. NAME.ckpt, NAME_pN.ckpt (of pickle protocol N), legacy_NAME.pt and legacy_NAME_pN.pt (the
form before PyTorch 1.6), tar_NAME.pt (the form before 0.1.12): files that hold the same tensors, which sdgen must read
alike, bit for bit. All but those of torch_forms.py are written by torch.save.
refused_NAME.pt: kinds of files that torch writes and sdgen refuses by name.
scan.tsv: what Python finds in the pickles of some of them. Read by tests/test_picklescan.c.

Files of the older forms, and "refused_script", hold addresses or times and come out differently every time.
"""
import argparse
import collections
import pathlib
import sys
import types

import numpy
import torch
from safetensors.torch import save_file

import scan_truth
import torch_forms

TOP = pathlib.Path(__file__).resolve().parent.parent
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
NEWER = [torch.uint64, torch.uint32, torch.uint16, torch.float8_e4m3fn, torch.float8_e5m2]


def ramp(*shape, dtype=torch.float32):
    """-1, 2, -3, 4, ... scaled: every element its own value, exact in every float type but the 8-bit ones."""
    count = int(numpy.prod(shape))
    values = torch.arange(1, count + 1, dtype=torch.float64)
    values[::2] *= -1
    return (values / 4).reshape(shape).to(dtype)


class Block(torch.nn.Module):
    """Parameters, a buffer and a number: what a state_dict is made of."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("position_ids", torch.arange(7).reshape(1, 7))
        for i, value in enumerate(self.parameters()):
            value.data = ramp(*value.shape) + i


class Own(torch.nn.Module):
    """A network of somebody's own, which a file names by the module that was imported when it was saved."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(ramp(2))


def types_of(dtypes):
    return {f"kind.{str(d).removeprefix('torch.')}": ramp(2, 3).abs().to(d) for d in dtypes}


def lightning():
    """A checkpoint as pytorch-lightning 1.4 wrote it, with the objects that Stable Diffusion's carry."""
    def module(name):
        return sys.modules.setdefault(name, types.ModuleType(name))

    callbacks = module("pytorch_lightning.callbacks.model_checkpoint")
    module("pytorch_lightning").callbacks = module("pytorch_lightning.callbacks")
    callbacks.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": callbacks.__name__})
    weights = {"model.diffusion_model.out.2.weight": ramp(4, 2, 3, 3, dtype=torch.float16),
               "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int32)}
    return weights, {
        "epoch": 6, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "state_dict": weights,
        "callbacks": {callbacks.ModelCheckpoint: {"monitor": None, "best_model_score": numpy.float64(0.5),
                                                  "dirpath": "/tmp", "kept": [1, 2.5, True, (1, 2, 3, 4)]}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": ramp(3)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [], "seen": {1, 2}, "size": torch.Size([1, 2]), "big": 1 << 40, "negative": -5,
        "device": torch.device("cpu"), "type": torch.float32, "hyper_parameters": {"unet": {"channels": [320, 640]}},
    }


def leftovers():
    """Weights beside what training programs leave in a checkpoint: settings, paths, numbers of NumPy."""
    weights = {"a.weight": ramp(2, 3), "b.bias": ramp(3, dtype=torch.float16)}
    counts = collections.defaultdict(list, first=[1, 2])
    return weights, {
        "state_dict": weights, "loss": numpy.float32(0.25), "best": numpy.int64(3), "done": numpy.bool_(True),
        "curve": numpy.arange(4.0), "table": numpy.zeros((2, 2), dtype=numpy.int32), "seen": frozenset([1, 2]),
        "settings": argparse.Namespace(lr=1e-4, layers=[1, 2], path=pathlib.PosixPath("/tmp/run")), "counts": counts,
        "rng": torch.get_rng_state()[:8], "note": b"bytes", "complex": 1 + 2j, "huge": -(1 << 62), "words": {"a", "b"},
        "array": bytearray(b"xyz"), "tally": collections.Counter("abca"), "text": "\u00e9" * 300,
    }


def views():
    """Windows on storages in every way: shared, with an offset, strided, spread out, empty."""
    base = ramp(4, 6)
    attributed, parameter = ramp(3), torch.nn.Parameter(ramp(2, 2))
    attributed.note = parameter.note = "kept by torch"
    return {
        "whole": base, "shared": base, "row": base[2], "rows": base[1:3], "transposed": base.t(), "step": base[:, ::2],
        "block": base[1:, 2:5], "expanded": base[0, :1].expand(5), "spread": ramp(3, 1).expand(3, 4), "one": base[3, 5],
        "permuted": ramp(2, 3, 4, 5).permute(3, 0, 2, 1), "empty": torch.zeros(0, 3), "empty_view": base[4:],
        "channels_last": ramp(2, 3, 4, 5).to(memory_format=torch.channels_last), "thin": ramp(5, 1, 2).transpose(0, 1),
        "half": ramp(6, 4, dtype=torch.float16).t(), "long": torch.arange(12).reshape(3, 4).t(),
        "bytes": torch.arange(12, dtype=torch.uint8).reshape(3, 4).t(), "parameter": torch.nn.Parameter(ramp(2)),
        "frozen": torch.nn.Parameter(ramp(2), requires_grad=False), "attributed": attributed,
        "attributed_parameter": parameter, "na\u00efve.\U0001f431": ramp(1), "": ramp(2),
    }


def write_seeds(folder):
    """The pickles alone of some files, for tests/fuzz."""
    if folder.name != "torch":  # a copy elsewhere
        return
    seeds = folder.parent.parent / "fuzz/seeds/pickle"
    seeds.mkdir(parents=True, exist_ok=True)
    for name in ("floats", "views", "lightning", "leftovers", "leftovers_p1", "leftovers_p4", "leftovers_p5", "module"):
        (seeds / name).write_bytes(scan_truth.pickles_of(folder / f"{name}.ckpt")[0])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "tests/golden/torch")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)  # only the refused modules have random weights
    weights, full = lightning()
    module = Block().state_dict()
    good = {
        "floats": (types_of(FLOATS), types_of(FLOATS)), "integers": (types_of(INTEGERS), types_of(INTEGERS)),
        "newer": (types_of(NEWER), types_of(NEWER)), "lightning": (weights, full), "module": (dict(module), module),
        "nested_module": (dict(module), {"state_dict": module, "extra": ramp(2)}),
        "ordered": (weights, collections.OrderedDict(weights)), "views": (views(), views()),
        "only_dict": (types_of(FLOATS), {"params": types_of(FLOATS)}),
        "twice_nested": (types_of(FLOATS), {"module": {"state_dict": types_of(FLOATS), "args": None}}),
        "mixed": ({"a": ramp(2)}, {"a": ramp(2), "step": 3, 5: ramp(4), "inner": {"b": ramp(3)}, "none": None}),
    }
    good["leftovers"] = leftovers()
    for name, (tensors, saved) in good.items():
        torch.save(saved, folder / f"{name}.ckpt")
        torch.save(saved, folder / f"legacy_{name}.pt", _use_new_zipfile_serialization=False)
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / f"{name}.safetensors")
    for protocol in (1, 3, 4, 5):
        for name in ("lightning", "leftovers"):
            saved = good[name][1]
            torch.save(saved, folder / f"{name}_p{protocol}.ckpt", pickle_protocol=protocol)
            torch.save(saved, folder / f"legacy_{name}_p{protocol}.pt", pickle_protocol=protocol,
                       _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    torch.save(good["mixed"][1], folder / "mixed_nocrc.ckpt")
    torch.serialization.set_crc32_options(True)
    torch_forms.write(folder)

    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2), (2,))
    Own.__module__ = "upscaler"
    sys.modules["upscaler"] = types.SimpleNamespace(Own=Own)
    refused = {
        "module": torch.nn.Sequential(torch.nn.Linear(1, 1)), "list": [ramp(2)], "tensor": ramp(2), "number": 5,
        "complex": {"a": torch.zeros(2, dtype=torch.complex64)}, "sparse": {"a": sparse},
        "quantised": {"a": torch.quantize_per_tensor(torch.zeros(2), 0.5, 0, torch.qint8)},
        "negative": {"a": torch.zeros(2, dtype=torch.complex64).conj().imag}, "code": {"a": ramp(2), "f": print},
        "empty": {}, "numbers": {"a": 1, "b": 2}, "deep_rank": {"a": ramp(1, 1, 1, 1, 1, 1, 1, 1, 1)},
        "meta": {"a": torch.zeros(2, device="meta")}, "f8_other": {"a": torch.zeros(2).to(torch.float8_e8m0fnu)},
        "own_module": Own(),
    }
    for name, value in refused.items():
        torch.save(value, folder / f"refused_{name}.pt")
    for name in ("module", "own_module", "code"):
        torch.save(refused[name], folder / f"refused_legacy_{name}.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(torch.nn.Linear(1, 1)).save(folder / "refused_script.pt")
    scanned = [*folder.glob("l*.ckpt"), *folder.glob("views.ckpt"), *folder.glob("legacy_l*.pt"), *folder.glob("legacy_p*.pt")]
    write_seeds(folder)
    scan_truth.write(folder, scanned + [folder / f"refused_{n}.pt" for n in ("code", "module", "legacy_own_module", "sparse")])


if __name__ == "__main__":
    main()
