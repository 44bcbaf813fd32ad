#include "daemon/worker/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "daemon/worker/filter.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED  1 /* shadow memory is terabytes of addresses; reports open files and run programs */
#define MAX_MEMORY RLIM_INFINITY
#else
#define SANITIZED  0
#define MAX_MEMORY ((rlim_t)12 << 30)
#endif

static const struct {
    __rlimit_resource_t resource;
    rlim_t most;
    const char *name;
} limits[] = {
    {RLIMIT_CORE, 0, "core dumps"},
    {RLIMIT_AS, MAX_MEMORY, "memory"},
    {RLIMIT_FSIZE, (rlim_t)8 << 30, "file size"},
    {RLIMIT_NOFILE, 256, "descriptors"},
};

static lam_status lower_limits(lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(limits); i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].resource, &limit) < 0)
            return lam_fail_errno(err, errno, "cannot read the limit of %s", limits[i].name);
        if (limit.rlim_max > limits[i].most)
            limit.rlim_max = limits[i].most;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(limits[i].resource, &limit) < 0)
            return lam_fail_errno(err, errno, "cannot set the limit of %s", limits[i].name);
    }
    return LAM_OK;
}

static lam_status close_others(int keep, lam_error *err)
{
    int first = STDERR_FILENO + 1;
    if (keep > first && close_range((unsigned)first, (unsigned)keep - 1, 0) < 0)
        return lam_fail_errno(err, errno, "cannot close inherited descriptors");
    if (close_range((unsigned)keep + 1, ~0u, 0) < 0)
        return lam_fail_errno(err, errno, "cannot close inherited descriptors");
    return LAM_OK;
}

lam_status lam_worker_confine(int keep, lam_error *err)
{
    lam_status status = close_others(keep, err);
    if (status == LAM_OK)
        status = lower_limits(err);
    if (status != LAM_OK)
        return status;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return lam_fail_errno(err, errno, "cannot give up privileges");
    if (getppid() == 1) /* it died before it could be asked to take us along */
        return lam_fail(err, LAM_E_PEER, "the parent process is gone");
    return SANITIZED ? LAM_OK : lam_worker_filter(err);
}
