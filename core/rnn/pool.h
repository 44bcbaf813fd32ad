/* A few threads of our own that sleep until there is work, and a parallel loop over them.
 *
 * Not a scheduler: one loop at a time, split into items by the caller. Which thread runs an item is open, so
 * items write to disjoint memory and anything summed is summed afterwards in item order: results do not
 * depend on the number of threads. */
#ifndef LAMINA_RNN_POOL_H
#define LAMINA_RNN_POOL_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_pool lam_pool;

enum { LAM_POOL_MAX_THREADS = 256 };

/* `threads` counts the caller's own: 1 starts none. 0 takes the number of CPUs this process may use. */
lam_status lam_pool_create(int threads, lam_pool **out, lam_error *err);
void lam_pool_free(lam_pool *pool);

/* At least 1; 1 for NULL. */
int lam_pool_threads(const lam_pool *pool);

/* Calls item(context, i, thread) for every i in 0 … count-1 and returns when all are done. `thread` is 0 …
 * threads-1, for scratch memory a thread. NULL pool, or a call from inside an item: all in the calling
 * thread. One caller at a time for each pool. */
void lam_pool_for(lam_pool *pool, int count, void (*item)(void *context, int index, int thread),
                  void *context);

#ifdef __cplusplus
}
#endif
#endif
