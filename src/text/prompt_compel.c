/* prompt_compel.c - compel's language (github.com/damian0815/compel, doc/syntax.md and
 * src/compel/prompt_parser.py, version 2.5):
 *
 *     word+  word--  (some text)1.3  "text"-  (text).attend(1.2)    weights: x 1.1 for every +, x
 * 0.9 for every -, nested ones multiply
 *     ("a", "b").blend(1, .8)    weighted sum of encodings, normalised unless no_normalize is last
 *     ("a", "b").and(1, .5)      encodings one behind the other
 *     withLora(name, weight)     a network
 *
 * The original is a parsing expression grammar: alternatives are tried in order, and what has
 * matched is not taken back. All alternatives that begin with a word, brackets or quotes read the
 * same target first, so here it is read once and then what follows it is looked at; that keeps the
 * cost linear, where trying them in turn is exponential in the depth. Outside of brackets a word is
 * all up to the next white space.
 *
 * compel itself, run by Python's stack, gives up at a few dozen levels; here LEVELS are the limit.
 * .swap() acts on attention inside of the UNet and is refused. */
#include "text/prompt_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 64, MOST_TEXTS = 1000 };
#define NONE SIZE_MAX

struct reader {
    struct sdg_segments *out; /* one segment a fragment */
    struct sdg_prompt *prompt;
    struct sdg_compel_weight *weights;
    size_t weight_count, weight_capacity;
    sdgen_error *err;
    sdgen_status status; /* the first error; reading goes nowhere after it */
    int level;
};

struct text { /* of the prompt, or of what stands between quotes */
    const char *at;
    size_t length;
};

typedef size_t rule(struct reader *r, struct text s, size_t at);

/* ---- characters ---- */

static bool is_blank(char c) /* pyparsing's default */
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_space(char c) /* string.whitespace */
{
    return is_blank(c) || c == '\v' || c == '\f';
}

