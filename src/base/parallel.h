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

/* Runs fn for every task on up to `threads` threads and returns when all are done; fewer, where the
 * system or OMP_THREAD_LIMIT gives no more. Every worker runs with the default floating-point
 * environment (round to nearest, denormals kept); the caller's own is restored on return. Called
 * from within a parallel region, be it one of this kind or of a program that uses the library, all
 * tasks run on the caller: regions are not nested. */
void sdg_parallel_for(int threads, size_t tasks, sdg_task_fn fn, void *arg);

/* Physical cores this process may run on: affinity mask and cgroup CPU quota respected (cores.h).
 * At least 1. */
int sdg_physical_cores(void);

/* ---- threads on cores of their own ---- */

/* Binds each of the caller's workers, the caller among them, to a physical core of its affinity
 * mask, in ascending order; to the second thread of a core only where there are more workers than
 * cores. Release gives every one of them the mask back that it had. Between the two the caller must
 * start no threads, which would be bound like itself, and use no other number of workers. */
struct sdg_pinning; /* NULL: nothing was bound */
struct sdg_pinning *sdg_parallel_pin(int threads);
void sdg_parallel_release(struct sdg_pinning *pinning);

/* Memory lies on the node whose processor touches it first. Where there are several nodes: touches
 * fresh memory of the system in stretches of 2 MiB, one worker after the other in turn, so that it
 * is spread evenly and all nodes' channels are in use whoever reads it. (Tasks go to whichever
 * worker is free, so no piece has one owner to lie beside.) */
void sdg_parallel_spread(int threads, void *memory, size_t bytes);

/* The same whatever the number of nodes. */
void sdg_parallel_touch(int threads, void *memory, size_t bytes);

#endif
