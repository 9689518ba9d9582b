"""The numbers of tensors, in every type that files have.

`pieces` makes the values of a Stored tensor a few million at a time (so a full-size file needs a few MB of memory),
`encode` turns f32 into the bytes of a type, `through` rounds f32 to what a type can hold. Only numpy is needed;
GGUF's blocks come from the gguf package.
"""
import math

import numpy as np

import hashweights

PIECE = 1 << 22     # elements made at a time; a multiple of every block
FLOATS = ("f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "f64")
SAFETENSORS = {"f32": "F32", "f16": "F16", "bf16": "BF16", "f8_e4m3": "F8_E4M3", "f8_e5m2": "F8_E5M2", "f64": "F64",
               "i64": "I64"}
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1, "f64": 8, "i64": 8}


def pieces(stored):
    """f32 values in the order of the file. A transposed tensor is made whole: only small ones are."""
    for name, shape in stored.sources:
        count = math.prod(shape)
        if stored.transposed:
            yield hashweights.values(name, shape).reshape(shape).T.ravel()
            continue
        for first in range(0, count, PIECE):
            yield hashweights.values(name, shape, first, min(PIECE, count - first))


def bf16_bits(x):
    """Upper half of f32, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


# bits of the exponent, of the significand, bias (Micikevicius et al. 2022, table 1); E4M3 without infinities
EIGHT = {"f8_e4m3": (4, 3, 7), "f8_e5m2": (5, 2, 15)}


def f8_values(kind):
    """All 256 values of a type; nan for what is no finite number."""
    exponent_bits, mantissa_bits, bias = EIGHT[kind]
    code = np.arange(256)
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = code & (1 << mantissa_bits) - 1
    normal = (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
    tiny = mantissa / (1 << mantissa_bits) * 2.0 ** (1 - bias)
    value = np.where(exponent > 0, normal, tiny) * np.where(code < 128, 1, -1)
    top = exponent == (1 << exponent_bits) - 1
    value[top & (mantissa == 7) if kind == "f8_e4m3" else top] = np.nan
    return value.astype(np.float32)


def f8_bits(x, kind):
    """The nearest code; between two the one with an even mantissa. Values beyond the largest become the largest."""
    value = f8_values(kind)
    codes = np.flatnonzero(np.isfinite(value[:128]))        # codes of one sign are in order
    positive = value[codes]
    middles = ((positive[:-1].astype(np.float64) + positive[1:]) / 2).astype(np.float32)    # exact
    size = np.abs(np.asarray(x, np.float32))
    low = np.searchsorted(middles, size, "left")            # a tie goes down here
    high = np.searchsorted(middles, size, "right")
    code = np.where(low % 2 == 0, low, high).astype(np.uint8)
    return code | (np.signbit(x).astype(np.uint8) << 7)


def encode(x, kind):
    if kind == "f32":
        return np.ascontiguousarray(x, np.float32).tobytes()
    if kind == "f16":
        return x.astype(np.float16).tobytes()
    if kind == "f64":
        return x.astype(np.float64).tobytes()
    if kind == "bf16":
        return bf16_bits(x).tobytes()
    if kind in EIGHT:
        return f8_bits(x, kind).tobytes()
    raise ValueError(f"no type {kind}")


def through(x, kind):
    """What is left of f32 values after a stay in `kind`, in f32."""
    if kind == "f16":
        return x.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        return (bf16_bits(x).astype(np.uint32) << 16).view(np.float32)
    if kind in EIGHT:
        return f8_values(kind)[f8_bits(x, kind)]
    return x


def mixed(name):
    """A type for each tensor, as in checkpoints that were cut down part by part."""
    return ("f32", "f16", "bf16")[hashweights.name_hash(name) % 3]
