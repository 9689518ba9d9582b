/* prompt_editing.c - texts that change while a picture is drawn: [from:to:when], [to:when],
 * [from::when] and [a|b|c] of AUTOMATIC1111 stable-diffusion-webui 1.10 (the grammar and
 * get_learned_conditioning_prompt_schedules in modules/prompt_parser.py).
 *
 *     start:      (prompt | stray bracket or colon)*
 *     prompt:     (emphasized | scheduled | alternate | plain)*
 *     emphasized: "(" prompt ")" | "(" prompt ":" prompt ")" | "[" prompt "]"
 *     scheduled:  "[" [prompt ":"] prompt ":" [space] NUMBER [space] "]"
 *     alternate:  "[" prompt ("|" [prompt])+ "]"
 *     plain:      characters other than \ [ ] ( ) : |, and escapes; no line break is escaped
 *
 * There the grammar is left to an Earley parser, which takes cubic time. But whether a pair of
 * brackets is a group depends on what is inside of it alone, so one pass with a stack decides it:
 * a pair that matches, holds only groups, and has the right separators. Strays are allowed at the
 * outermost level, "|" only in an alternate, and a text that has one elsewhere, or a backslash at
 * its end, is no prompt of this language and means itself.
 *
 * Where stray brackets make a text ambiguous ("[a:3]]]"), the Earley parser's choice varies from
 * one run of the program to the next; here a pair that can be a group is one. */
#include "text/prompt_parts.h"

#include <stdlib.h>
#include <string.h>

/* A scheduled or alternate group text[start, end), by its opening bracket. */
struct group {
    uint32_t start, end;
    uint32_t first, items; /* item i is what stands between cut first + i and the next one */
    int32_t when;          /* scheduled: switches behind this call; -1: alternate */
};

struct frame { /* an open bracket */
    uint32_t start, first_cut;
    uint32_t colons, bars;
    char close;
    bool bad; /* something in it forbids that it is a group */
};

struct sdg_editing {
    const char *text;
    size_t length;
    struct group *groups; /* sorted by start */
    size_t group_count, group_capacity;
    uint32_t *cuts;
    size_t cut_count, cut_capacity;
    int *turns;
    size_t turn_count;
};

struct parser {
    struct sdg_editing *e;
    const struct sdg_prompt_rules *rules;
    struct frame *frames;
    size_t frame_count, frame_capacity;
    uint32_t *separators; /* of the open brackets, one behind the other */
    size_t separator_count, separator_capacity;
    bool literal, no_memory; /* the text is none of this language */
};

/* ---- when ---- */

static size_t ascii_digits(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && text[n] >= '0' && text[n] <= '9') n++;
    return n;
}

/* lark's SIGNED_NUMBER: [+-] digits, optional point and digits, optional exponent. */
static size_t number_length(const char *s, size_t n)
{
    size_t at = n > 0 && (s[0] == '+' || s[0] == '-');
    const size_t whole = ascii_digits(s + at, n - at);
    size_t part = 0;
    at += whole;
    if (at < n && s[at] == '.') {
        part = ascii_digits(s + at + 1, n - at - 1);
        at += 1 + part;
    }
    if (whole + part == 0) return 0;
    if (at < n && (s[at] == 'e' || s[at] == 'E')) {
        const size_t sign = at + 1 < n && (s[at + 1] == '+' || s[at + 1] == '-');
        const size_t power = ascii_digits(s + at + 1 + sign, n - at - 1 - sign);
        if (power > 0) at += 1 + sign + power;
    }
    return at;
}

/* The number of model calls after which a scheduled group switches: a fraction of them when it is
 * written with a point, and in a second pass fractions count from 1 and calls from the end of the
 * first pass. */
static int call_of(const char *text, size_t length, const struct sdg_prompt_rules *rules)
{
    const bool second = rules->base_steps > 0 && !rules->old_editing;
    const int steps =
        rules->old_editing && rules->base_steps > 0 ? rules->base_steps : rules->steps;
    double value = 0;
    if (!sdg_prompt_float(&value, text, length)) return 0;
    if (rules->old_editing)
        value = value < 1 ? value * steps : value;
    else if (memchr(text, '.', length))
        value = (value - (second ? 1.0 : 0.0)) * steps;
    else
        value -= second ? rules->base_steps : 0;
    if (value >= steps) return steps;
    return value >= 1 ? (int)value : 0;
}

