/* cmd_convert.c - `sdgen convert IN OUT`: a checkpoint in another form (convert/convert.h). */
#include <string.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/meter.h"
#include "cli/options.h"
#include "cli/writing.h"

enum { GO_ON = -1 };

static enum sdg_target_form form_of(const struct sdg_convert_command *c)
{
    if (!c->to) return sdg_target_of(c->out);
    return strcmp(c->to, "folder") == 0 ? SDG_TO_FOLDER
           : strcmp(c->to, "gguf") == 0 ? SDG_TO_GGUF
                                        : SDG_TO_SAFETENSORS;
}

static int check(const struct sdg_convert_command *c)
{
    if (!c->in || !c->out)
        return sdg_say_usage("name a checkpoint and what to write; see sdgen convert --help");
    if (!c->to && sdg_target_is_doubtful(c->out))
        return sdg_say_usage("%s: .safetensors and .gguf files are written; for a folder of that "
                             "name say --to folder",
                             c->out);
    if (c->keys && form_of(c) == SDG_TO_FOLDER && strcmp(c->keys, "ldm") == 0)
        return sdg_say_usage("--keys ldm: a folder has the names of diffusers");
    return GO_ON;
}

static sdgen_status run(struct sdg_convert_result *r, const void *what, sdgen_error *err)
{
    return sdg_convert(r, what, err);
}

int sdg_cmd_convert(int argc, char **argv)
{
    struct sdg_convert_command c = {0};
    struct sdg_meter m;
    int end = sdg_args_parse(&c, sdg_command_find("convert"), argc, argv);
    if (end == GO_ON) end = check(&c);
    if (end != GO_ON) return end;
    sdg_meter_init(&m, c.out, c.quiet);
    struct sdg_convert_options o = {
        .join = {.path = c.in,
                 .unet_path = c.unet,
                 .vae_path = c.vae,
                 .clip_l_path = c.clip_l,
                 .clip_g_path = c.clip_g,
                 .ema = c.ema,
                 .prune = c.prune},
        .out = c.out,
        .to = form_of(&c),
        .diffusers_keys = c.keys && strcmp(c.keys, "diffusers") == 0,
        .type = c.type,
        .rules = c.rules,
        .overwrite = c.overwrite,
    };
    return sdg_writing(&o, &m, run, &o);
}
