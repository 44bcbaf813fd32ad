/* By the kernel's asynchronous requests (io_submit), which need no threads of ours. Where they are not to be
 * had, one fsync follows the other. */
#include "daemon/laminad/syncer.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

struct lam_syncer {
    aio_context_t context; /* 0: none */
    struct iocb requests[AT_ONCE];
    struct iocb *list[AT_ONCE];
    struct io_event events[AT_ONCE];
    const int *fds; /* not yet durable */
    size_t count;
    size_t asked; /* of these, how many the kernel has */
};

lam_status lam_syncer_create(lam_syncer **out, lam_error *err)
{
    lam_syncer *syncer = calloc(1, sizeof *syncer);
    if (!syncer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (syscall(SYS_io_setup, (long)AT_ONCE, &syncer->context) < 0)
        syncer->context = 0;
    *out = syncer;
    return LAM_OK;
}

void lam_syncer_free(lam_syncer *syncer)
{
    if (syncer && syncer->context)
        syscall(SYS_io_destroy, syncer->context);
    free(syncer);
}

/* 0 or errno. */
static int sync_one(int fd)
{
    while (fsync(fd) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Asks for the first of what is left; none where the kernel takes none. */
static void submit(lam_syncer *syncer)
{
    size_t count = syncer->count < AT_ONCE ? syncer->count : AT_ONCE;
    memset(syncer->requests, 0, sizeof syncer->requests);
    for (size_t i = 0; i < count; i++) {
        syncer->requests[i].aio_lio_opcode = IOCB_CMD_FSYNC;
        syncer->requests[i].aio_fildes = (uint32_t)syncer->fds[i];
        syncer->list[i] = &syncer->requests[i];
    }
    long taken = -1;
    if (syncer->context && count)
        taken = syscall(SYS_io_submit, syncer->context, (long)count, syncer->list);
    syncer->asked = taken > 0 ? (size_t)taken : 0;
}

/* Waits for `count` answers; 0 or the errno of the first that failed. */
static int collect(lam_syncer *syncer, size_t count)
{
    int fault = 0;
    while (count) {
        long got = syscall(SYS_io_getevents, syncer->context, (long)count, (long)count, syncer->events, NULL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        for (long i = 0; i < got; i++)
            if (syncer->events[i].res < 0 && !fault)
                fault = (int)-syncer->events[i].res;
        count -= (size_t)got;
    }
    return fault;
}

void lam_syncer_begin(lam_syncer *syncer, const int *fds, size_t count)
{
    syncer->fds = fds;
    syncer->count = count;
    submit(syncer);
}

lam_status lam_syncer_end(lam_syncer *syncer, lam_error *err)
{
    int fault = 0;
    while (syncer->count && !fault) {
        size_t done = syncer->asked ? syncer->asked : 1;
        fault = syncer->asked ? collect(syncer, syncer->asked) : sync_one(*syncer->fds);
        syncer->fds += done;
        syncer->count -= done;
        if (!fault)
            submit(syncer);
    }
    return fault ? lam_fail_errno(err, fault, "cannot sync to disk") : LAM_OK;
}
