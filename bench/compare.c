/* compare.c - a run against an earlier one: slower, faster or the same, knowing the noise.
 *
 * What is compared is the cost of a call, time x peak beside it. A shape counts as slower when both
 * the median and the least cost of its rounds have grown by more than LEAST and by more than the
 * rounds of the two runs scatter; likewise as faster. Bad luck in single rounds moves the median or
 * the least, hardly both. The verdict is about the heaviest shapes: a step's time is theirs. */
#include "bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

enum { HEAVY = 12 };
static const double least = 0.03;

struct match {
    const struct bench_row *now;
    struct bench_times before;
    double weight; /* seconds of a pass */
};

static bool read_rounds(double *values, const cJSON *list, int *count)
{
    *count = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || *count < 1) return false;
    if (*count > BENCH_MOST_ROUNDS) *count = BENCH_MOST_ROUNDS;
    for (int i = 0; i < *count; i++) {
        const cJSON *value = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(value) || !(value->valuedouble > 0)) return false;
        values[i] = value->valuedouble;
    }
    return true;
}

static bool read_times(struct bench_times *t, const cJSON *shape)
{
    int peaks;
    return read_rounds(t->seconds, cJSON_GetObjectItemCaseSensitive(shape, "seconds"),
                       &t->rounds) &&
           read_rounds(t->peak, cJSON_GetObjectItemCaseSensitive(shape, "peak"), &peaks) &&
           peaks == t->rounds;
}

static const cJSON *named(const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *found = cJSON_GetObjectItemCaseSensitive(item, "name");
        if (cJSON_IsString(found) && strcmp(found->valuestring, name) == 0) return item;
    }
    return NULL;
}

/* All rows that the old file knows; returns how many. */
static size_t find_matches(struct match *to, const struct bench_run *run, const cJSON *root)
{
    const cJSON *networks = cJSON_GetObjectItemCaseSensitive(root, "networks");
    size_t count = 0;
    for (int i = 0; i < run->table_count; i++) {
        const struct bench_table *t = &run->tables[i];
        const cJSON *shapes = cJSON_GetObjectItemCaseSensitive(named(networks, t->name), "shapes");
        for (size_t k = 0; k < t->count; k++) {
            struct match m = {.now = &t->rows[k]};
            if (!m.now->measured || !read_times(&m.before, named(shapes, m.now->name))) continue;
            m.weight = bench_seconds(&m.now->times) * m.now->shape.count;
            to[count++] = m;
        }
    }
    return count;
}

static int by_weight(const void *a, const void *b)
{
    const struct match *x = a, *y = b;
    return (x->weight < y->weight) - (x->weight > y->weight);
}

/* 1 slower, -1 faster, 0 the same; *ratio: new cost / old. */
static int judge(const struct match *m, double *ratio, double *noise)
{
    const double a = bench_noise(&m->before), b = bench_noise(&m->now->times);
    *noise = sqrt(a * a + b * b);
    *ratio = bench_cost(&m->now->times) / bench_cost(&m->before);
    const double low = bench_least_cost(&m->now->times) / bench_least_cost(&m->before);
    const double limit = 1 + (*noise > least ? *noise : least);
    if (*ratio > limit && low > limit) return 1;
    return *ratio < 1 / limit && low < 1 / limit ? -1 : 0;
}

static bool print_matches(const struct match *m, size_t count)
{
    static const char *const words[] = {"faster", "same", "SLOWER"};
    double before = 0, now = 0;
    bool worse = false;
    printf("\n%-42s %9s %9s %7s %6s\n", "heaviest shapes first", "before", "now", "change",
           "noise");
    for (size_t i = 0; i < count; i++) {
        double ratio, noise;
        const int verdict = judge(&m[i], &ratio, &noise);
        const int times = m[i].now->shape.count;
        before += times * bench_cost(&m[i].before);
        now += times * bench_cost(&m[i].now->times);
        if (verdict > 0 && i < HEAVY) worse = true;
        printf("%-42s %9.3f %9.3f %+6.1f %% %4.1f %%  %s\n", m[i].now->name,
               1e3 * bench_seconds(&m[i].before), 1e3 * bench_seconds(&m[i].now->times),
               100 * (ratio - 1), 100 * noise, words[verdict + 1]);
    }
    printf("all of them, by cost: %+.1f %%; %s\n", 100 * (now / before - 1),
           worse ? "a heavy shape has become slower" : "no heavy shape has become slower");
    return worse;
}

static sdgen_status check_kin(const struct bench_run *run, const cJSON *root, const char *path,
                              sdgen_error *err)
{
    const cJSON *isa = cJSON_GetObjectItemCaseSensitive(root, "isa");
    const cJSON *threads = cJSON_GetObjectItemCaseSensitive(root, "threads");
    const cJSON *precision = cJSON_GetObjectItemCaseSensitive(root, "precision");
    const char *now = run->way.bf16 ? "bf16" : "f32";
    if (!cJSON_IsString(isa) || !cJSON_IsNumber(threads) || !cJSON_IsString(precision))
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: not a file of sdgen bench --json", path);
    if (strcmp(isa->valuestring, sdg_isa_label(run->isa)) != 0 ||
        threads->valueint != run->way.threads || strcmp(precision->valuestring, now) != 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: measured with %s, %d threads, %s; this run has %s, %d threads, %s",
                        path, isa->valuestring, threads->valueint, precision->valuestring,
                        sdg_isa_label(run->isa), run->way.threads, now);
    return SDGEN_OK;
}

sdgen_status bench_compare(const struct bench_run *run, const char *path, bool *worse,
                           sdgen_error *err)
{
    char *text;
    sdgen_status status = bench_read_file(&text, path, err);
    if (status != SDGEN_OK) return status;
    cJSON *root = cJSON_Parse(text);
    free(text);
    struct match *matches = calloc(BENCH_MOST_TABLES * BENCH_MOST_SHAPES, sizeof *matches);
    SDG_TRY(check_kin(run, root, path, err));
    if (!matches) SDG_TRY(sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory"));
    const size_t count = find_matches(matches, run, root);
    if (count == 0) SDG_TRY(sdg_fail(err, SDGEN_ERR_ARG, "%s: has none of these shapes", path));
    qsort(matches, count, sizeof *matches, by_weight);
    *worse = print_matches(matches, count);
fail:
    free(matches);
    cJSON_Delete(root);
    return status;
}