static bool is_syntax(char c)
{
    return c != 0 && strchr("()\",.+-=", c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char at_of(struct text s, size_t at)
{
    return at < s.length ? s.at[at] : 0;
}

static size_t skip(struct text s, size_t at)
{
    while (at < s.length && is_blank(s.at[at])) at++;
    return at;
}

/* The place behind a word of the grammar, white space before it skipped; NONE if it is not there.
 */
static size_t literal(struct text s, size_t at, const char *word)
{
    const size_t n = strlen(word);
    if (at == NONE) return NONE;
    at = skip(s, at);
    return s.length - at >= n && memcmp(s.at + at, word, n) == 0 ? at + n : NONE;
}

/* ---- results ---- */

static size_t no_memory(struct reader *r)
{
    if (r->status == SDGEN_OK)
        r->status = sdg_fail(r->err, SDGEN_ERR_MEMORY, "prompt: no memory for its fragments");
    return NONE;
}

/* \( \) and \" lose their backslash; returns the new length. */
static size_t unescape(char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        const char next = i + 1 < length ? text[i + 1] : 0;
        if (text[i] == '\\' && (next == '(' || next == ')' || next == '"')) i++;
        text[n++] = text[i];
    }
    return n;
}

/* A fragment. The original unescapes when it makes one and again when it flattens the tree. */
static bool add_fragment(struct reader *r, const char *text, size_t length)
{
    if (!sdg_segments_add(r->out, text, length, 1)) return no_memory(r), false;
    struct sdg_segment *x = &r->out->at[r->out->count - 1];
    char *own = r->out->text.at + x->start;
    x->length = unescape(own, unescape(own, length));
    r->out->text.count = x->start + x->length;
    return true;
}

struct mark {
    size_t fragments, text, weights, networks;
};

static struct mark mark_of(const struct reader *r)
{
    return (struct mark) {r->out->count, r->out->text.count, r->weight_count,
                          r->prompt->network_count};
}

static size_t take_back(struct reader *r, struct mark m)
{
    r->out->count = m.fragments;
    r->out->text.count = m.text;
    r->weight_count = m.weights;
    while (r->prompt->network_count > m.networks) {
        struct sdg_prompt_network *n = &r->prompt->networks[--r->prompt->network_count];
        free(n->name);
        free(n->arguments);
    }
    return NONE;
}

static bool weigh(struct reader *r, size_t first, double weight)
{
    if (!sdg_list_grow((void **)&r->weights, &r->weight_capacity, r->weight_count,
                       sizeof *r->weights))
        return no_memory(r), false;
    r->weights[r->weight_count++] = (struct sdg_compel_weight) {first, r->out->count, weight};
    return true;
}

/* ---- words and numbers ---- */

static size_t digits(struct text s, size_t at)
{
    while (is_digit(at_of(s, at))) at++;
    return at;
}

/* 1.5, .5, -2., 3, -3 */
static size_t number(double *value, struct text s, size_t at)
{
    if (at == NONE) return NONE;
    at = skip(s, at);
    const char first = at_of(s, at);
    const size_t start = at + (first == '+' || first == '-'), whole = digits(s, start);
    size_t end = NONE;
    if (at_of(s, whole) == '.') {
        const size_t part = digits(s, whole + 1);
        if (whole > start || part > whole + 1) end = part;
    }
    if (end == NONE && first != '+' && whole > start) end = whole;
    if (end == NONE || !sdg_prompt_float(value, s.at + at, end - at)) return NONE;
    return end;
}

/* A word without syntax in it: escaped signs, + and - inside, anything else. */
static size_t word_end(struct text s, size_t at)
{
    for (;;) {
        const char c = at_of(s, at), next = at + 1 < s.length ? s.at[at + 1] : ' ';
        if (at >= s.length || is_space(c)) return at;
        if (c == '\\' && at + 1 < s.length && is_syntax(next))
            at += 2;
        else if (c == '+' || c == '-') {
            if (is_blank(next) || is_syntax(next)) return at;
            at++;
        } else if (is_syntax(c))
            return at;
        else
            at++;
    }
}

static bool is_keyword(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

static size_t keyword(size_t *start, struct text s, size_t at)
{
    if (at == NONE) return NONE;
    *start = at = skip(s, at);
    while (is_keyword(at_of(s, at))) at++;
    return at > *start ? at : NONE;
}

/* ---- fragments ---- */

/* pluses, minuses, or a number. */
static size_t factor(double *weight, struct text s, size_t at, bool numbers)
{
    const char sign = at_of(s, at);
    size_t end = at;
    if (sign != '+' && sign != '-')
        return numbers && !is_blank(sign) ? number(weight, s, at) : NONE;
    while (at_of(s, end) == sign) end++;
    *weight = pow(sign == '+' ? 1.1 : 0.9, (double)(end - at));
    return end;
}

/* What may follow a target: a weight. Returns the place behind it, or NONE. */
static size_t attention(struct reader *r, struct text s, size_t at, size_t first, bool word)
{
    double weight;
    size_t end = literal(s, literal(s, at, ".attend"), "(");
    if (end != NONE) end = literal(s, factor(&weight, s, skip(s, end), true), ")");
    if (end == NONE) end = factor(&weight, s, at, !word);
    if (end != NONE && !weigh(r, first, weight)) return NONE;
    if (end == NONE && literal(s, literal(s, at, ".swap"), "(") != NONE && r->status == SDGEN_OK)
        r->status =
            sdg_fail(r->err, SDGEN_ERR_ARG,
                     "prompt: compel's .swap() is not supported; the place is before '%.20s'",
                     s.at + skip(s, at));
    return end;
}

static size_t lora(struct reader *r, struct text s, size_t at)
{
    size_t start, end = literal(s, at, "useLora");
    double weight = 1;
    if (end == NONE) end = literal(s, at, "withLora");
    const size_t name = keyword(&start, s, literal(s, end, "("));
    if (name == NONE) return NONE;
    end = number(&weight, s, literal(s, name, ","));
    const size_t tail = end == NONE ? name : end, close = literal(s, tail, ")");
    if (close == NONE) return NONE;
    struct sdg_text arguments = {0};
    bool fine = sdg_text_add(&arguments, s.at + start, name - start);
    if (end != NONE) {
        const size_t value = skip(s, literal(s, name, ","));
        fine = fine && sdg_text_add(&arguments, ":", 1) &&
               sdg_text_add(&arguments, s.at + value, end - value);
    }
    fine = fine && sdg_prompt_add_network(r->prompt, "lora", 4, arguments.at, arguments.count);
    sdg_text_free(&arguments);
    return fine ? close : no_memory(r);
}

static bool go_deeper(struct reader *r, struct text s, size_t at)
{
    if (r->level < LEVELS) return r->level++, true;
    if (r->status == SDGEN_OK)
        r->status =
            sdg_fail(r->err, SDGEN_ERR_ARG, "prompt: nested more than %d levels deep, at '%.20s'",
                     LEVELS, s.at + at);
    return false;
}

static rule fragments, free_text;

/* What stands in quotes, read by a rule that must take all of it. */
static size_t quoted(struct reader *r, struct text s, size_t at, rule *inside)
{
    const struct mark m = mark_of(r);
    size_t end = at + 1, escaped = NONE;
    while (end < s.length && !strchr("\"\n\r", s.at[end])) {
        if (s.at[end] == '\\' && at_of(s, end + 1) == '"') escaped = ++end;
        end++;
    }
    if (at_of(s, end) != '"') end = escaped; /* the last \" was a backslash and the end */
    if (end == NONE || !go_deeper(r, s, at)) return NONE;
    const struct text inner = {s.at + at + 1, end - at - 1};
    bool fine;
    if (sdg_prompt_spaces(inner.at, inner.length) == inner.length)
        fine = add_fragment(r, "", 0);
    else
        fine = skip(inner, inside(r, inner, 0)) == inner.length;
    r->level--;
    return fine && r->status == SDGEN_OK ? end + 1 : take_back(r, m);
}

static size_t bracketed(struct reader *r, struct text s, size_t at)
{
    const struct mark m = mark_of(r);
    if (!go_deeper(r, s, at)) return NONE;
    const size_t end = literal(s, fragments(r, s, at + 1), ")");
    r->level--;
    return end == NONE || r->status != SDGEN_OK ? take_back(r, m) : end;
}

/* Quotes, brackets or a word. */
static size_t target(struct reader *r, struct text s, size_t at, bool *word)
{
    at = skip(s, at);
    *word = false;
    if (at_of(s, at) == '"') return quoted(r, s, at, fragments);
    if (at_of(s, at) == '(') return bracketed(r, s, at);
    const size_t end = word_end(s, at);
    *word = true;
    return end > at && add_fragment(r, s.at + at, end - at) ? end : NONE;
}

/* Inside of brackets and quotes: as many fragments as there are. */
static size_t fragments(struct reader *r, struct text s, size_t at)
{
    while (r->status == SDGEN_OK) {
        const size_t first = r->out->count, start = skip(s, at);
        bool word;
        size_t end = lora(r, s, at);
        if (end == NONE) {
            end = target(r, s, at, &word);
            const size_t weight = end == NONE ? NONE : attention(r, s, end, first, word);
            if (weight != NONE) end = weight;
        }
        if (end == NONE && (at_of(s, start) == ',' || at_of(s, start) == '.') &&
            add_fragment(r, s.at + start, 1))
            end = start + 1;
        if (end == NONE) break;
        at = end;
    }
    return at;
}

/* A word up to the next white space, or white space. */
static size_t free_word(struct reader *r, struct text s, size_t at)
{
    size_t end = at;
    while (end < s.length && !is_space(s.at[end])) end++;
    if (end > at) return add_fragment(r, s.at + at, end - at) ? end : NONE;
    end = skip(s, at);
    return end > at ? end : NONE;
}

/* Outside of brackets. */
static size_t free_text(struct reader *r, struct text s, size_t at)
{
    while (r->status == SDGEN_OK && at < s.length) {
        const struct mark m = mark_of(r);
        bool word;
        size_t end = lora(r, s, at);
        if (end == NONE) {
            end = target(r, s, at, &word);
            const size_t weight = end == NONE ? NONE : attention(r, s, end, m.fragments, word);
            if (weight != NONE)
                end = weight;
            else if (end == NONE || word)
                end = (take_back(r, m), free_word(r, s, at));
        }
        if (end == NONE) break;
        at = end;
    }
    return at;
}

/* ---- blend and and ---- */

struct options {
    double *at;
    size_t count, capacity;
    bool no_normalize;
};

static sdgen_status wrong(struct reader *r, const char *what)
{
    if (r->status == SDGEN_OK)
        r->status = sdg_fail(r->err, SDGEN_ERR_ARG, "prompt: compel's %s", what);
    return r->status;
}

/* Weights, and no_normalize behind the last. */
static size_t read_options(struct options *o, struct reader *r, struct text s, size_t at)
{
    for (;;) {
        double value = 0;
        size_t start, end = number(&value, s, at);
        if (end == NONE) {
            end = keyword(&start, s, at);
            if (end == NONE) return at;
            o->no_normalize = end - start == 12 && memcmp(s.at + start, "no_normalize", 12) == 0;
            if (!o->no_normalize) return wrong(r, "weights are numbers and no_normalize"), NONE;
            return end;
        }
        if (!sdg_list_grow((void **)&o->at, &o->capacity, o->count, sizeof *o->at))
            return no_memory(r);
        o->at[o->count++] = value;
        at = literal(s, end, ",");
        if (at == NONE) return end;
    }
}

static bool add_member(struct sdg_compel *c, struct reader *r, size_t first)
{
    if (!sdg_list_grow((void **)&c->members, &c->member_capacity, c->member_count,
                       sizeof *c->members))
        return no_memory(r), false;
    if (c->member_count >= MOST_TEXTS) return wrong(r, "lists end at 1000 texts"), false;
    c->members[c->member_count++] =
        (struct sdg_compel_member) {.first = first, .count = r->out->count - first, .factor = 1};
    return true;
}

/* ("a", "b", ...) and the operator behind it: one of two names, or one and NULL. */
static size_t list(struct sdg_compel *c, struct options *o, struct reader *r, struct text s,
                   const char *name, const char *other)
{
    const struct mark m = mark_of(r);
    const size_t members = c->member_count;
    size_t at = literal(s, 0, "(");
    while (at != NONE && r->status == SDGEN_OK) {
        const size_t first = r->out->count, start = skip(s, at);
        bool word;
        at = target(r, s, start, &word);
        if (at == NONE && at_of(s, start) == '"') at = quoted(r, s, start, free_text);
        if (at == NONE || !add_member(c, r, first)) break;
        const size_t next = literal(s, at, ",");
        if (next == NONE) break;
        at = next;
    }
    at = literal(s, at, ")");
    size_t end = literal(s, at, name);
    if (end == NONE && other) end = literal(s, at, other);
    end = literal(s, end, "(");
    if (end != NONE) end = literal(s, read_options(o, r, s, end), ")");
    if (end != NONE && r->status == SDGEN_OK) return end;
    c->member_count = members;
    o->count = 0;
    o->no_normalize = false;
    return take_back(r, m);
}

static bool add_section(struct sdg_compel *c, struct reader *r, size_t first, size_t count,
                        double weight)
{
    if (!sdg_list_grow((void **)&c->sections, &c->section_capacity, c->section_count,
                       sizeof *c->sections))
        return no_memory(r), false;
    c->sections[c->section_count++] =
        (struct sdg_compel_section) {.first = first, .count = count, .weight = weight};
    return true;
}

static void make_blend(struct sdg_compel *c, const struct options *o, struct reader *r)
{
    double sum = 0;
    if (o->count != 0 && o->count != c->member_count) {
        wrong(r, "blend() wants one weight for each text");
        return;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].count == 0) wrong(r, "blend() has an empty text");
        c->members[i].factor = o->count ? o->at[i] : 1;
        sum += c->members[i].factor;
    }
    for (size_t i = 0; i < c->member_count && !o->no_normalize; i++) c->members[i].factor /= sum;
    add_section(c, r, 0, c->member_count, 1);
}

