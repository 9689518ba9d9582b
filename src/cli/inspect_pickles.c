/* inspect_pickles.c - what the pickles of an inspected file would do to a program that runs them:
 * the report of files/picklescan.h, in words and in JSON. sdgen itself runs none of it. */
#include "cli/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

enum { LIST_CUT = 10, NAME_SIZE = 160 };

/* "module name", cut, for people; what is no text is shown as such. */
static const char *name_of(char text[NAME_SIZE], const struct sdg_scan_global *g)
{
    snprintf(text, NAME_SIZE, "%.*s.%.*s", (int)(g->module_size < 70 ? g->module_size : 70),
             (const char *)g->module, (int)(g->name_size < 70 ? g->name_size : 70),
             (const char *)g->name);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f) *c = '?';
    return text;
}

static const char *summary(enum sdg_verdict worst)
{
    switch (worst) {
    case SDG_VERDICT_DANGEROUS: return "DANGEROUS: would run code in a program that loads it";
    case SDG_VERDICT_UNKNOWN: return "refers to what nobody knows: do not load it elsewhere";
    case SDG_VERDICT_UNREAD: return "harmless as far as it is known";
    default: return "builds tensors and nothing else";
    }
}

/* ---- words ---- */

static void print_global(const struct sdg_scan *s, const struct sdg_scan_global *g)
{
    char name[NAME_SIZE];
    printf("    %-9s %s", sdg_verdict_name(g->verdict), name_of(name, g));
    if (g->verdict == SDG_VERDICT_DANGEROUS || g->verdict == SDG_VERDICT_UNKNOWN) {
        fputs(" (", stdout);
        sdg_inspect_put(s->pickles[g->pickle].where, 0);
        printf(", byte %llu)", (unsigned long long)g->byte);
    }
    if (g->reason) printf(": %s", g->reason);
    putchar('\n');
}

/* Names of one verdict, each once. */
static void print_globals(const struct sdg_scan *s, enum sdg_verdict verdict, bool verbose)
{
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < s->global_count; i++) {
        const struct sdg_scan_global *g = &s->globals[i];
        bool seen = g->verdict != verdict;
        for (size_t j = i < 1000 ? 0 : i - 1000; j < i && !seen; j++) {
            const struct sdg_scan_global *h = &s->globals[j];
            seen = h->module_size == g->module_size && h->name_size == g->name_size &&
                   memcmp(h->module, g->module, g->module_size) == 0 &&
                   memcmp(h->name, g->name, g->name_size) == 0;
        }
        if (seen) continue;
        if (verbose || shown < LIST_CUT) {
            print_global(s, g);
            shown++;
        } else {
            more++;
        }
    }
    if (more) printf("    ... and %zu more (-v shows all)\n", more);
}

void sdg_inspect_pickles_text(const struct sdg_scan *s, bool verbose)
{
    if (!s->pickle_count) return;
    printf("\n  %-13s%zu, %llu operations: %s\n", "pickles", s->pickle_count,
           (unsigned long long)s->operations, summary(sdg_scan_worst(s)));
    for (int v = SDG_VERDICT_COUNT - 1; v >= 0; v--) print_globals(s, (enum sdg_verdict)v, verbose);
    for (size_t i = 0; i < s->note_count && (verbose || i < LIST_CUT); i++) {
        printf("    %-9s ", sdg_verdict_name(s->notes[i].verdict));
        sdg_inspect_put(s->pickles[s->notes[i].pickle].where, 0);
        printf(", byte %llu: %s\n", (unsigned long long)s->notes[i].byte, s->notes[i].text);
    }
    if (!verbose) return;
    printf("    operations");
    for (int i = 0; i < 256; i++)
        if (s->histogram[i])
            printf(" %s x%llu", s->ops[i] ? s->ops[i]->name : "?",
                   (unsigned long long)s->histogram[i]);
    putchar('\n');
}

/* ---- JSON ---- */

/* A text of the file's own: bytes that are no ASCII as '?'. */
static void add_bytes(cJSON *o, const char *key, const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) return;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '?');
    text[size] = 0;
    cJSON_AddStringToObject(o, key, text);
    free(text);
}

static void add_where(cJSON *o, const struct sdg_scan *s, uint32_t pickle, uint64_t byte)
{
    const char *where = s->pickles[pickle].where;
    add_bytes(o, "pickle", (const uint8_t *)where, strlen(where));
    cJSON_AddNumberToObject(o, "byte", (double)byte);
}

static void add_globals(cJSON *o, const struct sdg_scan *s)
{
    cJSON *list = cJSON_AddArrayToObject(o, "globals");
    for (size_t i = 0; i < s->global_count; i++) {
        const struct sdg_scan_global *g = &s->globals[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(list, item);
        add_bytes(item, "module", g->module, g->module_size);
        add_bytes(item, "name", g->name, g->name_size);
        cJSON_AddStringToObject(item, "operation", g->op ? g->op->name : "?");
        cJSON_AddStringToObject(item, "verdict", sdg_verdict_name(g->verdict));
        if (g->reason) cJSON_AddStringToObject(item, "reason", g->reason);
        add_where(item, s, g->pickle, g->byte);
    }
    cJSON *notes = cJSON_AddArrayToObject(o, "notes");
    for (size_t i = 0; i < s->note_count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(notes, item);
        cJSON_AddStringToObject(item, "text", s->notes[i].text);
        cJSON_AddStringToObject(item, "verdict", sdg_verdict_name(s->notes[i].verdict));
        add_where(item, s, s->notes[i].pickle, s->notes[i].byte);
    }
}

void sdg_inspect_pickles_json(cJSON *root, const struct sdg_scan *s)
{
    if (!s->pickle_count) return;
    cJSON *o = cJSON_AddObjectToObject(root, "pickles");
    cJSON_AddNumberToObject(o, "count", (double)s->pickle_count);
    cJSON_AddStringToObject(o, "verdict", sdg_verdict_name(sdg_scan_worst(s)));
    cJSON *histogram = cJSON_AddObjectToObject(o, "operations");
    for (int i = 0; i < 256; i++)
        if (s->histogram[i])
            cJSON_AddNumberToObject(histogram, s->ops[i] ? s->ops[i]->name : "?",
                                    (double)s->histogram[i]);
    add_globals(o, s);
}
