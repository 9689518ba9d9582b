/* infotext_parse.c - see infotext_parse.h. What counts as a value follows AUTOMATIC1111
 * stable-diffusion-webui 1.10, modules/infotext_utils.py parse_generation_parameters:
 *
 *   key    a word character, then word characters, blanks, '-' or '/', then ':'
 *   value  a JSON string that ends at a comma or the end; else all up to the next comma
 *
 * The last line holds the values when it has three or more, else it belongs to the prompt. There a
 * regular expression does it; here one walk does, which cannot be made slow: a key that fails
 * cannot succeed at a later character of the same run, and no scan for a closing quote passes a
 * second opening one.
 *
 * stable-diffusion.cpp (examples/common/common.cpp get_image_params) writes lists in brackets with
 * bare commas, sampler and schedule in one value, and at the end the whole story again as JSON,
 * which is read elsewhere (foreign_sdcpp.c). */
#define _GNU_SOURCE
#include "image/infotext_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const char negative_mark[] = "Negative prompt:";
static const char sdcpp_mark[] = "Version: stable-diffusion.cpp", sdcpp_tail[] = ", SDCPP: {";
enum { FEWEST_VALUES = 3 };

/* ---- characters ---- */

/* Python's \w beyond ASCII, by blocks: letters and numbers yes, blanks, punctuation, signs, private
 * use and emoji no. Keys beyond ASCII are rare ("CFG Rescale phi" in Greek). */
static bool is_word_beyond_ascii(uint32_t c)
{
    static const uint32_t not_word[][2] = {
        {0x80, 0xA9},       {0xAB, 0xB1},     {0xB4, 0xB4},     {0xB6, 0xB8},     {0xBB, 0xBB},
        {0xBF, 0xBF},       {0xD7, 0xD7},     {0xF7, 0xF7},     {0x2000, 0x206F}, {0x20A0, 0x20FF},
        {0x2190, 0x245F},   {0x2500, 0x2775}, {0x2794, 0x2BFF}, {0x2E00, 0x3004}, {0x3008, 0x3020},
        {0xD800, 0xF8FF},   {0xFE10, 0xFE6F}, {0xFF00, 0xFF0F}, {0xFF1A, 0xFF20}, {0xFFE0, 0xFFFF},
        {0x1F000, 0x1FAFF},
    };
    for (size_t i = 0; i < sizeof not_word / sizeof not_word[0]; i++)
        if (c >= not_word[i][0] && c <= not_word[i][1]) return false;
    return c >= 0x80 && !sdg_is_space(c);
}

static bool is_word(uint32_t c)
{
    if (c >= 0x80) return is_word_beyond_ascii(c);
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

struct span {
    const char *at;
    size_t length;
};

static struct span strip(struct span s)
{
    uint32_t c;
    while (s.length) {
        const size_t n = sdg_utf8_decode(&c, s.at, s.length);
        if (!sdg_is_space(c)) break;
        s.at += n;
        s.length -= n;
    }
    while (s.length) {
        size_t n = 1;
        while (n < s.length && n < 4 && ((unsigned char)s.at[s.length - n] & 0xC0) == 0x80) n++;
        sdg_utf8_decode(&c, s.at + s.length - n, n);
        if (!sdg_is_space(c)) break;
        s.length -= n;
    }
    return s;
}

static bool starts(struct span s, const char *with)
{
    return s.length >= strlen(with) && memcmp(s.at, with, strlen(with)) == 0;
}

/* ---- JSON strings ---- */

static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *d = strchr(digits, s[i] | 0x20);
        if (!s[i] || !d) return -1;
        v = 16 * v + (int)(d - digits);
    }
    return v;
}

/* The code point of the escape \uXXXX (or of two that make a pair) at s[left]; *used its length.
 * 0 when it is none. */
static uint32_t escaped_code(const char *s, size_t left, size_t *used)
{
    const int high = left >= 6 ? hex4(s + 2) : -1;
    *used = 6;
    if (high <= 0 || (high >= 0xDC00 && high < 0xE000)) return 0;
    if (high < 0xD800 || high >= 0xE000) return (uint32_t)high;
    const int low = left >= 12 && s[6] == '\\' && s[7] == 'u' ? hex4(s + 8) : -1;
    *used = 12;
    if (low < 0xDC00 || low >= 0xE000) return 0;
    return 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
}

