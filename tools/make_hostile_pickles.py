"""Writes tests/golden/hostile.tsv: PyTorch files that mean harm, each of which sdgen must refuse for the reason that is
named beside it. Read by tests/test_hostile_pickles.c.

usage: make_hostile_pickles.py [--prove] [--scanners] [FILE]

A line is a case: what it is, a piece of the message that must refuse it, and the file, compressed (zlib) and in
base64. Payloads would create a file named sdgen_hostile_marker in the current folder and do nothing else.
--prove runs those that can run here in Python, unsafely, each in a folder and process of its own: a case that leaves no
mark there would prove nothing. --scanners asks picklescan and fickling, from which many of the ideas are, which of the
zip files they find.
"""
import argparse
import base64
import io
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib

from hostile_parts import *  # the words that everything below is written in

TOP = pathlib.Path(__file__).resolve().parent.parent
CASES = []  # name, wanted, file, what proves it: a pickle, "torch", or None


def case(name, wanted, data, proof=None):
    CASES.append((name, wanted, data, proof))


def pickled(name, wanted, *pairs, live=False):
    """A zip whose dict holds a good tensor and more."""
    body = state(*pairs)
    case(name, wanted, archive(body), "torch" if live else None)


# ---- names: anything that is no part of a tensor is refused before it is called

LIVE_CALLS = [
    ("os", "system", TOUCH), ("posix", "system", TOUCH), ("subprocess", "call", ["touch", MARKER]),
    ("subprocess", "Popen", ["touch", MARKER]), ("subprocess", "check_output", ["touch", MARKER]),
    ("subprocess", "getoutput", TOUCH), ("os", "popen", TOUCH), ("os", "mkdir", MARKER), ("pty", "spawn", ["touch", MARKER]),
    ("builtins", "exec", PYTHON), ("builtins", "eval", PYTHON), ("__builtin__", "eval", PYTHON),
    ("builtins", "open", MARKER, "w"), ("io", "open", MARKER, "w"), ("_io", "FileIO", MARKER, "w"),
    ("codecs", "open", MARKER, "w"), ("shutil", "copyfile", "/dev/null", MARKER), ("logging", "FileHandler", MARKER),
    ("sqlite3", "connect", MARKER), ("zipfile", "ZipFile", MARKER, "w"), ("gzip", "open", MARKER, "w"),
    ("timeit", "timeit", PYTHON, "pass"), ("cProfile", "run", PYTHON), ("profile", "run", PYTHON), ("pdb", "run", PYTHON[:0] + "1"),
    ("pickle", "loads", inner(whole(SYSTEM))), ("_pickle", "loads", inner(whole(SYSTEM))),
    ("pydoc", "pipepager", "", TOUCH), ("distutils.file_util", "write_file", MARKER, []),
    ("numpy.testing._private.utils", "runstring", PYTHON, {}), ("torch.utils.collect_env", "run", TOUCH),
    ("torch.jit.unsupported_tensor_ops", "execWrapper", PYTHON, {}, {}), ("imaplib", "IMAP4_stream", TOUCH),
    ("torch.storage", "_load_from_bytes", inner(whole(SYSTEM))), ("uuid", "_get_command_stdout", "sh", "-c", TOUCH),
]
UNRUN = {("pdb", "run"), ("torch.storage", "_load_from_bytes"), ("uuid", "_get_command_stdout"), ("imaplib", "IMAP4_stream"),
         ("torch.jit.unsupported_tensor_ops", "execWrapper"), ("distutils.file_util", "write_file"), ("pty", "spawn")}
