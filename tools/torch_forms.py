"""Files as PyTorch and Python wrote them long ago, which no torch.save of today does: written here by hand, and read
back by torch.load. Part of golden_torchfile.py.

tar_NAME.pt: the archive of PyTorch before 0.1.12, as torch/serialization.py (legacy_load in _legacy_load) reads it.
legacy_python2.pt: Python 2's OrderedDict (called with a list of pairs), its byte strings, a Parameter of before 0.4.
legacy_parts.pt: storages that are views of others (view_metadata of _legacy_load).
"""
import collections
import io
import pickle
import struct
import tarfile

import torch
from safetensors.torch import save_file

CLASS = {torch.float32: "Float", torch.float16: "Half", torch.float64: "Double", torch.int64: "Long",
         torch.int32: "Int", torch.int16: "Short", torch.int8: "Char", torch.uint8: "Byte"}
KEY = 94000000000000  # like the address of an object


def raw(tensor):
    """The bytes of the storage below a tensor."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy().tobytes()


def counted(tensor):
    """A storage as the files hold it: how many elements, then the elements."""
    return struct.pack("<q", len(raw(tensor)) // tensor.element_size()) + raw(tensor)


def ramp(*shape, dtype=torch.float32):
    return (torch.arange(torch.Size(shape).numel()) * 3 - 5).reshape(shape).to(dtype)


# ---- tar

class Named:
    """Is pickled as the class of that name, which may be gone from today's torch."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Saved:
    """Is pickled as the persistent id of a tensor."""

    def __init__(self, key):
        self.key = key


class Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def persistent_id(self, thing):
        return str(thing.key) if isinstance(thing, Saved) else None

    def save_named(self, named):
        self.write(f"c{named.module}\n{named.name}\n".encode())

    dispatch[Named] = save_named


def pickled(value):
    body = io.BytesIO()
    Pickler(body, 2).dump(value)
    return body.getvalue()


def write_tar(path, tensors, saved, parts=(), layout=tarfile.PAX_FORMAT):
    """tensors: name -> tensor. saved: what is pickled, made by a function of the tensors' stand-ins. parts: (name of a
    tensor, name of the one in whose storage it lies, offset there)."""
    keys = {name: KEY + 16 * i for i, name in enumerate(tensors)}
    inner = {part for part, _, _ in parts}
    whole = {}  # address of a storage -> key, tensor
    for name, tensor in tensors.items():
        if name not in inner:
            whole.setdefault(tensor.untyped_storage()._cdata, (keys[name] + 8, tensor))
    storages = pickled(len(whole))
    for key, tensor in whole.values():
        storages += pickled((key, "cpu", Named("torch", CLASS[tensor.dtype] + "Storage"))) + counted(tensor)
    storages += pickled([(keys[part] + 8, keys[owner] + 8, offset, tensors[part].numel())
                         for part, owner, offset in parts])
    windows = pickled(len(tensors))
    for name, tensor in tensors.items():
        key = keys[name] + 8 if name in inner else whole[tensor.untyped_storage()._cdata][0]
        offset = 0 if name in inner else tensor.storage_offset()
        windows += pickled((keys[name], key, Named("torch", CLASS[tensor.dtype] + "Tensor")))
        windows += struct.pack(f"<ii{2 * tensor.dim()}qq", tensor.dim(), 0, *tensor.shape, *tensor.stride(), offset)
    machine = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
    members = {"sys_info": pickled(machine), "pickle": pickled(saved({n: Saved(k) for n, k in keys.items()})),
               "tensors": windows, "storages": storages}
    with tarfile.open(path, "w", format=layout) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1480000000.25  # of a file: with fractions
            archive.addfile(member, io.BytesIO(data))


def tar_plain(folder):
    tensors = {f"kind.{name.lower()}": ramp(2, 3, dtype=dtype) for dtype, name in CLASS.items()}
    write_tar(folder / "tar_plain.pt", tensors, collections.OrderedDict)
    write_tar(folder / "tar_gnu.pt", tensors, collections.OrderedDict, layout=tarfile.GNU_FORMAT)
    return tensors


