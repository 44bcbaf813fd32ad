#include "api/watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/base/clock.h"

enum { NOT_WAITING = -1, LONGEST_PAUSE_MS = 1000 };

struct lam_watched {
    lam_watched *next, *previous;
    int64_t since_ms; /* of waiting for headers; NOT_WAITING while a request is handled */
    int fd;
};

struct lam_watch {
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t ending;
    lam_watched *first;
    bool end;
    int64_t limit_ms;
    pthread_t thread;
};

static void cut_off(lam_watch *watch, int64_t now_ms)
{
    for (lam_watched *one = watch->first; one; one = one->next) {
        if (one->since_ms == NOT_WAITING || now_ms - one->since_ms <= watch->limit_ms)
            continue;
        shutdown(one->fd, SHUT_RDWR); /* its thread notices, and closes it */
        one->since_ms = NOT_WAITING;
    }
}

static void pause_in(lam_watch *watch)
{
    int64_t pause_ms = watch->limit_ms / 4 < LONGEST_PAUSE_MS ? watch->limit_ms / 4 + 1 : LONGEST_PAUSE_MS;
    struct timespec until = lam_clock_after_ms(pause_ms);
    pthread_cond_timedwait(&watch->ending, &watch->mutex, &until);
}

static void *look(void *context)
{
    lam_watch *watch = context;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->end) {
        cut_off(watch, lam_clock_monotonic_ms());
        pause_in(watch);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

lam_status lam_watch_create(int64_t limit_ms, lam_watch **out, lam_error *err)
{
    lam_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    watch->limit_ms = limit_ms;
    lam_clock_condition_init(&watch->ending);
    pthread_mutex_init(&watch->mutex, NULL);
    int failed = pthread_create(&watch->thread, NULL, look, watch);
    if (failed) {
        pthread_mutex_destroy(&watch->mutex);
        pthread_cond_destroy(&watch->ending);
        free(watch);
        return lam_fail_errno(err, failed, "cannot start a thread");
    }
    *out = watch;
    return LAM_OK;
}

void lam_watch_free(lam_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->mutex);
    watch->end = true;
    pthread_cond_signal(&watch->ending);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    pthread_mutex_destroy(&watch->mutex);
    pthread_cond_destroy(&watch->ending);
    free(watch);
}

lam_watched *lam_watch_add(lam_watch *watch, int fd)
{
    lam_watched *one = calloc(1, sizeof *one);
    if (!one)
        return NULL;
    one->fd = fd;
    one->since_ms = lam_clock_monotonic_ms();
    pthread_mutex_lock(&watch->mutex);
    one->next = watch->first;
    if (one->next)
        one->next->previous = one;
    watch->first = one;
    pthread_mutex_unlock(&watch->mutex);
    return one;
}

void lam_watch_remove(lam_watch *watch, lam_watched *connection)
{
    if (!connection)
        return;
    pthread_mutex_lock(&watch->mutex);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        watch->first = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&watch->mutex);
    free(connection);
}

static void set_clock(lam_watch *watch, lam_watched *connection, int64_t since_ms)
{
    if (!connection)
        return;
    pthread_mutex_lock(&watch->mutex);
    connection->since_ms = since_ms;
    pthread_mutex_unlock(&watch->mutex);
}

void lam_watch_stop_clock(lam_watch *watch, lam_watched *connection)
{
    set_clock(watch, connection, NOT_WAITING);
}

void lam_watch_start_clock(lam_watch *watch, lam_watched *connection)
{
    set_clock(watch, connection, lam_clock_monotonic_ms());
}