CALLS = [
    ("nt", "system", "calc"), ("commands", "getoutput", TOUCH), ("popen2", "popen3", TOUCH), ("sys", "exit", 3),
    ("builtins", "__import__", "antigravity"), ("builtins", "compile", PYTHON, "x", "exec"), ("builtins", "breakpoint"),
    ("builtins", "getattr", ORDERED, "__class__"), ("builtins", "globals"), ("__builtin__", "execfile", "/etc/passwd"),
    ("runpy", "run_path", "payload.py"), ("runpy", "_run_code", PYTHON, {}), ("importlib", "import_module", "antigravity"),
    ("imp", "load_source", "x", "payload.py"), ("code", "InteractiveInterpreter"), ("codeop", "compile_command", PYTHON),
    ("webbrowser", "open", "http://127.0.0.1/"), ("socket", "create_connection", ("127.0.0.1", 9)),
    ("ssl", "get_server_certificate", ("127.0.0.1", 9)), ("urllib.request", "urlopen", "http://127.0.0.1/"),
    ("http.client", "HTTPSConnection", "127.0.0.1"), ("requests.api", "get", "http://127.0.0.1/"),
    ("httplib", "HTTPConnection", "127.0.0.1"), ("ftplib", "FTP", "127.0.0.1"), ("smtplib", "SMTP", "127.0.0.1"),
    ("telnetlib", "Telnet", "127.0.0.1"), ("xmlrpc.client", "ServerProxy", "http://127.0.0.1/"),
    ("asyncio", "create_subprocess_shell", TOUCH), ("multiprocessing", "Process"), ("threading", "Thread"),
    ("ctypes", "CDLL", None), ("_ctypes", "dlopen", "x.so", 2), ("marshal", "loads", b"U\x01x"),
    ("types", "CodeType"), ("types", "FunctionType"), ("functools", "partial", name_of("os", "system"), TOUCH),
    ("functools", "reduce", name_of("os", "system"), [TOUCH]), ("operator", "attrgetter", "system"),
    ("operator", "methodcaller", "system", TOUCH), ("_operator", "itemgetter", 0), ("itertools", "starmap"),
    ("bdb", "Bdb"), ("trace", "Trace"), ("doctest", "debug_script", PYTHON, "x"), ("unittest", "main"),
    ("test.support.script_helper", "assert_python_ok", "-c", PYTHON), ("pip", "main", ["list"]),
    ("ensurepip", "_run_pip", []), ("venv", "create", "x"), ("pkgutil", "resolve_name", "os:system"),
    ("tempfile", "mkstemp"), ("os", "remove", "x"), ("os", "execv", "/bin/true", ["x"]), ("glob", "glob", "/*"),
    ("linecache", "getline", "/etc/passwd", 1), ("signal", "alarm", 1), ("atexit", "register", name_of("os", "abort")),
    ("gc", "get_objects"), ("inspect", "getsource"), ("ast", "literal_eval", "1"), ("shelve", "open", MARKER),
    ("dill", "loads", b"U\x01x"), ("joblib", "load", "x"), ("pandas", "read_pickle", "x"), ("numpy", "load", "x"),
    ("numpy.f2py.crackfortran", "getlincoef", PYTHON, {}), ("cloudpickle.cloudpickle", "_make_function"),
    ("torch.serialization", "load", "x"), ("torch", "load", "x"), ("torch.hub", "load", "x", "y"),
    ("torch._inductor.codecache", "compile_file", "", "", ["sh"]), ("torch.jit", "load", "x"),
    ("torch.package", "PackageImporter", "x"), ("torch.fx.experimental.symbolic_shapes", "ShapeEnv"),
    ("idlelib.run", "Executive"), ("lib2to3.pgen2.grammar", "Grammar"), ("copyreg", "add_extension", "os", "system", 1),
    ("_osx_support", "_read_output", TOUCH), ("_pyrepl.pager", "pipe_pager", "", TOUCH), ("antigravity", "geohash"),
    ("collections", "OrderedDict.__init__.__globals__"), ("torch._utils", "torch.serialization.os.system", TOUCH),
    ("transformers", "AutoModel"), ("__main__", "Payload"), ("pytorch_lightningly", "Trainer"), ("", "system"), ("os", ""),
]


def names():
    for module, name, *arguments in LIVE_CALLS:
        wanted = f"it refers to {module}.{name}"
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            wanted = "a pickle inside of a pickle"
        pickled(f"call {module}.{name}", wanted, "x", call(module, name, *arguments), live=(module, name) not in UNRUN)
    for module, name, *arguments in CALLS:
        pickled(f"call {module}.{name}", f"it refers to {module}.{name}", "x", call(module, name, *arguments))


# ---- where a call can hide

def places():
    system = name_of("posix", "system")
    refused = "it refers to posix.system"
    pickled("as a key", refused, SYSTEM, 1, live=True)
    pickled("as a value of an inner dict", refused, "x", {"y": {"z": SYSTEM}}, live=True)
    pickled("in a list of a tuple", refused, "x", (1, [2, (SYSTEM,)]), live=True)
    pickled("as an argument of OrderedDict", refused, "x",
            name_of("collections", "OrderedDict") + b"](" + value(["k", SYSTEM]) + b"e\x85R", live=True)
    pickled("as the hooks of a tensor", refused, "x", tensor(hooks=SYSTEM), live=True)
    pickled("as the size of a tensor", refused, "x", tensor(size=SYSTEM), live=True)
    pickled("as the storage of a tensor", refused, "x", tensor(source=SYSTEM), live=True)
    pickled("as the location of a storage", refused, "x",
            b"(" + text("storage") + name_of("torch", "FloatStorage") + text("0") + SYSTEM + number(4) + b"tQ", live=True)
    pickled("as the metadata of a state", refused, "x", ORDERED + value({"_metadata": SYSTEM}) + b"b", live=True)
    pickled("as the state of a parameter", refused, "x",
            name_of("torch._utils", "_rebuild_parameter_with_state") + b"(" + tensor() + value(True) + ORDERED + SYSTEM
            + b"tR", live=True)
    pickled("in what a typed tensor is made by", "own type", "x",
            name_of("torch._tensor", "_rebuild_from_type_v2")
            + value((name_of("torch._utils", "_rebuild_parameter"), name_of("torch", "Tensor"), (), {})) + b"R")
    pickled("in an object of Lightning", refused, "x", call("pytorch_lightning.callbacks", "Callback", SYSTEM))
    pickled("in NumPy's scalar", refused, "x", call("numpy.core.multiarray", "scalar", SYSTEM), live=True)
    pickled("in the state of an inert object", refused, "x", call("argparse", "Namespace") + SYSTEM + b"b", live=True)
    pickled("in a set", refused, "x", b"\x8f(" + SYSTEM + b"\x90", live=True)
    pickled("in a frozen set", refused, "x", b"(" + SYSTEM + b"\x91", live=True)
    pickled("a call of a call", refused, "x", system + value((TOUCH,)) + b"R)R", live=True)
    pickled("a class that is called by NEWOBJ", "it refers to subprocess.Popen", "x",
            name_of("subprocess", "Popen") + value((["touch", MARKER],)) + b"\x81")
    pickled("a state for a module", "it refers to os.environ", "x", name_of("os", "environ") + value({"A": "b"}) + b"b")
    pickled("items for a module's dict", "it refers to sys.modules", "x", name_of("sys", "modules") + value("os") + b"Ns")
    before = whole(b"}(" + SYSTEM + b"0" + text("a") + tensor() + b"u")
    case("dropped from the stack before the end", refused, archive(before), "torch")
    case("a second pickle behind", "something follows its end", archive(state() + whole(SYSTEM)))
    case("a pickle without an end", "it ends too early", archive(state()[:-1]))
    case("a call, then a broken end", refused, archive(whole(SYSTEM)[:-1] + b"\xff\xff"), "torch")


