/* prompt_comfyui.c - round brackets as ComfyUI weighs them (comfy/sd1_clip.py: parse_parentheses,
 * token_weights, tokenize_with_weights): (a) is the weight around it x 1.1, (a:1.3) is 1.3 whatever
 * stands around it, "\(" is a bracket of the text, embedding:name is handed on as a network.
 * Nothing else has a meaning.
 *
 * There a text is cut into items, brackets with all that is in them or what lies between, and each
 * bracket's inside is cut again: quadratic in the depth. Here the partner of every bracket and the
 * colon before every place are found beforehand; then each character is looked at once.
 *
 * Three habits of the original are kept: a closing bracket without partner makes the next opening
 * one literal; an opening one without partner takes all of the rest, and counts when the rest ends
 * in ")"; the colon that is tried is the last inside of the group, wherever it stands. */
#include "text/prompt_parts.h"

#include <stdlib.h>
#include <string.h>

struct range { /* text[at, end), all of one weight where no bracket says else */
    uint32_t at, end;
    double weight;
};

struct reader {
    const char *text;  /* brackets that were escaped are ESCAPED_* */
    uint32_t *partner; /* of an opening bracket: its closing one; of a colon: the next bracket; or
                          length */
    uint32_t *colon;   /* place behind the last colon at or before this place, 0 for none */
    size_t length;
    struct range *stack;
    size_t depth, capacity;
    struct sdg_prompt *prompt; /* takes the embeddings */
};

#define EMBEDDING "embedding:"

/* Bytes that no UTF-8 text has; a prompt that has them is not hurt beyond repair either. */
enum { ESCAPED_OPEN = 0xfe, ESCAPED_CLOSE = 0xff };

/* ---- preparation ---- */

/* "\(" and "\)" become one byte each, and bytes that look like these the replacement character. */
static bool unescape(struct sdg_text *to, const char *text, size_t length)
{
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool escape =
            c == '\\' && i + 1 < length && (text[i + 1] == '(' || text[i + 1] == ')');
        if (!escape && c != ESCAPED_OPEN && c != ESCAPED_CLOSE) continue;
        const char byte = (char)(escape && text[i + 1] == '(' ? ESCAPED_OPEN : ESCAPED_CLOSE);
        if (!sdg_text_add(to, text + from, i - from)) return false;
        if (!(escape ? sdg_text_add(to, &byte, 1) : sdg_text_add(to, "\xef\xbf\xbd", 3)))
            return false;
        i += escape;
        from = i + 1;
    }
    return sdg_text_add(to, text + from, length - from);
}

/* Uses partner as the stack of open brackets, linked through itself: O(length). */
static void find_partners(struct reader *r)
{
    uint32_t open = UINT32_MAX, colon = 0;
    for (size_t i = 0; i < r->length; i++) {
        if (r->text[i] == ':') colon = (uint32_t)i + 1;
        r->colon[i] = colon;
        if (r->text[i] == '(') {
            r->partner[i] = open;
            open = (uint32_t)i;
        } else if (r->text[i] == ')' && open != UINT32_MAX) {
            const uint32_t outer = r->partner[open];
            r->partner[open] = (uint32_t)i;
            open = outer;
        }
    }
    while (open != UINT32_MAX) {
        const uint32_t outer = r->partner[open];
        r->partner[open] = (uint32_t)r->length;
        open = outer;
    }
    uint32_t next = (uint32_t)r->length;
    for (size_t i = r->length; i-- > 0;) {
        if (r->text[i] == '(' || r->text[i] == ')') next = (uint32_t)i;
        if (r->text[i] == ':') r->partner[i] = next;
    }
}

/* ---- segments ---- */

static bool push(struct reader *r, uint32_t at, uint32_t end, double weight)
{
    if (!sdg_list_grow((void **)&r->stack, &r->capacity, r->depth, sizeof *r->stack)) return false;
    r->stack[r->depth++] = (struct range) {at, end, weight};
    return true;
}

/* The inside of a group and its weight: a number behind the last colon, unless nothing stands
 * before that colon. Brackets in the number are no number: looked for first, as one colon can be
 * the last of many groups. */
