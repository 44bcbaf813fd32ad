#include "core/rnn/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    lam_pool *pool;
    pthread_t thread;
    int index;
};

struct lam_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a new loop, or stop */
    pthread_cond_t idle; /* the last worker left the loop */
    unsigned generation; /* counts loops; under lock */
    int busy;            /* workers inside the current loop; under lock */
    bool stop;           /* under lock */

    void (*item)(void *context, int index, int thread);
    void *context;
    int count;
    atomic_int next;

    int threads; /* the caller included */
    int started; /* workers to join */
    struct worker workers[];
};

/* A loop inside a loop would wait for itself; it runs in the calling thread instead. */
static _Thread_local bool inside;

static void run_items(lam_pool *pool, int thread)
{
    inside = true;
    for (int i; (i = atomic_fetch_add(&pool->next, 1)) < pool->count;)
        pool->item(pool->context, i, thread);
    inside = false;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    lam_pool *pool = worker->pool;
    unsigned seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->lock);
        run_items(pool, worker->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int available_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > LAM_POOL_MAX_THREADS ? LAM_POOL_MAX_THREADS : count;
}

lam_status lam_pool_create(int threads, lam_pool **out, lam_error *err)
{
    if (threads < 0 || threads > LAM_POOL_MAX_THREADS)
        return lam_fail(err, LAM_E_INVALID, "a pool has 1 to %d threads, not %d", LAM_POOL_MAX_THREADS,
                        threads);
    if (threads == 0)
        threads = available_cpus();
    lam_pool *pool = calloc(1, sizeof *pool + (size_t)threads * sizeof pool->workers[0]);
    if (!pool)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    pool->threads = threads;
    for (int i = 1; i < threads; i++) {
        struct worker *worker = &pool->workers[pool->started];
        *worker = (struct worker){.pool = pool, .index = i};
        int number = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (number) {
            lam_pool_free(pool);
            return lam_fail_errno(err, number, "cannot start a thread");
        }
        pool->started++;
    }
    *out = pool;
    return LAM_OK;
}

void lam_pool_free(lam_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int lam_pool_threads(const lam_pool *pool)
{
    return pool ? pool->threads : 1;
}

void lam_pool_for(lam_pool *pool, int count, void (*item)(void *context, int index, int thread),
                  void *context)
{
    if (!pool || pool->threads == 1 || count < 2 || inside) {
        for (int i = 0; i < count; i++)
            item(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->item = item;
    pool->context = context;
    pool->count = count;
    atomic_store(&pool->next, 0);
    pool->busy = pool->started;
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    run_items(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
