/* A fixed set of threads that share the work of one parallel loop at a time, and sleep in between.
 *
 * Not a task queue: one loop runs, the caller works along, and returns when all of it is done. What a loop
 * computes must not depend on who runs which task; then results are the same bits for any number of threads.
 */
#ifndef LAMINA_RNN_KERNELS_POOL_H
#define LAMINA_RNN_KERNELS_POOL_H

#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_pool lam_pool;

/* One task of a loop: `task` in [0, tasks), `worker` in [0, lam_pool_threads(pool)) is the thread that runs
 * it (for per-thread scratch). */
typedef void lam_pool_task(void *context, size_t task, size_t worker);

/* `threads` counts the caller: 1 starts no thread, 0 means one for each processor this process may use; at
 * most 256. Own the pool by one thread: lam_pool_run is not for two callers at once. */
lam_status lam_pool_create(size_t threads, lam_pool **pool, lam_error *err);
void lam_pool_free(lam_pool *pool);

/* Number of threads with the caller; 1 for NULL. */
size_t lam_pool_threads(const lam_pool *pool);

/* Calls function(context, 0…tasks-1, worker), each task once, in any order, and returns when all are done.
 * `pool` NULL (or one task) runs everything in the caller. Does not allocate and cannot fail. Not reentrant:
 * a task must not run a loop on the same pool. */
void lam_pool_run(lam_pool *pool, size_t tasks, lam_pool_task *function, void *context);

#ifdef __cplusplus
}
#endif
#endif