static struct range inside(const struct reader *r, uint32_t at, uint32_t end, double around)
{
    struct range x = {at, end, around * 1.1};
    const uint32_t colon = end > at ? r->colon[end - 1] : 0;
    if (colon <= at + 1) return x; /* none, or the first character */
    if (r->partner[colon - 1] < end) return x;
    if (sdg_prompt_float(&x.weight, r->text + colon, end - colon)) x.end = colon - 1;
    return x;
}

/* Puts escaped brackets back. */
static void restore(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] == ESCAPED_OPEN) text[i] = '(';
        if ((unsigned char)text[i] == ESCAPED_CLOSE) text[i] = ')';
    }
}

static bool add_plain(struct sdg_segments *s, const char *text, size_t length, double weight)
{
    if (length == 0) return true;
    if (!sdg_segments_add(s, text, length, weight)) return false;
    restore(s->text.at + s->at[s->count - 1].start, length);
    return true;
}

/* A stretch that may begin with "embedding:name". The name ends at white space, without the commas
 * there; what follows is text again. */
static bool add_word(struct sdg_segments *s, struct reader *r, const char *text, size_t length,
                     double weight)
{
    const size_t prefix = strlen(EMBEDDING);
    if (length > prefix && memcmp(text, EMBEDDING, prefix) == 0) {
        const size_t name = prefix + sdg_prompt_spaces(text + prefix, length - prefix);
        size_t end = name;
        while (end < length && !sdg_prompt_spaces(text + end, length - end)) end++;
        while (end > name && text[end - 1] == ',') end--;
        if (end > name) {
            if (!sdg_prompt_add_network(r->prompt, "embedding", 9, text + name, end - name))
                return false;
            restore(r->prompt->networks[r->prompt->network_count - 1].arguments, end - name);
            text += end;
            length -= end;
        }
    }
    return add_plain(s, text, length, weight);
}

/* Plain text, cut where an embedding begins. */
static bool emit(struct sdg_segments *s, struct reader *r, uint32_t at, uint32_t end, double weight)
{
    const size_t prefix = strlen(EMBEDDING);
    size_t from = at;
    for (size_t i = at; i + 1 + prefix <= end; i++) {
        if ((r->text[i] != ' ' && r->text[i] != '\n') ||
            memcmp(r->text + i + 1, EMBEDDING, prefix) != 0)
            continue;
        if (!add_word(s, r, r->text + from, i - from, weight)) return false;
        from = i + 1;
        i += prefix;
    }
    return add_word(s, r, r->text + from, end - from, weight);
}

/* The range on top of the stack: its text up to the first group, then the group, then the rest. */
static bool step(struct sdg_segments *s, struct reader *r)
{
    const struct range now = r->stack[--r->depth];
    uint32_t i = now.at;
    int64_t level = 0; /* falls below 0 behind a closing bracket too many */
    for (; i < now.end; i++) {
        if (r->text[i] == ')') level--;
        if (r->text[i] == '(' && level++ == 0) break;
    }
    if (!emit(s, r, now.at, i, now.weight)) return false;
    if (i == now.end) return true;
    const uint32_t partner = r->partner[i], close = partner < now.end ? partner : now.end - 1;
    if (partner >= now.end && (close == i || r->text[close] != ')'))
        return emit(s, r, i, now.end, now.weight);
    if (close + 1 < now.end && !push(r, close + 1, now.end, now.weight)) return false;
    const struct range group = inside(r, i + 1, close, now.weight);
    return group.at == group.end || push(r, group.at, group.end, group.weight);
}

sdgen_status sdg_attention_comfyui(struct sdg_segments *s, struct sdg_prompt *p, const char *text,
                                   size_t length, sdgen_error *err)
{
    struct sdg_text plain = {0};
    struct reader r = {.prompt = p};
    bool fine = unescape(&plain, text, length);
    if (fine) {
        r.text = plain.at;
        r.length = plain.count;
        r.partner = malloc((r.length + 1) * sizeof *r.partner);
        r.colon = malloc((r.length + 1) * sizeof *r.colon);
        fine = r.partner && r.colon;
    }
    if (fine) {
        find_partners(&r);
        fine = push(&r, 0, (uint32_t)r.length, 1);
        while (fine && r.depth > 0) fine = step(s, &r);
    }
    free(r.partner);
    free(r.colon);
    free(r.stack);
    sdg_text_free(&plain);
    if (fine) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu bytes", length);
}