# ---- operations

def operations():
    pickled("INST", "operation INST", "x", b"(" + text(TOUCH) + b"iposix\nsystem\n", live=True)
    pickled("OBJ", "refers to posix.system", "x", b"(" + name_of("posix", "system") + text(TOUCH) + b"o", live=True)
    pickled("OBJ of an allowed class", "operation OBJ", "x", b"(" + name_of("collections", "OrderedDict") + b"o")
    pickled("NEWOBJ_EX", "operation NEWOBJ_EX", "x", name_of("collections", "OrderedDict") + b")}\x92")
    pickled("EXT1", "operation EXT1", "x", b"\x82\x01")
    pickled("EXT2", "operation EXT2", "x", b"\x83\x01\x01")
    pickled("EXT4", "operation EXT4", "x", b"\x84\x01\x01\x01\x01")
    stacked = whole(b"}" + short("a") + short("posix") + short("system") + b"\x93" + short(TOUCH) + b"\x85Rs", 4)
    case("STACK_GLOBAL", "it refers to posix.system", archive(stacked), "torch")
    pickled("STACK_GLOBAL of a path", "it refers to collections.OrderedDict.fromkeys", "x",
            short("collections") + short("OrderedDict.fromkeys") + b"\x93" + value(("ab",)) + b"R")
    pickled("STACK_GLOBAL of numbers", "a name that is no text", "x", number(1) + number(2) + b"\x93")
    pickled("STACK_GLOBAL of an empty stack", "lacks its operands", "x", b"(\x93")
    made = short("posix") + b"\x94" + short("sys") + b"0" + short("system") + b"\x93" + short(TOUCH) + b"\x85R"
    pickled("STACK_GLOBAL behind a dropped text", "operation POP", "x", made, live=True)
    pickled("PERSID", "operation PERSID", "x", b"Pposix.system\n")
    pickled("DUP", "operation DUP", "x", text("x") + b"20")
    pickled("POP", "operation POP", "x", b"N0N")
    pickled("POP_MARK", "operation POP_MARK", "x", b"(N1N")
    pickled("LONG4", "operation LONG4", "x", b"\x8b\xff\xff\xff\x7f")
    pickled("STRING", "operation STRING", "x", b"S'x'\n")
    pickled("UNICODE", "operation UNICODE", "x", b"Vx\\u000a\n")
    pickled("LIST", "operation LIST", "x", b"(l")
    pickled("DICT", "operation DICT", "x", b"(d")
    pickled("NEXT_BUFFER", "operation NEXT_BUFFER", "x", b"\x97")
    pickled("READONLY_BUFFER", "operation READONLY_BUFFER", "x", b"N\x98")
    pickled("no operation", "0x7f is no operation", "x", b"\x7f")
    case("protocol 6", "protocol 6 is unknown", archive(whole(b"}", 6)))
    case("protocol 255", "protocol 255 is unknown", archive(whole(b"}", 255)))
    case("protocol 0", "operation DICT",
         archive(b"(dp0\nS'a'\np1\ncposix\nsystem\n(S'" + TOUCH.encode() + b"'\ntRs."), "torch")


# ---- the memo

