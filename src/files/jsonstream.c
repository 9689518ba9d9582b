/* jsonstream.c - see jsonstream.h. Grammar: RFC 8259. Strings must be well-formed UTF-8 with paired
 * surrogate escapes, as serde_json (the reader behind safetensors) demands. */
#define _GNU_SOURCE
#include "files/jsonstream.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"

enum {
    WINDOW = 4 << 20, /* bytes that stay resident behind the reading position */
    PLAIN_RUN = 512,
    DEPTH = 128 /* nesting of skipped values; serde_json's own limit */
};

bool sdg_json_wrong(struct sdg_json *j, const char *problem)
{
    if (!j->problem) j->problem = problem;
    return false;
}

/* Gives whole pages before the reading position back to the system, which reads them again from the
 * file should anyone look. */
static void give_back(struct sdg_json *j)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)(j->data + j->kept) + page - 1) / page * page;
    const uintptr_t end = (uintptr_t)(j->data + j->at) / page * page;
    if (end > begin) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    j->kept = j->at;
}

static void advance(struct sdg_json *j, size_t bytes)
{
    j->at += bytes;
    if (j->mapped && j->at - j->kept >= WINDOW) give_back(j);
}

/* The next byte, or -1 at the end or after a mistake. */
static int peek(const struct sdg_json *j)
{
    return j->problem || j->at >= j->size ? -1 : j->data[j->at];
}

static int peek_after_space(struct sdg_json *j)
{
    int c = peek(j);
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        advance(j, 1);
        c = peek(j);
    }
    return c;
}

static bool expect(struct sdg_json *j, int wanted, const char *problem)
{
    if (peek_after_space(j) != wanted)
        return sdg_json_wrong(j, j->at >= j->size ? "the text ends too early" : problem);
    advance(j, 1);
    return true;
}

bool sdg_json_open(struct sdg_json *j, char bracket)
{
    return expect(j, bracket, bracket == '{' ? "an object should begin" : "a list should begin");
}

bool sdg_json_more(struct sdg_json *j, bool *first, char bracket)
{
    if (peek_after_space(j) == bracket) {
        advance(j, 1);
        return false;
    }
    if (!*first && !expect(j, ',', "a comma or a closing bracket is missing")) return false;
    *first = false;
    return !j->problem;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(struct sdg_json *j)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        const int c = peek(j);
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        code = code << 4 | digit;
        advance(j, 1);
    }
    return code;
}

/* The rest of \uXXXX, with the second half of a surrogate pair (RFC 8259, section 7). */
static size_t unicode_escape(char out[4], struct sdg_json *j)
{
    int32_t code = hex4(j);
    if (code >= 0xd800 && code < 0xdc00) {
        int32_t low = -1;
        if (j->size - j->at >= 2 && j->data[j->at] == '\\' && j->data[j->at + 1] == 'u') {
            advance(j, 2);
            low = hex4(j);
        }
        if (low >= 0xdc00 && low < 0xe000)
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0 || (code >= 0xd800 && code < 0xe000)) {
        sdg_json_wrong(j, "a \\u escape is malformed or half a surrogate pair");
        return 0;
    }
    return sdg_utf8_encode(out, (uint32_t)code);
}

/* Takes one character of a string, plain or escaped: its UTF-8 into out, its length as result; 0 at
 * the closing quote, which is left, and on a mistake. */
static size_t take_character(char out[4], struct sdg_json *j)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const int c = peek(j);
    if (c == '"') return 0;
    if (c < 0x20) {
        sdg_json_wrong(j, c < 0 ? "a string has no end" : "a string holds a control character");
        return 0;
    }
    if (c == '\\') {
        advance(j, 1);
        const int letter = peek(j);
        advance(j, letter >= 0);
        if (letter == 'u') return unicode_escape(out, j);
        const char *found = letter > 0 ? strchr(letters, letter) : NULL;
        if (!found) {
            sdg_json_wrong(j, "a string holds an unknown escape");
            return 0;
        }
        out[0] = meanings[found - letters];
        return 1;
    }
    const size_t n = sdg_utf8_length(j->data + j->at, j->size - j->at);
    if (n == 0) {
        sdg_json_wrong(j, "a string is not UTF-8");
        return 0;
    }
    memcpy(out, j->data + j->at, n);
    advance(j, n);
    return n;
}

/* Number of plain ASCII characters that follow, a few hundred at most: nearly all of a header. */
static size_t plain_run(const struct sdg_json *j)
{
    const uint8_t *p = j->data + j->at;
    const size_t room = j->size - j->at < PLAIN_RUN ? j->size - j->at : PLAIN_RUN;
    size_t n = 0;
    while (n < room && p[n] >= ' ' && p[n] < 0x80 && p[n] != '"' && p[n] != '\\') n++;
    return n;
}

