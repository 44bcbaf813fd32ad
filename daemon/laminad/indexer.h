/* A few worker processes that turn headers into DICOM JSON for the intake. Each answers in order; when one
 * dies or hangs, the object it was at is the suspect: that one gets a second chance in a fresh process and is
 * then refused, the others behind it simply go on elsewhere (promise 6). Belongs to one thread, which polls.
 */
#ifndef LAMINA_DAEMON_INDEXER_H
#define LAMINA_DAEMON_INDEXER_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct lam_indexer lam_indexer;

/* Embedded in what waits for the answer. */
typedef struct lam_index_request {
    int fd; /* Part 10 file open for reading; stays the caller's */
    int suspicions;
    uint32_t number;
    int64_t queued_ms, sent_ms;
    struct lam_index_request *next;
} lam_index_request;

/* Called once for each request: LAM_OK and the payload of INDEXED, or a failure and its reason. */
typedef void (*lam_index_answer)(void *context, lam_index_request *request, lam_status status,
                                 const char *text);

enum { LAM_INDEXER_MAX = 4, LAM_INDEXER_POLLS = LAM_INDEXER_MAX };

typedef struct lam_indexer_options {
    int processes;     /* at most LAM_INDEXER_MAX */
    int64_t answer_ms; /* for one object; 0: 20 s */
    int64_t stall_ms;  /* how long a request waits while no process can be had (LAM_E_BUSY then); 0: 30 s */
    lam_index_answer answer;
    void *context;
} lam_indexer_options;

lam_status lam_indexer_create(const lam_indexer_options *options, lam_indexer **out, lam_error *err);
/* Ends the processes; what has no answer yet gets this one. */
void lam_indexer_abandon(lam_indexer *indexer, lam_status status, const char *reason);
/* Unanswered requests are dropped without an answer. */
void lam_indexer_free(lam_indexer *indexer);

void lam_indexer_submit(lam_indexer *indexer, lam_index_request *request);

/* Fills at most LAM_INDEXER_POLLS entries and returns how many; lowers *timeout_ms to the next deadline. */
size_t lam_indexer_poll(lam_indexer *indexer, struct pollfd *polls, int64_t *timeout_ms);
/* After poll(2): takes answers, replaces dead and hung processes, sends what waits. */
void lam_indexer_turn(lam_indexer *indexer);

#endif