size_t sdg_json_unquote(char *text, size_t length)
{
    static const char letters[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
    if (length < 2 || text[0] != '"' || text[length - 1] != '"') return SIZE_MAX;
    char *copy = malloc(length);
    size_t used = 0, end = length - 1, step;
    if (!copy) return SIZE_MAX;
    for (size_t i = 1; i < end; i += step) {
        const char *letter;
        step = 1;
        if ((unsigned char)text[i] < 0x20 || text[i] == '"') goto none;
        if (text[i] != '\\') {
            copy[used++] = text[i];
        } else if (i + 1 < end && text[i + 1] == 'u') {
            const uint32_t code = escaped_code(text + i, end - i, &step);
            if (!code) goto none;
            used += sdg_utf8_encode(copy + used, code);
        } else if (i + 1 < end && text[i + 1] && (letter = strchr(letters, text[i + 1])) != NULL) {
            copy[used++] = plain[letter - letters];
            step = 2;
        } else {
            goto none;
        }
    }
    memcpy(text, copy, used);
    free(copy);
    return used;
none:
    free(copy);
    return SIZE_MAX;
}

/* ---- pairs ---- */

struct pair {
    struct span key, value;
};

/* Length of the quoted string at s, or 0 when none starts and ends there before a comma or the end.
 */
static size_t quoted_length(struct span s)
{
    if (!s.length || s.at[0] != '"') return 0;
    size_t i = 1;
    while (i < s.length && s.at[i] != '"') i += s.at[i] == '\\' ? 2 : 1;
    if (i <= 1 || i >= s.length) return 0;
    return i + 1 == s.length || s.at[i + 1] == ',' ? i + 1 : 0;
}

static size_t up_to_comma(struct span s)
{
    const char *comma = s.length ? memchr(s.at, ',', s.length) : NULL;
    return comma ? (size_t)(comma - s.at) : s.length;
}

/* Lists of stable-diffusion.cpp: "[1, 2, ]". */
static size_t bracket_length(struct span s)
{
    if (!s.length || s.at[0] != '[') return 0;
    const char *end = memchr(s.at, ']', s.length);
    return end ? (size_t)(end - s.at) + 1 : 0;
}

/* The next key of *rest, which then begins behind its ':'. */
static bool next_key(struct span *key, struct span *rest)
{
    size_t i = 0, start = 0, characters = 0; /* of the key */
    while (i < rest->length) {
        uint32_t c;
        const size_t n = sdg_utf8_decode(&c, rest->at + i, rest->length - i);
        if (c == ':' && characters >= 2) {
            *key = (struct span) {rest->at + start, i - start};
            *rest = (struct span) {rest->at + i + 1, rest->length - i - 1};
            return true;
        }
        const bool word = is_word(c), inner = word || c == ' ' || c == '-' || c == '/';
        if (!inner) {
            characters = 0;
        } else if (characters || word) {
            if (!characters) start = i;
            characters++;
        }
        i += n;
    }
    return false;
}

static bool next_pair(struct pair *pair, struct span *rest, bool brackets)
{
    uint32_t c;
    size_t length;
    if (!next_key(&pair->key, rest)) return false;
    while (rest->length && (length = sdg_utf8_decode(&c, rest->at, rest->length)) != 0 &&
           sdg_is_space(c)) {
        rest->at += length;
        rest->length -= length;
    }
    length = quoted_length(*rest);
    if (!length && brackets) length = bracket_length(*rest);
    if (!length) length = up_to_comma(*rest);
    pair->value = (struct span) {rest->at, length};
    if (length < rest->length) length++; /* the comma */
    rest->at += length;
    rest->length -= length;
    return true;
}

static bool has_values(struct span line, bool brackets)
{
    struct pair pair;
    int count = 0;
    while (count < FEWEST_VALUES && next_pair(&pair, &line, brackets)) count++;
    return count == FEWEST_VALUES;
}

/* ---- what a pair means ---- */

/* "512x768" as two values, key-1 and key-2. */
static bool split_size(size_t *cross, const char *value)
{
    const size_t first = strspn(value, "0123456789");
    if (!first || value[first] != 'x') return false;
    const size_t second = strspn(value + first + 1, "0123456789");
    *cross = first;
    return second && value[first + 1 + second] == 0;
}

static sdgen_status put_named(struct sdg_settings *s, const char *key, const char *value,
                              size_t length, sdgen_error *err)
{
    return sdg_settings_put(s, sdg_field_find(key), key, value, length, err);
}

static sdgen_status put_pair(struct sdg_settings *s, const struct pair *pair, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    char *key = malloc(pair->key.length + 3), *value = strndup(pair->value.at, pair->value.length);
    size_t length = pair->value.length, cross;
    if (!key || !value) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
        goto fail;
    }
    memcpy(key, pair->key.at, pair->key.length);
    key[pair->key.length] = 0;
    const size_t decoded = sdg_json_unquote(value, length);
    if (decoded != SIZE_MAX) value[length = decoded] = 0;
    if (split_size(&cross, value)) {
        strcpy(key + pair->key.length, "-1");
        SDG_TRY(put_named(s, key, value, cross, err));
        strcpy(key + pair->key.length, "-2");
        SDG_TRY(put_named(s, key, value + cross + 1, strlen(value + cross + 1), err));
    } else {
        SDG_TRY(put_named(s, key, value, strlen(value), err));
    }
fail:
    free(key);
    free(value);
    return status;
}

/* Prompt and negative prompt out of the lines before the values: each line stripped, joined again.
 * Empty lines at the start of either vanish, as A1111 lets them. */
