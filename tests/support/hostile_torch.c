/* hostile_torch.c - see hostile_corpus.h: pickles that want to run code, fill memory or reach
 * outside of their numbers, and zip archives that mean different things to different readers. Ways
 * of attack: the scanners picklescan and fickling, and what they learned to look for. */
#include <string.h>

#include "tests/support/hostile_corpus.h"

/* ---- pickles ---- */

#define TEXT1(c) "X\1\0\0\0" c
#define GLOBAL(module, name) "c" module "\n" name "\n"
#define ORDERED GLOBAL("collections", "OrderedDict") ")R"
#define STORAGE(class, key, count) "(X\7\0\0\0storage" class key "X\3\0\0\0cpu" count "tQ"
#define FLOATS STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("0"), "K\4")
#define REBUILD GLOBAL("torch._utils", "_rebuild_tensor_v2")
#define TENSOR(storage, offset, size, stride) \
    REBUILD "(" storage offset size stride "\211" ORDERED "tR"
#define GOOD TENSOR(FLOATS, "K\0", "K\4\205", "K\1\205")
#define DICT(value) "\200\2}" TEXT1("a") value "s."
#define CALL(module, name) DICT(GLOBAL(module, name) TEXT1("x") "\205R")
#define TEN(x) x x x x x x x x x x
#define HUNDRED(x) TEN(TEN(x))

struct pickle {
    const char *what, *wanted, *bytes;
    size_t size;
};
#define PICKLE(what, wanted, bytes)            \
    {                                          \
        what, wanted, bytes, sizeof(bytes) - 1 \
    }

static const char good[] = DICT(GOOD);
const struct test_bytes test_good_pickle = {(uint8_t *)(uintptr_t)good, sizeof good - 1, 0};

