/* cmd_list.c - `sdgen list samplers|schedulers`: every name with its other spellings and what there
 * is to know before choosing.
 *
 * Samplers: order of convergence, model calls per step, whether fresh noise is drawn, and for each
 * program the schedule that is followed unasked; in parentheses where the program has no such
 * sampler and borrows it. Schedulers: the programs that have them. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "cli/message.h"
#include "cli/options.h"
#include "sampling/sampler.h"

static const char *const programs[SDG_LIKE_COUNT] = {"a1111", "diffusers", "comfyui", "sd.cpp"};

enum { CELL = 48 };

/* One program's cell of a row; the last one ends the line. */
static void print_cell(int like, int width, const char *text)
{
    if (like + 1 < SDG_LIKE_COUNT)
        printf("  %-*s", width, text);
    else
        printf("  %s\n", text);
}

/* "also called a, b, c", all spellings but the name itself. */
static void print_aliases(const char *name, const char *aliases)
{
    const char *between = "    also called ";
    for (const char *s = aliases; *s;) {
        const size_t length = strcspn(s, "|");
        if (length != strlen(name) || strncmp(s, name, length) != 0) {
            printf("%s%.*s", between, (int)length, s);
            between = ", ";
        }
        s += length + (s[length] == '|');
    }
    if (*between == ',') putchar('\n');
}

static void add_aliases(cJSON *object, const char *aliases)
{
    cJSON *list = cJSON_AddArrayToObject(object, "aliases");
    for (const char *s = aliases; *s;) {
        char word[CELL * 2];
        const size_t length = strcspn(s, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, s);
        cJSON_AddItemToArray(list, cJSON_CreateString(word));
        s += length + (s[length] == '|');
    }
}

/* ---- samplers ---- */

/* "karras", "(karras)" when borrowed, "-" when there is no way. */
static const char *default_cell(char cell[CELL], const struct sdg_sampler *s, enum sdg_like like)
{
    const struct sdg_sampler_way *way = &s->way[like];
    if (!way->run) return "-";
    snprintf(cell, CELL, way->borrowed ? "(%s)" : "%s",
             sdg_scheduler_name(sdg_scheduler_default(s, like)));
    return cell;
}

static void samplers_text(void)
{
    const struct sdg_sampler *s;
    printf("%-30s %5s %5s %5s", "sampler", "order", "calls", "noise");
    for (int i = 0; i < SDG_LIKE_COUNT; i++) print_cell(i, 13, programs[i]);
    for (int i = 0; (s = sdg_sampler_at(i)) != NULL; i++) {
        char cell[CELL], calls[16] = "any";
        if (s->evaluations) snprintf(calls, sizeof calls, "%d", s->evaluations);
        printf("%-30s %5d %5s %5s", s->name, s->order, calls, s->stochastic ? "yes" : "no");
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            print_cell(like, 13, default_cell(cell, s, (enum sdg_like)like));
        print_aliases(s->name, s->aliases);
    }
    puts("\ncalls: of the model per step. noise: drawn anew while sampling. Then the schedule that "
         "each\nprogram follows unasked; in parentheses: the program has no such sampler, sdgen "
         "lends it one.");
}

static cJSON *samplers_json(void)
{
    const struct sdg_sampler *s;
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; (s = sdg_sampler_at(i)) != NULL; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(list, o);
        cJSON_AddStringToObject(o, "name", s->name);
        cJSON_AddStringToObject(o, "label", s->label);
        add_aliases(o, s->aliases);
        cJSON_AddNumberToObject(o, "order", s->order);
        if (s->evaluations)
            cJSON_AddNumberToObject(o, "calls_per_step", s->evaluations);
        else
            cJSON_AddNullToObject(o, "calls_per_step");
        cJSON_AddBoolToObject(o, "stochastic", s->stochastic);
        cJSON *ways = cJSON_AddObjectToObject(o, "programs");
        for (int like = 0; like < SDG_LIKE_COUNT; like++) {
            if (!s->way[like].run) continue;
            cJSON *way = cJSON_AddObjectToObject(ways, programs[like]);
            cJSON_AddStringToObject(
                way, "default_scheduler",
                sdg_scheduler_name(sdg_scheduler_default(s, (enum sdg_like)like)));
            cJSON_AddBoolToObject(way, "borrowed", s->way[like].borrowed);
        }
    }
    return list;
}

/* ---- schedulers ---- */

static void schedulers_text(void)
{
    printf("%-17s %-22s", "schedule", "A1111's label");
    for (int i = 0; i < SDG_LIKE_COUNT; i++) print_cell(i, 9, programs[i]);
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++) {
        const enum sdg_scheduler s = (enum sdg_scheduler)i;
        printf("%-17s %-22s", sdg_scheduler_name(s), sdg_scheduler_label(s));
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            print_cell(like, 9, sdg_scheduler_is_own(s, (enum sdg_like)like) ? "yes" : "-");
        print_aliases(sdg_scheduler_name(s), sdg_scheduler_aliases(s));
    }
    puts(
        "\nautomatic: what the sampler follows unasked (sdgen list samplers). Where a1111, comfyui "
        "and\nsd.cpp lack a schedule, most of their samplers can follow it all the same.");
}

static cJSON *schedulers_json(void)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++) {
        const enum sdg_scheduler s = (enum sdg_scheduler)i;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(list, o);
        cJSON_AddStringToObject(o, "name", sdg_scheduler_name(s));
        cJSON_AddStringToObject(o, "label", sdg_scheduler_label(s));
        add_aliases(o, sdg_scheduler_aliases(s));
        cJSON *own = cJSON_AddArrayToObject(o, "programs");
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            if (sdg_scheduler_is_own(s, (enum sdg_like)like))
                cJSON_AddItemToArray(own, cJSON_CreateString(programs[like]));
    }
    return list;
}

/* ---- the command ---- */

int sdg_cmd_list(int argc, char **argv)
{
    struct sdg_list_options o = {0};
    int result = sdg_args_parse(&o, sdg_command_find("list"), argc, argv);
    if (result >= 0) return result;
    const bool samplers = o.what && strcmp(o.what, "samplers") == 0;
    if (!samplers && (!o.what || strcmp(o.what, "schedulers") != 0))
        return sdg_say_usage("list what? samplers or schedulers; see sdgen list --help");
    result = SDG_EXIT_OK;
    if (o.json)
        result = sdg_say_json(samplers ? samplers_json() : schedulers_json());
    else if (samplers)
        samplers_text();
    else
        schedulers_text();
    if (fflush(stdout) != 0 || ferror(stdout))
        return sdg_say_failure("the output cannot be written");
    return result;
}
