/* test_parallel.c - which processors may be used, told from made-up machines; threads on cores of
 * their own and back; regions that are not nested; memory that is spread. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ftw.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cores.h"
#include "base/parallel.h"
#include "tests/support/npy.h"

enum { PATH = 1024 };

/* ---- made-up machines ---- */

/* A file below root with these lines, folders and all. */
static void put(const char *root, const char *path, const char *text)
{
    char whole[PATH];
    const int length = snprintf(whole, sizeof whole, "%s/%s", root, path);
    assert_true(length < PATH);
    for (char *s = whole + strlen(root) + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        mkdir(whole, 0755);
        *s = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void put_siblings(const char *root, int cpu, const char *list)
{
    char path[PATH];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    put(root, path, list);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_tree(char *root)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(root);
}

static struct sdg_cores cores_of(const char *root, const char *mask)
{
    bool allowed[SDG_CPUS] = {false};
    struct sdg_cores c;
    for (int i = 0; mask[i]; i++) allowed[i] = mask[i] == '1';
    sdg_cores_find(&c, root, allowed);
    return c;
}

static void check_cores(const char *root, const char *mask, int cores, const char *order)
{
    const struct sdg_cores c = cores_of(root, mask);
    char text[256] = "";
    for (int i = 0; i < c.cpus; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? " " : "", c.cpu[i]);
    assert_int_equal(c.cores, cores);
    assert_string_equal(text, order);
}

static void test_cores(void **state)
{
    (void)state;
    char *root = test_folder_make();
    check_cores(root, "1111", 4, "0 1 2 3"); /* nothing is known: each CPU is a core */
    check_cores(root, "", 1, "");
    for (int i = 0; i < 4; i++) { /* SMT as Intel numbers it: 0 and 4, 1 and 5, ... */
        char list[32];
        snprintf(list, sizeof list, "%d,%d\n", i, i + 4);
        put_siblings(root, i, list);
        put_siblings(root, i + 4, list);
    }
    check_cores(root, "11111111", 4, "0 1 2 3 4 5 6 7");
    check_cores(root, "01101111", 4, "1 2 4 7 5 6");
    check_cores(root, "00001000", 1, "4");
    check_cores(root, "10001000", 1, "0 4");
    for (int i = 0; i < 8; i++) put_siblings(root, i, i < 4 ? "0-3\n" : "4-7\n"); /* POWER's SMT4 */
    check_cores(root, "11111111", 2, "0 4 1 5 2 6 3 7");
    check_cores(root, "01110001", 2, "1 7 2 3");
    static const char *const nonsense[] = {
        "", "x", "-1", "1-", "99999999999999999999", "0-999999999", "3-0,,"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        put_siblings(root, 0, nonsense[i]);
        put_siblings(root, 1, nonsense[i]);
        assert_true(cores_of(root, "11").cores >= 1);
        assert_int_equal(cores_of(root, "11").cpus, 2);
    }
    remove_tree(root);
}

static void test_quota(void **state)
{
    (void)state;
    char *root = test_folder_make();
    assert_int_equal(sdg_cores_quota(root), 0);
    put(root, "proc/self/cgroup", "0::/user.slice/job\n");
    assert_int_equal(sdg_cores_quota(root), 0);
    put(root, "sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
    assert_int_equal(sdg_cores_quota(root), 0);
    put(root, "sys/fs/cgroup/user.slice/cpu.max", "350000 100000\n"); /* of a group above */
    assert_int_equal(sdg_cores_quota(root), 4);
    put(root, "sys/fs/cgroup/user.slice/job/cpu.max", "200000 100000\n");
    assert_int_equal(sdg_cores_quota(root), 2);
    put(root, "sys/fs/cgroup/cpu.max", "5000 100000\n"); /* a container sees its own at the top */
    assert_int_equal(sdg_cores_quota(root), 1);
    put(root, "proc/self/cgroup", "0::/not/there\n");
    assert_int_equal(sdg_cores_quota(root), 1);
    put(root, "proc/self/cgroup", "0::/../../elsewhere\n");
    assert_int_equal(sdg_cores_quota(root), 0);
    remove_tree(root);

    root = test_folder_make(); /* version 1, where the controllers have trees of their own */
    put(root, "proc/self/cgroup", "5:cpuset:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/cpu\n");
    put(root, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    put(root, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(sdg_cores_quota(root), 0);
    put(root, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(sdg_cores_quota(root), 3);
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(sdg_cores_quota(root), 2);
    static const char *const nonsense[] = {"",         "x",         "0 0",
                                           "100000 0", "-5 100000", "9223372036854775807 1"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        put(root, "proc/self/cgroup", "0::/\n");
        put(root, "sys/fs/cgroup/cpu.max", nonsense[i]);
        assert_int_equal(sdg_cores_quota(root), 0);
    }
    put(root, "proc/self/cgroup", "\n:\n::\n4\n4:cpu\n");
    assert_int_equal(sdg_cores_quota(root), 0);
    remove_tree(root);
}

static void test_nodes(void **state)
{
    (void)state;
    char *root = test_folder_make();
    assert_int_equal(sdg_memory_nodes(root), 1);
    put(root, "sys/devices/system/node/has_memory", "0-1,4\n");
    assert_int_equal(sdg_memory_nodes(root), 3);
    put(root, "sys/devices/system/node/has_memory", "\n");
    assert_int_equal(sdg_memory_nodes(root), 1);
    remove_tree(root);
}

/* ---- this machine ---- */

enum { WORKERS = 4, TASKS = 64 };

struct seen {
    cpu_set_t mask[TASKS];
    int worker[TASKS];
};

/* Long enough that every worker gets some. */
static void look(void *arg, size_t task, int worker)
{
    struct seen *s = arg;
    s->worker[task] = worker;
    assert_int_equal(sched_getaffinity(0, sizeof s->mask[task], &s->mask[task]), 0);
    usleep(500);
}

static void test_pinning(void **state)
{
    (void)state;
    bool allowed[SDG_CPUS];
    struct sdg_cores c;
    struct seen before, within, after;
    sdg_cores_allowed(allowed);
    sdg_cores_find(&c, "", allowed);
    assert_true(sdg_physical_cores() >= 1 && sdg_physical_cores() <= c.cores);
    for (int threads = 1; threads <= WORKERS; threads++) {
        sdg_parallel_for(threads, TASKS, look, &before);
        struct sdg_pinning *p = sdg_parallel_pin(threads);
        if (!p) skip(); /* an emulator may not know affinity */
        sdg_parallel_for(threads, TASKS, look, &within);
        sdg_parallel_release(p);
        sdg_parallel_for(threads, TASKS, look, &after);
        for (int i = 0; i < TASKS; i++) {
            const int worker = within.worker[i];
            assert_int_equal(CPU_COUNT(&within.mask[i]), 1);
            assert_true(CPU_ISSET(c.cpu[worker % c.cpus], &within.mask[i]));
            assert_true(CPU_EQUAL(&after.mask[i], &before.mask[i]));
        }
    }
    sdg_parallel_release(NULL);
}

/* A mask of one CPU is one core, whatever else the machine has. */
static void test_mask(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const int cores = sdg_physical_cores();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(cores, 1);
}

struct nest {
    int count[TASKS];
    int worker[TASKS];
};

static void inner(void *arg, size_t task, int worker)
{
    int *count = arg;
    (void)task;
    assert_int_equal(worker, 0);
    ++*count;
}

static void outer(void *arg, size_t task, int worker)
{
    struct nest *n = arg;
    n->worker[task] = worker;
    sdg_parallel_for(WORKERS, 10, inner, &n->count[task]); /* by one thread: no lock is needed */
    assert_null(worker ? sdg_parallel_pin(2) : NULL);
}

static void test_nested(void **state)
{
    (void)state;
    struct nest n = {.count = {0}};
    sdg_parallel_for(WORKERS, TASKS, outer, &n);
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(n.count[i], 10);
        assert_in_range(n.worker[i], 0, WORKERS - 1);
    }
}

static size_t resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Touched memory is there, and zero to its last byte. */
static void test_touch(void **state)
{
    (void)state;
    enum { SIZE = (13 << 20) + 100 };
    struct sdg_arena a;
    assert_int_equal(sdg_arena_create(&a, SIZE, NULL), SDGEN_OK);
    const size_t before = resident();
    sdg_parallel_touch(3, a.base, a.size);
    assert_true(resident() >= before + (12 << 20));
    for (size_t i = 0; i < a.size; i++) assert_int_equal(a.base[i], 0);
    sdg_parallel_spread(3, a.base, a.size);
    sdg_arena_destroy(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cores),   cmocka_unit_test(test_quota), cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_pinning), cmocka_unit_test(test_mask),  cmocka_unit_test(test_nested),
        cmocka_unit_test(test_touch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
