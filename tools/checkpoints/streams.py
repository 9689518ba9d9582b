"""Safetensors files written as a stream: headers first, then the numbers, a few million at a time.

A file is a list of Entry; what it holds beside weights (integers, decoys) are Entries with ready bytes. `plan`
decides about types and rounding, one rule for all forms:

    kind      type of every tensor, or a function of its name
    through   values are rounded to this type first (or a function): the twin of a file of that type in a wider one
"""
import dataclasses
import json
import math
import struct

import hashweights

from . import numbers


@dataclasses.dataclass
class Entry:
    name: str
    shape: tuple
    kind: str
    stored: object = None       # numbers come from here,
    through: str = "f32"        #   rounded on the way;
    data: bytes = b""           # or from here

    @property
    def size(self):
        return math.prod(self.shape) * numbers.BYTES[self.kind]

    def chunks(self):
        if self.stored is None:
            yield self.data
            return
        for piece in numbers.pieces(self.stored):
            yield numbers.encode(numbers.through(piece, self.through), self.kind)

    def array(self):
        """All values, f32, in shape. Not for full-size models."""
        import numpy as np
        parts = [numbers.through(p, self.through) for p in numbers.pieces(self.stored)]
        return np.concatenate(parts).reshape(self.shape)


def chosen(rule, name):
    return rule(name) if callable(rule) else rule


def plan(tensors, kind="f32", through="f32"):
    """Rules see the name that the numbers come from, so that spelling does not change a type."""
    return [Entry(t.name, t.shape, chosen(kind, t.sources[0][0]), t, chosen(through, t.sources[0][0]))
            for t in tensors]


def shuffled(entries):
    return sorted(entries, key=lambda e: hashweights.name_hash(e.name))


def header(entries, metadata):
    table, offset = {"__metadata__": {"format": "pt", **(metadata or {})}}, 0
    for e in entries:
        table[e.name] = {"dtype": numbers.SAFETENSORS[e.kind], "shape": list(e.shape),
                         "data_offsets": [offset, offset + e.size]}
        offset += e.size
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write(path, entries, metadata=None):
    with open(path, "wb") as f:
        f.write(header(entries, metadata))
        for e in entries:
            for chunk in e.chunks():
                f.write(chunk)
    return path


def write_shards(folder, stem, entries, limit, variant=""):
    """STEM-00001-of-0000N.safetensors and the index; no shard above `limit` bytes but for one large tensor.
    `variant` as huggingface_hub puts it: STEM.fp16-00001-of-..., STEM.safetensors.index.fp16.json."""
    shards, size = [[]], 0
    for e in entries:
        if shards[-1] and size + e.size > limit:
            shards.append([])
            size = 0
        shards[-1].append(e)
        size += e.size
    dot = f".{variant}" if variant else ""
    names = [f"{stem}{dot}-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards):
        write(folder / name, shard)
    index = {"metadata": {"total_size": sum(e.size for e in entries)},
             "weight_map": {e.name: name for name, shard in zip(names, shards) for e in shard}}
    path = folder / f"{stem}.safetensors.index{dot}.json"
    path.write_text(json.dumps(index, indent=2) + "\n")
    return path
