/* pickle.h - a machine for Python's pickle language that can only build tensors.
 *
 * Pickle (CPython Lib/pickletools.py) is a language for a stack machine whose real interpreter
 * calls any function a file names. This one calls nothing: it knows the operations and the names
 * that torch.save writes (torch/_weights_only_unpickler.py), turns a tensor's description into a
 * view of the stored numbers, and stops at everything else. What it keeps of a file:
 *
 *     dict (also OrderedDict, Counter)   keys that are text, and all values
 *     tuple, list                        all values
 *     tensor, storage                    a view
 *     text, whole number, true, false    the value
 *     float, bytes, set, other objects   that they are there
 *
 * All protocols from 1 to 5 are read (torch.save can write each of them; its own is 2), as far as
 * their operations are needed for that. What a persistent id stands for depends on the form of the
 * file and is asked of its reader.
 *
 * Values refer to each other and are never copied out or followed in recursion; operations, stack,
 * memo, nesting and sizes are bounded. */
#ifndef SDG_FILES_PICKLE_H
#define SDG_FILES_PICKLE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"
#include "files/torchtensor.h"

enum sdg_pickle_kind {
    SDG_PICKLE_INERT, /* None, float, an object without meaning here */
    SDG_PICKLE_BOOL,
    SDG_PICKLE_INT,
    SDG_PICKLE_TEXT,
    SDG_PICKLE_TUPLE,
    SDG_PICKLE_LIST,
    SDG_PICKLE_DICT,
    SDG_PICKLE_GLOBAL,
    SDG_PICKLE_STORAGE,
    SDG_PICKLE_TENSOR
};

struct sdg_pickle_value {
    enum sdg_pickle_kind kind;
    uint32_t size; /* bytes of a text */
    union {
        int64_t number;      /* BOOL, INT */
        const uint8_t *text; /* [size], UTF-8 as far as the file keeps to the rules; no NUL */
        struct sdg_pickle_tuple *tuple;
        struct sdg_pickle_list *list;
        struct sdg_pickle_dict *dict;
        const struct sdg_pickle_global *global;
        struct sdg_torch_storage *storage;
        struct sdg_torch_tensor *tensor;
    } as;
};

/* depth: 1 for what holds no other container. */
struct sdg_pickle_tuple {
    uint32_t count, depth;
    struct sdg_pickle_value items[];
};
struct sdg_pickle_list {
    struct sdg_pickle_value *items; /* [count] */
    size_t count;
    uint32_t depth;
};
struct sdg_pickle_pair {
    struct sdg_pickle_value key, value; /* key is a text */
};
struct sdg_pickle_dict {
    struct sdg_pickle_pair *pairs; /* [count], in the order they were set */
    size_t count, others;          /* others: keys that are no text */
    uint32_t depth;
};

struct sdg_pickle_machine;

/* What a persistent id stands for. Refuses through sdg_pickle_refuse (pickle_machine.h). */
typedef sdgen_status (*sdg_pickle_persistent_fn)(struct sdg_pickle_value *result,
                                                 struct sdg_pickle_machine *m,
                                                 const struct sdg_pickle_value *id);

struct sdg_pickle {
    const char *path, *part; /* for messages: the file, and what it is called there */
    const uint8_t *data;     /* [size]: the pickle */
    size_t size;
    size_t base;                         /* for messages: the byte of `part` where data begins */
    sdg_pickle_persistent_fn persistent; /* NULL: it may hold no persistent ids */
    void *user;
    void *pool;  /* NULL at first; the result lives in it: free with sdg_pool_free */
    bool stream; /* something may follow the pickle */
    size_t used; /* bytes of the pickle, once it has been run */
};

/* Runs the pickle to its end. Errors: SDGEN_ERR_FORMAT with file, byte and reason,
 * SDGEN_ERR_MEMORY.
 */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_run(struct sdg_pickle_value *result, struct sdg_pickle *p,
                                             sdgen_error *err);

/* ---- names a pickle may refer to (pickle_globals.c) ---- */

enum sdg_pickle_role {
    SDG_ROLE_INERT,   /* stands for itself; calling it gives an object without meaning */
    SDG_ROLE_DICT,    /* calling it gives a dict: empty, a copy, or of a list of pairs */
    SDG_ROLE_SIZE,    /* calling it gives its argument, a tuple */
    SDG_ROLE_TENSOR,  /* _rebuild_tensor, _v2 and _v3 */
    SDG_ROLE_WRAPPER, /* calling it, or an object of it, gives its first argument, a tensor */
    SDG_ROLE_TYPED,   /* _rebuild_from_type_v2(function, type, arguments, state) */
    SDG_ROLE_STORAGE, /* a storage class, with its type of numbers */
    SDG_ROLE_DTYPE,   /* torch.float32 and its like */
    SDG_ROLE_REFUSED  /* known, and of no use here; `reason` says why */
};

struct sdg_pickle_global {
    const char *module, *name;
    enum sdg_pickle_role role;
    int dtype;          /* of STORAGE and DTYPE: an sdg_dtype, or SDG_TORCH_UNTYPED, _UNUSABLE */
    const char *reason; /* of REFUSED */
};

/* NULL for a name that no tensor file needs. */
const struct sdg_pickle_global *sdg_pickle_global_find(const uint8_t *module, size_t module_size,
                                                       const uint8_t *name, size_t name_size);

#endif
