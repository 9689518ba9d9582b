/* check.c - see check.h. Prints TAP: one line per kernel and tier that has a version of its own.
 *
 *   build/check [--bench] [--seed=N] [--isa=TIER] [PATTERN]     PATTERN: a glob on
 * names
 *
 * Every version is also run in emulation (tests/emulated), and its line says so: all that a machine
 * without those instructions can do, and a check of the emulation on the others, where both must
 * give the same bits: on the same inputs, the digests of everything that a test checked are
 * compared. */
#define _GNU_SOURCE
#include "tests/check.h"

#include <fnmatch.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/emulated/emulated.h"

static uint64_t random_state, digest; /* digest: of all results that were checked */

const size_t check_sizes[CHECK_SIZE_COUNT] = {0,  1,  2,  3,  5,  7,  8,  9,  11, 13,  15,  16,
                                              17, 23, 31, 32, 33, 40, 63, 65, 77, 128, 331, 1280};

/* xorshift64 (Marsaglia 2003). */
static uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

float check_uniform(float low, float high)
{
    return low + (high - low) * (float)(random_bits() >> 8) * 0x1p-24f;
}

/* ---- guarded memory -------------------------------------------------------------------------- */

enum { ZONE = 64, MARK = 0xa5 };

/* Pages | mark zone, n bytes | page without access. The last byte lies on the page's edge, so the
 * address of the first is aligned to n's own factors only. */
static void *guarded(size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + ZONE + page - 1) / page * page;
    char *p = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + body, page, PROT_NONE)) {
        perror("check: guarded memory");
        _exit(3);
    }
    memset(p, MARK, body - n);
    return p + body - n;
}

static int zone_is_whole(const void *p)
{
    const unsigned char *end = p;
    for (int i = 1; i <= ZONE; i++)
        if (end[-i] != MARK) return 0;
    return 1;
}

float *check_floats(size_t n)
{
    float *f = guarded(n * sizeof *f);
    for (size_t i = 0; i < n; i++) f[i] = check_uniform(-1.0f, 1.0f);
    return f;
}

void *check_bytes(size_t n)
{
    unsigned char *b = guarded(n);
    for (size_t i = 0; i < n; i++) b[i] = (unsigned char)random_bits();
    return b;
}

double *check_doubles(size_t n)
{
    double *d = calloc(n + 1, sizeof *d);
    if (!d) _exit(3);
    return d;
}

/* FNV-1a, 64 bits (Fowler, Noll & Vo). */
static void digest_bytes(const void *p, size_t bytes)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < bytes; i++) digest = (digest ^ b[i]) * 0x100000001b3u;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void fail(void)
{
    fflush(stdout);
    _exit(1);
}

void check_close(const char *what, const float *got, const double *want, const double *bound,
                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - want[i]);
        if (error <= bound[i]) continue; /* false for NaN */
        printf("# %s: element %zu of %zu: got %.9g, want %.9g, error %.3g exceeds %.3g\n", what, i,
               n, (double)got[i], want[i], error, bound[i]);
        fail();
    }
    digest_bytes(got, n * sizeof *got);
    if (zone_is_whole(got)) return;
    printf("# %s: wrote in front of its output of %zu elements\n", what, n);
    fail();
}

void check_equal(const char *what, const void *got, const void *want, size_t bytes)
{
    if (bytes == 0 || memcmp(got, want, bytes) == 0) return;
    printf("# %s: bytes differ\n", what);
    fail();
}

void check_true(const char *what, int condition)
{
    if (condition) return;
    printf("# %s\n", what);
    fail();
}

/* ---- timing ---------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double check_time(void (*fn)(void *arg), void *arg)
{
    double best = INFINITY;
    long calls = 1;
    for (int batch = 0; batch < 25; batch++) {
        const double start = now();
        for (long i = 0; i < calls; i++) fn(arg);
        const double seconds = now() - start;
        if (seconds < 1e-3)
            calls *= 2;
        else
            best = fmin(best, seconds / (double)calls);
    }
    return best;
}

void check_report(const char *what, double seconds, double amount, const char *unit)
{
    printf("#   %-32s %10.2f us  %8.2f G%s/s\n", what, 1e6 * seconds, 1e-9 * amount / seconds,
           unit);
}

/* ---- driver ---------------------------------------------------------------------------------- */

