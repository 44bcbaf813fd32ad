/* A few threads, each of which takes the next descriptor and calls fsync. The kernel's own asynchronous
 * requests would do the same in its threads, but nobody who watches from outside (strace, auditd, a recording
 * library) would see an fsync then, nor its cost in the daemon's CPU time. */
#include "daemon/laminad/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { THREADS = 8, STACK_BYTES = 64 * 1024 };

struct lam_syncer {
    pthread_t threads[THREADS];
    size_t started;
    int event;            /* signalled when the last one is synced */
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t work, done;
    const int *fds;
    size_t count, next, synced;
    int fault; /* errno of the first that failed */
    bool stopping;
};

static int sync_file(int fd)
{
    int synced;
    do
        synced = fsync(fd);
    while (synced < 0 && errno == EINTR);
    return synced < 0 ? errno : 0;
}

/* Syncs the next descriptor; the lock is held before and after. */
static void sync_next(lam_syncer *syncer)
{
    int fd = syncer->fds[syncer->next++];
    pthread_mutex_unlock(&syncer->lock);
    int fault = sync_file(fd);
    pthread_mutex_lock(&syncer->lock);
    if (fault && !syncer->fault)
        syncer->fault = fault;
    if (++syncer->synced == syncer->count) {
        pthread_cond_signal(&syncer->done);
        eventfd_write(syncer->event, 1);
    }
}

static void *syncer_main(void *argument)
{
    lam_syncer *syncer = argument;
    pthread_mutex_lock(&syncer->lock);
    while (!syncer->stopping)
        if (syncer->next < syncer->count)
            sync_next(syncer);
        else
            pthread_cond_wait(&syncer->work, &syncer->lock);
    pthread_mutex_unlock(&syncer->lock);
    return NULL;
}

static lam_status start_threads(lam_syncer *syncer, lam_error *err)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed)
        return lam_fail_errno(err, failed, "cannot start a thread");
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (!failed && syncer->started < THREADS) {
        failed = pthread_create(&syncer->threads[syncer->started], &attributes, syncer_main, syncer);
        syncer->started += !failed;
    }
    pthread_attr_destroy(&attributes);
    return failed ? lam_fail_errno(err, failed, "cannot start a thread") : LAM_OK;
}

lam_status lam_syncer_create(lam_syncer **out, lam_error *err)
{
    lam_syncer *syncer = calloc(1, sizeof *syncer);
    if (!syncer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    pthread_mutex_init(&syncer->lock, NULL);
    pthread_cond_init(&syncer->work, NULL);
    pthread_cond_init(&syncer->done, NULL);
    syncer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lam_status status = syncer->event < 0 ? lam_fail_errno(err, errno, "cannot make an event descriptor")
                                          : start_threads(syncer, err);
    if (status != LAM_OK) {
        lam_syncer_free(syncer);
        return status;
    }
    *out = syncer;
    return LAM_OK;
}

void lam_syncer_free(lam_syncer *syncer)
{
    if (!syncer)
        return;
    pthread_mutex_lock(&syncer->lock);
    syncer->stopping = true;
    pthread_cond_broadcast(&syncer->work);
    pthread_mutex_unlock(&syncer->lock);
    for (size_t i = 0; i < syncer->started; i++)
        pthread_join(syncer->threads[i], NULL);
    if (syncer->event >= 0)
        close(syncer->event);
    pthread_cond_destroy(&syncer->done);
    pthread_cond_destroy(&syncer->work);
    pthread_mutex_destroy(&syncer->lock);
    free(syncer);
}

int lam_syncer_event(const lam_syncer *syncer)
{
    return syncer->event;
}

void lam_syncer_begin(lam_syncer *syncer, const int *fds, size_t count)
{
    eventfd_t earlier;
    eventfd_read(syncer->event, &earlier);
    pthread_mutex_lock(&syncer->lock);
    syncer->fds = fds;
    syncer->count = count;
    syncer->next = syncer->synced = 0;
    syncer->fault = 0;
    for (size_t i = 0; i < count && i < THREADS; i++)
        pthread_cond_signal(&syncer->work);
    pthread_mutex_unlock(&syncer->lock);
}

bool lam_syncer_is_done(lam_syncer *syncer)
{
    pthread_mutex_lock(&syncer->lock);
    bool done = syncer->synced == syncer->count;
    pthread_mutex_unlock(&syncer->lock);
    return done;
}

lam_status lam_syncer_end(lam_syncer *syncer, lam_error *err)
{
    pthread_mutex_lock(&syncer->lock);
    while (syncer->next < syncer->count)
        sync_next(syncer);
    while (syncer->synced < syncer->count)
        pthread_cond_wait(&syncer->done, &syncer->lock);
    int fault = syncer->fault;
    pthread_mutex_unlock(&syncer->lock);
    return fault ? lam_fail_errno(err, fault, "cannot sync to disk") : LAM_OK;
}
