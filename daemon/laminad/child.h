/* A child process at the other end of a socket pair: started with no new privileges, bounded resources and
 * nothing open but stdio and its socket; killed when it misbehaves; gone when laminad is gone. */
#ifndef LAMINA_DAEMON_CHILD_H
#define LAMINA_DAEMON_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/status.h"

typedef struct lam_child {
    const char *program; /* "lamina-worker"; constant */
    pid_t pid;           /* 0: not running */
    int socket;          /* ours; -1: not running */
    int64_t started_ms;  /* monotonic */
    int64_t retry_ms;    /* monotonic; not to be started before */
    int failures;        /* in a row, for the back-off */
    bool ready;          /* it said so; set by who receives its messages */
} lam_child;

#define LAM_CHILD_MAPPED                                                                                     \
    ((int64_t)17 << 30) /* two objects of the largest size that is read, and their rounding */

typedef struct lam_child_limits {
    int64_t address_space; /* bytes; 0: unlimited */
    int64_t mapped_files;  /* bytes of files that it may map besides, to read them; they take no memory */
    int64_t file_size;     /* bytes; 0: unlimited */
    int64_t open_files;
    bool non_blocking; /* our end of the socket */
} lam_child_limits;

void lam_child_init(lam_child *child, const char *program);

/* Starts the program, which lies beside laminad or in ../libexec/lamina, unless it runs already or a pause
 * after failures is not over (LAM_E_BUSY). To be called by a thread that lives as long as the child is
 * wanted: the kernel kills the child when the thread ends. */
lam_status lam_child_start(lam_child *child, const lam_child_limits *limits, lam_error *err);

/* Kills it if it still runs, reaps it and closes the socket. `how` (or NULL) gets the manner of its end:
 * "exit status 1", "killed by signal 9". A child that ended by itself soon after its start is started again
 * only after a pause. */
void lam_child_stop(lam_child *child, char how[64]);

/* Whether it runs and has not become ready in the time a start may take. */
bool lam_child_is_stuck(const lam_child *child);

/* Milliseconds until it may be started; 0 when now. */
int64_t lam_child_wait_ms(const lam_child *child);

/* Full path of a program of ours. */
lam_status lam_child_find(const char *program, char path[4096], lam_error *err);

#endif
