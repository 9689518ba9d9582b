/* hashcache.h - the SHA-256 of a file, computed once and remembered.
 *
 * Hashing a checkpoint of 4 GB takes a core ten seconds and more, and pictures need the hash only
 * in their parameters text. So it runs beside the other work (a job: one thread), and its result is
 * kept in $XDG_CACHE_HOME/sdgen or ~/.cache/sdgen under the identity of the file: path, size,
 * modification time, inode, device. A cache that cannot be read or written is as good as none:
 * nothing fails. */
#ifndef SDG_FILES_HASHCACHE_H
#define SDG_FILES_HASHCACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include "base/status.h"
#include "files/sha256.h"

enum { SDG_MODEL_HASH_DIGITS = 10 }; /* a model's short hash: the first digits of its SHA-256 */

/* SHA-256 of the file, from the cache where its identity is known there. stop may be NULL; once it
 * is set the call returns SDGEN_ERR_CANCELLED. Errors: SDGEN_ERR_IO, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_hash_file(char hex[SDG_SHA256_HEX], const char *path,
                                            const atomic_bool *stop, sdgen_error *err);

/* The remembered SHA-256 of the file, without reading it; false where none is remembered. */
bool sdg_hash_known(char hex[SDG_SHA256_HEX], const char *path);

struct sdg_hashjob; /* one file being hashed on a thread of its own */

/* Starts hashing (or finds the remembered value). NULL when no thread or memory can be had: wait
 * and free accept that. */
struct sdg_hashjob *sdg_hashjob_start(const char *path);

/* Waits for the job to end: hex is the hash, or "" when there is none. May be called again. */
void sdg_hashjob_wait(struct sdg_hashjob *job, char hex[SDG_SHA256_HEX]);

/* Stops the job, wherever it is, and frees it. */
void sdg_hashjob_free(struct sdg_hashjob *job);

#endif
