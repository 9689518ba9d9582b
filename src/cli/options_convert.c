/* options_convert.c - the options of `convert` and `merge` (see options.h). */
#include <stddef.h>

#include "cli/commands.h"
#include "cli/options.h"

#define TYPES "f32|f16|bf16|q8_0|q5_1|q5_0|q4_1|q4_0"

/* ---- convert ---- */

#define CONVERT(field) offsetof(struct sdg_convert_command, field)

static const struct sdg_arg convert_args[] = {
    {.name = "IN",
     .kind = SDG_ARG_OPERAND,
     .at = CONVERT(in),
     .brief = "checkpoint or network of any form: file or folder"},
    {.name = "OUT",
     .kind = SDG_ARG_OPERAND,
     .at = CONVERT(out),
     .brief = "x.safetensors, x.gguf, or a folder for diffusers"},
    {.name = "to",
     .kind = SDG_ARG_CHOICE,
     .at = CONVERT(to),
     .value = "FORM",
     .choices = "safetensors|gguf|folder",
     .brief = "the form, whatever OUT is called"},
    {.name = "keys",
     .kind = SDG_ARG_CHOICE,
     .at = CONVERT(keys),
     .value = "NAMES",
     .choices = "ldm|diffusers",
     .brief = "names of the tensors in one file (ldm)",
     .more = "ldm: as CompVis and Stability AI write them, which other programs read. diffusers: "
             "those of a folder, behind the name of the component."},
    {.name = "type",
     .kind = SDG_ARG_CHOICE,
     .at = CONVERT(type),
     .value = "TYPE",
     .choices = TYPES,
     .brief = "type of the weights (what each has)",
     .more = "Quantised types are for GGUF, and there for matrices whose rows are whole blocks of "
             "32; vectors, convolutions and the embeddings of tokens, positions, timestep and "
             "label keep the type they have."},
    {.name = "tensor-type-rules",
     .kind = SDG_ARG_TEXT,
     .at = CONVERT(rules),
     .value = "RULES",
     .brief = "PATTERN=TYPE,...: types of tensors by name",
     .more = "Extended regular expressions, searched for in the names of single files; the first "
             "that matches counts, before --type."},
    {.name = "prune",
     .kind = SDG_ARG_FLAG,
     .at = CONVERT(prune),
     .brief = "leave out running averages and all no network needs"},
    {.name = "ema",
     .kind = SDG_ARG_FLAG,
     .at = CONVERT(ema),
     .brief = "the running average becomes the UNet"},
    {.name = "vae",
     .kind = SDG_ARG_FILE,
     .at = CONVERT(vae),
     .value = "FILE",
     .brief = "take the VAE from this file"},
    {.name = "unet",
     .kind = SDG_ARG_FILE,
     .at = CONVERT(unet),
     .value = "FILE",
     .aliases = "diffusion-model",
     .brief = "take the UNet from this file"},
    {.name = "clip-l",
     .kind = SDG_ARG_FILE,
     .at = CONVERT(clip_l),
     .value = "FILE",
     .aliases = "clip_l",
     .brief = "take the first or only text encoder from it"},
    {.name = "clip-g",
     .kind = SDG_ARG_FILE,
     .at = CONVERT(clip_g),
     .value = "FILE",
     .aliases = "clip_g",
     .brief = "take the second text encoder from it"},
    {.name = "overwrite",
     .kind = SDG_ARG_FLAG,
     .at = CONVERT(overwrite),
     .brief = "replace a file or folder that is there"},
    {.name = "quiet",
     .letter = 'q',
     .kind = SDG_ARG_FLAG,
     .at = CONVERT(quiet),
     .brief = "no progress, only errors"},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

const struct sdg_command sdg_command_convert = {
    .name = "convert",
    .synopsis = "[options] IN OUT",
    .brief = "Writes a checkpoint in another form, spelling or type, pruned, or with another "
             "network in it.",
    .notes = "Needs little memory at any size. OUT has its name only when it is complete.",
    .args = convert_args,
    .run = sdg_cmd_convert,
};

/* ---- merge ---- */

#define MERGE(field) offsetof(struct sdg_merge_command, field)

static const struct sdg_arg merge_args[] = {
    {.name = "OUT",
     .kind = SDG_ARG_OPERAND,
     .at = MERGE(out),
     .brief = "x.safetensors, x.gguf, or a folder for diffusers"},
    {.name = "A", .kind = SDG_ARG_OPERAND, .at = MERGE(a), .brief = "checkpoint of any form"},
    {.name = "B", .kind = SDG_ARG_OPERAND, .at = MERGE(b), .brief = "another of the same family"},
    {.name = "C",
     .kind = SDG_ARG_OPERAND,
     .at = MERGE(c),
     .brief = "what B was trained from, for add-difference"},
    {.name = "method",
     .kind = SDG_ARG_CHOICE,
     .at = MERGE(method),
     .value = "NAME",
     .choices = "sum|add-difference|none",
     .brief = "(1-X) A + X B; A + X (B - C); A alone (sum)",
     .more = "With a C, add-difference is meant where nothing is said."},
    {.name = "alpha",
     .kind = SDG_ARG_REAL,
     .at = MERGE(alpha),
     .min = -10,
     .max = 10,
     .value = "X",
     .brief = "the multiplier X (0.5)"},
    {.name = "block-weights",
     .kind = SDG_ARG_TEXT,
     .at = MERGE(blocks),
     .value = "X,X,...",
     .brief = "an X for each block of the UNet",
     .more =
         "IN00, IN01, ..., M00, OUT00, OUT01, ...: 25 numbers for SD1 and SD2, 19 for SDXL. One "
         "more, in front, is the X of the text encoders, which is else --alpha. The embeddings "
         "of timestep and label go with IN00, the last convolution with the last block."},
    {.name = "merge-vae",
     .kind = SDG_ARG_FLAG,
     .at = MERGE(merge_vae),
     .brief = "merge the VAE too (it is that of A)"},
    {.name = "type",
     .kind = SDG_ARG_CHOICE,
     .at = MERGE(type),
     .value = "TYPE",
     .choices = TYPES,
     .brief = "type of the weights (those of A)"},
    {.name = "prune",
     .kind = SDG_ARG_FLAG,
     .at = MERGE(prune),
     .brief = "leave out running averages and all no network needs"},
    {.name = "overwrite",
     .kind = SDG_ARG_FLAG,
     .at = MERGE(overwrite),
     .brief = "replace a file or folder that is there"},
    {.name = "quiet",
     .letter = 'q',
     .kind = SDG_ARG_FLAG,
     .at = MERGE(quiet),
     .brief = "no progress, only errors"},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

const struct sdg_command sdg_command_merge = {
    .name = "merge",
    .synopsis = "[options] OUT A B [C]",
    .brief = "Mixes two checkpoints of one family, or adds to one what another learned.",
    .notes = "Computed in f32 and rounded once. Tensors that only A has are those of A.",
    .args = merge_args,
    .run = sdg_cmd_merge,
};
