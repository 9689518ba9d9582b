/* prompt_attention.c - round and square brackets as A1111 and stable-diffusion.cpp weigh them:
 * (a) is a x 1.1, (a:1.3) is a x 1.3, [a] is a / 1.1, "\(" is a bracket of the text, and BREAK ends
 * a chunk.
 *
 * Sources: parse_prompt_attention in AUTOMATIC1111 stable-diffusion-webui 1.10
 * (modules/prompt_parser.py) and in stable-diffusion.cpp (src/core/util.cpp). The two share a plan
 * and differ in details, which struct reader tells apart.
 *
 * Both multiply the weights of all segments since the opening bracket whenever one closes, which is
 * quadratic in the number of brackets. Here every bracket is a node that knows its parent of the
 * same kind and when it closed; the weight of a segment is the product along both chains, merged in
 * the order of closing, so it rounds exactly as there. Round and square brackets do not nest into
 * each other: "(a [b) c]" is fine, and needs two chains.
 *
 *     (a [b) c]     round:  o---a---b---)          a x 1.1,  b x 1.1 / 1.1,  c / 1.1
 *                   square:      o--b----c--]
 */
#include "text/prompt_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOBODY = -1, OPEN = INT32_MAX };

/* Factors that are multiplied one by one; further ones, of brackets farther out, come as one
 * product. Nobody nests a hundred brackets who cares for the last bit. */
enum { EXACT_FACTORS = 100 };

struct bracket {
    int32_t parent;     /* of the same kind */
    int32_t closed;     /* how many brackets closed before this one did, or OPEN */
    int32_t still_open; /* among this one and its parents */
    double factor;
    double outer; /* product of the factors of this one and its closed parents */
};

struct brackets { /* of one kind */
    struct bracket *at;
    size_t count, capacity;
    int32_t top; /* innermost open one */
    double usual;
};

/* A stretch of text between two brackets. */
struct stretch {
    size_t start, length; /* in the segments' text */
    int32_t round, square;
    bool is_break;
};

struct reader {
    const char *text;
    size_t length, at;
    bool sdcpp; /* single precision, "\(" alone is an escape, words do not guard BREAK */
    struct brackets round, square;
    int32_t closings;
    struct sdg_segments *out;
    struct stretch *stretches;
    size_t count, capacity;
    bool no_memory;
};

/* ---- brackets ---- */

static void open_bracket(struct reader *r, struct brackets *b)
{
    if (!sdg_list_grow((void **)&b->at, &b->capacity, b->count, sizeof *b->at)) {
        r->no_memory = true;
        return;
    }
    b->at[b->count] = (struct bracket) {.parent = b->top, .closed = OPEN, .factor = b->usual};
    b->top = (int32_t)b->count++;
}

static void close_bracket(struct reader *r, struct brackets *b, double factor)
{
    struct bracket *top = &b->at[b->top];
    top->factor = factor;
    top->closed = r->closings++;
    b->top = top->parent;
}

/* Products and numbers of open ones, from the outside in: parents come first. */
static void sum_up(struct brackets *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct bracket *x = &b->at[i];
        const struct bracket *parent = x->parent == NOBODY ? NULL : &b->at[x->parent];
        const bool open = x->closed == OPEN;
        x->outer = (open ? 1 : x->factor) * (parent ? parent->outer : 1);
        x->still_open = open + (parent ? parent->still_open : 0);
    }
}

static double times(const struct reader *r, double weight, double factor)
{
    weight *= factor;
    return r->sdcpp ? (double)(float)weight : weight;
}

static int32_t closing_of(const struct brackets *b, int32_t i)
{
    return i == NOBODY ? OPEN : b->at[i].closed;
}

/* The product along both chains, in the order in which the brackets closed. */
static double closed_ones(const struct reader *r, double weight, int32_t round, int32_t square)
{
    for (int n = 0;; n++) {
        const int32_t a = closing_of(&r->round, round), b = closing_of(&r->square, square);
        if (a == OPEN && b == OPEN) return weight;
        if (n == EXACT_FACTORS) {
            if (a != OPEN) weight = times(r, weight, r->round.at[round].outer);
            if (b != OPEN) weight = times(r, weight, r->square.at[square].outer);
            return weight;
        }
        const struct bracket *x = a < b ? &r->round.at[round] : &r->square.at[square];
        weight = times(r, weight, x->factor);
        if (a < b)
            round = x->parent;
        else
            square = x->parent;
    }
}

