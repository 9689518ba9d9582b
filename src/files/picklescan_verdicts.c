/* picklescan_verdicts.c - verdicts on the names that a pickle refers to (picklescan.h): first those
 * that the pickle machine knows, then a list of what is known to do harm. The list is made from
 * those of the scanners picklescan (scanner.py) and fickling (analysis.py) and the Python library
 * reference; no list of this kind is ever complete, so what is in none is called unknown. */
#include <string.h>

#include "files/pickle.h"
#include "files/picklescan.h"

#define CODE "runs code"
#define COMMANDS "runs commands"
#define FILES "reaches files"
#define NETWORK "reaches the network"
#define PICKLES "loads another pickle"
#define ATTRIBUTES "reaches whatever has a name"
#define MEMORY "reaches any memory"

/* A module with all below it (name NULL), or one name of it. */
static const struct {
    const char *module, *name, *reason;
} dangers[] = {
    {"builtins", "eval", CODE},
    {"builtins", "exec", CODE},
    {"builtins", "execfile", CODE},
    {"builtins", "compile", CODE},
    {"builtins", "__import__", CODE},
    {"builtins", "__build_class__", CODE},
    {"builtins", "breakpoint", CODE},
    {"builtins", "apply", CODE},
    {"builtins", "map", CODE},
    {"builtins", "filter", CODE},
    {"builtins", "input", CODE},
    {"builtins", "getattr", ATTRIBUTES},
    {"builtins", "setattr", ATTRIBUTES},
    {"builtins", "delattr", ATTRIBUTES},
    {"builtins", "vars", ATTRIBUTES},
    {"builtins", "globals", ATTRIBUTES},
    {"builtins", "locals", ATTRIBUTES},
    {"builtins", "dir", ATTRIBUTES},
    {"builtins", "type", CODE},
    {"builtins", "open", FILES},
    {"builtins", "file", FILES},
    {"os", NULL, COMMANDS},
    {"posix", NULL, COMMANDS},
    {"nt", NULL, COMMANDS},
    {"ntpath", NULL, FILES},
    {"posixpath", NULL, FILES},
    {"sys", NULL, CODE},
    {"subprocess", NULL, COMMANDS},
    {"commands", NULL, COMMANDS},
    {"popen2", NULL, COMMANDS},
    {"pty", NULL, COMMANDS},
    {"platform", "popen", COMMANDS},
    {"multiprocessing", NULL, COMMANDS},
    {"concurrent", NULL, COMMANDS},
    {"asyncio", NULL, COMMANDS},
    {"threading", NULL, CODE},
    {"_thread", NULL, CODE},
    {"sched", NULL, CODE},
    {"signal", NULL, CODE},
    {"atexit", NULL, CODE},
    {"code", NULL, CODE},
    {"codeop", NULL, CODE},
    {"ast", NULL, CODE},
    {"bdb", NULL, CODE},
    {"pdb", NULL, CODE},
    {"trace", NULL, CODE},
    {"doctest", NULL, CODE},
    {"unittest", NULL, CODE},
    {"test", NULL, CODE},
    {"timeit", NULL, CODE},
    {"profile", NULL, CODE},
    {"cProfile", NULL, CODE},
    {"pstats", NULL, CODE},
    {"runpy", NULL, CODE},
    {"imp", NULL, CODE},
    {"importlib", NULL, CODE},
    {"zipimport", NULL, CODE},
    {"pkgutil", NULL, ATTRIBUTES},
    {"pydoc", NULL, COMMANDS},
    {"inspect", NULL, CODE},
    {"types", NULL, CODE},
    {"marshal", NULL, CODE},
    {"functools", NULL, CODE},
    {"itertools", NULL, CODE},
    {"operator", NULL, ATTRIBUTES},
    {"_operator", NULL, ATTRIBUTES},
    {"cloudpickle", NULL, CODE},
    {"dill", NULL, CODE},
    {"joblib", NULL, PICKLES},
    {"pickle", NULL, PICKLES},
    {"_pickle", NULL, PICKLES},
    {"cPickle", NULL, PICKLES},
    {"pickletools", NULL, PICKLES},
    {"shelve", NULL, PICKLES},
    {"copyreg", "add_extension", CODE},
    {"copy_reg", "add_extension", CODE},
    {"ctypes", NULL, MEMORY},
    {"_ctypes", NULL, MEMORY},
    {"cffi", NULL, MEMORY},
    {"mmap", NULL, MEMORY},
    {"gc", NULL, ATTRIBUTES},
    {"io", NULL, FILES},
    {"_io", NULL, FILES},
    {"shutil", NULL, FILES},
    {"tempfile", NULL, FILES},
    {"glob", NULL, FILES},
    {"fileinput", NULL, FILES},
    {"linecache", NULL, FILES},
    {"zipfile", NULL, FILES},
    {"tarfile", NULL, FILES},
    {"sqlite3", NULL, FILES},
    {"dbm", NULL, FILES},
    {"logging", NULL, FILES},
    {"pathlib", "Path", FILES},
    {"distutils", NULL, COMMANDS},
    {"setuptools", NULL, COMMANDS},
    {"pip", NULL, COMMANDS},
    {"ensurepip", NULL, COMMANDS},
    {"venv", NULL, COMMANDS},
    {"idlelib", NULL, CODE},
    {"lib2to3", NULL, CODE},
    {"_pyrepl", NULL, COMMANDS},
    {"_osx_support", NULL, COMMANDS},
    {"_aix_support", NULL, COMMANDS},
    {"uuid", NULL, COMMANDS},
    {"webbrowser", NULL, COMMANDS},
    {"antigravity", NULL, COMMANDS},
    {"socket", NULL, NETWORK},
    {"_socket", NULL, NETWORK},
    {"socketserver", NULL, NETWORK},
    {"ssl", NULL, NETWORK},
    {"_ssl", NULL, NETWORK},
    {"urllib", NULL, NETWORK},
    {"urllib2", NULL, NETWORK},
    {"http", NULL, NETWORK},
    {"httplib", NULL, NETWORK},
    {"xmlrpc", NULL, NETWORK},
    {"ftplib", NULL, NETWORK},
    {"smtplib", NULL, NETWORK},
    {"poplib", NULL, NETWORK},
    {"imaplib", NULL, COMMANDS},
    {"telnetlib", NULL, NETWORK},
    {"nntplib", NULL, NETWORK},
    {"requests", NULL, NETWORK},
    {"aiohttp", NULL, NETWORK},
    {"httpx", NULL, NETWORK},
    {"paramiko", NULL, NETWORK},
    {"numpy", "load", PICKLES},
    {"numpy", "fromfile", FILES},
    {"numpy.f2py", NULL, CODE},
    {"numpy.testing", NULL, CODE},
    {"numpy.ctypeslib", NULL, MEMORY},
    {"numpy.lib.npyio", NULL, PICKLES},
    {"pandas", NULL, PICKLES},
    {"torch", "load", PICKLES},
    {"torch.serialization", "load", PICKLES},
    {"torch.storage", "_load_from_bytes", PICKLES},
    {"torch.hub", NULL, CODE},
    {"torch.jit", NULL, CODE},
    {"torch._dynamo", NULL, CODE},
    {"torch._inductor", NULL, CODE},
    {"torch.fx", NULL, CODE},
    {"torch.package", NULL, CODE},
    {"torch.multiprocessing", NULL, COMMANDS},
    {"torch.distributed", NULL, COMMANDS},
    {"torch.utils.cpp_extension", NULL, COMMANDS},
    {"torch.utils.collect_env", NULL, COMMANDS},
    {"torch.utils.bottleneck", NULL, CODE},
    {"torch.utils._config_module", NULL, PICKLES},
    {"torch.utils.data", NULL, PICKLES},
    {"torch.utils.model_zoo", NULL, NETWORK},
};

