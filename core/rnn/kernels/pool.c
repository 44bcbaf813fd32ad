/* The pool: workers wait for a new loop number, take tasks from one counter, and sleep when nothing comes.
 *
 * The counter `ticket` holds the loop's number above and the next task below, so that a worker that wakes
 * late cannot take a task of a loop it does not know: its compare-and-swap fails. The caller waits for tasks
 * done, not for workers seen, so a worker that never got a processor delays nobody. */
#include "core/rnn/kernels/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS_MAX = 256, SPINS = 4000 };

struct lam_pool {
    size_t threads;
    pthread_t *workers;
    pthread_mutex_t lock; /* guards sleeping: `loop` changes and `stop` is set under it */
    pthread_cond_t wake, finished;
    _Atomic uint64_t ticket;
    _Atomic uint64_t done; /* like ticket: loop number above, tasks finished below */
    _Atomic uint32_t loop;
    _Atomic size_t tasks;
    _Atomic(lam_pool_task *) function;
    _Atomic(void *) context;
    _Atomic bool stop;
};

typedef struct worker_start {
    lam_pool *pool;
    size_t worker;
} worker_start;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes and runs tasks of loop number `loop` until none is left. */
static void work(lam_pool *pool, uint32_t loop, size_t worker)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        lam_pool_task *function = atomic_load_explicit(&pool->function, memory_order_relaxed);
        void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
        size_t tasks = atomic_load_explicit(&pool->tasks, memory_order_relaxed), task = (uint32_t)ticket;
        if (ticket >> 32 != loop || task >= tasks)
            return;
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1))
            continue;
        function(context, task, worker);
        if ((uint32_t)atomic_fetch_add(&pool->done, 1) + 1 == tasks) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
        ticket = atomic_load(&pool->ticket);
    }
}

/* Waits for a loop other than `seen`: a moment awake, since loops come in bursts, then asleep. */
static uint32_t next_loop(lam_pool *pool, uint32_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->loop) != seen || atomic_load(&pool->stop))
            return atomic_load(&pool->loop);
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->loop) == seen && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->loop);
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    for (uint32_t seen = 0; !atomic_load(&start.pool->stop);) {
        seen = next_loop(start.pool, seen);
        work(start.pool, seen, start.worker);
    }
    return NULL;
}

static size_t usable_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static lam_status start_worker(lam_pool *pool, size_t worker, lam_error *err)
{
    worker_start *start = malloc(sizeof *start);
    if (!start)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a worker thread");
    *start = (worker_start){pool, worker};
    int error = pthread_create(&pool->workers[worker - 1], NULL, worker_main, start);
    if (error) {
        free(start);
        return lam_fail_errno(err, error, "cannot start worker thread %zu", worker);
    }
    pool->threads = worker + 1;
    return LAM_OK;
}

lam_status lam_pool_create(size_t threads, lam_pool **pool, lam_error *err)
{
    if (threads == 0)
        threads = usable_processors();
    if (threads > THREADS_MAX)
        return lam_fail(err, LAM_E_LIMIT, "%zu threads are more than the limit of %d", threads, THREADS_MAX);
    lam_pool *made = calloc(1, sizeof *made);
    pthread_t *workers = calloc(threads, sizeof *workers);
    if (!made || !workers) {
        free(made);
        free(workers);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a pool of %zu threads", threads);
    }
    made->threads = 1;
    made->workers = workers;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->wake, NULL);
    pthread_cond_init(&made->finished, NULL);
    for (size_t worker = 1; worker < threads; worker++) {
        lam_status status = start_worker(made, worker, err);
        if (status != LAM_OK) {
            lam_pool_free(made);
            return status;
        }
    }
    *pool = made;
    return LAM_OK;
}

void lam_pool_free(lam_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (size_t worker = 1; worker < pool->threads; worker++)
        pthread_join(pool->workers[worker - 1], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

size_t lam_pool_threads(const lam_pool *pool)
{
    return pool ? pool->threads : 1;
}

static void wait_for_tasks(lam_pool *pool, size_t tasks)
{
    for (int i = 0; i < SPINS; i++) {
        if ((uint32_t)atomic_load(&pool->done) == tasks)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    while ((uint32_t)atomic_load(&pool->done) != tasks)
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void lam_pool_run(lam_pool *pool, size_t tasks, lam_pool_task *function, void *context)
{
    if (!pool || pool->threads == 1 || tasks <= 1) {
        for (size_t task = 0; task < tasks; task++)
            function(context, task, 0);
        return;
    }
    uint32_t loop = atomic_load(&pool->loop) + 1;
    /* Close the old ticket before the fields change, open the new one after. */
    atomic_store(&pool->ticket, (uint64_t)loop << 32 | UINT32_MAX);
    atomic_store(&pool->done, (uint64_t)loop << 32);
    atomic_store(&pool->function, function);
    atomic_store(&pool->context, context);
    atomic_store(&pool->tasks, tasks);
    atomic_store(&pool->ticket, (uint64_t)loop << 32);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->loop, loop);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    work(pool, loop, 0);
    wait_for_tasks(pool, tasks);
}
