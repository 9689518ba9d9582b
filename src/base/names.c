/* names.c - see names.h. */
#include "base/names.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 64 }; /* longer names are cut: none of ours comes near */

/* Lower case without spaces, '_' and '-'; from[length] into to. Returns the new length. */
static size_t simplify(char *to, const char *from, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used < MAX_NAME; i++) {
        const char c = from[i];
        if (c == ' ' || c == '_' || c == '-') continue;
        to[used++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return used;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance (Damerau 1964; Levenshtein 1966) by the usual table. */
static int distance(const char *a, size_t na, const char *b, size_t nb)
{
    int d[MAX_NAME + 1][MAX_NAME + 1];
    for (size_t i = 0; i <= na; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= nb; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            const int change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = smaller(change, smaller(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = smaller(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[na][nb];
}

int sdg_name_distance(const char *name, const char *spellings)
{
    char wanted[MAX_NAME], have[MAX_NAME];
    const size_t n = simplify(wanted, name, strlen(name));
    int best = MAX_NAME + 1;
    for (const char *s = spellings; s;) {
        const char *end = strchr(s, '|');
        const size_t m = simplify(have, s, end ? (size_t)(end - s) : strlen(s));
        best = smaller(best, distance(wanted, n, have, m));
        s = end ? end + 1 : NULL;
    }
    return best;
}

bool sdg_name_matches(const char *name, const char *spellings)
{
    return strlen(name) <= MAX_NAME && sdg_name_distance(name, spellings) == 0;
}

int sdg_name_choice(const char *name, const char *names)
{
    char spellings[128];
    for (int i = 0; *names; i++) {
        const size_t n = strcspn(names, "|");
        snprintf(spellings, sizeof spellings, "%.*s", (int)n, names);
        for (char *c = spellings; *c; c++)
            if (*c == '=') *c = '|';
        if (sdg_name_matches(name, spellings)) return i;
        names += n + (names[n] == '|');
    }
    return -1;
}
