/* prompt_parts.h - what the files that read prompts (prompt_*.c) hand to each other: growing texts,
 * weighted segments, schedules of texts. prompt.h is what they make together.
 *
 * All of them work on UTF-8 bytes: the characters with a meaning are ASCII, and bytes that are no
 * UTF-8 stay what they are until the tokenizer sees them. */
#ifndef SDG_TEXT_PROMPT_PARTS_H
#define SDG_TEXT_PROMPT_PARTS_H

#include <stdbool.h>
#include "base/utf8.h"
#include "text/prompt.h"

/* Longest prompt, in bytes: places in it fit 32 bits with room to spare. */
#define SDG_PROMPT_LIMIT ((size_t)1 << 30)

/* ---- characters, as Python's re and str see them ---- */

bool sdg_prompt_space(uint32_t code); /* \s */
bool sdg_prompt_word(uint32_t code);  /* \w */
int sdg_prompt_digit(uint32_t code);  /* value of a \d, or -1 */
/* Does word stand at text[at] with no \w on either side (\bword\b)? */
bool sdg_prompt_word_at(const char *text, size_t length, size_t at, const char *word);
/* Bytes of white space at the start and at the end of text[length]. */
size_t sdg_prompt_spaces(const char *text, size_t length);
size_t sdg_prompt_spaces_before(const char *text, size_t length);
/* The 1-based number of the character at a byte. */
size_t sdg_prompt_place(const char *text, size_t at);
/* Reads all of text[length] as Python's float() does: white space around, digits of any script,
 * single underscores between them, inf and nan. */
bool sdg_prompt_float(double *value, const char *text, size_t length);

/* ---- growing text, always ended by a zero ---- */

struct sdg_text {
    char *at;
    size_t count, capacity;
};
bool sdg_text_add(struct sdg_text *to, const char *text, size_t length);
void sdg_text_free(struct sdg_text *text);

/* Room for one more element in a list {at, count, capacity}. */
bool sdg_list_grow(void **at, size_t *capacity, size_t count, size_t size);

/* ---- weighted segments ---- */

struct sdg_segment {
    size_t start, length; /* in text */
    double weight;
    bool ends_chunk; /* BREAK */
};
struct sdg_segments {
    struct sdg_text text;
    struct sdg_segment *at;
    size_t count, capacity;
};
bool sdg_segments_add(struct sdg_segments *s, const char *text, size_t length, double weight);
void sdg_segments_reset(struct sdg_segments *s); /* empty, memory kept */
void sdg_segments_free(struct sdg_segments *s);

/* Appends the segments of a text: prompt_attention.c (A1111's and stable-diffusion.cpp's way),
 * prompt_comfyui.c. Errors: SDGEN_ERR_ARG (a weight that is no number), SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_attention_a1111(struct sdg_segments *s, const char *text,
                                                  size_t length, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_attention_sdcpp(struct sdg_segments *s, const char *text,
                                                  size_t length, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_attention_comfyui(struct sdg_segments *s, struct sdg_prompt *p,
                                                    const char *text, size_t length,
                                                    sdgen_error *err);

/* compel's language: fragments of text and how their encodings are combined. */
struct sdg_compel_member { /* one text of a blend: segments [first, first + count) */
    size_t first, count;
    double factor; /* in its blend */
};
struct sdg_compel_section { /* one text of .and(): members [first, first + count) */
    size_t first, count;
    double weight;
};
struct sdg_compel {
    struct sdg_segments segments;
    struct sdg_compel_member *members;
    size_t member_count, member_capacity;
    struct sdg_compel_section *sections;
    size_t section_count, section_capacity;
};
struct sdg_compel_weight { /* brackets around fragments [first, end) */
    size_t first, end;
    double weight;
};
/* c->segments from fragments and the brackets around them; sorts these. false: no memory. */
bool sdg_compel_fuse(struct sdg_compel *c, const struct sdg_segments *fragments,
                     struct sdg_compel_weight *weights, size_t count);
/* Networks (withLora) join p. Errors: SDGEN_ERR_ARG, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_compel_parse(struct sdg_compel *c, struct sdg_prompt *p,
                                               const char *text, size_t length, sdgen_error *err);
void sdg_compel_free(struct sdg_compel *c);
/* Chunks and, where they are needed, pieces of t. */
SDGEN_MUST_CHECK sdgen_status sdg_compel_chunks(struct sdg_prompt_text *t,
                                                const struct sdg_compel *c,
                                                const struct sdg_tokenizer *tokenizer,
                                                sdgen_error *err);

/* Tokenises every segment by itself and cuts the whole into chunks. */
SDGEN_MUST_CHECK sdgen_status sdg_chunk_segments(struct sdg_chunks *c, const struct sdg_segments *s,
                                                 const struct sdg_tokenizer *t,
                                                 enum sdg_chunking how, sdgen_error *err);

/* ---- A1111's prompt editing ---- */

struct sdg_editing; /* the groups [from:to:when] and [a|b] of a text */
SDGEN_MUST_CHECK sdgen_status sdg_editing_parse(struct sdg_editing **e, const char *text,
                                                size_t length, const struct sdg_prompt_rules *rules,
                                                sdgen_error *err);
void sdg_editing_free(struct sdg_editing *e);
/* Model call (counted from 1) up to which turn i counts; -1 behind the last turn. */
int sdg_editing_until(const struct sdg_editing *e, size_t i);
/* to = the text at model call `step`, counted from 1. */
bool sdg_editing_render(struct sdg_text *to, const struct sdg_editing *e, int step);

/* ---- composition, networks, comments ---- */

struct sdg_side { /* one side of AND: text[start, start + length) */
    size_t start, length;
    double weight;
};
struct sdg_sides {
    struct sdg_side *at;
    size_t count, capacity;
};
bool sdg_prompt_split_and(struct sdg_sides *sides, const char *text, size_t length);

/* to = text without its comments, "# ..." to the end of a line. */
bool sdg_prompt_strip_comments(struct sdg_text *to, const char *text, size_t length);

/* to = text without its <name:arguments>, which join p->networks. */
bool sdg_prompt_take_networks(struct sdg_text *to, struct sdg_prompt *p, const char *text,
                              size_t length);
/* The same for <lora:name:multiplier> alone. */
bool sdg_prompt_take_loras(struct sdg_text *to, struct sdg_prompt *p, const char *text,
                           size_t length);
bool sdg_prompt_add_network(struct sdg_prompt *p, const char *name, size_t name_length,
                            const char *arguments, size_t length);

#endif
