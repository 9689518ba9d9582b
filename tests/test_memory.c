/* test_memory.c - --max-ram: the program itself under several limits. What the system says it took
 * up stays within the limit, the picture has the bits it has without one, a limit that is too small
 * is refused with one that is not, and each of these also where the model is larger than the limit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pipeline/memory.h"
#include "tests/support/blankfile.h"

#define MODEL "models/data/sdgen-emoji.safetensors"
enum { MOST_ARGS = 40, PATH = 512 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool counts = false; /* what these sanitizers take up is not the program's */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool counts = false;
#else
static const bool counts = true;
#endif
#else
static const bool counts = true;
#endif

/* Under an emulator the size is the emulator's. */
static bool measures(void)
{
    const char *emulator = getenv("EMULATOR");
    return counts && !(emulator && *emulator);
}

/* ---- running the program --------------------------------------------------------------------- */

static char folder[PATH];

static int make_folder(void **state)
{
    (void)state;
    const char *dir = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/sdgen-memory-XXXXXX", dir ? dir : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[PATH + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

struct outcome {
    int status;
    size_t peak; /* bytes */
    char said[8192];
};

static void become(const char *const *args, const char *log)
{
    const char *sdgen = getenv("SDGEN");
    const int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0) _exit(126);
    unsetenv("SDGEN_THREADS");
    execv(sdgen ? sdgen : "build/sdgen", (char *const *)(uintptr_t)args);
    _exit(127);
}

/* sdgen -t 2 and the words that follow, up to NULL. */
static struct outcome sdgen(const char *word, ...)
{
    struct outcome o = {.status = -1};
    struct rusage usage;
    const char *args[MOST_ARGS] = {"sdgen", "-t", "2", "--progress", "none", "-v"};
    char log[PATH + 8];
    int n = 6, status;
    va_list more;
    va_start(more, word);
    for (const char *w = word; w && n + 1 < MOST_ARGS; w = va_arg(more, const char *))
        args[n++] = w;
    va_end(more);
    args[n] = NULL;
    snprintf(log, sizeof log, "%s/log", folder);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) become(args, log);
    assert_int_equal(wait4(pid, &status, 0, &usage), pid);
    o.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    o.peak = (size_t)usage.ru_maxrss << 10;
    FILE *f = fopen(log, "re");
    assert_non_null(f);
    o.said[fread(o.said, 1, sizeof o.said - 1, f)] = 0;
    fclose(f);
    return o;
}

static void must_end(const struct outcome *o, int status)
{
    if (o->status != status) fail_msg("ended with %d: %s", o->status, o->said);
}

static void must_fit(const struct outcome *o, const char *limit)
{
    size_t bytes;
    assert_int_equal(sdg_memory_parse(&bytes, limit, NULL), SDGEN_OK);
    print_message("# --max-ram %s: %.1f MiB\n", limit, (double)o->peak * 0x1p-20);
    if (measures() && o->peak > bytes)
        fail_msg("--max-ram %s: took up %zu KiB; %s", limit, o->peak >> 10, o->said);
}

static char *read_file(const char *name, size_t *size)
{
    char path[PATH + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rbe");
    if (!f) fail_msg("%s is not there", path);
    char *data = malloc(1 << 21);
    assert_non_null(data);
    *size = fread(data, 1, 1 << 21, f);
    fclose(f);
    return data;
}

static void same_files(const char *a, const char *b)
{
    size_t m, n;
    char *x = read_file(a, &m), *y = read_file(b, &n);
    if (m != n || memcmp(x, y, n) != 0) fail_msg("%s and %s are not the same", a, b);
    free(x);
    free(y);
}

static const char *in_folder(char path[PATH + 32], const char *name)
{
    snprintf(path, PATH + 32, "%s/%s", folder, name);
    return path;
}

/* The limit that a refusal offers. */
static void offered(char limit[32], const struct outcome *o)
{
    const char *at = strstr(o->said, "the least is --max-ram ");
    if (!at || sscanf(at, "the least is --max-ram %31[0-9M]", limit) != 1)
        fail_msg("no limit is offered: %s", o->said);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {{"3G", (size_t)3 << 30},     {"1.5g", (size_t)3 << 29},
                {"800M", (size_t)800 << 20}, {"800MiB", (size_t)800 << 20},
                {"2GB", (size_t)2 << 30},    {"64K", 64 << 10},
                {"123456789", 123456789},    {"1T", (size_t)1 << 40}};
    static const char *const bad[] = {"", "G", "-1G", "0", "1X", "1GG", "nan", "1G ", "1e300G"};
    size_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(sdg_memory_parse(&bytes, good[i].text, NULL), SDGEN_OK);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sdgen_error err;
        if (sdg_memory_parse(&bytes, bad[i], &err) == SDGEN_OK) fail_msg("%s is read", bad[i]);
        assert_non_null(strstr(err.text, "--max-ram"));
    }
}

