/* plain.c - drives a fuzz target without libFuzzer, for `make check`: every seed, then `runs`
 * inputs that are made from the seeds by chance, the same on every machine.
 *
 *     plain_NAME RUNS SEED-FILE...
 *
 * Blind where libFuzzer sees which branches an input takes, and so no substitute for it: it keeps
 * what was found once from coming back. When a target dies, the input is left in $TMPDIR (or the
 * current folder) as fuzz-input. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

enum { LARGEST = 1 << 16, CHANGES = 6 };

struct input {
    uint8_t *data;
    size_t size;
};

static const uint8_t *current;
static size_t current_size;
static char artifact[512];

/* The input that a target died of. Only what a signal handler may call. */
static void keep(int signal_number)
{
    FILE *f = fopen(artifact, "wb"); /* the process is lost anyway */
    if (f) {
        fwrite(current, 1, current_size, f);
        fclose(f);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* alone in memory, so that a sanitizer sees its end */
    if (!copy) exit(2);
    if (size) memcpy(copy, data, size);
    current = copy;
    current_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* ---- inputs by chance (xorshift64*, Vigna 2016) ---- */

static uint64_t state = 88172645463325252u;

static uint64_t below(uint64_t n)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return n ? (state * 2685821657736338717u >> 11) % n : 0;
}

/* Numbers at which lengths, counts and offsets go wrong. */
static uint64_t odd_number(void)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       7,
                                       8,
                                       15,
                                       16,
                                       127,
                                       128,
                                       255,
                                       256,
                                       511,
                                       512,
                                       32767,
                                       65535,
                                       65536,
                                       0x7fffffff,
                                       0x80000000u,
                                       0xffffffffu,
                                       0x100000000u,
                                       INT64_MAX,
                                       (uint64_t)1 << 63,
                                       UINT64_MAX - 1,
                                       UINT64_MAX};
    return numbers[below(sizeof numbers / sizeof *numbers)];
}

/* What begins at `from` begins at `at` then. */
static void shift(struct input *x, size_t at, size_t from)
{
    if (x->size - from + at > LARGEST) return;
    memmove(x->data + at, x->data + from, x->size - from);
    x->size = x->size - from + at;
}

static void put_number(struct input *x, size_t at)
{
    const size_t width = (size_t)1 << below(4);
    const uint64_t n = odd_number();
    for (size_t i = 0; i < width && at + i < x->size; i++) x->data[at + i] = (uint8_t)(n >> 8 * i);
}

static void change(struct input *x, const struct input *other)
{
    const size_t at = (size_t)below(x->size), length = 1 + (size_t)below(below(2) ? 8 : 200);
    const size_t from = (size_t)below(other->size);
    switch (below(8)) {
    case 0: /* a bit */
        if (x->size) x->data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1: /* a byte */
        if (x->size) x->data[at] = (uint8_t)below(256);
        break;
    case 2: put_number(x, at); break;
    case 3: /* something out */
        if (at + length <= x->size) shift(x, at, at + length);
        break;
    case 4: /* something in from another, twice as often */
    case 5:
        if (from + length > other->size || x->size + length > LARGEST) break;
        memmove(x->data + at + length, x->data + at, x->size - at);
        memcpy(x->data + at, other->data + from, length);
        x->size += length;
        break;
    case 6: /* something over */
        if (from + length <= other->size && at + length <= x->size)
            memcpy(x->data + at, other->data + from, length);
        break;
    default: /* the end off, seldom */
        if (below(4) == 0) x->size = at;
        break;
    }
}

static struct input read_input(const char *path)
{
    struct input x = {malloc(LARGEST + 1), 0};
    FILE *f = fopen(path, "rb");
    if (!f || !x.data) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    x.size = fread(x.data, 1, LARGEST, f);
    fclose(f);
    return x;
}

int main(int argc, char **argv)
{
    const long runs = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    const int count = argc - 2;
    const char *folder = getenv("TMPDIR");
    if (count < 1 || runs < 0) {
        fprintf(stderr, "usage: %s RUNS SEED-FILE...\n", argv[0]);
        return 2;
    }
    snprintf(artifact, sizeof artifact, "%s/fuzz-input", folder ? folder : ".");
    signal(SIGABRT, keep);
#if !defined(__SANITIZE_ADDRESS__) /* which tells more */
    signal(SIGSEGV, keep);
    signal(SIGBUS, keep);
    signal(SIGFPE, keep);
#endif
    struct input *seeds = calloc((size_t)count, sizeof *seeds);
    struct input x = {malloc(LARGEST + 1), 0};
    if (!seeds || !x.data) return 2;
    for (int i = 0; i < count; i++) {
        seeds[i] = read_input(argv[2 + i]);
        run(seeds[i].data, seeds[i].size);
    }
    for (long i = 0; i < runs; i++) {
        const struct input *seed = &seeds[below((uint64_t)count)];
        memcpy(x.data, seed->data, seed->size);
        x.size = seed->size;
        for (uint64_t n = 1 + below(CHANGES); n-- > 0;) change(&x, &seeds[below((uint64_t)count)]);
        run(x.data, x.size);
    }
    for (int i = 0; i < count; i++) free(seeds[i].data);
    free(seeds);
    free(x.data);
    printf("%ld inputs from %d seeds\n", runs + count, count);
    return 0;
}