static const struct pickle pickles[] = {
    /* code */
    PICKLE("os.system", "os.system", CALL("os", "system")),
    PICKLE("posix.system", "data.pkl, byte 9: it refers to posix.system", CALL("posix", "system")),
    PICKLE("nt.system", "nt.system", CALL("nt", "system")),
    PICKLE("builtins.eval", "builtins.eval", CALL("builtins", "eval")),
    PICKLE("__builtin__.eval", "__builtin__.eval", CALL("__builtin__", "eval")),
    PICKLE("builtins.exec", "builtins.exec", CALL("builtins", "exec")),
    PICKLE("builtins.getattr", "builtins.getattr", CALL("builtins", "getattr")),
    PICKLE("subprocess.Popen", "subprocess.Popen", CALL("subprocess", "Popen")),
    PICKLE("pickle.loads", "pickle.loads", CALL("pickle", "loads")),
    PICKLE("torch.load", "torch.serialization.load", CALL("torch.serialization", "load")),
    PICKLE("functools.partial", "functools.partial", CALL("functools", "partial")),
    PICKLE("runpy", "runpy._run_code", CALL("runpy", "_run_code")),
    PICKLE("numpy loads", "numpy.testing", CALL("numpy.testing._private.utils", "runstring")),
    PICKLE("a path through an allowed module", "OrderedDict.fromkeys",
           CALL("collections", "OrderedDict.fromkeys")),
    PICKLE("a path through a module", "os.system", CALL("torch._utils", "os.system")),
    PICKLE("an allowed name with a space", "refers to", CALL("collections", "OrderedDict ")),
    PICKLE("an allowed name in capitals", "refers to", CALL("Collections", "OrderedDict")),
    PICKLE("a name like Lightning's", "pytorch_lightningx", CALL("pytorch_lightningx", "eval")),
    PICKLE("an empty name", "refers to", CALL("", "")),
    PICKLE("a name without end", "no end", DICT("c" HUNDRED("aaaa") "\nb\n")),
    PICKLE("STACK_GLOBAL", "it refers to os.system",
           DICT("X\2\0\0\0osX\6\0\0\0system\223" TEXT1("x") "\205R")),
    PICKLE("INST", "INST", DICT("(" TEXT1("x") "ios\nsystem\n")),
    PICKLE("OBJ", "OBJ", DICT("(" GLOBAL("collections", "OrderedDict") "o")),
    PICKLE("NEWOBJ_EX", "NEWOBJ_EX", DICT(GLOBAL("collections", "OrderedDict") ")}\222")),
    PICKLE("EXT1", "EXT1", DICT("\202\1")),
    PICKLE("PERSID", "PERSID", DICT("Pos.system\n")),
    PICKLE("POP", "operation POP", DICT("N0N")),
    PICKLE("DUP", "DUP", DICT("N2")),
    PICKLE("text number", "a number that is none", DICT("I5x\n")),
    PICKLE("no operation", "0xff is no operation", DICT("\377")),
    PICKLE("a lying frame", "a frame of 5 bytes", "\200\4\225\5\0\0\0\0\0\0\0}."),
    PICKLE("unknown protocol", "protocol 9", "\200\11}."),
    PICKLE("a call of a text", "no function", DICT(TEXT1("x") ")R")),
    PICKLE("a call of a tensor", "no function", DICT(GOOD ")R")),
    PICKLE("a call of a class", "does not take", DICT(GLOBAL("torch", "FloatStorage") ")R")),
    PICKLE("a call with a list", "no function", DICT(GLOBAL("collections", "OrderedDict") "]R")),
    PICKLE("an object of a function", "no class", DICT(REBUILD ")\201")),
    PICKLE("a state for a tensor", "state for what has none", DICT(GOOD "}b")),
    PICKLE("a state for a function", "state for what has none", DICT(REBUILD "}b")),
    /* a machine that is misled */
    PICKLE("nothing", "too early", ""),
    PICKLE("only a stop", "open values", "\200\2."),
    PICKLE("two values left", "open values", "\200\2}}."),
    PICKLE("an open mark", "open values", "\200\2(}."),
    PICKLE("no stop", "too early", "\200\2}" TEXT1("a") GOOD "s"),
    PICKLE("a second pickle", "follows its end", DICT(GOOD) "\200\2cos\nsystem\nX\1\0\0\0x\205R."),
    PICKLE("a byte behind", "follows its end", DICT(GOOD) "\n"),
    PICKLE("no mark", "lacks its mark", DICT("t")),
    PICKLE("below the mark", "lacks its operands", DICT("N(\205")),
    PICKLE("an empty stack", "lacks its operands", "\200\2R."),
    PICKLE("a key without a value", "no value", "\200\2}(NNNu."),
    PICKLE("items in a tuple", "no dict", "\200\2)NNs."),
    PICKLE("items in a tensor", "no dict", DICT(GOOD "NNs")),
    PICKLE("append to a dict", "no list", "\200\2}Na."),
    PICKLE("an unknown memo", "never remembered", DICT("h\5")),
    PICKLE("a far memo", "never remembered", DICT("j\377\377\377\377")),
    PICKLE("nothing to remember", "lacks its operands", "\200\2q\0}."),
    PICKLE("a memo of 64 GB", "remembered values", DICT("Nr\377\377\377\377")),
    PICKLE("a memo just too far", "remembered values", DICT("Nr\100\102\017\0")),
    PICKLE("a text of 4 GB", "too early", DICT("X\377\377\377\377abc")),
    PICKLE("a text one byte too long", "too early", "\200\2}X\2\0\0\0a"),
    PICKLE("a cut number", "too early", "\200\2}J\1\2"),
    PICKLE("a number of 255 bytes", "number of 255 bytes", DICT("\212\377" HUNDRED("abc"))),
    PICKLE("a number of 9 bytes", "number of 9 bytes", DICT("\212\11abcdefghi")),
    PICKLE("tuples nested 100 deep", "nested more than", DICT(")" HUNDRED("\205"))),
    PICKLE("lists nested 100 deep", "nested more than", DICT(HUNDRED("]") HUNDRED("a"))),
    PICKLE("dicts nested 100 deep", "nested more than", DICT(HUNDRED("}N") "}" HUNDRED("s"))),
    PICKLE("a tuple that doubles 200 times", "nested more than",
           DICT(")" HUNDRED("q\1h\1\206q\2h\2\206"))),
    PICKLE("a list in itself", "list holds itself", DICT("]q\1h\1a")),
    PICKLE("a dict in itself", "dict holds itself", "\200\2}q\1" TEXT1("a") "h\1s."),
    PICKLE("a state_dict in itself", "dict holds itself", "\200\2}q\1X\12\0\0\0state_dicth\1s."),
    PICKLE("a list in a tuple in itself", "nested more than", DICT("]q\1" HUNDRED("h\1\205a"))),
    PICKLE("two dicts in each other", "nested more than 8 dicts",
           "\200\2}q\1X\12\0\0\0state_dict}q\2X\12\0\0\0state_dicth\1ss."),
    /* tensors */
    PICKLE("offset beyond the storage", "outside its storage",
           DICT(TENSOR(FLOATS, "K\5", "K\1\205", "K\1\205"))),
    PICKLE("offset at the end", "beyond its storage",
           DICT(TENSOR(FLOATS, "K\4", "K\1\205", "K\1\205"))),
    PICKLE("negative offset", "outside its storage",
           DICT(TENSOR(FLOATS, "J\377\377\377\377", "K\1\205", "K\1\205"))),
    PICKLE("offset of 2^63 - 1", "outside its storage",
           DICT(TENSOR(FLOATS, "\212\10\377\377\377\377\377\377\377\177", "K\1\205", "K\1\205"))),
    PICKLE("one element too many", "beyond its storage",
           DICT(TENSOR(FLOATS, "K\0", "K\5\205", "K\1\205"))),
    PICKLE("a stride too far", "beyond its storage",
           DICT(TENSOR(FLOATS, "K\0", "K\2\205", "K\4\205"))),
    PICKLE("an overflowing stride", "beyond its storage",
           DICT(TENSOR(FLOATS, "K\0", "K\5\205", "\212\10\0\0\0\0\0\0\0\100\205"))),
    PICKLE("a stride that wraps to 0", "beyond its storage",
           DICT(TENSOR(FLOATS, "K\0", "K\5K\5\206",
                       "\212\10\0\0\0\0\0\0\0\100\212\10\0\0\0\0\0\0\0\100\206"))),
    PICKLE("negative stride", "negative stride",
           DICT(TENSOR(FLOATS, "K\3", "K\2\205", "J\377\377\377\377\205"))),
    PICKLE("negative size", "absurd size",
           DICT(TENSOR(FLOATS, "K\0", "J\377\377\377\377\205", "K\1\205"))),
    PICKLE("overflowing size", "absurd size",
           DICT(TENSOR(FLOATS, "K\0", "\212\5\0\0\0\0\1\212\5\0\0\0\0\1\206", "K\0K\0\206"))),
    PICKLE("two terabytes by stride 0", "takes more memory",
           DICT(TENSOR(FLOATS, "K\0", "\212\6\0\0\0\0\200\0\205", "K\0\205"))),
    PICKLE("17 megabytes by stride 0", "takes more memory",
           DICT(TENSOR(FLOATS, "K\0", "J\0\0\100\1\205", "K\0\205"))),
    PICKLE("16 x 16 megabytes by stride 0", "takes more memory",
           "\200\2}(" TEXT1("a") TENSOR(FLOATS, "K\0", "J\0\0\100\0\205", "K\0\205") "q\1" TEXT1(
               "b") "h\1" TEXT1("c") "h\1" TEXT1("d") "h\1u."),
    PICKLE("a name twice", "tensor a is there twice",
           "\200\2}(" TEXT1("a") GOOD TEXT1("a") GOOD "u."),
    PICKLE("sizes without strides", "described wrongly",
           DICT(TENSOR(FLOATS, "K\0", "K\4\205", ")"))),
    PICKLE("a list of sizes", "described wrongly", DICT(TENSOR(FLOATS, "K\0", "]K\4a", "K\1\205"))),
    PICKLE("a text for a size", "no number",
           DICT(TENSOR(FLOATS, "K\0", TEXT1("4") "\205", "K\1\205"))),
    PICKLE("a float for a size", "no number",
           DICT(TENSOR(FLOATS, "K\0", "G@\20\0\0\0\0\0\0\205", "K\1\205"))),
    PICKLE("true for a size", "no number", DICT(TENSOR(FLOATS, "K\0", "\210\205", "K\1\205"))),
    PICKLE("a float for an offset", "described wrongly",
           DICT(TENSOR(FLOATS, "G\0\0\0\0\0\0\0\0", "K\4\205", "K\1\205"))),
    PICKLE("nine dimensions", "more than 8 dimensions",
           DICT(TENSOR(FLOATS, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                       "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
    PICKLE("too few arguments", "described wrongly", DICT(REBUILD "(" FLOATS "K\0tR")),
    PICKLE("no arguments", "described wrongly", DICT(REBUILD ")R")),
    PICKLE("too many arguments", "described wrongly",
           DICT(REBUILD "(" FLOATS "K\0K\4\205K\1\205NNNNNNtR")),
    PICKLE("a tensor of a text", "described wrongly",
           DICT(TENSOR("N", "K\0", "K\4\205", "K\1\205"))),
    PICKLE("a negated tensor", "negated",
           DICT(REBUILD "(" FLOATS "K\0K\4\205K\1\205\211" ORDERED "}X\3\0\0\0neg\210stR")),
    PICKLE("a parameter of a text", "does not take",
           DICT(GLOBAL("torch._utils", "_rebuild_parameter") TEXT1("x") "\205R")),
    PICKLE("an own type", "own type",
           DICT(GLOBAL("torch._tensor", "_rebuild_from_type_v2") "(" GLOBAL("torch", "Tensor")
                    GLOBAL("torch", "Tensor") ")}tR")),
    PICKLE("a quantised tensor", "quantised",
           DICT(GLOBAL("torch._utils", "_rebuild_qtensor") ")R")),
    PICKLE("name with a zero byte", "not UTF-8", "\200\2}X\3\0\0\0a\0b" GOOD "s."),
    PICKLE("name that is not UTF-8", "not UTF-8", "\200\2}X\2\0\0\0\303(" GOOD "s."),
    /* storages */
    PICKLE("more elements than stored", "should hold 5",
           DICT(TENSOR(STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("0"), "K\5"), "K\0",
                       "K\4\205", "K\1\205"))),
    PICKLE("fewer elements than stored", "should hold 3",
           DICT(TENSOR(STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("0"), "K\3"), "K\0",
                       "K\3\205", "K\1\205"))),
    PICKLE("wider elements than stored", "should hold 4",
           DICT(TENSOR(STORAGE(GLOBAL("torch", "DoubleStorage"), TEXT1("0"), "K\4"), "K\0",
                       "K\4\205", "K\1\205"))),
    PICKLE("a count that wraps to 16 bytes", "should hold",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("0"), "\212\10\4\0\0\0\0\0\0\100"))),
    PICKLE("negative count", "names no storage",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("0"), "J\377\377\377\377"))),
    PICKLE("missing storage", "storage \"7\" is not in the file",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), TEXT1("7"), "K\4"))),
    PICKLE("a path for a storage", "is not in the file",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), "X\13\0\0\0../data.pkl", "K\4"))),
    PICKLE("an endless key", "is not in the file",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), "X\144\0\0\0" HUNDRED("0"), "K\4"))),
    PICKLE("an empty key", "is not in the file",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), "X\0\0\0\0", "K\4"))),
    PICKLE("a number for a key", "names no storage",
           DICT(STORAGE(GLOBAL("torch", "FloatStorage"), "K\0", "K\4"))),
    PICKLE("a text for a class", "names no storage", DICT(STORAGE(TEXT1("f"), TEXT1("0"), "K\4"))),
    PICKLE("a function for a class", "names no storage", DICT(STORAGE(REBUILD, TEXT1("0"), "K\4"))),
    PICKLE("a persistent text", "names no storage", DICT("X\7\0\0\0storageQ")),
    PICKLE("a persistent module", "names no storage",
           DICT("(X\6\0\0\0module" GLOBAL("torch", "FloatStorage") TEXT1("0") TEXT1("c") "K\4tQ")),
    PICKLE("a short persistent id", "names no storage", DICT("X\7\0\0\0storage\205Q")),
    PICKLE("complex numbers", "ComplexFloatStorage",
           DICT(STORAGE(GLOBAL("torch", "ComplexFloatStorage"), TEXT1("0"), "K\2"))),
    PICKLE("bytes without a type", "has no type",
           DICT(TENSOR(STORAGE(GLOBAL("torch", "UntypedStorage"), TEXT1("0"), "K\20"), "K\0",
                       "K\4\205", "K\1\205"))),
    PICKLE("two types", "two types",
           DICT(GLOBAL("torch._utils", "_rebuild_tensor_v3") "(" FLOATS
                                                             "K\0K\4\205K\1\205\211" ORDERED GLOBAL(
                                                                 "torch", "float16") "tR")),
    /* no weights */
    PICKLE("none", "holds an object", "\200\2N."),
    PICKLE("a list of tensors", "holds a list", "\200\2](" GOOD GOOD "e."),
    PICKLE("a single tensor", "single tensor", "\200\2" GOOD "."),
    PICKLE("a text", "holds an object", "\200\2" TEXT1("a") "."),
    PICKLE("an empty dict", "holds no tensors", "\200\2}."),
    PICKLE("tensors below numbers", "holds no tensors", "\200\2}K\1" GOOD "s."),
    PICKLE("a state_dict that is a list", "holds no tensors",
           "\200\2}X\12\0\0\0state_dict](" GOOD "es."),
};

