/* options.c - every option of every command, once. The rows are read by the parser, --help, the
 * manual page and completion (args.h says how). Spellings are those of stable-diffusion.cpp, with
 * diffusers' as aliases; ranges are those the library accepts. */
#include "cli/options.h"

#include <stddef.h>
#include <string.h>

#include "cli/commands.h"

/* ---- generate ---- */

/* Largest double below 2^63: bounds are kept as doubles. */
#define SEED_MAX 9223372036854774784.0
#define LOAD(field) offsetof(struct sdg_generate_options, load.field)
#define IMAGE(field) offsetof(struct sdg_generate_options, image.field)
#define OWN(field) offsetof(struct sdg_generate_options, field)

static const struct sdg_arg generate_args[] = {
    {.name = "Model", .kind = SDG_ARG_GROUP},
    {.name = "model",
     .letter = 'm',
     .kind = SDG_ARG_FILE,
     .at = LOAD(model_path),
     .value = "FILE",
     .brief = "checkpoint: .safetensors .ckpt .pt .pth .bin",
     .more = "The form is told from the content. Nothing in a checkpoint is ever executed. Sizes, "
             "depths and widths of the networks are read from its tensors."},
    {.name = "vae",
     .kind = SDG_ARG_FILE,
     .at = LOAD(vae_path),
     .value = "FILE",
     .brief = "another VAE than the checkpoint's"},
    {.name = "ema",
     .kind = SDG_ARG_FLAG,
     .at = LOAD(use_ema),
     .brief = "take the EMA weights where there are both"},
    {.name = "threads",
     .letter = 't',
     .kind = SDG_ARG_INT,
     .at = LOAD(threads),
     .min = 0,
     .max = 1024,
     .value = "N",
     .brief = "threads; 0: one per physical core (0)",
     .more = "The picture is the same, bit for bit, for any number of threads."},
    {.name = "precision",
     .kind = SDG_ARG_NAME,
     .at = LOAD(precision),
     .value = "NAME",
     .choices = "auto|f32",
     .brief = "arithmetic"},
    {.name = "isa",
     .kind = SDG_ARG_NAME,
     .at = LOAD(isa),
     .value = "NAME",
     .choices = "c|avx2|avx512|avx512bf16|amx",
     .brief = "limit (auto)",
     .more =
         "Instruction set to use at most; it can only lower what the processor has. c is plain C "
         "without OpenBLAS."},

    {.name = "Prompt", .kind = SDG_ARG_GROUP},
    {.name = "prompt",
     .letter = 'p',
     .kind = SDG_ARG_TEXT,
     .at = IMAGE(prompt),
     .value = "TEXT",
     .brief = "what to draw"},
    {.name = "negative-prompt",
     .letter = 'n',
     .kind = SDG_ARG_TEXT,
     .at = IMAGE(negative_prompt),
     .value = "TEXT",
     .brief = "what to stay away from"},
    {.name = "prompt-file",
     .kind = SDG_ARG_FILE,
     .at = OWN(prompt_file),
     .value = "FILE",
     .brief = "one prompt a line, in place of -p; -: stdin",
     .more = "The model is loaded once. Empty lines are skipped. Each line gives the same pictures "
             "as with -p and the same seed."},
    {.name = "literal",
     .kind = SDG_ARG_FLAG,
     .at = IMAGE(literal_prompt),
     .brief = "brackets and weights are plain text"},

    {.name = "Picture", .kind = SDG_ARG_GROUP},
    {.name = "width",
     .letter = 'W',
     .kind = SDG_ARG_INT,
     .at = IMAGE(width),
     .min = 1,
     .max = 16384,
     .value = "N",
     .brief = "size in pixels (the model's own)",
     .more = "A multiple of 8."},
    {.name = "height",
     .letter = 'H',
     .kind = SDG_ARG_INT,
     .at = IMAGE(height),
     .min = 1,
     .max = 16384,
     .value = "N",
     .brief = "",
     .more = "Like the width: pixels, a multiple of 8, the model's own unless given.",
     .joined = true},
    {.name = "steps",
     .kind = SDG_ARG_INT,
     .at = IMAGE(steps),
     .min = 1,
     .max = 1000,
     .value = "N",
     .aliases = "num-inference-steps",
     .brief = "sampler steps (20)"},
    {.name = "cfg-scale",
     .kind = SDG_ARG_REAL,
     .at = IMAGE(cfg_scale),
     .min = 0,
     .max = 1000,
     .value = "X",
     .aliases = "guidance-scale",
     .brief = "guidance: how closely to follow the prompt (7)",
     .more = "Classifier-free guidance (Ho and Salimans 2022). At 1 the negative prompt plays no "
             "part and a step costs "
             "half."},
    {.name = "seed",
     .letter = 's',
     .kind = SDG_ARG_INT64,
     .at = IMAGE(seed),
     .min = -1,
     .max = SEED_MAX,
     .value = "N",
     .brief = "image i has seed N+i; -1: random, shown (-1)"},
    {.name = "batch-count",
     .letter = 'b',
     .kind = SDG_ARG_INT,
     .at = IMAGE(batch_count),
     .min = 1,
     .max = 1000000,
     .value = "N",
     .aliases = "num-images-per-prompt",
     .brief = "images in all (1)"},
    {.name = "batch-size",
     .kind = SDG_ARG_INT,
     .at = IMAGE(batch_size),
     .min = 1,
     .max = 64,
     .value = "N",
     .brief = "images at a time: more memory, same images (1)"},
    {.name = "sampling-method",
     .kind = SDG_ARG_NAME,
     .at = IMAGE(sampler),
     .value = "NAME",
     .aliases = "sampler",
     .choice = sdgen_sampler_name,
     .brief = "sampler (euler_a)",
     .more = "The spellings of other programs are understood."},
    {.name = "scheduler",
     .kind = SDG_ARG_NAME,
     .at = IMAGE(scheduler),
     .value = "NAME",
     .aliases = "schedule",
     .choice = sdgen_scheduler_name,
     .brief = "noise levels (the sampler's own)"},
    {.name = "eta",
     .kind = SDG_ARG_REAL,
     .at = IMAGE(eta),
     .min = 0,
     .max = 1,
     .value = "X",
     .brief = "share of fresh noise in a step (the sampler's)"},
    {.name = "clip-skip",
     .kind = SDG_ARG_INT,
     .at = IMAGE(clip_skip),
     .min = 0,
     .max = 100,
     .value = "N",
     .brief = "last layers of the text encoder to leave out",
     .more = "Counted as the followed program counts: in a1111 1 leaves out none, in diffusers 0."},
    {.name = "like",
     .kind = SDG_ARG_NAME,
     .at = IMAGE(like),
     .value = "NAME",
     .choices = "a1111|diffusers",
     .brief = "whose pictures to match",
     .more = "Sets every convention at once: noise source, noise levels, clip-skip counting, long "
             "prompts, rounding. Single options override it."},
    {.name = "rng",
     .kind = SDG_ARG_CHOICE,
     .at = IMAGE(rng),
     .value = "NAME",
     .choices = "cpu|cuda",
     .brief = "noise source (--like's)",
     .more = "Noise as PyTorch draws it on a CPU or on a CUDA device."},

    {.name = "Output", .kind = SDG_ARG_GROUP},
    {.name = "output",
     .letter = 'o',
     .kind = SDG_ARG_FILE,
     .at = OWN(output),
     .value = "FILE",
     .brief = "name; may hold %d, %03d, {seed} (output.png)",
     .more = "%d is the number of the image, from 1. Files that exist are kept: the name gets a "
             "number, or the next free one. %% is a percent sign. A file appears under its name "
             "only when it is complete."},
    {.name = "overwrite",
     .kind = SDG_ARG_FLAG,
     .at = OWN(overwrite),
     .brief = "replace files instead of numbering"},
    {.name = "trace",
     .kind = SDG_ARG_FOLDER,
     .at = IMAGE(trace_dir),
     .value = "DIR",
     .brief = "NumPy files of every step of the first batch",
     .more = "tokens, text_cond, text_uncond, latent_000 (the noise) and after every step, eps of "
             "every step, sigmas, timesteps and image, each .npy."},
    {.name = "progress",
     .kind = SDG_ARG_CHOICE,
     .at = OWN(progress),
     .value = "NAME",
     .choices = "auto|bar|json|none",
     .brief = "how progress shows",
     .more = "auto is a bar on a terminal, else plain lines. json writes one object a line to "
             "stderr: stage, step, steps, image, images, seconds, eta; and of each written file: "
             "file, seed. Names of written files go to stdout in any case."},
    {.name = "verbose",
     .letter = 'v',
     .kind = SDG_ARG_FLAG,
     .at = OWN(verbose),
     .brief = "say more",
     .more = "Among it the planned memory and the unused tensors."},
    {.name = "quiet",
     .letter = 'q',
     .kind = SDG_ARG_FLAG,
     .at = OWN(quiet),
     .brief = "only errors",
     .joined = true},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {.name = "version", .kind = SDG_ARG_VERSION, .brief = "the version", .joined = true},
    {0},
};