/* Empty texts vanish, with their weights. */
static void make_and(struct sdg_compel *c, const struct options *o, struct reader *r)
{
    if (o->no_normalize || (o->count != 0 && o->count != c->member_count)) {
        wrong(r, "and() wants one weight for each text");
        return;
    }
    for (size_t i = 0; i < c->member_count; i++)
        if (c->members[i].count > 0 && !add_section(c, r, i, 1, o->count ? o->at[i] : 1)) return;
}

static size_t loras(struct reader *r, struct text s, size_t at)
{
    size_t next;
    while ((next = lora(r, s, at)) != NONE) at = next;
    return at;
}

static void read_prompt(struct sdg_compel *c, struct reader *r, struct text s)
{
    struct options o = {0};
    if (list(c, &o, r, s, ".and", ".add") != NONE) {
        make_and(c, &o, r);
    } else if (r->status == SDGEN_OK) {
        const size_t start = loras(r, s, 0);
        size_t end = list(c, &o, r, (struct text) {s.at + start, s.length - start}, ".blend", NULL);
        if (end != NONE) {
            make_blend(c, &o, r);
            end = skip(s, loras(r, s, start + end));
            if (end < s.length) wrong(r, "blend() must be all of the prompt");
        } else if (r->status == SDGEN_OK) {
            const size_t first = r->out->count;
            free_text(r, s, start);
            if (add_member(c, r, first)) add_section(c, r, 0, 1, 1);
        }
    }
    free(o.at);
}

