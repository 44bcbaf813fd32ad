#include "core/base/failpoint.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

enum { KILL = -1 };

static const char *const names[LAM_FAILPOINT_COUNT] = {
    [LAM_FAIL_SPOOL_CREATE] = "spool.create",
    [LAM_FAIL_SPOOL_WRITE] = "spool.write",
    [LAM_FAIL_SPOOL_SYNC] = "spool.sync",
    [LAM_FAIL_SPOOL_OPEN] = "spool.open",
    [LAM_FAIL_STORE_RENAME] = "store.rename",
    [LAM_FAIL_STORE_SYNC] = "store.sync",
    [LAM_FAIL_DB_BEGIN] = "db.begin",
    [LAM_FAIL_DB_STEP] = "db.step",
    [LAM_FAIL_DB_COMMIT] = "db.commit",
    [LAM_FAIL_COMMIT_AFTER] = "commit.after",
    [LAM_FAIL_ANSWER] = "answer",
};

/* The codes of SQLite are its own, fixed for ever (sqlite3.h). */
static const struct {
    const char *name;
    int what;
} faults[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC},   {"EMFILE", EMFILE},  {"ENOMEM", ENOMEM},
    {"SQLITE_BUSY", 5}, {"SQLITE_IOERR", 10}, {"SQLITE_FULL", 13}, {"KILL", KILL},
};

typedef struct plan {
    int what; /* 0: nothing */
    atomic_long skip, times;
} plan;

static plan plans[LAM_FAILPOINT_COUNT];
static bool enabled;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* "name=FAULT", then "*TIMES" and "+SKIP" in any order; what is not understood is for nobody here. */
static void read_plan(char *text)
{
    char *fault = strchr(text, '='), *mark;
    if (!fault)
        return;
    *fault++ = '\0';
    long times = (mark = strchr(fault, '*')) ? strtol(mark + 1, NULL, 10) : 1;
    long skip = (mark = strchr(fault, '+')) ? strtol(mark + 1, NULL, 10) : 0;
    fault[strcspn(fault, "*+")] = '\0';
    for (size_t i = 0; i < LAM_FAILPOINT_COUNT; i++)
        for (size_t k = 0; strcmp(names[i], text) == 0 && k < LAM_COUNT(faults); k++)
            if (strcmp(faults[k].name, fault) == 0) {
                plans[i].what = faults[k].what;
                plans[i].times = times;
                plans[i].skip = skip;
            }
}

static void read_plans(void)
{
    const char *hooks = getenv("LAMINA_TEST_HOOKS"), *wanted = getenv("LAMINA_FAILPOINTS");
    if (!hooks || strcmp(hooks, "1") != 0 || !wanted)
        return;
    lam_autofree char *text = strdup(wanted);
    char *rest = NULL;
    for (char *one = text ? strtok_r(text, ",", &rest) : NULL; one; one = strtok_r(NULL, ",", &rest))
        read_plan(one);
    enabled = text != NULL;
}

int lam_failpoint_hit(lam_failpoint point)
{
    pthread_once(&once, read_plans);
    plan *p = &plans[point];
    if (!enabled || !p->what || atomic_fetch_sub(&p->skip, 1) > 0 || atomic_fetch_sub(&p->times, 1) <= 0)
        return 0;
    if (p->what == KILL)
        raise(SIGKILL);
    return p->what;
}
