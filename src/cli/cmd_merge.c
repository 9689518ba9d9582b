/* cmd_merge.c - `sdgen merge OUT A B [C]`: one checkpoint of two or three (convert/merging.h). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/meter.h"
#include "cli/options.h"
#include "cli/writing.h"
#include "convert/merging.h"

enum { GO_ON = -1 };

static enum sdg_merge_method method_of(const struct sdg_merge_command *c)
{
    if (!c->method) return c->c ? SDG_MERGE_ADD : SDG_MERGE_SUM;
    return strcmp(c->method, "sum") == 0    ? SDG_MERGE_SUM
           : strcmp(c->method, "none") == 0 ? SDG_MERGE_NONE
                                            : SDG_MERGE_ADD;
}

static int check(const struct sdg_merge_command *c)
{
    const enum sdg_merge_method method = method_of(c);
    if (!c->out || !c->a)
        return sdg_say_usage("name what to write and the checkpoints; see sdgen merge --help");
    if (method != SDG_MERGE_NONE && !c->b)
        return sdg_say_usage("name a second checkpoint, B; see sdgen merge --help");
    const char *last = c->c ? c->c : c->b ? c->b : c->a;
    if (access(c->out, F_OK) == 0 && access(last, F_OK) != 0)
        return sdg_say_usage("%s exists and %s does not: what is written comes first", c->out,
                             last);
    if (sdg_target_is_doubtful(c->out))
        return sdg_say_usage("%s: .safetensors and .gguf files are written; end the name of a "
                             "folder with a slash",
                             c->out);
    if (method == SDG_MERGE_ADD && !c->c)
        return sdg_say_usage("add-difference takes three checkpoints: A + X (B - C)");
    if (method == SDG_MERGE_SUM && c->c)
        return sdg_say_usage("sum takes two checkpoints, not %s too", c->c);
    return GO_ON;
}

static sdgen_status run(struct sdg_convert_result *r, const void *what, sdgen_error *err)
{
    return sdg_merge(r, what, err);
}

int sdg_cmd_merge(int argc, char **argv)
{
    struct sdg_merge_command c = {.alpha = 0.5};
    struct sdg_meter m;
    int end = sdg_args_parse(&c, sdg_command_find("merge"), argc, argv);
    if (end == GO_ON) end = check(&c);
    if (end != GO_ON) return end;
    sdg_meter_init(&m, c.out, c.quiet);
    struct sdg_merge_options o = {
        .to = {.join = {.path = c.a, .prune = c.prune},
               .out = c.out,
               .to = sdg_target_of(c.out),
               .type = c.type,
               .overwrite = c.overwrite},
        .b = c.b,
        .c = c.c,
        .method = method_of(&c),
        .alpha = c.alpha,
        .block_weights = c.blocks,
        .vae = c.merge_vae,
    };
    return sdg_writing(&o.to, &m, run, &o);
}
