"""Reads the weight files that tests/test_writers.c writes with the original libraries.

usage: check_writers.py TEST_PROGRAM      (build/tests/test_writers)

safetensors opens every one, with the same tensors as the file it was made from; gguf finds in types.gguf the
metadata, and the same bytes and numbers as in tests/golden/gguf/types.gguf.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy
import torch
from safetensors import safe_open
from safetensors.torch import load_file

TOP = pathlib.Path(__file__).resolve().parent.parent


def check_safetensors(path):
    tensors = load_file(path)
    golden = TOP / "tests/golden/torch" / path.name
    if not golden.exists():
        return
    wanted = load_file(golden)
    assert tensors.keys() == wanted.keys(), path.name
    for name, value in tensors.items():
        assert value.dtype == wanted[name].dtype and value.shape == wanted[name].shape, name
        assert torch.equal(value.view(torch.uint8) if value.ndim else value,
                           wanted[name].view(torch.uint8) if value.ndim else wanted[name]), name


def check_gguf(path):
    reader, golden = gguf.GGUFReader(path), gguf.GGUFReader(TOP / "tests/golden/gguf/types.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "sd1"
    assert fields["general.name"] == "na\u00efve \U0001f431"
    assert fields["general.quantization_version"] == 2 and fields["general.file_type"] == 7
    wanted = {t.name: t for t in golden.tensors if t.name != "reshaped"}
    assert {t.name for t in reader.tensors} == wanted.keys()
    for t in reader.tensors:
        other = wanted[t.name]
        assert t.tensor_type == other.tensor_type and list(t.shape) == list(other.shape), t.name
        assert t.data.tobytes() == other.data.tobytes(), t.name
        if t.name.startswith("blocks."):
            values = gguf.dequantize(t.data, t.tensor_type)
            assert numpy.array_equal(values, wanted[t.name.replace("blocks", "want")].data), t.name
    return len(reader.tensors)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1]], check=True, cwd=TOP, env={**os.environ, "SDGEN_TEST_KEEP": folder},
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        files = sorted(pathlib.Path(folder).glob("*.safetensors"))
        for path in files:
            check_safetensors(path)
        with safe_open(pathlib.Path(folder) / "escapes.safetensors", "pt") as f:
            odd = 'a "quoted" \\ path,\n\t\x01 and \U0001f431'
            assert list(f.keys()) == [odd] and f.metadata() == {"a": odd, odd: "", "n": "4000000000"}
        count = check_gguf(pathlib.Path(folder) / "types.gguf")
        print(f"{len(files)} safetensors files and a GGUF file of {count} tensors read back")


if __name__ == "__main__":
    main()