def memo():
    pickled("a value before it is remembered", "was never remembered", "x", b"h\x05")
    pickled("a value of the long kind before it is remembered", "was never remembered", "x", b"j\x00\x00\x01\x00")
    pickled("a value of the text kind before it is remembered", "was never remembered", "x", b"g123\n")
    pickled("remembered at the end of memory", "remembered values", "x", b"Nr\xff\xff\xff\xff")
    pickled("remembered far ahead", "is remembered after only", "x", b"Nr\xa0\x86\x01\x00")
    pickled("remembered at 10^30", "has no number", "x", b"Np1" + b"0" * 30 + b"\n")
    pickled("remembered below zero", "has no number", "x", b"Np-1\n")
    pickled("remembered at a word", "has no number", "x", b"Npos.system\n")
    pickled("nothing to remember", "lacks its operands", "x", b"(\x94")
    over = short("collections") + b"q\x07" + short("posix") + b"q\x07" + short("system") + b"q\x08" + b"h\x07h\x08\x93"
    pickled("a module's name that is overwritten", "it refers to posix.system", "x",
            over + value((TOUCH,)) + b"R" + b"q\x09" + b"N\x86\x86\x86")
    pickled("a function that is overwritten", "a call of what is no function", "x",
            name_of("collections", "OrderedDict") + b"q\x07" + text("x") + b"q\x07" + b"h\x07)R")
    pickled("a storage that is overwritten", "described wrongly", "x",
            storage() + b"q\x07" + text("x") + b"q\x07" + tensor(source=b"h\x07"))
    pickled("a list in itself", "a list holds itself", "x", b"]q\x07h\x07a")
    pickled("a list in itself by a detour", "nested more than", "x", b"]q\x07" + b"h\x07\x85a" * 70)
    pickled("a dict in itself", "a dict holds itself", "x", b"}q\x07" + text("k") + b"h\x07s")
    doubled = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(1, 100))
    pickled("a tuple that doubles a hundred times", "nested more than", "x", doubled)


# ---- lengths that lie, and floods

