"""Weights of test models from an integer hash: the same few lines as tests/support/hashweights.c, bit-equal.

A network can be compared with the original library without storing its weights: both sides make them from the
name and the index of each element. With h = FNV-1a (Fowler, Noll, Vo; 32 bits) of the tensor's full name in
single-file form and fmix32 the finaliser of MurmurHash3 (Appleby), element i in C order is

    r = (fmix32(h + i * 0x9E3779B9) >> 8) * 2^-23 - 1           exact in f32, uniform on [-1, 1)

    rank >= 2           r * sqrt(3 / fan_in), fan_in = product(shape[1:])    a layer keeps the variance of its input
    rank 1, ".weight"   1 + 0.1 r                                            norms
    rank 1              0.1 r                                                biases
"""
import math

import numpy as np


def name_hash(name):
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def bits(name, first, count):
    """32 hashed bits for elements first .. first+count of the tensor `name`."""
    x = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B9) + np.uint64(name_hash(name))
    x = x.astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    return x ^ x >> np.uint32(16)


def uniform(name, first, count):
    return (bits(name, first, count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)


def values(name, shape, first=0, count=None):
    """Elements first .. first+count (all by default) of a weight, flat, f32."""
    r = uniform(name, first, math.prod(shape) if count is None else count)
    if len(shape) >= 2:
        return np.float32(math.sqrt(3.0 / math.prod(shape[1:]))) * r
    if name.endswith(".weight"):
        return np.float32(1) + np.float32(0.1) * r
    return np.float32(0.1) * r


def normal_like(name, shape):
    """An input for a network: uniform with variance 1."""
    return (np.float32(math.sqrt(3.0)) * uniform(name, 0, math.prod(shape))).reshape(shape)


def token_ids(name, shape, vocab):
    return (bits(name, 0, math.prod(shape)) % np.uint32(vocab)).astype(np.int32).reshape(shape)
