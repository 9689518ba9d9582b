"""What torch.save writes: .ckpt, .pt, .pth, .bin, in both of its formats. Needs torch."""
import tempfile

import numpy as np
import torch

ARRAYS = {"f32": np.float32, "f16": np.float16, "f64": np.float64, "bf16": np.uint16, "f8_e4m3": np.uint8,
          "f8_e5m2": np.uint8, "i64": np.int64}
VIEWS = {"bf16": torch.bfloat16, "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}


def tensor(entry):
    data = np.frombuffer(bytearray(b"".join(entry.chunks())), ARRAYS[entry.kind]).reshape(entry.shape)
    t = torch.from_numpy(data)
    return t.view(VIEWS[entry.kind]) if entry.kind in VIEWS else t


def mapped(entries, folder):
    """Tensors over a temporary file in `folder`: full-size checkpoints need no memory."""
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        state, offset = {}, 0
        for e in entries:
            for chunk in e.chunks():
                f.write(chunk)
        f.flush()
        for e in entries:
            array = np.memmap(f.name, ARRAYS[e.kind], "c", offset, tuple(e.shape))
            t = torch.from_numpy(array)
            state[e.name] = t.view(VIEWS[e.kind]) if e.kind in VIEWS else t
            offset += e.size
        return state


def save(state, path, nested=False, legacy=False, protocol=2):
    """nested: {"state_dict": ...} with what CompVis's trainer left beside it."""
    value = {"state_dict": state, "global_step": 470000, "epoch": 6, "lr_schedulers": [],
             "pytorch-lightning_version": "1.4.2"} if nested else state
    torch.save(value, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    return path
