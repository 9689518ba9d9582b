/* nfc.c - Normalization Form C (Unicode Standard Annex #15; Hangul: The Unicode Standard,
 * section 3.12).
 *
 * Three passes: take every character apart, sort the combining marks behind each base by their
 * class, and put pairs together again. "e" + acute becomes one character, so that text typed on
 * different machines gets the same tokens. */
#include "text/unicode.h"

#include <stdlib.h>
#include "text/unicode_tables.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Hangul syllables are computed: leading consonant, vowel, perhaps a trailing consonant. */
enum {
    SYLLABLE = 0xac00,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11a7, /* one before the first: no trailing consonant */
    VOWELS = 21,
    TRAILINGS = 28,
    LEADINGS = 19,
    SYLLABLES = LEADINGS * VOWELS * TRAILINGS
};

/* Rank of the canonical combining class; 0: the character is not a mark and starts anew. */
static int rank_of(uint32_t code)
{
    return sdg_range_value(sdg_mark_ranges, LENGTH(sdg_mark_ranges), code);
}

static const struct sdg_code_pair *decomposition(uint32_t code)
{
    size_t low = 0, high = LENGTH(sdg_decompositions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code < sdg_decompositions[middle].code)
            high = middle;
        else if (code > sdg_decompositions[middle].code)
            low = middle + 1;
        else
            return &sdg_decompositions[middle];
    }
    return NULL;
}

/* to += the full canonical decomposition. The table nests a few deep: "s" + dot below + dot above.
 */
static bool take_apart(struct sdg_codes *to, uint32_t code)
{
    if (code >= SYLLABLE && code < SYLLABLE + SYLLABLES) {
        uint32_t s = code - SYLLABLE, t = s % TRAILINGS;
        return sdg_codes_push(to, LEADING + s / (VOWELS * TRAILINGS)) &&
               sdg_codes_push(to, VOWEL + s / TRAILINGS % VOWELS) &&
               (t == 0 || sdg_codes_push(to, TRAILING + t));
    }
    const struct sdg_code_pair *d = decomposition(code);
    if (!d) return sdg_codes_push(to, code);
    return take_apart(to, d->first) && (d->second == 0 || sdg_codes_push(to, d->second));
}

struct mark {
    uint32_t code;
    int rank;
};

/* Stable merge sort of marks[n] by rank, with as much scratch again. Runs are short in real text,
 * but a hostile one must not cost n^2. */
static void sort_marks(struct mark *marks, struct mark *scratch, size_t n)
{
    if (n < 2) return;
    size_t half = n / 2, a = 0, b = half;
    sort_marks(marks, scratch, half);
    sort_marks(marks + half, scratch, n - half);
    for (size_t i = 0; i < n; i++)
        scratch[i] =
            b == n || (a < half && marks[a].rank <= marks[b].rank) ? marks[a++] : marks[b++];
    for (size_t i = 0; i < n; i++) marks[i] = scratch[i];
}

/* Sorts one run of marks; true without work when it is sorted already. */
static bool order_run(uint32_t *codes, size_t n)
{
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++) sorted = rank_of(codes[i - 1]) <= rank_of(codes[i]);
    if (sorted) return true;
    struct mark *marks = calloc(n, 2 * sizeof *marks);
    if (!marks) return false;
    for (size_t i = 0; i < n; i++) marks[i] = (struct mark) {codes[i], rank_of(codes[i])};
    sort_marks(marks, marks + n, n);
    for (size_t i = 0; i < n; i++) codes[i] = marks[i].code;
    free(marks);
    return true;
}

static bool order_marks(struct sdg_codes *codes)
{
    for (size_t i = 0; i < codes->count; i++) {
        size_t start = i;
        while (i < codes->count && rank_of(codes->at[i]) > 0) i++;
        if (!order_run(codes->at + start, i - start)) return false;
    }
    return true;
}

/* The character that a followed by b makes, or 0. */
static uint32_t join(uint32_t a, uint32_t b)
{
    if (a >= LEADING && a < LEADING + LEADINGS && b >= VOWEL && b < VOWEL + VOWELS)
        return SYLLABLE + ((a - LEADING) * VOWELS + b - VOWEL) * TRAILINGS;
    if (a >= SYLLABLE && a < SYLLABLE + SYLLABLES && (a - SYLLABLE) % TRAILINGS == 0 &&
        b > TRAILING && b < TRAILING + TRAILINGS)
        return a + b - TRAILING;
    size_t low = 0, high = LENGTH(sdg_compositions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct sdg_code_pair *c = &sdg_compositions[middle];
        if (b < c->second || (b == c->second && a < c->first))
            high = middle;
        else if (b > c->second || a > c->first)
            low = middle + 1;
        else
            return c->code;
    }
    return 0;
}

/* UAX #15, D117: a character joins the last starter unless something between them blocks it, that
 * is, another starter or a mark of the same or a higher class. */
static void put_together(struct sdg_codes *codes)
{
    size_t count = 0, starter = SIZE_MAX; /* SIZE_MAX: none yet */
    int last = 0;                         /* rank of the character written last */
    for (size_t i = 0; i < codes->count; i++) {
        uint32_t code = codes->at[i], joined = 0;
        int rank = rank_of(code);
        if (starter != SIZE_MAX && (starter + 1 == count || last < rank))
            joined = join(codes->at[starter], code);
        if (joined) {
            codes->at[starter] = joined;
            continue;
        }
        if (rank == 0) starter = count;
        last = rank;
        codes->at[count++] = code;
    }
    codes->count = count;
}

bool sdg_codes_nfc(struct sdg_codes *to, const struct sdg_codes *from)
{
    uint32_t highest = 0;
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        if (from->at[i] > highest) highest = from->at[i];
    bool untouched = highest < SDG_NFC_FIRST;
    for (size_t i = 0; i < from->count; i++)
        if (!(untouched ? sdg_codes_push(to, from->at[i]) : take_apart(to, from->at[i])))
            return false;
    if (untouched) return true;
    if (!order_marks(to)) return false;
    put_together(to);
    return true;
}