def tar_views(folder):
    base, other = ramp(4, 6), ramp(12)
    tensors = {"whole": base, "row": base[2], "turned": base.t(), "step": base[:, ::2], "big": other,
               "part": other[2:8].clone(), "scalar": torch.tensor(2.5), "none": ramp(0, 3)}
    write_tar(folder / "tar_views.pt", tensors, lambda of: {"epoch": 3, "state_dict": of, "loss": 0.5},
              parts=[("part", "big", 2)])
    return tensors


# ---- the stream of pickles

def text(value):
    """A byte string of Python 2."""
    return b"U" + bytes([len(value)]) + value.encode("latin-1")


def number(value):
    return b"J" + struct.pack("<i", value)


def storage(name, key, count, view=None):
    seen = b"N" if view is None else text(str(view[0])) + number(view[1]) + number(view[2]) + b"\x87"
    return b"(" + text("storage") + b"ctorch\n" + name + b"\n" + text(str(key)) + text("cpu") + number(count) + seen + b"tQ"


def tensor_of(source, shape, stride):
    def many(values):
        return b"(" + b"".join(number(v) for v in values) + b"t"
    return b"ctorch._utils\n_rebuild_tensor\n(" + source + number(0) + many(shape) + many(stride) + b"tR"


def write_stream(path, body, storages):
    """body: the pickled object. storages: key -> a tensor on that storage."""
    head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    sizes = b"}(" + text("short") + b"K\x02" + text("int") + b"K\x04" + text("long") + b"K\x08u"
    machine = (b"\x80\x02}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian") + b"\x88"
               + text("type_sizes") + sizes + b"u.")
    keys = sorted(storages, key=str)
    listed = b"\x80\x02](" + b"".join(text(str(k)) for k in keys) + b"e."
    path.write_bytes(head + machine + b"\x80\x02" + body + b"." + listed + b"".join(counted(storages[k]) for k in keys))


def python2(folder):
    """As Python 2 and PyTorch 0.3 wrote a state_dict."""
    weight, bias = ramp(3, 4), ramp(3, dtype=torch.float16)
    ordered = b"ccollections\nOrderedDict\n"
    parameter = (b"ctorch.nn.parameter\nParameter\n" + tensor_of(storage(b"HalfStorage", KEY + 64, 3), (3,), (1,))
                 + b"\x85R\x88\x89" + ordered + b"]\x85R\x87b")
    pairs = (b"](" + b"](" + text("layer.weight") + tensor_of(storage(b"FloatStorage", KEY, 12), (3, 4), (4, 1)) + b"e"
             + b"](" + text("layer.bias") + parameter + b"ee")
    write_stream(folder / "legacy_python2.pt", ordered + pairs + b"\x85R", {KEY: weight, KEY + 64: bias})
    return {"layer.weight": weight, "layer.bias": bias}


def parts(folder):
    """Two storages that are parts of a third."""
    whole = ramp(10)

    def part(key, offset, count):
        return storage(b"FloatStorage", KEY, 10, (key, offset, count))

    body = (b"}(" + text("first") + tensor_of(part(KEY + 8, 0, 4), (2, 2), (2, 1))
            + text("second") + tensor_of(part(KEY + 16, 4, 6), (3, 2), (1, 3))
            + text("all") + tensor_of(storage(b"FloatStorage", KEY, 10), (10,), (1,)) + b"u")
    write_stream(folder / "legacy_parts.pt", body, {KEY: whole})
    return {"first": whole[:4].reshape(2, 2), "second": whole[4:].reshape(2, 3).t(), "all": whole}


def write(folder):
    """Each file with its twin; torch.load must find the same in both."""
    made = {"legacy_python2": python2(folder), "legacy_parts": parts(folder), "tar_plain": tar_plain(folder),
            "tar_views": tar_views(folder)}
    for name, tensors in made.items():
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / f"{name}.safetensors")
        loaded = torch.load(folder / f"{name}.pt", weights_only=False, encoding="latin-1")
        loaded = loaded.get("state_dict", loaded)
        assert sorted(loaded) == sorted(tensors), (name, sorted(loaded))
        for key, value in tensors.items():
            assert loaded[key].dtype == value.dtype and torch.equal(loaded[key].detach(), value), (name, key)