struct options {
    const char *pattern, *isa;
    int bench;
    uint64_t seed;
};

static const void *slot_of(const struct sdg_kernels *k, size_t offset)
{
    const void *p;
    memcpy(&p, (const char *)k + offset, sizeof p);
    return p;
}

/* In a child, so that a crash costs one line and not the run. What the child checked is in `digest`
 * afterwards. */
static int passes(const struct check_test *t, const struct sdg_kernels *k, const struct options *o)
{
    int ends[2];
    fflush(stdout);
    if (pipe(ends)) return 0;
    const pid_t child = fork();
    if (child == 0) {
        const struct check_context c = {k};
        random_state = o->seed;
        digest = 0xcbf29ce484222325u;
        t->run(&c);
        if (o->bench && t->bench) t->bench(&c);
        fflush(stdout);
        _exit(write(ends[1], &digest, sizeof digest) != (ssize_t)sizeof digest);
    }
    close(ends[1]);
    const ssize_t got = child < 0 ? 0 : read(ends[0], &digest, sizeof digest);
    close(ends[0]);
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return 0;
    if (WIFSIGNALED(status)) printf("# died: %s\n", strsignal(WTERMSIG(status)));
    return status == 0 && got == (ssize_t)sizeof digest;
}

static int matches(const struct options *o, const struct check_test *t, enum sdg_isa isa)
{
    if (o->isa && strcmp(o->isa, sdg_isa_label(isa)) != 0) return 0;
    return fnmatch(o->pattern, t->name, 0) == 0;
}

struct counts {
    int lines, failed;
};

static void verdict(struct counts *n, int ok, const struct check_test *t, enum sdg_isa isa,
                    const char *how)
{
    printf("%sok %d - %s_%s%s\n", ok ? "" : "not ", ++n->lines, t->name, sdg_isa_label(isa), how);
    n->failed += !ok;
}

/* A kernel of a tier, if the tier has one of its own, and its emulation. */
static void run_test(struct counts *n, const struct options *o, const struct check_test *t,
                     enum sdg_isa isa)
{
    const bool here = sdg_isa_is_here(isa);
    struct sdg_kernels real, emulated, below;
    sdg_kernels_init(&real, isa);
    test_kernels_emulate(&emulated, isa);
    test_kernels_emulate(&below, sdg_isa_below(isa));
    if (isa && slot_of(&emulated, t->slot) == slot_of(&below, t->slot)) return;
    if (here) verdict(n, passes(t, &real, o), t, isa, "");
    if (isa == SDG_ISA_C || (here && o->bench)) return;
    const uint64_t wanted = digest;
    const int ok = passes(t, &emulated, o), same = !here || digest == wanted;
    if (ok && !same) printf("# the instructions and their emulation give different bits\n");
    verdict(n, ok && same, t, isa, " (emulated)");
}

static int run_all(const struct options *o)
{
    static const struct check_test *const groups[] = {check_widen_tests, check_matmul_tests,
                                                      check_activation_tests, check_norm_tests,
                                                      check_winograd_tests};
    struct counts n = {0};
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
            for (const struct check_test *t = groups[g]; t->name; t++)
                if (matches(o, t, (enum sdg_isa)isa)) run_test(&n, o, t, (enum sdg_isa)isa);
    printf("1..%d\n", n.lines);
    return n.failed;
}

int main(int argc, char **argv)
{
    struct options o = {.pattern = "*", .seed = (uint64_t)time(NULL)};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0)
            o.bench = 1;
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            o.seed = strtoull(argv[i] + 7, NULL, 0);
        else if (strncmp(argv[i], "--isa=", 6) == 0)
            o.isa = argv[i] + 6;
        else
            o.pattern = argv[i];
    }
    o.seed += !o.seed;
    printf("# check: --seed=%llu, best tier here: %s\n", (unsigned long long)o.seed,
           sdg_isa_label(sdg_isa_detect()));
    return run_all(&o) != 0;
}