/* Two batches and two prompts: weights are dropped and packed again. */
static void limits_hold_and_change_nothing(void **state)
{
    (void)state;
    char prompts[PATH + 32], name[PATH + 32], least[32];
    FILE *f = fopen(in_folder(prompts, "prompts"), "we");
    assert_non_null(f);
    fputs("a fox\na red apple and a very long green snake\n", f);
    fclose(f);
#define RUN(file, ...)                                                                           \
    sdgen("-m", MODEL, "--prompt-file", prompts, "-b", "3", "--batch-size", "2", "--steps", "2", \
          "-s", "7", "-o", in_folder(name, file), __VA_ARGS__, NULL)
    struct outcome o = RUN("free-%d.png", "--precision", "f32");
    must_end(&o, 0);
    const size_t unlimited = o.peak;
    o = RUN("none.png", "--precision", "f32", "--max-ram", "20M");
    must_end(&o, 1);
    offered(least, &o);
    const char *const limits[] = {"3G", "70M", least};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        o = RUN("tight-%d.png", "--precision", "f32", "--overwrite", "--max-ram", limits[i]);
        must_end(&o, 0);
        must_fit(&o, limits[i]);
        assert_non_null(strstr(o.said, " MiB at most"));
        for (int image = 1; image <= 6; image++) {
            char a[32], b[32];
            snprintf(a, sizeof a, "free-%d.png", image);
            snprintf(b, sizeof b, "tight-%d.png", image);
            same_files(a, b);
        }
    }
    if (measures()) assert_true(o.peak < unlimited);
#undef RUN
}

/* A larger picture of a small model: the decoder's map is most of it, and strips and tiles count.
 */
static void large_pictures(void **state)
{
    (void)state;
    char name[PATH + 32], least[32], tiled[32];
#define RUN(file, ...)                                                                           \
    sdgen("-m", MODEL, "-p", "a fox", "-W", "512", "-H", "384", "--steps", "1", "-s", "7", "-o", \
          in_folder(name, file), "--overwrite", __VA_ARGS__, NULL)
    struct outcome o = RUN("none.png", "--max-ram", "20M");
    must_end(&o, 1);
    offered(least, &o);
    assert_non_null(strstr(o.said, "--vae-tiling"));
    o = RUN("none.png", "--max-ram", "20M", "--vae-tiling", "--vae-tile-size", "256");
    must_end(&o, 1);
    offered(tiled, &o);
    assert_true(strtol(tiled, NULL, 10) < strtol(least, NULL, 10));
    o = RUN("large-free.png", "--precision", "f32");
    must_end(&o, 0);
    o = RUN("large.png", "--precision", "f32", "--max-ram", least);
    must_end(&o, 0);
    must_fit(&o, least);
    same_files("large-free.png", "large.png");
    o = RUN("tiled.png", "--max-ram", tiled, "--vae-tiling", "--vae-tile-size", "256x256");
    must_end(&o, 0);
    must_fit(&o, tiled);
#undef RUN
}

/* Stable Diffusion 1.5 in f16, 2 GB of zeros: most of the UNet is streamed. */
static void a_model_larger_than_the_limit(void **state)
{
    (void)state;
    struct test_blank b = {.dtype = SDG_F16};
    char name[PATH + 32], least[32];
    test_blank_begin(&b);
    test_blank_model(&b, &test_sd15_clip, &test_sd15_unet, &test_sd15_vae);
    test_blank_write(&b);
#define RUN(limit)                                                                     \
    sdgen("-m", b.path, "-p", "nothing", "-W", "64", "-H", "64", "--steps", "1", "-o", \
          in_folder(name, "blank.png"), "--overwrite", "--max-ram", limit, NULL)
    struct outcome o = RUN("100M");
    must_end(&o, 1);
    offered(least, &o);
    o = RUN("600M");
    must_end(&o, 0);
    must_fit(&o, "600M");
    assert_non_null(strstr(o.said, "the rest streamed"));
#undef RUN
    test_blank_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(limits_hold_and_change_nothing),
        cmocka_unit_test(large_pictures),
        cmocka_unit_test(a_model_larger_than_the_limit),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