/* Is text[length] a number with white space around it? Then *when is what it says. */
static bool read_when(int32_t *when, const char *text, size_t length,
                      const struct sdg_prompt_rules *rules)
{
    const size_t before = sdg_prompt_spaces(text, length);
    const size_t number = number_length(text + before, length - before);
    const size_t end = before + number;
    if (number == 0 || end + sdg_prompt_spaces(text + end, length - end) != length) return false;
    *when = call_of(text + before, number, rules);
    return true;
}

/* ---- groups ---- */

static bool keep_group(struct parser *p, const struct frame *f, uint32_t close, int32_t when)
{
    struct sdg_editing *e = p->e;
    const size_t first = e->cut_count;
    for (size_t i = f->first_cut; i <= p->separator_count; i++) {
        if (!sdg_list_grow((void **)&e->cuts, &e->cut_capacity, e->cut_count, sizeof *e->cuts))
            return false;
        e->cuts[e->cut_count++] = i < p->separator_count ? p->separators[i] : close;
    }
    if (!sdg_list_grow((void **)&e->groups, &e->group_capacity, e->group_count, sizeof *e->groups))
        return false;
    e->groups[e->group_count++] = (struct group) {.start = f->start,
                                                  .end = close + 1,
                                                  .first = (uint32_t)first,
                                                  .items = f->colons + f->bars + 1,
                                                  .when = when};
    return true;
}

/* The pair of brackets f ... close: is it one of the four groups? */
static bool is_group(struct parser *p, const struct frame *f, uint32_t close)
{
    int32_t when = -1;
    if (f->bad) return false;
    if (f->close == ')') return f->bars == 0 && f->colons <= 1;
    if (f->bars + f->colons == 0) return true;
    if (f->bars > 0) {
        if (f->colons > 0) return false;
    } else {
        const uint32_t number = p->separators[p->separator_count - 1] + 1;
        if (f->colons > 2 || !read_when(&when, p->e->text + number, close - number, p->rules))
            return false;
    }
    p->no_memory |= !keep_group(p, f, close, when);
    return true;
}

/* No open bracket can become a group any more. */
static void drop_frames(struct parser *p)
{
    for (size_t i = 0; i < p->frame_count; i++) p->literal |= p->frames[i].bars > 0;
    p->frame_count = p->separator_count = 0;
}

static void close_frame(struct parser *p, char c, uint32_t at)
{
    if (p->frame_count == 0) return; /* a stray */
    const struct frame f = p->frames[p->frame_count - 1];
    if (f.close != c) {
        drop_frames(p);
        return;
    }
    p->frame_count--;
    if (!is_group(p, &f, at)) {
        p->literal |= f.bars > 0;
        if (p->frame_count > 0) p->frames[p->frame_count - 1].bad = true;
    }
    p->separator_count = f.first_cut;
}

static void separate(struct parser *p, char c, uint32_t at)
{
    if (p->frame_count == 0) {
        p->literal |= c == '|';
        return;
    }
    struct frame *f = &p->frames[p->frame_count - 1];
    if (sdg_list_grow((void **)&p->separators, &p->separator_capacity, p->separator_count,
                      sizeof *p->separators))
        p->separators[p->separator_count++] = at;
    else
        p->no_memory = true;
    if (c == '|')
        f->bars++;
    else
        f->colons++;
}

static void open_frame(struct parser *p, char c, uint32_t at)
{
    if (!sdg_list_grow((void **)&p->frames, &p->frame_capacity, p->frame_count,
                       sizeof *p->frames)) {
        p->no_memory = true;
        return;
    }
    p->frames[p->frame_count++] = (struct frame) {
        .start = at, .first_cut = (uint32_t)p->separator_count, .close = c == '(' ? ')' : ']'};
}

static void find_groups(struct parser *p)
{
    const char *text = p->e->text;
    const size_t length = p->e->length;
    for (size_t i = 0; i < length && !p->literal && !p->no_memory; i++) {
        switch (text[i]) {
        case '\\':
            i++;
            p->literal |= i >= length || text[i] == '\n';
            break;
        case '(':
        case '[': open_frame(p, text[i], (uint32_t)i); break;
        case ')':
        case ']': close_frame(p, text[i], (uint32_t)i); break;
        case ':':
        case '|': separate(p, text[i], (uint32_t)i); break;
        default: break;
        }
    }
    drop_frames(p);
    if (p->literal) p->e->group_count = 0;
}

