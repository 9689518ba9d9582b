/* options.c - every option of every command, once; those of `generate` are in options_generate.c,
 * of `convert` and `merge` in options_convert.c.
 * The rows are read by the parser, --help, the manual page and completion (args.h says how).
 * Spellings are those of stable-diffusion.cpp, with diffusers' and A1111's as aliases; ranges are
 * those the library accepts. */
#include "cli/options.h"

#include <stddef.h>
#include <string.h>

#include "cli/commands.h"

/* ---- inspect ---- */

#define INSPECT(field) offsetof(struct sdg_inspect_options, field)

static const struct sdg_arg inspect_args[] = {
    {.name = "FILE",
     .kind = SDG_ARG_OPERAND,
     .at = INSPECT(path),
     .brief = "weight file of any form: .safetensors .ckpt ..."},
    {.name = "scan",
     .kind = SDG_ARG_FLAG,
     .at = INSPECT(scan),
     .brief = "look at every value: NaN, infinity, zeros, copies",
     .more = "Reads the whole file, and checks the checksums that a zip archive keeps of its "
             "parts."},
    {.name = "json", .kind = SDG_ARG_FLAG, .at = INSPECT(json), .brief = "print one JSON object"},
    {.name = "no-hash",
     .kind = SDG_ARG_FLAG,
     .at = INSPECT(no_hash),
     .brief = "leave out the SHA-256",
     .more = "It is computed once per file and remembered under the user's cache directory."},
    {.name = "verbose",
     .letter = 'v',
     .kind = SDG_ARG_FLAG,
     .at = INSPECT(verbose),
     .brief = "do not cut long lists"},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static const struct sdg_command inspect = {
    .name = "inspect",
    .synopsis = "[options] FILE",
    .brief = "Tells what a weight file holds, whether sdgen can use it, what its pickles would do, "
             "and which command runs or repairs it. Nothing in it is executed.",
    .notes = "Exit status: 0 the file can be used, 1 it is refused or broken, 2 wrong usage, 3 it "
             "can be used with what the report names.",
    .args = inspect_args,
    .run = sdg_cmd_inspect,
};

/* ---- tokens ---- */

#define TOKENS(field) offsetof(struct sdg_tokens_options, field)

static const struct sdg_arg tokens_args[] = {
    {.name = "prompt",
     .letter = 'p',
     .kind = SDG_ARG_TEXT,
     .at = TOKENS(prompt),
     .value = "TEXT",
     .brief = "the text to take apart"},
    {.name = "file",
     .kind = SDG_ARG_FILE,
     .at = TOKENS(file),
     .value = "FILE",
     .brief = "one text a line, in place of -p; -: stdin",
     .more = "Lines end at a line feed and nothing else."},
    {.name = "like",
     .kind = SDG_ARG_CHOICE,
     .at = TOKENS(like),
     .value = "NAME",
     .choices = "a1111|diffusers|comfyui|sd.cpp",
     .brief = "whose prompt language and chunks (a1111)"},
    {.name = "prompt-language",
     .kind = SDG_ARG_CHOICE,
     .at = TOKENS(prompt_language),
     .value = "NAME",
     .choices = "a1111|comfyui|compel|sd.cpp|plain",
     .brief = "the prompt language alone"},
    {.name = "steps",
     .kind = SDG_ARG_INT,
     .at = TOKENS(steps),
     .min = 1,
     .max = 10000,
     .value = "N",
     .brief = "model calls of the schedule (20)"},
    {.name = "negative",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(negative),
     .brief = "read it as a negative prompt"},
    {.name = "literal",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(literal),
     .brief = "brackets and weights are plain text"},
    {.name = "raw",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(raw),
     .brief = "the text as it stands: tokens without chunks",
     .more = "No prompt language, and no start, end or padding among the tokens."},
    {.name = "color",
     .kind = SDG_ARG_CHOICE,
     .at = TOKENS(color),
     .value = "WHEN",
     .aliases = "colour",
     .choices = "auto|always|never",
     .brief = "colours",
     .more = "auto: in a terminal, unless NO_COLOR is set."},
    {.name = "json",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(json),
     .brief = "one JSON object a line, with \"ids\""},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static const struct sdg_command tokens = {
    .name = "tokens",
    .synopsis = "-p TEXT [options]",
    .brief =
        "Shows how a prompt is read: CLIP tokens, weights, chunks of 75, and what counts when.",
    .args = tokens_args,
    .run = sdg_cmd_tokens,
};

/* ---- list ---- */

#define LIST(field) offsetof(struct sdg_list_options, field)

static const struct sdg_arg list_args[] = {
    {.name = "WHAT", .kind = SDG_ARG_OPERAND, .at = LIST(what), .brief = "samplers or schedulers"},
    {.name = "json", .kind = SDG_ARG_FLAG, .at = LIST(json), .brief = "print JSON"},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static const struct sdg_command list = {
    .name = "list",
    .synopsis = "samplers|schedulers [options]",
    .brief = "Names every sampler or schedule with its other spellings and its properties.",
    .args = list_args,
    .run = sdg_cmd_list,
};

/* ---- info ---- */

#define INFO(field) offsetof(struct sdg_info_options, field)

static const struct sdg_arg info_args[] = {
    {.name = "IMAGE", .kind = SDG_ARG_OPERAND, .at = INFO(path), .brief = "PNG, JPEG or WebP"},
    {.name = "json", .kind = SDG_ARG_FLAG, .at = INFO(json), .brief = "print one JSON object"},
    {.name = "raw",
     .kind = SDG_ARG_FLAG,
     .at = INFO(raw),
     .brief = "the text as it was found",
     .more = "In a terminal, control characters become '?'."},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static const struct sdg_command info = {
    .name = "info",
    .synopsis = "[options] IMAGE",
    .brief = "Tells how a picture was made, from the text that its program left in it.",
    .notes = "Understood: A1111 and Forge, ComfyUI, InvokeAI, stable-diffusion.cpp, sdgen.",
    .args = info_args,
    .run = sdg_cmd_info,
};

/* ---- rerun ---- */

#define RERUN(field) offsetof(struct sdg_rerun_options, field)

static const struct sdg_arg rerun_args[] = {
    {.name = "IMAGE",
     .kind = SDG_ARG_OPERAND,
     .at = RERUN(path),
     .brief = "picture to repeat: PNG, JPEG or WebP"},
    {.name = "model-dir",
     .kind = SDG_ARG_FOLDER,
     .at = RERUN(model_dir),
     .value = "DIR",
     .brief = "where to look for the model by its hash",
     .more = "May be given several times. Hashes are remembered."},
    {.name = "print",
     .kind = SDG_ARG_FLAG,
     .at = RERUN(print),
     .brief = "print the command line, draw nothing"},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static const struct sdg_command rerun = {
    .name = "rerun",
    .synopsis = "[options] IMAGE [options of generate]",
    .brief = "Draws a picture again from the text in it, and says what it could not honour.",
    .notes = "Every option of generate may be added and wins over the picture's text.",
    .args = rerun_args,
    .run = sdg_cmd_rerun,
};

/* ---- all of them ---- */

static const struct sdg_command *const commands[] = {&sdg_command_generate,
                                                     &inspect,
                                                     &sdg_command_convert,
                                                     &sdg_command_merge,
                                                     &tokens,
                                                     &list,
                                                     &info,
                                                     &rerun,
                                                     &sdg_command_bench};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

const struct sdg_command *sdg_command_at(int i)
{
    return i >= 0 && i < COMMANDS ? commands[i] : NULL;
}

const struct sdg_command *sdg_command_find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}