static bool same(const uint8_t *text, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(text, wanted, size) == 0;
}

/* Whether the module is `wanted` or lies below it. */
static bool is_below(const uint8_t *module, size_t size, const char *wanted)
{
    const size_t n = strlen(wanted);
    return size >= n && memcmp(module, wanted, n) == 0 && (size == n || module[n] == '.');
}

static const char *find_danger(const uint8_t *module, size_t module_size, const uint8_t *name,
                               size_t name_size)
{
    if (same(module, module_size, "__builtin__")) { /* as Python 2 called it */
        module = (const uint8_t *)"builtins";
        module_size = strlen("builtins");
    }
    for (size_t i = 0; i < sizeof dangers / sizeof *dangers; i++) {
        if (!is_below(module, module_size, dangers[i].module)) continue;
        if (!dangers[i].name) return dangers[i].reason;
        if (module_size == strlen(dangers[i].module) && same(name, name_size, dangers[i].name))
            return dangers[i].reason;
    }
    return NULL;
}

enum sdg_verdict sdg_scan_judge(const char **reason, const uint8_t *module, size_t module_size,
                                const uint8_t *name, size_t name_size)
{
    const struct sdg_pickle_global *known =
        sdg_pickle_global_find(module, module_size, name, name_size);
    *reason = find_danger(module, module_size, name, name_size);
    if (known && known->role == SDG_ROLE_REFUSED && !*reason) *reason = known->reason;
    if (known && known->role == SDG_ROLE_REFUSED) return SDG_VERDICT_UNREAD;
    if (known) {
        *reason = NULL;
        return known->role == SDG_ROLE_INERT ? SDG_VERDICT_INERT : SDG_VERDICT_TENSOR;
    }
    /* From protocol 4 on a name may be a path: what it leads through counts. */
    for (size_t i = 0; i < name_size && !*reason; i++) {
        if (name[i] != '.') continue;
        *reason = find_danger(name, i, name + i + 1, name_size - i - 1);
        if (!*reason && i + 1 < name_size && name[i + 1] == '_') *reason = ATTRIBUTES;
    }
    return *reason ? SDG_VERDICT_DANGEROUS : SDG_VERDICT_UNKNOWN;
}