enum { PICKLES = sizeof pickles / sizeof *pickles };

bool test_hostile_pickle(struct test_hostile *h, size_t i)
{
    *h = (struct test_hostile) {0};
    if (i >= PICKLES) return false;
    h->what = pickles[i].what;
    h->wanted = pickles[i].wanted;
    test_torch(&h->b, pickles[i].bytes, pickles[i].size, 16);
    return true;
}

/* ---- archives ---- */

/* A right archive but for what is set here: `pickle` and `storage` say how the two entries are
 * stored, `more` is a third one. */
struct archive {
    const char *what, *wanted;
    struct test_zip_entry pickle, storage, more;
    struct test_zip_end end;
};

static const char numbers[16];

static const struct archive archives[] = {
    {"compressed", "is compressed", .storage.method = 8},
    {"compressed, says the directory", "packed differently",
     .storage = {.method = 8, .local_method = 8}},
    {"compressed, says the local header", "packed differently", .storage.local_method = 8},
    {"encrypted", "encrypted", .storage.flags = 1},
    {"strongly encrypted", "encrypted", .storage.flags = 0x41},
    {"encrypted, says the local header", "packed differently", .pickle.local_flags = 1},
    {"headers masked", "encrypted", .pickle.flags = 1 << 13},
    {"a path upward", "unsafe name", .more.name = "archive/../../etc/passwd"},
    {"only upward", "unsafe name", .more.name = ".."},
    {"a path from the root", "unsafe name", .more.name = "/etc/passwd"},
    {"a backslash", "unsafe name", .more.name = "archive\\data\\1"},
    {"a drive", "unsafe name", .more.name = "C:/data"},
    {"a dot folder", "unsafe name", .more.name = "archive/./data/1"},
    {"an empty folder", "unsafe name", .more.name = "archive//data/1"},
    {"a zero byte", "unsafe name", .more = {.name = "archive/data.pkl\0x", .name_size = 18}},
    {"a newline", "unsafe name", .more.name = "archive/a\nb"},
    {"a storage twice", "is there twice",
     .more = {.name = "archive/data/0", .data = "x", .size = 1}},
    {"a pickle twice", "is there twice",
     .more = {.name = "archive/data.pkl", .data = ".", .size = 1}},
    {"a pickle in capitals", "is there twice", .more.name = "archive/DATA.PKL"},
    {"a second folder", "several folders", .more.name = "other/data.pkl"},
    {"a folder in capitals", "several folders", .more.name = "Archive/data/1"},
    {"a file beside the folder", "not one of torch.save", .more.name = "archive.txt"},
    {"TorchScript", "TorchScript", .more.name = "archive/constants.pkl"},
    {"big-endian", "not little-endian",
     .more = {.name = "archive/byteorder", .data = "big", .size = 3}},
    {"endless byte order", "not little-endian",
     .more = {.name = "archive/byteorder", .data = "littlelittlelittle", .size = 18}},
    {"another local name", "another name", .storage.local_name = "archive/data/9"},
    {"a longer local name", "another name", .storage.local_name = "archive/data/00"},
    {"another local size", "another size", .storage = {.sizes = true, .local_size_off = 1}},
    {"two sizes", "two sizes", .storage.size_off = 1},
    {"one byte longer", "overlaps", .pickle = {.size_off = 20, .packed_off = 20}},
    {"longer than the file", "reaches into the directory",
     .storage = {.size_off = 1 << 20, .packed_off = 1 << 20}},
    {"2^63 bytes", "reaches into the directory",
     .storage = {.size_off = INT64_MAX, .packed_off = INT64_MAX, .zip64 = true}},
    {"2^64 - 1 bytes", "reaches into the directory",
     .storage = {.size_off = -17, .packed_off = -17, .zip64 = true}},
    {"shorter than its pickle says", "should hold", .storage = {.size_off = -4, .packed_off = -4}},
    {"a cut pickle", "too early", .pickle = {.size_off = -4, .packed_off = -4}},
    {"a local header one byte off", "is not where", .storage.local_off = 1},
    {"a local header before the file", "is not where", .pickle = {.local_off = -1, .zip64 = true}},
    {"a local header beyond the file", "is not where", .storage.local_off = 1 << 24},
    {"a local header at 2^63", "is not where", .storage = {.local_off = INT64_MIN, .zip64 = true}},
    {"a cut zip64 field", "zip64 values", .storage = {.zip64 = true, .zip64_cut = true}},
    {"another disk", "zip64 values", .storage.disk = 1},
    {"two names for the same bytes", "another name",
     .more = {.name = "archive/data/0x", .data = numbers, .size = 16, .ghost = true}},
    {"the same entry twice", "overlaps",
     .more = {.name = "archive/data/0", .data = numbers, .size = 16, .ghost = true}},
    {"one entry too many", "contradict", .end.count_off = 1},
    {"one entry too many in both", "cannot be", .end = {.count_off = 1000, .wide_count_off = 1000}},
    {"one entry too few", "longer than its entries",
     .end = {.count_off = -1, .wide_count_off = -1}},
    {"no entries", "longer than its entries", .end = {.count_off = -2, .wide_count_off = -2}},
    {"2^64 - 1 entries", "cannot be", .end = {.all_ones = true, .wide_count_off = -3}},
    {"directory elsewhere", "does not lie", .end = {.directory_off = -1, .no_zip64 = true}},
    {"directory beyond the file", "does not lie",
     .end = {.directory_off = 1 << 24, .no_zip64 = true}},
    {"directory of another size", "does not lie", .end = {.size_off = 1, .no_zip64 = true}},
    {"directory elsewhere in zip64", "contradict", .end.wide_off = 1},
    {"directory at 2^63 in zip64", "does not lie",
     .end = {.all_ones = true, .wide_off = INT64_MIN}},
    {"zip64 record elsewhere", "not where it should be", .end.locator_off = 1},
    {"zip64 record at 2^63", "not where it should be", .end.locator_off = INT64_MIN},
    {"split archive", "split", .end.disk = 1},
    {"split zip64 archive", "split", .end.wide_disk = 1},
    {"bytes behind", "something follows", .end.behind = "x"},
    {"a second end in the comment", "does not lie",
     .end = {.no_zip64 = true, .comment = "PK\5\6\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"}},
};