static sdgen_status put_prompts(struct sdg_settings *s, struct span lines, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    char *text[2] = {malloc(lines.length + 1), malloc(lines.length + 1)};
    size_t used[2] = {0, 0};
    int which = 0;
    if (!text[0] || !text[1]) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
        goto fail;
    }
    for (const char *end = lines.at; end;) {
        end = lines.length ? memchr(lines.at, '\n', lines.length) : NULL;
        const size_t length = end ? (size_t)(end - lines.at) : lines.length;
        struct span line = strip((struct span) {lines.at, length});
        if (starts(line, negative_mark)) {
            which = 1;
            line.at += strlen(negative_mark);
            line.length -= strlen(negative_mark);
            line = strip(line);
        }
        if (used[which]) text[which][used[which]++] = '\n';
        memcpy(text[which] + used[which], line.at, line.length);
        used[which] += line.length;
        lines.at += length + (end != NULL);
        lines.length -= length + (end != NULL);
    }
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_PROMPT, NULL, text[0], used[0], err));
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_NEGATIVE, NULL, text[1], used[1], err));
fail:
    free(text[0]);
    free(text[1]);
    return status;
}

/* ---- who wrote it ---- */

static enum sdg_program program_of(const struct sdg_settings *s)
{
    const char *version = sdg_settings_value(s, SDG_FIELD_VERSION);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, "App") == 0 && strcmp(s->items[i].value, "SD.Next") == 0)
            return SDG_PROGRAM_SDNEXT;
    if (!version) return SDG_PROGRAM_A1111;
    if (strncmp(version, "sdgen ", 6) == 0) return SDG_PROGRAM_SDGEN;
    if (strncmp(version, "stable-diffusion.cpp", 20) == 0) return SDG_PROGRAM_SDCPP;
    if (version[0] == 'f' && version[1] >= '0' && version[1] <= '9') return SDG_PROGRAM_FORGE;
    if (strncmp(version, "ComfyUI", 7) == 0) return SDG_PROGRAM_COMFYUI;
    if (strncmp(version, "Fooocus", 7) == 0) return SDG_PROGRAM_FOOOCUS;
    return SDG_PROGRAM_A1111;
}

/* "v1.7.0-225-gabc" as comparable number: major, minor, patch and commits since. 0: unreadable. */
static long version_number(const char *version)
{
    long number = 0;
    if (version[0] == 'v') version++;
    for (int i = 0; i < 4; i++) {
        char *end;
        const long part = strtol(version, &end, 10);
        if (end == version || part < 0 || part > 999) return i >= 2 ? number : 0;
        number += part * (i == 0 ? 1000000000L : i == 1 ? 1000000L : i == 2 ? 1000L : 1L);
        if (*end != (i < 2 ? '.' : '-')) return i >= 1 ? number : 0;
        version = end + 1;
    }
    return number;
}

static sdgen_status imply(struct sdg_settings *s, const char *name, sdgen_error *err)
{
    const enum sdg_field field = sdg_field_find(name);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, name) == 0) return SDGEN_OK; /* written, so not implied */
    const sdgen_status status = sdg_settings_put(s, field, name, "True", 4, err);
    if (status == SDGEN_OK) s->items[s->count - 1].implied = true;
    return status;
}

/* What an old version did differently (A1111 modules/infotext_versions.py backcompat). */
static sdgen_status put_history(struct sdg_settings *s, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const char *version = sdg_settings_value(s, SDG_FIELD_VERSION);
    const long number = version && s->program == SDG_PROGRAM_A1111 ? version_number(version) : 0;
    if (!number) return SDGEN_OK;
    const char *sampler = sdg_settings_value(s, SDG_FIELD_SAMPLER);
    if (number < 1006000000L) {
        if (strchr(sdg_settings_value(s, SDG_FIELD_PROMPT), '['))
            SDG_TRY(imply(s, "Old prompt editing timelines", err));
        if (sampler && (strcmp(sampler, "DDIM") == 0 || strcmp(sampler, "PLMS") == 0))
            SDG_TRY(imply(s, "Pad conds v0", err));
    }
    if (number < 1007000225L) SDG_TRY(imply(s, "Downcast alphas_cumprod", err));
fail:
    return status;
}

sdgen_status sdg_infotext_parse(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    sdgen_status status;
    const struct span all = strip((struct span) {text, strlen(text)});
    const char *newline = all.length ? memrchr(all.at, '\n', all.length) : NULL;
    struct span lines = {all.at, newline ? (size_t)(newline - all.at) : 0};
    struct span last = {all.at + lines.length + (newline != NULL),
                        all.length - lines.length - (newline != NULL)};
    const bool brackets =
        last.length && memmem(last.at, last.length, sdcpp_mark, strlen(sdcpp_mark));
    const char *tail =
        brackets ? memmem(last.at, last.length, sdcpp_tail, strlen(sdcpp_tail)) : NULL;
    if (tail) last.length = (size_t)(tail - last.at);
    if (!has_values(last, brackets)) {
        lines = all;
        last.length = 0;
    }
    SDG_TRY(put_prompts(s, lines, err));
    for (struct pair pair; next_pair(&pair, &last, brackets);) SDG_TRY(put_pair(s, &pair, err));
    s->program = program_of(s);
    SDG_TRY(put_history(s, err));
fail:
    return status;
}
