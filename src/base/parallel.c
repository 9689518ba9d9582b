/* parallel.c - see parallel.h. The one file that names OpenMP and the floating-point environment.
 */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <fenv.h>
#include <omp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cores.h"

enum { TOUCH_BYTES = 2 << 20, PAGE = 4096 };

/* The team is always of the full size: libgomp ends the threads that a smaller team leaves out and
 * starts them again for the next larger one, which costs more than most tasks. */
void sdg_parallel_for(int threads, size_t tasks, sdg_task_fn fn, void *arg)
{
    if (tasks < 2 || threads < 1 || omp_in_parallel()) threads = 1;
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

int sdg_physical_cores(void)
{
    bool allowed[SDG_CPUS];
    struct sdg_cores c;
    sdg_cores_allowed(allowed);
    sdg_cores_find(&c, "", allowed);
    const int limit = sdg_cores_quota("");
    return limit && limit < c.cores ? limit : c.cores;
}

/* ---- threads on cores of their own ----------------------------------------------------------- */

struct mask {
    unsigned long bits[SDG_CPUS / (8 * sizeof(unsigned long))];
};

struct sdg_pinning {
    int threads;
    struct mask saved[]; /* [threads]; all zero: that worker was not bound */
};

static bool get_mask(struct mask *m)
{
    *m = (struct mask) {{0}};
    return sched_getaffinity(0, sizeof m->bits, (cpu_set_t *)(void *)m->bits) == 0;
}

static bool set_mask(const struct mask *m)
{
    return sched_setaffinity(0, sizeof m->bits, (const cpu_set_t *)(const void *)m->bits) == 0;
}

static struct mask mask_of(int cpu)
{
    struct mask m = {{0}};
    const int bits = 8 * (int)sizeof m.bits[0];
    m.bits[cpu / bits] = 1ul << cpu % bits;
    return m;
}

struct sdg_pinning *sdg_parallel_pin(int threads)
{
    bool allowed[SDG_CPUS];
    struct sdg_cores c;
    sdg_cores_allowed(allowed);
    sdg_cores_find(&c, "", allowed);
    if (c.cpus == 0 || threads < 1 || omp_in_parallel()) return NULL;
    struct sdg_pinning *p = calloc(1, sizeof *p + (size_t)threads * sizeof p->saved[0]);
    if (!p) return NULL;
    p->threads = threads;
#pragma omp parallel num_threads(threads)
    {
        const int worker = omp_get_thread_num();
        struct mask own = mask_of(c.cpu[worker % c.cpus]), before;
        if (get_mask(&before) && set_mask(&own)) p->saved[worker] = before;
    }
    return p;
}

void sdg_parallel_release(struct sdg_pinning *p)
{
    if (!p) return;
#pragma omp parallel num_threads(p->threads)
    (void)set_mask(&p->saved[omp_get_thread_num()]); /* an empty mask is refused: no change */
    free(p);
}

/* ---- memory beside threads ------------------------------------------------------------------- */

void sdg_parallel_touch(int threads, void *memory, size_t bytes)
{
    const size_t pieces = (bytes + TOUCH_BYTES - 1) / TOUCH_BYTES;
    if (threads < 1 || omp_in_parallel()) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (size_t i = 0; i < pieces; i++) {
        volatile char *at = (char *)memory + i * TOUCH_BYTES;
        const size_t left = bytes - i * TOUCH_BYTES;
        for (size_t j = 0; j < left && j < TOUCH_BYTES; j += PAGE) at[j] = 0;
    }
}

void sdg_parallel_spread(int threads, void *memory, size_t bytes)
{
    if (threads > 1 && sdg_memory_nodes("") > 1) sdg_parallel_touch(threads, memory, bytes);
}