enum { ARCHIVES = sizeof archives / sizeof *archives };

/* A comment with zero bytes cannot be a C string: the fake end record is finished here. */
static void finish_fake_end(struct test_bytes *b)
{
    for (size_t i = b->size - 20; i < b->size; i++)
        if (b->data[i] == 1) b->data[i] = 0;
    test_bytes_number(b, 0, 2); /* its comment's length */
    b->data[b->size - 44 + 20] += 2;
}

bool test_hostile_zip(struct test_hostile *h, size_t i)
{
    struct test_zip z = {0};
    *h = (struct test_hostile) {0};
    if (i >= ARCHIVES) return false;
    const struct archive *a = &archives[i];
    struct test_zip_entry pickle = a->pickle, storage = a->storage;
    h->what = a->what;
    h->wanted = a->wanted;
    pickle.name = "archive/data.pkl";
    pickle.data = good;
    pickle.size = sizeof good - 1;
    storage.name = "archive/data/0";
    storage.data = numbers;
    storage.size = sizeof numbers;
    test_zip_add(&z, &pickle);
    test_zip_add(&z, &storage);
    if (a->more.name) test_zip_add(&z, &a->more);
    test_zip_end(&z, &a->end);
    if (a->end.comment) finish_fake_end(&z.out);
    h->b = z.out;
    z.out = (struct test_bytes) {0};
    test_zip_free(&z);
    return true;
}
