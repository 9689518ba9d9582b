/* outtypes.c - see outtypes.h. */
#define _GNU_SOURCE
#include "convert/outtypes.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "weights/arch_names.h"
#include "files/gguf.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct rule {
    regex_t pattern;
    int type;
};

struct sdg_typing {
    int type;
    size_t count;
    struct rule rules[]; /* [count] */
};

/* ---- reading ---- */

static bool read_type(int *type, const char *word, size_t length)
{
    static const enum sdg_dtype types[] = {SDG_F32,  SDG_F16,  SDG_BF16, SDG_Q8_0,
                                           SDG_Q4_0, SDG_Q4_1, SDG_Q5_0, SDG_Q5_1};
    for (size_t i = 0; i < COUNT(types); i++) {
        const char *name = sdg_dtype_name(types[i]);
        if (strlen(name) == length && strncasecmp(name, word, length) == 0) {
            *type = (int)types[i];
            return true;
        }
    }
    return false;
}

static sdgen_status no_type(const char *word, size_t length, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_ARG,
                    "\"%.*s\" is no type that can be written; there are f32, f16, bf16, q8_0, "
                    "q4_0, q4_1, q5_0, q5_1",
                    (int)length, word);
}

/* "PATTERN=TYPE" [length]; the last '=' divides, since a pattern may have some. */
static sdgen_status read_rule(struct sdg_typing *t, const char *text, size_t length,
                              sdgen_error *err)
{
    struct rule *r = &t->rules[t->count];
    const char *equals = memrchr(text, '=', length);
    char problem[128];
    if (!equals || equals == text)
        return sdg_fail(err, SDGEN_ERR_ARG, "rule \"%.*s\": write PATTERN=TYPE", (int)length, text);
    const size_t at = (size_t)(equals - text);
    if (!read_type(&r->type, equals + 1, length - at - 1))
        return no_type(equals + 1, length - at - 1, err);
    char *pattern = strndup(text, at);
    if (!pattern) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    const int bad = regcomp(&r->pattern, pattern, REG_EXTENDED | REG_NOSUB);
    free(pattern);
    if (bad) {
        regerror(bad, &r->pattern, problem, sizeof problem);
        return sdg_fail(err, SDGEN_ERR_ARG, "rule \"%.*s\": %s", (int)length, text, problem);
    }
    t->count++;
    return SDGEN_OK;
}

sdgen_status sdg_typing_create(struct sdg_typing **typing, const char *type, const char *rules,
                               sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    size_t most = 1;
    for (const char *c = rules; c && *c; c++) most += *c == ',';
    struct sdg_typing *t = calloc(1, sizeof *t + most * sizeof *t->rules);
    *typing = t;
    if (!t) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    t->type = SDG_TYPE_KEEP;
    if (type && !read_type(&t->type, type, strlen(type))) {
        status = no_type(type, strlen(type), err);
        goto fail;
    }
    for (const char *at = rules; at && *at;) {
        const size_t length = strcspn(at, ",");
        if (length) SDG_TRY(read_rule(t, at, length, err));
        at += length + (at[length] == ',');
    }
    return SDGEN_OK;
fail:
    sdg_typing_destroy(t);
    *typing = NULL;
    return status;
}

void sdg_typing_destroy(struct sdg_typing *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->count; i++) regfree(&t->rules[i].pattern);
    free(t);
}

/* ---- choosing ---- */

bool sdg_typing_quantises(const struct sdg_typing *t)
{
    bool does = t->type >= 0 && sdg_dtype_is_quantised((enum sdg_dtype)t->type);
    for (size_t i = 0; i < t->count; i++)
        does |= sdg_dtype_is_quantised((enum sdg_dtype)t->rules[i].type);
    return does;
}

/* Rows of whole blocks, as ggml wants them. */
static bool has_blocks(const struct sdg_tensor *t, enum sdg_dtype d)
{
    const int64_t block = (int64_t)sdg_dtype_block(d);
    return block == 1 || (t->rank > 0 && t->shape[t->rank - 1] % block == 0);
}

static bool can_hold(const struct sdg_tensor *t, enum sdg_dtype d, bool gguf)
{
    if (gguf) return sdg_gguf_type(d) >= 0 && has_blocks(t, d);
    return !sdg_dtype_is_quantised(d);
}

/* The type it has, or the nearest that has room for all its values. */
static enum sdg_dtype kept(const struct sdg_tensor *t, bool gguf)
{
    if (can_hold(t, t->dtype, gguf)) return t->dtype;
    switch (t->dtype) {
    case SDG_F8_E4M3:
    case SDG_F8_E5M2: return SDG_F16;
    case SDG_BOOL: return SDG_I8;
    case SDG_U8: return SDG_I16;
    case SDG_U16: return SDG_I32;
    case SDG_U32: return SDG_I64;
    default: return sdg_dtype_is_quantised(t->dtype) ? SDG_F32 : t->dtype;
    }
}

static bool is_spared(const char *name)
{
    static const char *const words[] = {"token_embedding", "position", "time_embed.", "label_emb."};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strstr(name, words[i])) return true;
    return false;
}

enum sdg_dtype sdg_typing_choose(const struct sdg_typing *typing, const char *name,
                                 const struct sdg_tensor *t, bool network, bool gguf)
{
    const enum sdg_dtype keep = kept(t, gguf);
    int want = network ? typing->type : SDG_TYPE_KEEP;
    if (!sdg_dtype_is_float(t->dtype)) return keep;
    if (want >= 0 && sdg_dtype_is_quantised((enum sdg_dtype)want) &&
        (t->rank != 2 || is_spared(name)))
        want = SDG_TYPE_KEEP;
    for (size_t i = 0; i < typing->count; i++)
        if (regexec(&typing->rules[i].pattern, name, 0, NULL, 0) == 0) {
            want = typing->rules[i].type;
            break;
        }
    if (want < 0 || !can_hold(t, (enum sdg_dtype)want, gguf)) return keep;
    if (sdg_dtype_is_quantised((enum sdg_dtype)want) && t->rank != 2) return keep;
    return (enum sdg_dtype)want;
}
