/* Plays laminad for one lamina-dimse: starts the real program with a socket pair, a listening socket and a
 * spool, answers its STOREs and remembers what it says. */
#ifndef LAMINA_TESTS_DIMSE_HARNESS_H
#define LAMINA_TESTS_DIMSE_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
typedef int dimse_harness_flag;
#else
typedef _Atomic int dimse_harness_flag;
#endif

/* Waits are limits, not figures: a busy machine may take many times as long as an idle one. */
enum { DIMSE_HARNESS_PATIENCE_MS = 60000 };

typedef struct dimse_harness {
    pid_t pid;
    int socket, listener, spool_fd;
    uint16_t port;
    char spool[256];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    lam_buffer events; /* payloads of ASSOCIATION, one a line */
    bool ready;

    /* set by the test at any time */
    dimse_harness_flag status; /* for STORE_REPLY */
    dimse_harness_flag mute;   /* do not answer */
    dimse_harness_flag keep;   /* leave stored files in the spool; else they are removed */
    dimse_harness_flag stored; /* STOREs seen */
    char last_name[64];        /* of the last STORE */
} dimse_harness;

/* Starts and waits for READY. `extra` replaces members of the default configuration: "\"accept\":\"any\"", or
 * NULL. The defaults: AE title LAMINA, known peer PEER, limits that no test meets by accident. */
void dimse_harness_start(dimse_harness *harness, const char *extra);
void dimse_harness_configure(dimse_harness *harness, const char *extra, bool first);
void dimse_harness_send(dimse_harness *harness, uint32_t type);
/* Waits for the program to end by itself. */
bool dimse_harness_ended(const dimse_harness *harness);
/* Closes our end if it is open, waits for the program to end and cleans up; returns its exit status, or 256
 * and the signal. */
int dimse_harness_stop(dimse_harness *harness);
/* Waits for an event line that contains `text`. */
bool dimse_harness_saw(dimse_harness *harness, const char *text);
/* Waits for the spool to hold so many files. */
bool dimse_harness_holds(const dimse_harness *harness, int files);
/* A TCP connection to it. */
int dimse_harness_connect(const dimse_harness *harness);

#endif