static int by_start(const void *a, const void *b)
{
    const uint32_t x = ((const struct group *)a)->start, y = ((const struct group *)b)->start;
    return x < y ? -1 : x > y;
}

/* ---- turns ---- */

/* The calls behind which the text changes, and the last call. An alternation changes it at every
 * call. */
static bool find_turns(struct sdg_editing *e, const struct sdg_prompt_rules *rules)
{
    int steps = rules->old_editing && rules->base_steps > 0 ? rules->base_steps : rules->steps;
    if (steps < 1) steps = 1;
    bool *changes = calloc((size_t)steps + 1, 1);
    if (!changes) return false;
    changes[steps] = true;
    for (size_t i = 0; i < e->group_count; i++) {
        const struct group *g = &e->groups[i];
        if (g->when < 0) {
            memset(changes + 1, true, (size_t)steps);
            break;
        }
        if (g->when >= 1 && g->when <= steps) changes[g->when] = true;
    }
    for (int i = 1; i <= steps; i++) e->turn_count += changes[i];
    e->turns = malloc(e->turn_count * sizeof *e->turns);
    for (int i = 1, k = 0; e->turns && i <= steps; i++)
        if (changes[i]) e->turns[k++] = i;
    free(changes);
    return e->turns != NULL;
}

int sdg_editing_until(const struct sdg_editing *e, size_t i)
{
    return i < e->turn_count ? e->turns[i] : -1;
}

/* ---- rendering ---- */

/* Which item of a group counts at a call, as text[*start, *end); false for none. */
static bool item_at(uint32_t *start, uint32_t *end, const struct sdg_editing *e,
                    const struct group *g, int step)
{
    const uint32_t *cuts = e->cuts + g->first;
    uint32_t item = g->when < 0 ? (uint32_t)(step - 1) % g->items : g->items - 2;
    if (g->when >= 0 && step <= g->when) {
        if (g->items == 2) return false; /* [to:when]: nothing before */
        item = 0;
    }
    *start = item == 0 ? g->start + 1 : cuts[item - 1] + 1;
    *end = cuts[item];
    return true;
}

struct range {
    uint32_t at, end;
};

/* Walks text and groups side by side. A stack holds what follows the groups that are open; groups
 * in items that do not count lie before `at` when their turn comes, and are passed over. */
bool sdg_editing_render(struct sdg_text *to, const struct sdg_editing *e, int step)
{
    struct range *stack = NULL, now = {0, (uint32_t)e->length};
    size_t depth = 0, capacity = 0, i = 0;
    bool fine = true;
    to->count = 0;
    for (;;) {
        while (i < e->group_count && e->groups[i].start < now.at) i++;
        const bool group = i < e->group_count && e->groups[i].start < now.end;
        const uint32_t end = group ? e->groups[i].start : now.end;
        fine = sdg_text_add(to, e->text + now.at, end - now.at);
        if (!fine || (!group && depth == 0)) break;
        if (!group) {
            now = stack[--depth];
            continue;
        }
        const struct group *g = &e->groups[i++];
        fine = sdg_list_grow((void **)&stack, &capacity, depth, sizeof *stack);
        if (!fine) break;
        now.at = g->end;
        struct range item;
        if (item_at(&item.at, &item.end, e, g, step)) {
            stack[depth++] = now;
            now = item;
        }
    }
    free(stack);
    return fine;
}

/* ---- life ---- */

void sdg_editing_free(struct sdg_editing *e)
{
    if (!e) return;
    free(e->groups);
    free(e->cuts);
    free(e->turns);
    free(e);
}

sdgen_status sdg_editing_parse(struct sdg_editing **out, const char *text, size_t length,
                               const struct sdg_prompt_rules *rules, sdgen_error *err)
{
    struct sdg_editing *e = calloc(1, sizeof *e);
    struct parser p = {.e = e, .rules = rules};
    bool fine = e != NULL;
    if (e) {
        e->text = text;
        e->length = length;
        find_groups(&p);
        if (e->group_count > 1) qsort(e->groups, e->group_count, sizeof *e->groups, by_start);
        fine = !p.no_memory && find_turns(e, rules);
    }
    free(p.frames);
    free(p.separators);
    *out = e;
    if (fine) return SDGEN_OK;
    sdg_editing_free(e);
    *out = NULL;
    return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for the turns of %zu bytes", length);
}
