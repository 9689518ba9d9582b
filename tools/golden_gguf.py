"""Writes tests/golden/gguf/types.gguf with the gguf package (gguf-py of ggml). Read by tests/test_gguf.c.

usage: golden_gguf.py [FILE]

Every type of metadata, and tensors of every type that sdgen reads:

    plain.TYPE       1/4, -2/4, 3/4, ... as [2,3] (integers: 1, -2, 3, ...)
    blocks.TYPE      random blocks of a quantised type, [2,256]; want.TYPE: what gguf.dequantize makes of them
    in               hard numbers for a quantiser, [3,256]; quantised.TYPE: what gguf.quantize makes of them
    reshaped         blocks that run over rows: [2,256] in the file, [4,8,4,4] as its metadata say (ComfyUI-GGUF)
"""
import pathlib
import sys

import gguf
import numpy

TOP = pathlib.Path(__file__).resolve().parent.parent
Type = gguf.GGMLQuantizationType
WRITABLE = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]
# Where the binary16 scales of a block are, in bytes.
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
          Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}


def blocks(kind, random, rows):
    """Random bits everywhere, scales of plausible size, one of them denormal and one zero."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (rows * 256 // block, size), dtype=numpy.uint8)
    for at in SCALES[kind]:
        scales = (random.standard_normal(len(data)) / 16).astype(numpy.float16)
        scales[-1:] = 3e-7 if at else 0
        data[:, at:at + 2] = scales.view(numpy.uint8).reshape(-1, 2)
    return data.reshape(rows, -1)


def hard_numbers(random):
    """Blocks of 32: gaussian, zeros, ties of magnitude, constants, tiny and huge ones, halves between two steps."""
    x = random.standard_normal((24, 32)).astype(numpy.float32)
    x[1] = 0
    x[2, ::2], x[2, 1::2] = 1, -1
    x[3, ::2], x[3, 1::2] = -1, 1
    x[4] = 0.75
    x[5] = -0.75
    x[6] *= 1e-6
    x[7] *= 1e4
    x[8] = numpy.arange(32) - 15.5
    x[9] = numpy.arange(32) / 2 - 8
    x[10] = (numpy.arange(32) - 16) * 127 / 16 + 0.5
    x[11] = numpy.linspace(-8, 7, 32)
    x[12] = numpy.abs(x[12])
    x[13] = -numpy.abs(x[13])
    x[14, 1:] = 0
    x[15] = numpy.float32(1) / 3
    x[15, 31] = 127
    return x.reshape(3, 256)


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "tests/golden/gguf/types.gguf")
    path.parent.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(20)
    w = gguf.GGUFWriter(path, "sd1")
    w.add_custom_alignment(64)
    w.add_string("general.name", "na\u00efve \U0001f431")
    for name, add, value in [("u8", w.add_uint8, 200), ("i8", w.add_int8, -100), ("u16", w.add_uint16, 60000),
                             ("i16", w.add_int16, -30000), ("u32", w.add_uint32, 4000000000),
                             ("i32", w.add_int32, -2000000000), ("f32", w.add_float32, 0.1),
                             ("u64", w.add_uint64, 2**64 - 1), ("i64", w.add_int64, -2**63),
                             ("f64", w.add_float64, 0.1), ("yes", w.add_bool, True), ("no", w.add_bool, False)]:
        add(f"value.{name}", value)
    w.add_array("list.i32", [1, -2, 3])
    w.add_array("list.f32", [0.5, 0.25])
    w.add_array("list.long", list(range(100)))
    w.add_array("list.texts", ["a", "bc", ""])
    w.add_array("comfy.gguf.orig_shape.reshaped", [4, 8, 4, 4])

    ramp = numpy.array([[1, -2, 3], [-4, 5, -6]])
    for name in ["float32", "float16", "float64"]:
        w.add_tensor(f"plain.{name}", (ramp / 4).astype(name))
    for name in ["int8", "int16", "int32", "int64"]:
        w.add_tensor(f"plain.{name}", ramp.astype(name))
    w.add_tensor("plain.bfloat16", gguf.quantize((ramp / 4).astype(numpy.float32), Type.BF16), raw_dtype=Type.BF16)
    for kind in SCALES:
        data = blocks(kind, random, 2)
        w.add_tensor(f"blocks.{kind.name}", data, raw_dtype=kind)
        w.add_tensor(f"want.{kind.name}", gguf.dequantize(data, kind))
    hard = hard_numbers(random)
    w.add_tensor("in", hard)
    for kind in WRITABLE:
        w.add_tensor(f"quantised.{kind.name}", gguf.quantize(hard, kind), raw_dtype=kind)
    w.add_tensor("reshaped", gguf.quantize(hard[:2], Type.Q8_0), raw_dtype=Type.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
