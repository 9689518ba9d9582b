/* jsonstream.h - reads JSON text (RFC 8259) once from front to back, without building a tree.
 *
 *     bool first = true;
 *     sdg_json_open(j, '{');
 *     while (sdg_json_more(j, &first, '}')) {
 *         sdg_json_key(j, &key);
 *         sdg_json_natural(j, &number);
 *     }
 *     sdg_json_end(j);
 *     if (j->problem) ...what is wrong, at byte j->at...
 *
 * The first mistake is kept and everything after it reads as nothing, so a caller may look at
 * j->problem once per item. Takes no memory; of a mapped text, at most a few megabytes are resident
 * at a time, however long it is. What the values mean is the caller's business. */
#ifndef SDG_FILES_JSONSTREAM_H
#define SDG_FILES_JSONSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sdg_json {
    const uint8_t *data; /* [size] */
    size_t size, at;
    bool mapped; /* data lies in a read-only file mapping: pages that were read are given back */
    size_t kept; /* pages before this offset are given back already */
    const char *problem; /* NULL: none so far */
};

/* A string that was read over: where its characters are, and how long it is when decoded. */
struct sdg_json_text {
    size_t at, size; /* offset behind the opening quote; bytes of UTF-8 */
    bool has_nul;
};

bool sdg_json_open(struct sdg_json *j, char bracket);

/* Whether another member follows; false at the closing bracket, which it takes, and on a mistake.
 * *first must be true before the first call and is the function's own from then on. */
bool sdg_json_more(struct sdg_json *j, bool *first, char bracket);

bool sdg_json_string(struct sdg_json *j, struct sdg_json_text *text);
bool sdg_json_key(struct sdg_json *j, struct sdg_json_text *text); /* a string and the colon */

/* A plain number 0, 1, 2, ...: no sign, fraction, exponent or leading zero; at most 2^64 - 1. */
bool sdg_json_natural(struct sdg_json *j, uint64_t *value);

/* Reads over any value. Nesting is bounded. */
bool sdg_json_skip(struct sdg_json *j);

/* Nothing but white space may follow. */
bool sdg_json_end(struct sdg_json *j);

/* Keeps the mistake unless there is one already; always false. */
bool sdg_json_wrong(struct sdg_json *j, const char *problem);

/* The characters of a string that was read over, and a NUL: out [text->size + 1]. */
void sdg_json_decode(char *out, const struct sdg_json *j, const struct sdg_json_text *text);

#endif
