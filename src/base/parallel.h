/* parallel.h - the only door to threads. OpenMP is named in parallel.c alone.
 *
 * Work is a list of tasks that write disjoint outputs; a task's result may not depend on which
 * worker runs it, nor on how many there are. So the bits of a result depend on the tasks, which are
 * cut by shape, and never on the threads. */
#ifndef SDG_BASE_PARALLEL_H
#define SDG_BASE_PARALLEL_H

#include <stddef.h>

/* task: 0..tasks-1. worker: 0..threads-1, for per-worker scratch memory. */
typedef void (*sdg_task_fn)(void *arg, size_t task, int worker);

/* Runs fn for every task on up to `threads` threads and returns when all are done. Every worker
 * runs with the default floating-point environment (round to nearest, denormals kept); the caller's
 * own is restored on return. Not to be nested. */
void sdg_parallel_for(int threads, size_t tasks, sdg_task_fn fn, void *arg);

/* Physical cores this process may run on: affinity mask and cgroup CPU quota respected. At least 1.
 */
int sdg_physical_cores(void);

#endif