bool sdg_json_string(struct sdg_json *j, struct sdg_json_text *text)
{
    char c[4];
    size_t n, plain;
    *text = (struct sdg_json_text) {0};
    if (!expect(j, '"', "a string should begin")) return false;
    text->at = j->at;
    do {
        plain = plain_run(j);
        advance(j, plain);
        n = take_character(c, j);
        text->size += plain + n;
        text->has_nul |= n > 0 && c[0] == 0;
    } while (n > 0);
    if (j->problem) return false;
    advance(j, 1);
    return true;
}

bool sdg_json_key(struct sdg_json *j, struct sdg_json_text *text)
{
    return sdg_json_string(j, text) && expect(j, ':', "a colon is missing");
}

void sdg_json_decode(char *out, const struct sdg_json *j, const struct sdg_json_text *text)
{
    struct sdg_json again = *j;
    size_t n, used = 0;
    char c[4];
    again.at = again.kept = text->at;
    again.problem = NULL;
    while ((n = take_character(c, &again)) > 0 && used + n <= text->size) {
        memcpy(out + used, c, n);
        used += n;
    }
    out[used] = 0;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

bool sdg_json_natural(struct sdg_json *j, uint64_t *value)
{
    static const char *const problem = "a number should be a plain non-negative integer";
    int c = peek_after_space(j);
    const bool zero = c == '0';
    *value = 0;
    if (!is_digit(c)) return sdg_json_wrong(j, c < 0 ? "the text ends too early" : problem);
    for (; is_digit(c); c = peek(j)) {
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(c - '0'), value))
            return sdg_json_wrong(j, "a number is larger than 64 bits");
        advance(j, 1);
        if (zero && is_digit(peek(j))) return sdg_json_wrong(j, problem);
    }
    return c == '.' || c == 'e' || c == 'E' ? sdg_json_wrong(j, problem) : true;
}

/* At least one digit. */
static bool digits(struct sdg_json *j)
{
    if (!is_digit(peek(j))) return sdg_json_wrong(j, "a number is malformed");
    while (is_digit(peek(j))) advance(j, 1);
    return true;
}

/* Any number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool skip_number(struct sdg_json *j)
{
    if (peek(j) == '-') advance(j, 1);
    if (peek(j) == '0')
        advance(j, 1);
    else if (!digits(j))
        return false;
    if (peek(j) == '.') {
        advance(j, 1);
        if (!digits(j)) return false;
    }
    if (peek(j) == 'e' || peek(j) == 'E') {
        advance(j, 1);
        if (peek(j) == '+' || peek(j) == '-') advance(j, 1);
        if (!digits(j)) return false;
    }
    return !is_digit(peek(j)) || sdg_json_wrong(j, "a number is malformed");
}

static bool skip_literal(struct sdg_json *j)
{
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = strlen(literals[i]);
        if (j->size - j->at >= n && memcmp(j->data + j->at, literals[i], n) == 0) {
            advance(j, n);
            return true;
        }
    }
    return sdg_json_wrong(j, "a value should begin");
}

bool sdg_json_skip(struct sdg_json *j)
{
    char open[DEPTH]; /* the closing bracket of every object and list around */
    bool fresh[DEPTH];
    int depth = 0;
    struct sdg_json_text text;
    do {
        const int c = peek_after_space(j);
        if (c == '{' || c == '[') {
            if (depth == DEPTH) return sdg_json_wrong(j, "values are nested too deep");
            open[depth] = c == '{' ? '}' : ']';
            fresh[depth++] = true;
            advance(j, 1);
        } else if (c == '"') {
            sdg_json_string(j, &text);
        } else if (c == '-' || is_digit(c)) {
            skip_number(j);
        } else if (c < 0) {
            sdg_json_wrong(j, "the text ends too early");
        } else {
            skip_literal(j);
        }
        while (depth > 0 && !j->problem && !sdg_json_more(j, &fresh[depth - 1], open[depth - 1]))
            depth--;
        if (depth > 0 && open[depth - 1] == '}') sdg_json_key(j, &text);
    } while (depth > 0 && !j->problem);
    return !j->problem;
}

bool sdg_json_end(struct sdg_json *j)
{
    if (!j->problem && peek_after_space(j) >= 0)
        return sdg_json_wrong(j, "there is more text behind the end");
    return !j->problem;
}