/* ---- all of it ---- */

/* The original puts a blank behind every comma that has none, before it reads anything. */
static bool space_commas(struct sdg_text *to, const char *text, size_t length)
{
    size_t from = 0;
    for (size_t i = 0; i + 1 < length; i++) {
        if (text[i] != ',' || sdg_prompt_spaces(text + i + 1, length - i - 1) > 0) continue;
        if (!sdg_text_add(to, text + from, i + 1 - from) || !sdg_text_add(to, " ", 1)) return false;
        from = ++i; /* the next character is taken, be it a comma */
    }
    return sdg_text_add(to, text + from, length - from);
}

sdgen_status sdg_compel_parse(struct sdg_compel *c, struct sdg_prompt *p, const char *text,
                              size_t length, sdgen_error *err)
{
    struct sdg_segments raw = {0};
    struct sdg_text spaced = {0};
    struct reader r = {.out = &raw, .prompt = p, .err = err};
    *c = (struct sdg_compel) {0};
    if (!space_commas(&spaced, text, length)) no_memory(&r);
    if (r.status == SDGEN_OK) read_prompt(c, &r, (struct text) {spaced.at, spaced.count});
    if (r.status == SDGEN_OK && !sdg_compel_fuse(c, &raw, r.weights, r.weight_count)) no_memory(&r);
    sdg_segments_free(&raw);
    sdg_text_free(&spaced);
    free(r.weights);
    if (r.status != SDGEN_OK) sdg_compel_free(c);
    return r.status;
}

void sdg_compel_free(struct sdg_compel *c)
{
    sdg_segments_free(&c->segments);
    free(c->members);
    free(c->sections);
    *c = (struct sdg_compel) {0};
}
