/* cmd_bench.c - `sdgen bench`: times operations, networks and pictures; the work is done in bench/.
 * The row of its options stands here too, so that a build without bench/ need only leave out this
 * file. */
#include "cli/commands.h"

#include <stddef.h>
#include "bench/bench.h"
#include "cli/message.h"

#define AT(field) offsetof(struct bench_options, field)

static const struct sdg_arg args[] = {
    {.name = "PATTERN",
     .kind = SDG_ARG_OPERAND,
     .at = AT(pattern),
     .brief = "part of the names of the lines to run"},
    {.name = "network",
     .kind = SDG_ARG_TEXT,
     .at = AT(network),
     .value = "NAME",
     .brief = "sd15, sd21 or sdxl, sd15-unet ..., or all (sd15)"},
    {.name = "model",
     .letter = 'm',
     .kind = SDG_ARG_FILE,
     .at = AT(model),
     .value = "FILE",
     .brief = "a checkpoint: its operations, its networks, a picture",
     .more = "The sum of the operations of a network is held against the time of the network."},
    {.name = "size",
     .kind = SDG_ARG_INT,
     .at = AT(size),
     .min = 64,
     .max = 2048,
     .value = "N",
     .brief = "pixels of a side of that picture (512)"},
    {.name = "steps",
     .kind = SDG_ARG_INT,
     .at = AT(steps),
     .min = 1,
     .max = 1000,
     .value = "N",
     .brief = "its sampler steps (3)"},
    {.name = "threads",
     .letter = 't',
     .kind = SDG_ARG_INT,
     .at = AT(threads),
     .min = 0,
     .max = 1024,
     .value = "N",
     .brief = "threads, 0: one per physical core",
     .more = "With one thread times are those of the processor: other work counts less."},
    {.name = "isa",
     .kind = SDG_ARG_CHOICE,
     .at = AT(isa),
     .value = "NAME",
     .choices = "auto|c|avx2|avx512|avx512bf16|amx",
     .brief = "instruction set"},
    {.name = "precision",
     .kind = SDG_ARG_CHOICE,
     .at = AT(precision),
     .value = "NAME",
     .choices = "auto|f32|bf16",
     .brief = "inputs of matrix products"},
    {.name = "weights",
     .kind = SDG_ARG_CHOICE,
     .at = AT(weights),
     .value = "NAME",
     .choices = "f16|bf16|f32",
     .brief = "what weights are stored in (f16)"},
    {.name = "exact-conv",
     .kind = SDG_ARG_FLAG,
     .at = AT(exact_conv),
     .brief = "convolutions tap by tap: no Winograd, no phases"},
    {.name = "rounds",
     .kind = SDG_ARG_INT,
     .at = AT(rounds),
     .min = 1,
     .max = BENCH_MOST_ROUNDS,
     .value = "N",
     .brief = "turns that are taken (5; --quick 3)"},
    {.name = "quick",
     .kind = SDG_ARG_FLAG,
     .at = AT(quick),
     .brief = "the 12 heaviest operations of a network only"},
    {.name = "unpacked",
     .kind = SDG_ARG_FLAG,
     .at = AT(unpacked),
     .brief = "also with weights that every call packs anew"},
    {.name = "peaks", .kind = SDG_ARG_FLAG, .at = AT(peaks), .brief = "the machine's peaks alone"},
    {.name = "json",
     .kind = SDG_ARG_FILE,
     .at = AT(json),
     .value = "FILE",
     .brief = "write all times, round by round"},
    {.name = "compare",
     .kind = SDG_ARG_FILE,
     .at = AT(compare),
     .value = "FILE",
     .brief = "compare with an earlier --json",
     .more = "Exit status 1 where one of the 12 heaviest operations has become slower by more than "
             "3 % and more than the noise of the two runs."},
    {.name = "with",
     .kind = SDG_ARG_FILE,
     .at = AT(with),
     .value = "FILE",
     .brief = "oneDNN's times, from tools/bench_torch.py"},
    {.name = "svg",
     .kind = SDG_ARG_FILE,
     .at = AT(svg),
     .value = "FILE",
     .brief = "write a roofline plot"},
    {.name = "tune",
     .kind = SDG_ARG_FLAG,
     .at = AT(tune),
     .brief = "time every algorithm of each convolution",
     .more = "For those who work on sdgen: the rows that it prints are candidates for the table in "
             "which the choice of algorithms is fixed."},
    {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
    {0},
};

static int run(int argc, char **argv);

const struct sdg_command sdg_command_bench = {
    .name = "bench",
    .synopsis = "[options] [PATTERN]",
    .brief = "Times what the networks are made of, beside what this machine can do at best.",
    .notes = "Exit status: 0 done, 1 slower than --compare's run or something failed, 2 wrong "
             "usage.",
    .args = args,
    .run = run,
};

static int run(int argc, char **argv)
{
    struct bench_options o = {0};
    const int end = sdg_args_parse(&o, &sdg_command_bench, argc, argv);
    if (end >= 0) return end;
    sdgen_error error;
    bool worse;
    const sdgen_status status = bench_main(&o, &worse, &error);
    if (status == SDGEN_ERR_ARG) return sdg_say_usage("%s", error.text);
    if (status != SDGEN_OK) return sdg_say_failure("%s", error.text);
    return worse ? SDG_EXIT_FAILURE : SDG_EXIT_OK;
}
