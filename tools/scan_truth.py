"""What Python itself finds in the pickles of the golden checkpoints: operations (pickletools) and names (an unpickler
whose every class stands for nothing). Part of golden_torchfile.py."""
import collections
import io
import pickle
import pickletools
import zipfile


class Stand:
    """Stands for any class, function or object."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, *_, **__):
        return Stand()

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def __reduce_ex__(self, protocol):
        raise TypeError

    append = extend = add = update = __setstate__


class Recorder(pickle._Unpickler):
    def __init__(self, file):
        super().__init__(file, encoding="latin-1")
        self.names = []

    def find_class(self, module, name):
        self.names.append(f"{module}.{name}")
        return Stand

    def persistent_load(self, pid):
        if pid[0] == "module":
            return pid[1]
        return Stand()


def pickles_of(path):
    data = path.read_bytes()
    if data[:2] == b"PK":
        with zipfile.ZipFile(path) as z:
            return [z.read(next(n for n in z.namelist() if n.endswith("/data.pkl")))]
    stream, pickles = io.BytesIO(data), []
    for _ in range(5):
        start = stream.tell()
        for _ in pickletools.genops(stream):
            pass
        pickles.append(data[start:stream.tell()])
    return pickles


def write(folder, paths):
    """scan.tsv: file, operations as NAME=count, names in order."""
    lines = ["# what Python finds in the pickles of these files: file, operations, names"]
    for path in sorted(paths):
        operations, names = collections.Counter(), []
        for data in pickles_of(path):
            operations.update(op.name for op, _, _ in pickletools.genops(data))
            recorder = Recorder(io.BytesIO(data))
            recorder.load()
            names += recorder.names
        lines.append("\t".join([path.name, " ".join(f"{k}={v}" for k, v in sorted(operations.items())), " ".join(names)]))
    (folder / "scan.tsv").write_text("\n".join(lines) + "\n")