/* Brackets that never close count too, all by the same factor. */
static double open_ones(const struct reader *r, double weight, const struct brackets *b, int32_t i)
{
    const int32_t count = i == NOBODY ? 0 : b->at[i].still_open;
    int32_t n = 0;
    for (; n < count && n < EXACT_FACTORS; n++) weight = times(r, weight, b->usual);
    return n < count ? times(r, weight, pow(b->usual, (double)(count - n))) : weight;
}

static double weight_of(const struct reader *r, const struct stretch *s)
{
    double weight = closed_ones(r, s->is_break ? -1 : 1, s->round, s->square);
    weight = open_ones(r, weight, &r->round, s->round);
    return open_ones(r, weight, &r->square, s->square);
}

/* ---- text ---- */

static void add(struct reader *r, const char *text, size_t length, bool is_break)
{
    const size_t start = r->out->text.count;
    struct stretch *last = r->count ? &r->stretches[r->count - 1] : NULL;
    if (!sdg_text_add(&r->out->text, text, length)) {
        r->no_memory = true;
    } else if (last && !is_break && !last->is_break && last->round == r->round.top &&
               last->square == r->square.top) {
        last->length += length; /* will have the same weight */
    } else if (sdg_list_grow((void **)&r->stretches, &r->capacity, r->count, sizeof *last)) {
        r->stretches[r->count++] = (struct stretch) {.start = start,
                                                     .length = length,
                                                     .round = r->round.top,
                                                     .square = r->square.top,
                                                     .is_break = is_break};
    } else {
        r->no_memory = true;
    }
}

/* A1111: a run of plain text is cut at each BREAK that stands as a word, and the white space around
 * it goes. Both sides are segments, be they empty. */
static void add_run(struct reader *r, const char *run, size_t length)
{
    size_t start = 0;
    for (size_t i = 0; i + 5 <= length; i++) {
        if (run[i] != 'B' || !sdg_prompt_word_at(run, length, i, "BREAK")) continue;
        const size_t spaces = sdg_prompt_spaces_before(run + start, i - start);
        add(r, run + start, i - start - spaces, false);
        add(r, "BREAK", 5, true);
        i += 5;
        i += sdg_prompt_spaces(run + i, length - i);
        start = i--;
    }
    add(r, run + start, length - start, false);
}

static bool is_mark(char c)
{
    return c != 0 && strchr("\\()[]:", c);
}

static bool is_ascii_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static size_t run_length(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && !is_mark(text[n])) n++;
    return n;
}

/* stable-diffusion.cpp searches on in the rest of the text, where \b holds at its start: BREAK
 * counts at the end of a word too. White space around it stays. */
static void add_run_sdcpp(struct reader *r, const char *run, size_t length)
{
    size_t start = 0;
    for (size_t i = 0; i + 5 <= length; i++) {
        if (run[i] != 'B' || memcmp(run + i, "BREAK", 5) != 0) continue;
        if (i + 5 < length && is_ascii_word(run[i + 5])) continue;
        if (i > start) add(r, run + start, i - start, false);
        add(r, "BREAK", 5, true);
        start = i + 5;
        i += 4;
    }
    if (length > start) add(r, run + start, length - start, false);
}

/* ---- marks ---- */

/* ":1.3)" at `at`: the bytes of all of it, 0 if it is something else. The number is
 * [start, start + *digits) of it. A1111 allows white space around the number. */
static size_t weight_at(const struct reader *r, size_t at, size_t *start, size_t *digits)
{
    const char *text = r->text;
    size_t i = at + 1, first;
    if (!r->sdcpp) i += sdg_prompt_spaces(text + i, r->length - i);
    *start = i;
    if (i < r->length && (text[i] == '+' || text[i] == '-')) i++;
    first = i;
    while (i < r->length) {
        uint32_t code = (unsigned char)text[i];
        size_t n = 1;
        if (!r->sdcpp) n = sdg_utf8_decode(&code, text + i, r->length - i);
        if (code != '.' && (r->sdcpp ? code < '0' || code > '9' : sdg_prompt_digit(code) < 0))
            break;
        i += n;
    }
    if (i == first) return 0;
    *digits = i - *start;
    if (!r->sdcpp) i += sdg_prompt_spaces(text + i, r->length - i);
    return i < r->length && text[i] == ')' ? i + 1 - at : 0;
}

/* std::stof reads as far as it can: "1.2.3" is 1.2. */
static size_t number_prefix(const char *text, size_t length)
{
    size_t n = 0, points = 0;
    for (; n < length; n++)
        if (text[n] == '.' && points++) break;
    return n;
}

