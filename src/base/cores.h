/* cores.h - which processors this process may use, and how much of them.
 *
 * Three things narrow a machine down: the affinity mask (taskset, cpusets of containers), SMT (two
 * threads of a core share its multipliers, so they count as one), and the CPU quota of the control
 * groups that the process is in. All is read from /sys and /proc below `root`: "" on a machine, a
 * folder of made-up files in tests. What cannot be read does not narrow anything down. */
#ifndef SDG_BASE_CORES_H
#define SDG_BASE_CORES_H

#include <stdbool.h>

enum { SDG_CPUS = 4096 };

struct sdg_cores {
    int cores; /* physical ones */
    int cpus;
    int cpu[SDG_CPUS]; /* [cpus]: one of each core, in ascending order, then a second one of each
                          that has one, and so on */
};

/* The CPUs of the calling thread's affinity mask. */
void sdg_cores_allowed(bool allowed[SDG_CPUS]);

/* At least one core; CPUs that `allowed` does not hold do not count. */
void sdg_cores_find(struct sdg_cores *c, const char *root, const bool allowed[SDG_CPUS]);

/* The CPU quota of the process's control group and of those above it (version 2: cpu.max, version
 * 1: cpu.cfs_quota_us), the least of them rounded up to whole CPUs; 0: there is none. */
int sdg_cores_quota(const char *root);

/* Nodes of memory (NUMA). At least 1. */
int sdg_memory_nodes(const char *root);

#endif
