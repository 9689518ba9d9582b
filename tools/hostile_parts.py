"""What the hostile files of make_hostile_pickles.py are put together from: words of the pickle language, the archives
around a pickle, and the calls that would leave a mark if anything ran."""
import io
import pickle
import struct
import tarfile
import zipfile

MARKER = "sdgen_hostile_marker"  # a file of this name appears where a payload runs
TOUCH = f"touch {MARKER}"
PYTHON = f"open({MARKER!r}, 'w').close()"
MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
FLOATS16 = struct.pack("<4f", 1, 2, 3, 4)


# ---- pickle

def text(value):
    value = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(value)) + value


def short(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def number(value):
    if -2**31 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def value(thing):
    """A value of plain Python, or, as bytes, the operations that make it."""
    if isinstance(thing, bytes):
        return thing
    if isinstance(thing, bool):
        return b"\x88" if thing else b"\x89"
    if isinstance(thing, int):
        return number(thing)
    if isinstance(thing, float):
        return b"G" + struct.pack(">d", thing)
    if thing is None:
        return b"N"
    if isinstance(thing, str):
        return text(thing)
    if isinstance(thing, tuple):
        return b"(" + b"".join(map(value, thing)) + b"t"
    if isinstance(thing, list):
        return b"](" + b"".join(map(value, thing)) + b"e"
    if isinstance(thing, dict):
        return b"}(" + b"".join(value(k) + value(v) for k, v in thing.items()) + b"u"
    raise TypeError(thing)


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


def call(module, name, *arguments):
    return name_of(module, name) + value(arguments) + b"R"


def whole(body, protocol=2):
    return b"\x80" + bytes([protocol]) + body + b"."


SYSTEM = call("posix", "system", TOUCH)
ORDERED = name_of("collections", "OrderedDict") + b")R"


def storage(count=4, key="0", kind="FloatStorage", more=b""):
    return b"(" + text("storage") + name_of("torch", kind) + text(key) + text("cpu") + number(count) + more + b"tQ"


def tensor(source=None, offset=0, size=(4,), stride=(1,), grad=False, hooks=ORDERED):
    return (name_of("torch._utils", "_rebuild_tensor_v2") + b"(" + (source or storage()) + value(offset) + value(size)
            + value(stride) + value(grad) + hooks + b"tR")


def state(*pairs):
    """A state_dict with one good tensor and what else it is given."""
    return whole(b"}(" + text("a") + tensor() + b"".join(value(p) for p in pairs) + b"u")


# ---- around it

def archive(body, extra=(), storages=None, top="archive"):
    """A zip as torch.save lays it out. extra: (name, bytes) behind the others."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        entries = [(f"{top}/data.pkl", body), (f"{top}/version", b"3\n")]
        entries += [(f"{top}/data/{k}", v) for k, v in (storages or {"0": FLOATS16}).items()]
        for name, data in entries + list(extra):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            z.writestr(info, data)
    return out.getvalue()


SYS_INFO = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}


def counted(data=FLOATS16, count=4):
    return struct.pack("<q", count) + data


def legacy_storage(count=4, key="7", view=b"N", kind="FloatStorage"):
    return storage(count, key, kind, view)


def stream(body=None, protocol=None, sys_info=None, keys=None, numbers=None):
    """A file of before PyTorch 1.6; each part can be replaced."""
    if body is None:
        body = whole(value({"a": tensor(legacy_storage())}))
    return (MAGIC + (protocol or whole(b"M\xe9\x03")) + (sys_info or whole(value(SYS_INFO))) + body
            + (keys if keys is not None else whole(value(["7"]))) + (numbers if numbers is not None else counted()))


def add(archive_, name, data, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, content in fields.items():
        setattr(info, field, content)
    archive_.addfile(info, io.BytesIO(data))


def tar(body=None, storages=None, tensors=None, more=(), order=("sys_info", "pickle", "tensors", "storages")):
    """A file of before PyTorch 0.1.12."""
    members = {
        "sys_info": whole(value({"protocol_version": 1000})),
        "pickle": body or whole(value({"a": text("16") + b"Q"})),
        "tensors": tensors or tar_tensors(),
        "storages": storages or tar_storages(),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for name in order:
            add(t, name, members[name])
        for name, data, fields in more:
            add(t, name, data, **fields)
    return out.getvalue()


def tar_storages(how_many=1, key=8, count=4, data=FLOATS16, views=b"]", kind=None, behind=b""):
    one = whole(value((key, "cpu", kind or name_of("torch", "FloatStorage")))) + struct.pack("<q", count) + data
    return whole(value(how_many)) + one + whole(views) + behind


def tar_tensors(how_many=1, key=16, on=8, dims=1, size=(4,), stride=(1,), offset=0, behind=b""):
    one = whole(value((key, on, name_of("torch", "FloatTensor"))))
    one += struct.pack(f"<ii{len(size)}q{len(stride)}qq", dims, 0, *size, *stride, offset)
    return whole(value(how_many)) + one + behind


def changed(data, at, new):
    return data[:at] + new + data[at + len(new):]


def tar_sum(data):
    """Sets the checksum of the first header right."""
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def zip_field(data, signature, at, new, which=0):
    """Changes a field of the which-th record of that signature."""
    place = -1
    for _ in range(which + 1):
        place = data.index(signature, place + 1)
    return changed(data, place + at, new)


def safetensors(pairs=b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', numbers=FLOATS16):
    return struct.pack("<Q", len(pairs)) + pairs + numbers


def inner(thing):
    """A whole pickle as a value that another one carries."""
    data = pickle.dumps(thing, 2) if not isinstance(thing, bytes) else thing
    return b"B" + struct.pack("<I", len(data)) + data
