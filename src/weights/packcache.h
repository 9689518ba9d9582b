/* packcache.h - packed weights kept in a file, so that the next start need not pack them.
 *
 * The file is a header in text, for people as much as for the program, and behind it the image of
 * all packs (ops/packs.h):
 *
 *     sdgen 0.1.0 packed weights, layout 1
 *     way avx512 f32 winograd
 *     source 2132625182 1700000000000000000 1234 <SHA-256 of its head, its end, pages between>
 * /path pack 0 1638400 F16 32 1 0 [320,320] from 0 73728
 *     ...
 *     samples <SHA-256 of a page of every pack>
 *
 * Everything above the last line is known before the file is opened: it is compared, never parsed,
 * so no number in a file decides what is read. What differs in one byte, or is shorter or longer
 * than it must be, is stale and made anew. The samples catch a disk that lost pages; a page that
 * nobody sampled may still be damaged, as one of the model's may be: the numbers are then wrong and
 * nothing else.
 *
 * Its name is made of the model's path and the way of computing, so each way has a file and a
 * changed model replaces its own. It is written beside its place and renamed, and several processes
 * may do so at once; what a killed one left behind, the next writer removes. Read, it is mapped:
 * processes share its pages, and the system may drop them when memory is short. */
#ifndef SDG_WEIGHTS_PACKCACHE_H
#define SDG_WEIGHTS_PACKCACHE_H

#include "base/log.h"
#include "ops/packs.h"
#include "files/weights.h"

struct sdg_packcache {
    struct sdg_filemap map; /* close it after the packs that adopted it were destroyed */
};

struct sdg_packcache_way {
    const char *folder; /* "": packs/ in the user's cache (base/cachedir.h) */
    const char *tier, *precision;
    bool exact_conv;
    const struct sdg_weights *const *sources; /* [source_count] that the weights were bound from */
    size_t source_count;
    const struct sdg_log *log; /* verbose: hit, or why not; a warning where nothing can be kept */
};

/* Lets the packs, whose notes are complete, adopt the file's image, made first where there is none
 * that is right. False: there is no place, no room or no memory for it, which the log says, and the
 * packs are as before. */
bool sdg_packcache_attach(struct sdg_packcache *c, struct sdg_packs *packs,
                          const struct sdg_packcache_way *way, const struct sdg_kernels *k,
                          int threads);
void sdg_packcache_close(struct sdg_packcache *c); /* accepts a zeroed one */

#endif
