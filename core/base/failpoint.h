/* Places where a test can make the world fail: a disk that is full, a device that gives up, a process that is
 * killed at the worst moment. Compiled in always, so that what is tested is what runs; without
 * LAMINA_TEST_HOOKS=1 in the environment each is one read of a variable.
 *
 *     LAMINA_FAILPOINTS="store.rename=ENOSPC*3,commit.after=KILL+2"
 *
 * lets the first three renames fail and kills the process that comes by `commit.after` for the third time.
 * After a fault has come as often as it says (*, once by default), the world is well again. */
#ifndef LAMINA_BASE_FAILPOINT_H
#define LAMINA_BASE_FAILPOINT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_failpoint {
    LAM_FAIL_SPOOL_CREATE, /* "spool.create": a file for an object that comes */
    LAM_FAIL_SPOOL_WRITE,  /* "spool.write" */
    LAM_FAIL_SPOOL_SYNC,   /* "spool.sync": of the files of a group */
    LAM_FAIL_SPOOL_OPEN,   /* "spool.open": laminad opens what arrived */
    LAM_FAIL_STORE_RENAME, /* "store.rename": from spool to store */
    LAM_FAIL_STORE_SYNC,   /* "store.sync": of the folders */
    LAM_FAIL_DB_BEGIN,     /* "db.begin" */
    LAM_FAIL_DB_STEP,      /* "db.step": any statement */
    LAM_FAIL_DB_COMMIT,    /* "db.commit" */
    LAM_FAIL_COMMIT_AFTER, /* "commit.after": the rows are there, nobody knows yet */
    LAM_FAIL_ANSWER,       /* "answer": before a sender is told */
    LAM_FAILPOINT_COUNT
} lam_failpoint;

/* 0, or what is to go wrong here and now: an errno value, or at a point of the database an SQLite code. Does
 * not return where the process is to be killed. Thread-safe. */
int lam_failpoint_hit(lam_failpoint point);

#ifdef __cplusplus
}
#endif
#endif
