/* fuzz_picklescan.c - any bytes through the scanner of pickles: what it lists lies in the bytes,
 * and what it counts adds up. */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "files/picklescan.h"

static bool within(const uint8_t *text, size_t text_size, const uint8_t *data, size_t size)
{
    return text >= data && text + text_size <= data + size;
}

static void check(const struct sdg_scan *s, const uint8_t *data, size_t size)
{
    uint64_t operations = 0, in_pickles = 0;
    for (int i = 0; i < 256; i++) operations += s->histogram[i];
    if (operations != s->operations || operations > 5 * size) abort();
    for (size_t i = 0; i < s->pickle_count; i++) {
        in_pickles += s->pickles[i].operations;
        if (s->pickles[i].size > size || s->pickles[i].inside > i) abort();
        if (!memchr(s->pickles[i].where, 0, sizeof s->pickles[i].where)) abort();
    }
    if (in_pickles != operations) abort();
    for (size_t i = 0; i < s->global_count; i++) {
        const struct sdg_scan_global *g = &s->globals[i];
        if (!within(g->module, g->module_size, data, size)) abort();
        if (!within(g->name, g->name_size, data, size)) abort();
        if (g->pickle >= s->pickle_count || g->byte >= size || !g->op) abort();
        if (g->verdict > sdg_scan_worst(s) && g->verdict > SDG_VERDICT_INERT) abort();
    }
    for (size_t i = 0; i < s->note_count; i++)
        if (s->notes[i].pickle >= s->pickle_count || !s->notes[i].text) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdg_scan s;
    sdgen_error err = {0};
    uint8_t *copy = malloc(size ? size : 1); /* alone in memory */
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    if (sdg_scan_file(&s, "input", copy, size, &err) != SDGEN_OK &&
        (strncmp(err.text, "input: ", 7) != 0 || strchr(err.text, '\n')))
        abort();
    check(&s, copy, size);
    sdg_scan_free(&s);
    free(copy);
    return 0;
}