static const struct sdg_command generate = {
    .name = "generate",
    .synopsis = "-m FILE -p TEXT [options]     (\"generate\" may be left out)",
    .brief = "Draws pictures from a Stable Diffusion checkpoint and a prompt on the CPU.",
    .notes = "Other commands: sdgen inspect FILE, sdgen tokens -p TEXT; --help tells more.",
    .args = generate_args,
    .run = sdg_cmd_generate,
};

struct sdg_generate_options sdg_generate_defaults(void)
{
    struct sdg_generate_options o = {
        .load = sdgen_load_defaults(),
        .image = sdgen_image_defaults(),
        .output = "output.png",
        .progress = "auto",
    };
    o.image.prompt = NULL; /* to tell -p "" from no -p */
    return o;
}

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
     .brief = "look at every value for NaN and infinity",
     .more = "Reads the whole file."},
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
    .brief = "Tells what a weight file holds and whether sdgen can use it. Nothing in it is "
             "executed.",
    .notes = "Exit status: 0 the file can be used, 1 it is refused or broken, 2 wrong usage.",
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
     .choices = "a1111|diffusers",
     .brief = "whose prompt language and chunks (a1111)"},
    {.name = "literal",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(literal),
     .brief = "brackets and weights are plain text"},
    {.name = "raw",
     .kind = SDG_ARG_FLAG,
     .at = TOKENS(raw),
     .brief = "the text as it stands: tokens without chunks",
     .more = "No prompt language, and no start, end or padding among the tokens."},
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
    .brief = "Shows how a prompt is cut into CLIP tokens and chunks of 75.",
    .args = tokens_args,
    .run = sdg_cmd_tokens,
};

/* ---- all of them ---- */

static const struct sdg_command *const commands[] = {&generate, &inspect, &tokens};
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
