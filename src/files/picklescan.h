/* picklescan.h - what the pickles of a file would do if they were run: operations counted, every
 * name they refer to with a verdict, pickles hidden in pickles.
 *
 * For people who want to know, not for loading: the machine of pickle.h refuses whatever it does
 * not know and needs no list of dangers. This one refuses nothing, goes on behind what is broken as
 * far as it can, and executes as little: it follows where texts are on the stack and in the memo,
 * so that names put together from them are found. Time and memory are linear in the bytes. */
#ifndef SDG_FILES_PICKLESCAN_H
#define SDG_FILES_PICKLESCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/status.h"
#include "files/pickle_ops.h"

enum sdg_verdict {
    SDG_VERDICT_TENSOR,    /* builds tensors: torch.save writes it */
    SDG_VERDICT_INERT,     /* known, and without effect */
    SDG_VERDICT_UNREAD,    /* known, and sdgen cannot use it */
    SDG_VERDICT_UNKNOWN,   /* nobody knows what it does */
    SDG_VERDICT_DANGEROUS, /* runs code, reaches files or the network */
    SDG_VERDICT_COUNT
};

const char *sdg_verdict_name(enum sdg_verdict v); /* "tensor", "inert", ... */

/* A name that a pickle refers to. */
struct sdg_scan_global {
    const uint8_t *module, *name; /* [module_size], [name_size], in the file; not NUL-terminated */
    uint32_t module_size, name_size;
    uint32_t pickle;                /* index of its pickle */
    uint64_t byte;                  /* of its operation, counted from where that pickle begins */
    const struct sdg_pickle_op *op; /* GLOBAL, STACK_GLOBAL or INST */
    enum sdg_verdict verdict;
    const char *reason; /* why, of DANGEROUS and UNREAD; else NULL */
};

/* Something about a pickle that is no name. */
struct sdg_scan_note {
    uint32_t pickle;
    uint64_t byte;
    enum sdg_verdict verdict;
    const char *text;
};

struct sdg_scan_pickle {
    char where[128]; /* "data.pkl", "pickle 4", ...: a name of the file's own, cut */
    uint64_t begin;  /* its first byte in what `where` names, or in the pickle around it */
    uint64_t size;   /* bytes up to and with its STOP, or up to where it broke off */
    uint64_t operations;
    uint32_t inside;  /* index of the pickle that holds this one in a text, or its own index */
    uint8_t protocol; /* 0 when it does not say */
    bool ended;       /* by a STOP */
};

struct sdg_scan {
    struct sdg_scan_pickle *pickles; /* [pickle_count] */
    size_t pickle_count;
    struct sdg_scan_global *globals; /* [global_count]: the first of them, at most 10,000 */
    size_t global_count;
    struct sdg_scan_note *notes; /* [note_count]: the first of them, at most 1,000 */
    size_t note_count;
    uint64_t verdicts[SDG_VERDICT_COUNT]; /* of all names and notes, listed or not */
    uint64_t histogram[256];              /* operations by code */
    uint64_t operations;
    const struct sdg_pickle_op *ops[256]; /* by code; NULL: no operation */
};

/* The worst verdict there is; INERT when there is nothing to judge. */
enum sdg_verdict sdg_scan_worst(const struct sdg_scan *s);

/* Scans all pickles of a file: those of torch.save's forms, or those that follow each other from
 * its first byte. A file without any, safetensors for one, has pickle_count 0 then. s need not be
 * initialised; data must outlive it. Errors: SDGEN_ERR_FORMAT (a zip or tar archive that cannot be
 * read), SDGEN_ERR_MEMORY; s can be shown nevertheless, and is to be freed. */
SDGEN_MUST_CHECK sdgen_status sdg_scan_file(struct sdg_scan *s, const char *path,
                                            const uint8_t *data, size_t size, sdgen_error *err);
void sdg_scan_free(struct sdg_scan *s);

/* ---- the parts ---- */

/* Scans one pickle from the first byte of data [size] on and what is hidden in it; *used: its
 * bytes. False without memory. */
bool sdg_scan_pickle(struct sdg_scan *s, size_t *used, const char *where, const uint8_t *data,
                     size_t size);

/* Whether data begins with a whole pickle: a row of operations up to a STOP, of which *used bytes
 * and *names references to names. Looks at `most` bytes at most. */
bool sdg_scan_is_pickle(size_t *used, size_t *names, const uint8_t *data, size_t size, size_t most);

/* The verdict on a name (picklescan_verdicts.c). */
enum sdg_verdict sdg_scan_judge(const char **reason, const uint8_t *module, size_t module_size,
                                const uint8_t *name, size_t name_size);

#endif
