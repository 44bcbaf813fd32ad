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

/* Asks for the first of `fds`; how many were taken, 0 where the kernel takes none. */
static size_t submit(lam_syncer *syncer, const int *fds, size_t count)
{
    if (!syncer->context)
        return 0;
    if (count > AT_ONCE)
        count = AT_ONCE;
    memset(syncer->requests, 0, count * sizeof *syncer->requests);
    for (size_t i = 0; i < count; i++) {
        syncer->requests[i].aio_lio_opcode = IOCB_CMD_FSYNC;
        syncer->requests[i].aio_fildes = (uint32_t)fds[i];
        syncer->list[i] = &syncer->requests[i];
    }
    long taken = syscall(SYS_io_submit, syncer->context, (long)count, syncer->list);
    return taken > 0 ? (size_t)taken : 0;
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

lam_status lam_syncer_run(lam_syncer *syncer, const int *fds, size_t count, lam_error *err)
{
    int fault = 0;
    while (count && !fault) {
        size_t taken = submit(syncer, fds, count);
        fault = taken ? collect(syncer, taken) : sync_one(*fds);
        taken += taken == 0;
        fds += taken;
        count -= taken;
    }
    return fault ? lam_fail_errno(err, fault, "cannot sync to disk") : LAM_OK;
}