static sdgen_status close_weighted(struct reader *r, size_t start, size_t digits, sdgen_error *err)
{
    double weight = 0;
    size_t length = digits;
    if (r->sdcpp) length = number_prefix(r->text + start, digits);
    if (!sdg_prompt_float(&weight, r->text + start, length))
        return sdg_fail(err, SDGEN_ERR_ARG, "prompt: character %zu: '%.*s' is not a weight",
                        sdg_prompt_place(r->text, start), (int)(digits > 40 ? 40 : digits),
                        r->text + start);
    close_bracket(r, &r->round, r->sdcpp ? (double)(float)weight : weight);
    return SDGEN_OK;
}

static void read_escape(struct reader *r)
{
    const char *text = r->text + r->at;
    const bool escape = r->at + 1 < r->length && strchr("()[]\\", text[1]);
    if (r->sdcpp)
        add(r, text + (escape && text[1] == '('), escape && text[1] != '(' ? 2 : 1, false);
    else
        add(r, text + 1, escape, false); /* a lone backslash is an empty segment */
    r->at += 1 + escape;
}

/* One mark of the language at r->at. */
static sdgen_status read_mark(struct reader *r, sdgen_error *err)
{
    size_t start = 0, digits = 0, taken = 1;
    const char c = r->text[r->at];
    sdgen_status status = SDGEN_OK;
    if (c == '\\') {
        read_escape(r);
        return status;
    }
    if (c == ':') {
        taken = weight_at(r, r->at, &start, &digits);
        if (taken && r->round.top != NOBODY)
            status = close_weighted(r, start, digits, err);
        else if (!taken || !r->sdcpp) /* stable-diffusion.cpp drops a weight of nothing */
            add(r, r->text + r->at, taken ? taken : 1, false);
        r->at += taken ? taken : 1;
        return status;
    }
    if (c == '(')
        open_bracket(r, &r->round);
    else if (c == '[')
        open_bracket(r, &r->square);
    else if (c == ')' && r->round.top != NOBODY)
        close_bracket(r, &r->round, r->round.usual);
    else if (c == ']' && r->square.top != NOBODY)
        close_bracket(r, &r->square, r->square.usual);
    else
        add(r, &c, 1, false);
    r->at += taken;
    return status;
}

/* ---- weights and merging ---- */

/* Segments of equal weight that follow each other are one: their text is tokenised together. */
static bool merge(struct reader *r)
{
    struct sdg_segments *s = r->out;
    const size_t first = s->count;
    if (r->count == 0 && !sdg_segments_add(s, "", 0, 1)) return false;
    for (size_t i = 0; i < r->count; i++) {
        const struct stretch *x = &r->stretches[i];
        const double weight = weight_of(r, x);
        if (s->count > first && s->at[s->count - 1].weight == weight) {
            s->at[s->count - 1].length += x->length;
            continue;
        }
        if (!sdg_list_grow((void **)&s->at, &s->capacity, s->count, sizeof *s->at)) return false;
        s->at[s->count++] =
            (struct sdg_segment) {.start = x->start, .length = x->length, .weight = weight};
    }
    for (size_t i = first; i < s->count; i++)
        s->at[i].ends_chunk = s->at[i].weight == -1 && s->at[i].length == 5 &&
                              memcmp(s->text.at + s->at[i].start, "BREAK", 5) == 0;
    return true;
}

static sdgen_status read_all(struct sdg_segments *s, const char *text, size_t length, bool sdcpp,
                             sdgen_error *err)
{
    const double up = sdcpp ? (double)1.1f : 1.1, down = sdcpp ? (double)(1 / 1.1f) : 1 / 1.1;
    struct reader r = {.text = text,
                       .length = length,
                       .sdcpp = sdcpp,
                       .round = {.top = NOBODY, .usual = up},
                       .square = {.top = NOBODY, .usual = down},
                       .out = s};
    sdgen_status status = SDGEN_OK;
    while (r.at < length && !r.no_memory) {
        const size_t run = run_length(text + r.at, length - r.at);
        if (run && sdcpp)
            add_run_sdcpp(&r, text + r.at, run);
        else if (run)
            add_run(&r, text + r.at, run);
        r.at += run;
        if (!run) SDG_TRY(read_mark(&r, err));
    }
    sum_up(&r.round);
    sum_up(&r.square);
    if (r.no_memory || !merge(&r))
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu bytes", length);
fail:
    free(r.round.at);
    free(r.square.at);
    free(r.stretches);
    return status;
}

sdgen_status sdg_attention_a1111(struct sdg_segments *s, const char *text, size_t length,
                                 sdgen_error *err)
{
    return read_all(s, text, length, false, err);
}

sdgen_status sdg_attention_sdcpp(struct sdg_segments *s, const char *text, size_t length,
                                 sdgen_error *err)
{
    return read_all(s, text, length, true, err);
}
