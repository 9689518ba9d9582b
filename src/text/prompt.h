/* prompt.h - what a prompt asks for: which texts to encode, with which weights, and which of them
 * counts at which model call.
 *
 *   "[a|b] cat AND dog :0.5"  ->  part 0, weight 1:   texts 0 and 1 in turn
 *                                 part 1, weight 0.5: text 2 throughout
 *
 * The languages are those of the programs: A1111's (attention, editing, alternation, BREAK, AND,
 * extra networks), ComfyUI's, compel's, and plain text. */
#ifndef SDG_TEXT_PROMPT_H
#define SDG_TEXT_PROMPT_H

#include <stdbool.h>
#include "text/chunks.h"

enum sdg_prompt_language {
    SDG_PROMPT_PLAIN,   /* every character means itself (diffusers; --literal) */
    SDG_PROMPT_A1111,   /* modules/prompt_parser.py, modules/sd_hijack_clip.py */
    SDG_PROMPT_COMFYUI, /* comfy/sd1_clip.py */
    SDG_PROMPT_COMPEL,  /* compel's + and -, explicit weights, .blend(), .and() */
    SDG_PROMPT_SDCPP    /* stable-diffusion.cpp: A1111's brackets, its own slices of 75 */
};

struct sdg_prompt_rules {
    enum sdg_prompt_language language;
    enum sdg_chunking chunking;
    bool negative;    /* AND has no meaning in a negative prompt */
    int steps;        /* model calls that fractions and steps of prompt editing refer to */
    int base_steps;   /* second pass (hires): calls of the first, else 0 */
    bool old_editing; /* A1111's "old prompt editing timelines" */
    /* A1111's emphasis mode None: brackets and BREAK are text, while editing, AND and networks keep
     * their meaning. */
    bool no_attention;
};

/* An encoding that starts to count when the one before it ends. */
struct sdg_prompt_turn {
    int until;   /* last model call, 0-based, at which it counts (A1111 counts so) */
    size_t text; /* index into texts */
};

struct sdg_prompt_part { /* one side of AND */
    double weight;
    struct sdg_prompt_turn *turns;
    size_t count;
};

struct sdg_prompt_network { /* <name:argument:...>, cut out of the text */
    char *name, *arguments; /* arguments as written, separated by ':' */
};

/* compel: one encoding of a weighted sum. */
struct sdg_prompt_piece {
    struct sdg_chunks chunks; /* one chunk */
    uint8_t *hidden; /* [77], not 0 where the text encoder must not look; NULL: it sees all */
    double factor;
    size_t section;
};

/* What is encoded: the chunks, one behind the other. A text of compel's language may instead be
 * made of pieces: sections one behind the other, each the sum of factor x encoding over its pieces
 * (sdg_add_piece), every encoding with its own weights applied first. Its chunks are then
 * those of the sections without blending, for people to look at. */
struct sdg_prompt_text {
    struct sdg_chunks chunks; /* ids and weights */
    char *text;               /* as it is encoded: edited, without comments and networks */
    struct sdg_prompt_piece *pieces;
    size_t piece_count, section_count; /* 0: no pieces */
};

struct sdg_prompt {
    struct sdg_prompt_text *texts; /* distinct ones only */
    size_t text_count;
    struct sdg_prompt_part *parts;
    size_t part_count;
    struct sdg_prompt_network *networks;
    size_t network_count;
    size_t tokens, dropped; /* most of any text; cut off by truncation */
    bool weighted;          /* some weight is not 1 */
};

/* *p is zeroed or reused. Cost n log n in the length. Errors: SDGEN_ERR_ARG with the place in the
 * prompt, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_prompt_parse(struct sdg_prompt *p, const char *text,
                                               const struct sdg_prompt_rules *rules,
                                               const struct sdg_tokenizer *t, sdgen_error *err);
void sdg_prompt_free(struct sdg_prompt *p);

/* Index of the text of a part that counts at model call `call` (0-based). */
size_t sdg_prompt_text_at(const struct sdg_prompt_part *part, int call);

#endif
