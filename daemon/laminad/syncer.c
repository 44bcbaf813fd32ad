/* By the kernel's asynchronous requests (io_submit), which need no threads of ours. Where they are not to be
 * had, one fsync follows the other. */
#include "daemon/laminad/syncer.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

struct lam_syncer {
    aio_context_t context; /* 0: none */
    int event;
    struct iocb requests[AT_ONCE];
    struct iocb *list[AT_ONCE];
    struct io_event events[AT_ONCE];
    const int *fds; /* not yet asked for */
    size_t count;
    size_t asked; /* the kernel has not answered these */
    int fault;    /* errno of the first that failed */
};

lam_status lam_syncer_create(lam_syncer **out, lam_error *err)
{
    lam_syncer *syncer = calloc(1, sizeof *syncer);
    if (!syncer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    syncer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syncer->event < 0) {
        free(syncer);
        return lam_fail_errno(err, errno, "cannot make an event descriptor");
    }
    if (syscall(SYS_io_setup, (long)AT_ONCE, &syncer->context) < 0)
        syncer->context = 0;
    *out = syncer;
    return LAM_OK;
}

void lam_syncer_free(lam_syncer *syncer)
{
    if (!syncer)
        return;
    if (syncer->context)
        syscall(SYS_io_destroy, syncer->context);
    close(syncer->event);
    free(syncer);
}

int lam_syncer_event(const lam_syncer *syncer)
{
    return syncer->event;
}

/* What is left of the files, the next of which are dealt with. */
static void advance(lam_syncer *syncer, size_t count)
{
    syncer->fds += count;
    syncer->count -= count;
}

/* Asks for as many as it can; false where the kernel takes none. */
static bool submit(lam_syncer *syncer)
{
    size_t count = syncer->count < AT_ONCE ? syncer->count : AT_ONCE;
    memset(syncer->requests, 0, sizeof syncer->requests);
    for (size_t i = 0; i < count; i++) {
        syncer->requests[i].aio_lio_opcode = IOCB_CMD_FSYNC;
        syncer->requests[i].aio_fildes = (uint32_t)syncer->fds[i];
        syncer->requests[i].aio_flags = IOCB_FLAG_RESFD;
        syncer->requests[i].aio_resfd = (uint32_t)syncer->event;
        syncer->list[i] = &syncer->requests[i];
    }
    long taken = -1;
    if (syncer->context && count)
        taken = syscall(SYS_io_submit, syncer->context, (long)count, syncer->list);
    if (taken <= 0)
        return false;
    syncer->asked = (size_t)taken;
    advance(syncer, (size_t)taken);
    return true;
}

/* Takes the answers that are there, and waits for `least` of them. */
static void take_answers(lam_syncer *syncer, size_t least)
{
    struct timespec now = {0};
    long got = syscall(SYS_io_getevents, syncer->context, (long)least, (long)syncer->asked, syncer->events,
                       least ? NULL : &now);
    if (got < 0 && errno == EINTR)
        return;
    if (got < 0) { /* never seen; nothing is known of them, so they count as failed */
        syncer->fault = errno;
        syncer->asked = 0;
        return;
    }
    for (long i = 0; i < got; i++)
        if (syncer->events[i].res < 0 && !syncer->fault)
            syncer->fault = (int)-syncer->events[i].res;
    syncer->asked -= (size_t)got;
}

static void sync_one(lam_syncer *syncer)
{
    int synced;
    do
        synced = fsync(*syncer->fds);
    while (synced < 0 && errno == EINTR);
    if (synced < 0)
        syncer->fault = errno;
    advance(syncer, 1);
}

void lam_syncer_begin(lam_syncer *syncer, const int *fds, size_t count)
{
    syncer->fds = fds;
    syncer->count = count;
    syncer->fault = 0;
    submit(syncer);
}

bool lam_syncer_is_done(lam_syncer *syncer)
{
    uint64_t signals;
    ssize_t drained = read(syncer->event, &signals, sizeof signals);
    (void)drained;
    if (syncer->asked)
        take_answers(syncer, 0);
    return !syncer->asked && (syncer->fault || !syncer->count || !submit(syncer));
}

lam_status lam_syncer_end(lam_syncer *syncer, lam_error *err)
{
    while (syncer->asked || (syncer->count && !syncer->fault))
        if (syncer->asked)
            take_answers(syncer, syncer->asked);
        else if (!submit(syncer))
            sync_one(syncer);
    return syncer->fault ? lam_fail_errno(err, syncer->fault, "cannot sync to disk") : LAM_OK;
}
