/* One question to a child and its answer, for a thread that has nothing else to do meanwhile. Who asks owns
 * the child, and ends it when it is `broken`. */
#ifndef LAMINA_DAEMON_QUESTION_H
#define LAMINA_DAEMON_QUESTION_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"
#include "daemon/laminad/child.h"

typedef struct lam_question {
    uint32_t type;    /* of the message */
    uint32_t answer;  /* type of the answer, beside FAILED */
    const char *what; /* is asked about, for errors: "the object" */
    const char *payload;
    const int *fds; /* stay the caller's */
    size_t fd_count;
    int64_t timeout_ms;
} lam_question;

/* Starts the child, whose socket must be non-blocking, unless it runs, and waits until it is ready.
 * LAM_E_BUSY when it cannot be had now. `*broken` is set, to a constant text, when it must be ended. */
lam_status lam_question_start(lam_child *child, const lam_child_limits *limits, const char **broken,
                              lam_error *err);

/* Asks, waits, and appends the answer's payload to `answer`. What the child says in FAILED comes back as the
 * error. LAM_E_CORRUPT when it crashed or hung over the question, LAM_E_INTERNAL when it broke the protocol;
 * `*broken` is set then. */
lam_status lam_question_ask(lam_child *child, const lam_question *question, lam_buffer *answer,
                            const char **broken, lam_error *err);

#endif
