/* parallel.c - see parallel.h. The one file that names OpenMP and the floating-point environment.
 */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <fenv.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>

/* The team is always of the full size: libgomp ends the threads that a smaller team leaves out and
 * starts them again for the next larger one, which costs more than most tasks. */
void sdg_parallel_for(int threads, size_t tasks, sdg_task_fn fn, void *arg)
{
    if (tasks < 2 || threads < 1) threads = 1;
#pragma omp parallel num_threads(threads)
    {
        fenv_t caller; /* FE_DFL_ENV: round to nearest, denormals neither flushed nor zeroed */
        fegetenv(&caller);
        fesetenv(FE_DFL_ENV);
        omp_set_num_threads(1); /* of this task alone: a library built with OpenMP stays on it */
        const int worker = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (size_t task = 0; task < tasks; task++) fn(arg, task, worker);
        fesetenv(&caller);
    }
}

/* CPUs of the affinity mask, counting each group of SMT siblings once. */
static int cores_in_mask(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return omp_get_num_procs();
    int cores = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                 cpu);
        int first = cpu; /* the list begins with the group's lowest CPU */
        FILE *f = fopen(path, "re");
        if (f) {
            if (fscanf(f, "%d", &first) != 1) first = cpu;
            fclose(f);
        }
        if (first == cpu || first < 0 || first >= CPU_SETSIZE || !CPU_ISSET(first, &allowed))
            cores++;
    }
    return cores;
}

/* cgroup v2 "quota period" or v1 files; 0 when there is no limit. */
static int cgroup_cores(void)
{
    long long quota = -1, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        if (fscanf(f, "%lld %lld", &quota, &period) != 2) quota = -1; /* "max 100000" */
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
        if (fscanf(f, "%lld", &quota) != 1) quota = -1;
        fclose(f);
        f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");
        if (f && fscanf(f, "%lld", &period) != 1) period = 0;
        if (f) fclose(f);
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int sdg_physical_cores(void)
{
    int cores = cores_in_mask();
    const int limit = cgroup_cores();
    if (limit && limit < cores) cores = limit;
    return cores < 1 ? 1 : cores;
}
