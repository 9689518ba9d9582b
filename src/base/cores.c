/* cores.c - see cores.h. Formats: the kernel's Documentation/admin-guide/cputopology.rst,
 * cgroup-v2.rst, cgroup-v1/ and scheduler/sched-bwc.rst. */
#define _GNU_SOURCE
#include "base/cores.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 1024, LINE = 1024 };

/* The first line of a file, without its end; false where there is none. */
static bool read_line(char line[LINE], const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const bool there = fgets(line, LINE, f) != NULL;
    fclose(f);
    if (there) line[strcspn(line, "\n")] = 0;
    return there;
}

/* The next range of a list such as "0-3,8,10-11". */
static bool next_range(int *first, int *last, const char **list)
{
    int used = 0;
    if (sscanf(*list, "%d%n", first, &used) != 1 || *first < 0) return false;
    *list += used;
    *last = *first;
    if (**list == '-' && sscanf(*list + 1, "%d%n", last, &used) == 1 && *last >= *first)
        *list += 1 + used;
    if (**list == ',') ++*list;
    return true;
}

/* ---- cores ----------------------------------------------------------------------------------- */

void sdg_cores_allowed(bool allowed[SDG_CPUS])
{
    unsigned long mask[SDG_CPUS / (8 * sizeof(unsigned long))] = {0};
    const int bits = 8 * (int)sizeof mask[0];
    memset(allowed, 0, SDG_CPUS * sizeof *allowed);
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)(void *)mask) != 0) {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        for (long i = 0; i < online && i < SDG_CPUS; i++) allowed[i] = true;
        return;
    }
    for (int i = 0; i < SDG_CPUS; i++) allowed[i] = mask[i / bits] >> i % bits & 1;
}

/* How many allowed CPUs of its core come before this one. */
static int place_in_core(const char *root, int cpu, const bool allowed[SDG_CPUS])
{
    char path[PATH], line[LINE];
    int first, last, before = 0;
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             root, cpu);
    if (!read_line(line, path)) return 0;
    for (const char *list = line; next_range(&first, &last, &list);)
        for (int i = first; i <= last && i < cpu && i < SDG_CPUS; i++) before += allowed[i];
    return before;
}

void sdg_cores_find(struct sdg_cores *c, const char *root, const bool allowed[SDG_CPUS])
{
    int place[SDG_CPUS], rounds = 1;
    *c = (struct sdg_cores) {0};
    for (int i = 0; i < SDG_CPUS; i++) {
        place[i] = allowed[i] ? place_in_core(root, i, allowed) : -1;
        if (place[i] >= rounds) rounds = place[i] + 1;
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < SDG_CPUS; i++)
            if (place[i] == round) c->cpu[c->cpus++] = i;
        if (round == 0) c->cores = c->cpus;
    }
    if (c->cores < 1) c->cores = 1;
}

int sdg_memory_nodes(const char *root)
{
    char path[PATH], line[LINE];
    int first, last, nodes = 0;
    snprintf(path, sizeof path, "%s/sys/devices/system/node/has_memory", root);
    if (!read_line(line, path)) return 1;
    for (const char *list = line; next_range(&first, &last, &list);) nodes += last - first + 1;
    return nodes < 1 ? 1 : nodes;
}

/* ---- quotas ---------------------------------------------------------------------------------- */

/* quota per period in whole CPUs; 0: none. */
static int whole_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period >= SDG_CPUS) return 0;
    return (int)(quota / period + (quota % period != 0));
}

static int quota_v2(const char *folder)
{
    char path[PATH], line[LINE];
    long long quota, period;
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return 0;
    if (!read_line(line, path) || sscanf(line, "%lld %lld", &quota, &period) != 2)
        return 0; /* "max 100000" */
    return whole_cpus(quota, period);
}

static int quota_v1(const char *folder)
{
    char path[PATH], line[LINE];
    long long number[2];
    static const char *const names[] = {"cpu.cfs_quota_us", "cpu.cfs_period_us"};
    for (int i = 0; i < 2; i++) {
        if (snprintf(path, sizeof path, "%s/%s", folder, names[i]) >= (int)sizeof path) return 0;
        if (!read_line(line, path) || sscanf(line, "%lld", &number[i]) != 1) return 0;
    }
    return whole_cpus(number[0], number[1]);
}

/* The least quota of a group and those above it, up to where the tree is mounted. In a container
 * the group's name may be that of the host, which is not there: then the top counts. */
static int least_quota(const char *root, const char *mount, const char *group,
                       int (*quota)(const char *folder))
{
    char folder[PATH];
    int least = 0;
    const int top = snprintf(folder, sizeof folder, "%s%s", root, mount);
    const int whole = snprintf(folder, sizeof folder, "%s%s%s", root, mount, group);
    if (whole >= (int)sizeof folder) folder[top] = 0;
    for (;;) {
        const int here = quota(folder);
        if (here && (!least || here < least)) least = here;
        char *slash = strrchr(folder + top, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

/* Whether `name` is in the list "a,b,c", which ends with `end`. */
static bool lists(const char *list, const char *end, const char *name)
{
    const size_t length = strlen(name);
    while (list < end) {
        const size_t n = strcspn(list, ",:");
        if (n == length && strncmp(list, name, n) == 0) return true;
        list += n + 1;
    }
    return false;
}

/* /proc/self/cgroup has lines "number:controllers:group"; those of version 2 name no controller. */
int sdg_cores_quota(const char *root)
{
    char path[PATH], line[LINE];
    int least = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        const char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group || strstr(group, "..")) continue;
        int here = 0;
        if (group == controllers + 1)
            here = least_quota(root, "/sys/fs/cgroup", group + 1, quota_v2);
        else if (lists(controllers + 1, group, "cpu")) {
            here = least_quota(root, "/sys/fs/cgroup/cpu", group + 1, quota_v1);
            if (!here) here = least_quota(root, "/sys/fs/cgroup/cpu,cpuacct", group + 1, quota_v1);
        }
        if (here && (!least || here < least)) least = here;
    }
    fclose(f);
    return least;
}