def lies():
    pickled("a text of 4 GB", "it ends too early", "x", b"X\xff\xff\xff\xffabc")
    pickled("a text of 2^63 bytes", "it ends too early", "x", b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc")
    pickled("a text of 2^64 bytes", "it ends too early", "x", b"\x8d" + b"\xff" * 8)
    pickled("bytes of 4 GB", "it ends too early", "x", b"B\xff\xff\xff\xffabc")
    pickled("bytes of 2^64", "it ends too early", "x", b"\x8e" + b"\xff" * 8)
    pickled("an array of bytes of 2^64", "it ends too early", "x", b"\x96" + b"\xff" * 8)
    pickled("a number of 255 bytes", "number of 255 bytes", "x", b"\x8a\xff" + b"\x01" * 255)
    pickled("a number of 300 digits", "a line has no end", "x", b"L" + b"9" * 300 + b"L\n")
    pickled("a number of 30 digits", "more than 64 bits", "x", b"L" + b"9" * 30 + b"L\n")
    pickled("a number of letters", "a number that is none", "x", b"Ixyz\n")
    pickled("a name without an end", "a line has no end", "x", b"c" + b"torch." * 100 + b"\nx\n")
    case("a frame of 2^64 bytes", "a frame of", archive(b"\x80\x04\x95" + b"\xff" * 8 + b"}."))
    case("a frame that is too long", "a frame of 3 bytes", archive(b"\x80\x04\x95\x03" + b"\0" * 7 + b"}."))
    case("a frame in a frame that is too long", "a frame of 99 bytes",
         archive(b"\x80\x04\x95\x0c" + b"\0" * 7 + b"\x95\x63" + b"\0" * 7 + b"}N."))
    pickled("tuples nested a million deep", "nested more than", "x", b")" + b"\x85" * 1000000)
    pickled("lists nested a million deep", "stack holds", "x", b"]" * 1000000 + b"a" * 999999)
    pickled("dicts nested a million deep", "stack holds", "x", b"}N" * 1000000)
    pickled("marks without end", "open marks", "x", b"(" * 1000000)
    case("operations without end", "more than 2000000 operations", archive(whole(b"}" + b"NNs" * 700000)))
    case("calls without end", "more than 2000000 operations",
         archive(whole(name_of("collections", "OrderedDict") + b"q\x01)q\x02](" + b"h\x01h\x02R" * 60000
                       + b"e](" + (b"h\x01h\x02R" * 60000 + b"e](") * 11)))
    case("values without end", "stack holds", archive(whole(b"N" * 100000)))


# ---- tensors and storages

def tensors():
    hole = number(2**62)
    pickled("a storage of 2^62 elements", "a storage should hold", "x", storage(2**62))
    pickled("a storage of 2^61 elements", "should hold 2305843009213693952 elements", "x", storage(2**61))
    pickled("a storage of -1 elements", "names no storage", "x", storage(-1))
    pickled("a storage larger than its entry", "should hold 5 elements", "x", storage(5))
    pickled("a storage smaller than its entry", "should hold 3 elements", "x", storage(3))
    pickled("a storage of another type", "should hold 4 elements of 8 bytes", "x", storage(4, kind="DoubleStorage"))
    pickled("a storage of complex numbers", "torch.ComplexFloatStorage cannot be used", "x", storage(2, kind="ComplexFloatStorage"))
    pickled("a storage of no class", "it refers to torch.EvilStorage", "x", storage(4, kind="EvilStorage"))
    pickled("a storage of a function", "names no storage", "x",
            b"(" + text("storage") + name_of("torch._utils", "_rebuild_tensor_v2") + text("0") + text("cpu") + number(4) + b"tQ")
    pickled("a storage by a path", "is not in the file", "x", storage(key="../data.pkl"))
    pickled("a storage that is the pickle", "is not in the file", "x", storage(key="../../archive/data.pkl"))
    pickled("a storage with a zero byte in its key", "is not in the file", "x", storage(key="0\0.pkl"))
    pickled("a storage with a key of 1 MB", "is not in the file", "x", storage(key="0" * 1000000))
    pickled("a persistent number", "names no storage", "x", number(3) + b"Q")
    pickled("a persistent call", "it refers to posix.system", "x", SYSTEM + b"Q", live=True)
    pickled("a persistent id of a module", "names no storage", "x",
            value(("module", name_of("collections", "OrderedDict"), "x.py", PYTHON)) + b"Q")
    pickled("an offset beyond", "begins outside its storage", "x", tensor(offset=5, size=(1,)))
    pickled("an offset below", "begins outside its storage", "x", tensor(offset=-1, size=(1,)))
    pickled("one element too many", "reaches beyond its storage", "x", tensor(size=(5,)))
    pickled("strides that overlap and reach outside", "reaches beyond its storage", "x", tensor(size=(3, 2), stride=(1, 2)))
    pickled("strides that overflow", "reaches beyond its storage", "x", tensor(size=(3, 3), stride=(hole, hole)))
    pickled("a negative stride", "a negative stride", "x", tensor(offset=3, size=(4,), stride=(-1,)))
    pickled("a negative size", "negative or absurd size", "x", tensor(size=(-4,)))
    pickled("sizes that overflow", "negative or absurd size", "x", tensor(size=(2**40, 2**40), stride=(0, 0)))
    pickled("a terabyte out of 16 bytes", "takes more memory", "x", tensor(size=(2**38,), stride=(0,)))
    pickled("a terabyte in many small strides", "takes more memory", "x",
            tensor(size=(2,) + (2**9,) * 4, stride=(1,) + (0,) * 4))
    pickled("sizes and strides of two lengths", "described wrongly", "x", tensor(size=(2, 2), stride=(1,)))
    pickled("nine dimensions", "more than 8 dimensions", "x", tensor(size=(1,) * 9, stride=(1,) * 9))
    pickled("a tensor that is set anew", "a state for what has none", "x",
            tensor() + value((storage(), 0, (2**40,), (1,))) + b"b")
    pickled("a tensor whose flags hold a tensor", "a state for what has none", "x",
            tensor() + value((tensor(), False, ORDERED)) + b"b")
    pickled("items set in a tensor", "items are set in what is no dict", "x", tensor() + b"NNs")
    pickled("a quantised tensor", "quantised tensors are not read", "x", call("torch._utils", "_rebuild_qtensor"))
    pickled("a sparse tensor", "sparse tensors are not read", "x", call("torch._utils", "_rebuild_sparse_tensor"))
    pickled("an array of objects", "tensors kept as NumPy arrays", "x",
            call("torch._utils", "_rebuild_device_tensor_from_numpy", 1))


# ---- zip archives

def archives():
    good = state()
    a = archive(good)
    evil = whole(SYSTEM)
    case("two pickles of one name", "is there twice", archive(good, [("archive/data.pkl", evil)]))
    case("two pickles that differ in case", "is there twice", archive(good, [("archive/DATA.PKL", evil)]))
    case("a pickle in a second folder", "several folders", archive(good, [("other/data.pkl", evil)]))
    case("a pickle without a folder", "several folders", archive(good, [("data.pkl", evil)]))
    case("a wrong checksum of the pickle", "not what its checksum says", zip_field(a, b"PK\1\2", 16, b"\1\2\3\4"))
    case("a pickle that was changed", "not what its checksum says", a.replace(text("a"), text("b"), 1))
    for name in ("../evil.pkl", "archive/../../evil", "/etc/passwd", "C:\\evil", "archive\\..\\evil", "archive/data/../../x",
                 "//server/x", "archive/a\nb", "archive/a\0b"):
        harmless = name.replace("\\", "_").replace("\0", "_")
        data = archive(good, [(harmless, b"x")]).replace(harmless.encode(), name.encode())
        case(f"the name {name!r}", "unsafe name", data)
    case("encrypted, says the directory", "is encrypted", zip_field(a, b"PK\1\2", 8, b"\1\0"))
    case("encrypted, says the local header", "packed differently", zip_field(a, b"PK\3\4", 6, b"\1\0"))
    case("a compressed pickle", "is compressed", squeezed(good, "archive/data.pkl"))
    case("a storage that unpacks to 100 MB", "is compressed", squeezed(b"\0" * 100000000, "archive/data/0", good))
    case("compressed, says the local header", "packed differently", zip_field(a, b"PK\3\4", 8, b"\x08\0"))
    case("another name in the local header", "another name", zip_field(a, b"PK\3\4", 30, b"archive/evil.pkl"))
    case("another size in the local header", "another size", zip_field(a, b"PK\3\4", 18, b"\1\0\0\0\1\0\0\0"))
    case("an entry in another", "is not where the directory says", zip_field(a, b"PK\1\2", 42, b"\x30\0\0\0", 1))
    case("two entries in one place", "another name", zip_field(a, b"PK\1\2", 42, b"\0\0\0\0", 1))
    case("an entry beyond the file", "is not where the directory says", zip_field(a, b"PK\1\2", 42, b"\xff\xff\xff\x7f", 1))
    case("an entry of 4 GB", "reaches into the directory",
         zip_field(a, b"PK\1\2", 20, b"\xf0\xff\xff\xff\xf0\xff\xff\xff", 2))
    case("a directory elsewhere", "does not lie before its end", zip_field(a, b"PK\5\6", 16, b"\0\0\0\0"))
    case("65535 entries", "cannot be", zip_field(a, b"PK\5\6", 8, b"\xff\xff\xff\xff"))
    case("several disks", "split over several files", zip_field(a, b"PK\5\6", 4, b"\1\0"))
    case("an archive behind an archive", "directory", a + archive(evil))
    case("a pickle behind an archive", "something follows the end", a + evil)
    case("an archive cut in half", "cut short", a[: len(a) // 2])
    case("TorchScript", "TorchScript", archive(good, [("archive/constants.pkl", evil)]))
    case("big-endian numbers", "not little-endian", archive(good, [("archive/byteorder", b"big")]))
    case("no pickle", "without data.pkl", archive(good).replace(b"data.pkl", b"data.bin"))
    case("a pickle before an archive", "is a bare pickle", evil + a, evil)
    case("a bare pickle", "is a bare pickle", whole(SYSTEM, 4), whole(SYSTEM, 4))
    case("safetensors with an archive behind", "bytes", safetensors() + a)
    case("safetensors with a pickle in its header", "string", safetensors(b"{" + evil + b"}"))
    case("a 7z archive", "is a 7z archive", b"7z\xbc\xaf\x27\x1c\0\x04" + evil + a)
    case("a RAR archive", "is a RAR archive", b"Rar!\x1a\x07\x01\0" + evil)
    case("a pickle in gzip", "compressed with gzip", zlib.compressobj(9, zlib.DEFLATED, 31).compress(evil) + b"\0" * 40)
    case("an array of NumPy that is a pickle", "is a NumPy array",
         b"\x93NUMPY\1\0\x46\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(80) + evil)
    case("the container of 2018", "given up in 2018", b"PYTORCH1" + evil)
    case("a picture with a pickle behind", "is a PNG picture", b"\x89PNG\r\n\x1a\n" + evil)


def squeezed(data, name, pickle_=None):
    """An archive one of whose entries is deflated."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        if pickle_:
            z.writestr(zipfile.ZipInfo("archive/data.pkl", (1980, 1, 1, 0, 0, 0)), pickle_)
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        z.writestr(info, data)
    return out.getvalue()


# ---- the stream of before PyTorch 1.6

def streams():
    refused = "it refers to posix.system"
    magic = 0x1950A86A20F9469CFC6C
    smuggled = whole(call("builtins", "eval", f"[open({MARKER!r}, 'w').close(), {magic}][1]"))
    case("a magic number that is computed", "is a bare pickle", smuggled + stream()[len(MAGIC):], "torch")
    case("a magic number behind a call", "is a bare pickle",
         b"\x80\x02" + SYSTEM + b"0" + MAGIC[2:] + stream()[len(MAGIC):], "torch")
    case("code for a protocol", refused, stream(protocol=whole(SYSTEM + b"0M\xe9\x03")), "torch")
    case("protocol 1002", "it is not 1001", stream(protocol=whole(b"M\xea\x03")))
    case("a protocol that is a dict", "it is not 1001", stream(protocol=whole(b"}")))
    case("code in sys_info", refused, stream(sys_info=whole(value({"little_endian": SYSTEM}))), "torch")
    case("sys_info that is a list", "it is no dict", stream(sys_info=whole(b"]")))
    case("code in the object", refused, stream(whole(value({"a": tensor(legacy_storage()), "x": SYSTEM}))), "torch")
    case("code in the list of storages", refused, stream(keys=whole(value(["7", SYSTEM]))), "torch")
    case("storages that are no list", "it is no list", stream(keys=whole(b"}")))
    case("a storage that nothing refers to", "nothing refers to this one", stream(keys=whole(value(["7", "8"]))))
    case("a storage that is listed twice", "it is there twice",
         stream(keys=whole(value(["7", "7"])), numbers=counted() + counted()))
    case("a storage that is not listed", "storage 7 is not there", stream(keys=whole(b"]"), numbers=b""))
    case("a key that is a path", "a storage's key is no number", stream(keys=whole(value(["../7"]))))
    case("a key that is a path in the object", "a storage's key is no number",
         stream(whole(value({"a": tensor(legacy_storage(key="/etc/passwd"))}))))
    case("a key in two spellings", "a storage's key is no number", stream(keys=whole(value(["07"]))))
    case("a key of 2^64", "a storage's key is no number", stream(keys=whole(value(["18446744073709551623"]))))
    case("fewer elements than promised", "it should hold 4 elements, not 3", stream(numbers=counted(count=3)))
    case("-1 elements", "it should hold 4 elements, not -1", stream(numbers=counted(count=-1)))
    case("a cut storage", "it ends too early", stream(numbers=counted()[:-1]))
    case("a missing count", "it ends too early", stream(numbers=b"\4\0\0"))
    case("2^40 elements that are not there", "it ends too early",
         stream(whole(value({"a": tensor(legacy_storage(2**40))})), numbers=counted(count=2**40)))
    case("2^62 elements", "a storage should hold", stream(whole(value({"a": tensor(legacy_storage(2**62))}))))
    case("a storage in two sizes", "told in two sizes",
         stream(whole(value({"a": tensor(legacy_storage()), "b": tensor(legacy_storage(3), size=(3,))}))))
    case("a storage in two types", "told in two sizes",
         stream(whole(value({"a": tensor(legacy_storage()), "b": tensor(legacy_storage(kind="HalfStorage"))}))))
    case("a tensor beyond its storage", "reaches beyond its storage",
         stream(whole(value({"a": tensor(legacy_storage(), size=(5,))}))))
    for name, view in (("beyond", (1, 4)), ("below", (-1, 4)), ("of 2^62 elements", (0, 2**62)), ("at 2^62", (2**62, 1))):
        wanted = "names no storage" if view[0] < 0 else "a view reaches beyond"
        case(f"a view {name}", wanted, stream(whole(value({"a": tensor(legacy_storage(view=value(("9",) + view)))}))))
    case("a tensor beyond its view", "reaches beyond its storage",
         stream(whole(value({"a": tensor(legacy_storage(view=value(("9", 2, 2))), size=(3,))}))))
    case("a persistent id of the zip form", "names no storage", stream(whole(value({"a": tensor(storage(key="7"))}))))
    case("a whole module", "whole module (payload.Net)",
         stream(whole(value(("module", name_of("payload", "Net"), "net.py", PYTHON)) + b"Q")))
    case("a module that is a function", "it refers to posix.system",
         stream(whole(value({"a": value(("x", name_of("posix", "system"), "net.py", PYTHON)) + b"Q"}))))
    case("bytes behind the last storage", "something follows the last storage", stream() + b"\0")
    case("an archive behind the last storage", "something follows the last storage", stream() + archive(state()))
    case("a call behind the last storage", "something follows the last storage", stream() + whole(SYSTEM))
    case("a stream cut in its object", "a line has no end", stream()[:200])
    case("only the magic number", "it ends too early", MAGIC)
    case("two pickles in the object's place", "it is no list",
         stream(whole(value({"a": tensor(legacy_storage())})) + whole(b"}")))


# ---- the tar of before PyTorch 0.1.12

def tars():
    refused = "it refers to posix.system"
    good = tar()
    case("tar: code in the object", refused, tar(whole(value({"a": text("16") + b"Q", "x": SYSTEM}))), "torch")
    case("tar: code in the storages", refused, tar(storages=tar_storages(kind=SYSTEM)), "torch")
    case("tar: code for a count", refused, tar(tensors=whole(SYSTEM)), "torch")
    case("tar: code in the views", refused, tar(storages=tar_storages(views=b"](" + SYSTEM + b"e")), "torch")
    case("tar: a whole module", "whole module (torch.nn.modules.container.Sequential)",
         tar(whole(value((name_of("torch.nn.modules.container", "Sequential"), "x.py", PYTHON)) + b"Q")))
    case("tar: a module by its source", "names no tensor",
         tar(whole(value((name_of("collections", "OrderedDict"), "x.py", PYTHON)) + b"Q")))
    case("tar: a tensor that is not there", "tensor 17 is not in the file", tar(whole(value({"a": text("17") + b"Q"}))))
    case("tar: a path out of the archive", "which PyTorch never put there", tar(more=[("../evil", b"x", {})]))
    case("tar: a path from the root", "which PyTorch never put there", tar(more=[("/etc/cron.d/x", b"x", {})]))
    case("tar: a link", "which PyTorch never put there",
         tar(order=("pickle", "tensors"), more=[("storages", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})]))
    case("tar: a device", "which PyTorch never put there", tar(more=[("sys_info", b"", {"type": tarfile.CHRTYPE})]))
    case("tar: a member twice", "pickle is there twice", tar(more=[("pickle", whole(SYSTEM), {})]))
    case("tar: no storages", "holds no \"storages\"", tar(order=("pickle", "tensors")))
    case("tar: an ordinary archive", "is a tar archive", tar(order=(), more=[("readme", b"x", {})]))
    case("tar: a wrong checksum", "is a tar archive", changed(good, 148, b"000000"))
    case("tar: a member of 2^62 bytes", "it ends too early",
         tar_sum(changed(good, 124, b"\x80\0\0\0\x40" + b"\0" * 7)))
    case("tar: a member beyond the end", "it ends too early", tar_sum(changed(good, 124, b"00077777777\0")))
    case("tar: a cut archive", "whole records", good[:-512])
    case("tar: an archive behind", "whole records", good + archive(state()))
    case("tar: bytes behind the end", "something follows the end", good[:-1] + b"x")
    case("tar: a zip behind the end", "something follows the end",
         good + archive(state()).rjust(10240, b"\0"))
    case("tar: an extended header without sense", "header is malformed", extended(b"99999 size=1\n"))
    case("tar: an extended size of a word", "header is malformed", extended(b"13 size=evil\n"))
    case("tar: an extended size beyond the end", "it ends too early", extended(b"27 size=999999999999999999\n"))
    case("tar: a billion storages", "no number of them", tar(storages=tar_storages(how_many=10**9)))
    case("tar: -1 storages", "no number of them", tar(storages=tar_storages(how_many=-1)))
    case("tar: two storages, one there", "told wrongly", tar(storages=tar_storages(how_many=2)))
    case("tar: a storage of -1 elements", "absurd size", tar(storages=tar_storages(count=-1)))
    case("tar: a storage of 2^62 elements", "absurd size", tar(storages=tar_storages(count=2**62)))
    case("tar: a storage beyond the end", "it ends too early", tar(storages=tar_storages(count=2**20)))
    case("tar: a storage of a dict", "cannot be used",
         tar(storages=tar_storages(kind=name_of("collections", "OrderedDict"))))
    for name, view in (("beyond", (1, 4)), ("of 2^62 elements", (0, 2**62))):
        case(f"tar: a view {name}", "a view reaches beyond", tar(storages=tar_storages(views=value([(24, 8) + view]))))
    case("tar: a view of nothing", "a view of no storage", tar(storages=tar_storages(views=value([(24, 9, 0, 1)]))))
    case("tar: a view of a view", "a view of no storage",
         tar(storages=tar_storages(views=value([(24, 8, 0, 1), (32, 24, 0, 1)]))))
    case("tar: a view in the place of a storage", "have one key", tar(storages=tar_storages(views=value([(8, 8, 1, 2)]))))
    case("tar: bytes behind the views", "something follows", tar(storages=tar_storages(behind=b"x")))
    case("tar: a tensor of nothing", "a tensor of no storage", tar(tensors=tar_tensors(on=9)))
    case("tar: nine dimensions", "a tensor of 9 dimensions",
         tar(tensors=tar_tensors(dims=9, size=(1,) * 9, stride=(1,) * 9)))
    case("tar: -1 dimensions", "a tensor of -1 dimensions", tar(tensors=tar_tensors(dims=-1)))
    case("tar: a tensor beyond its storage", "reaches beyond its storage", tar(tensors=tar_tensors(size=(5,))))
    case("tar: a negative offset", "begins outside", tar(tensors=tar_tensors(offset=-1)))
    case("tar: a stride of 2^62", "reaches beyond its storage", tar(tensors=tar_tensors(stride=(2**62,))))
    case("tar: bytes behind the tensors", "something follows", tar(tensors=tar_tensors(behind=b"x")))


def extended(lines):
    """A tar whose first member has an extended header of these lines."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        add(t, "././@PaxHeader", lines, type=b"x")
        add(t, "pickle", whole(b"}"))
    return out.getvalue()


# ---- proofs

class Unpickler(pickle.Unpickler):
    def persistent_load(self, pid):
        return None


def run_unsafely(folder, data, proof):
    """In a process of its own: reads the file as one would who trusts it."""
    import torch
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream_ in range(3):
            os.dup2(nowhere, stream_)
        try:
            if proof == "torch":
                pathlib.Path("file").write_bytes(data)
                torch.load("file", weights_only=False)
            else:
                Unpickler(io.BytesIO(proof)).load()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def prove():
    """Whether the payloads do run where nobody looks."""
    proven, failed = 0, []
    for name, _, data, proof in CASES:
        if proof is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run_unsafely(folder, data, proof)
            for _ in range(20):  # a process of the payload's own may take a moment
                if (pathlib.Path(folder) / MARKER).exists():
                    break
                time.sleep(0.05)
            if (pathlib.Path(folder) / MARKER).exists():
                proven += 1
            else:
                failed.append(name)
    print(f"{proven} payloads ran when Python was asked to run them; without effect: {failed or 'none'}")
    return not failed


def ask_scanners():
    from picklescan.scanner import SafetyLevel, scan_bytes
    seen = [0, 0]
    for name, _, data, _ in CASES:
        if len(data) > 100000 or not name.startswith("call "):
            continue
        result = scan_bytes(io.BytesIO(data), name, ".pt")
        seen[any(g.safety == SafetyLevel.Dangerous for g in result.globals)] += 1
    print(f"picklescan calls {seen[1]} of {sum(seen)} zip files with a refused call dangerous")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", default=TOP / "tests/golden/hostile.tsv", type=pathlib.Path)
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("--scanners", action="store_true")
    options = parser.parse_args()
    for make in (names, places, operations, memo, lies, tensors, archives, streams, tars):
        make()
    assert len({name for name, *_ in CASES}) == len(CASES), "two cases of one name"
    lines = ["# written by tools/make_hostile_pickles.py: name, piece of the message, size, file (zlib, base64)"]
    for name, wanted, data, _ in CASES:
        packed = base64.b64encode(zlib.compress(data, 9)).decode()
        lines.append("\t".join([name.replace("\n", "\\n"), wanted, str(len(data)), packed]))
    options.file.write_text("\n".join(lines) + "\n")
    print(f"{len(CASES)} cases, {options.file.stat().st_size} bytes")
    if options.scanners:
        ask_scanners()
    if options.prove and not prove():
        sys.exit(1)


if __name__ == "__main__":
    main()
