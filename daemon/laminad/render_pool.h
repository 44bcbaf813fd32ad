/* A few worker processes that do pixel work for the HTTP side: decoding, transcoding, pictures. A thread for
 * each asks its process one thing at a time; a decoder that crashes or hangs costs the request that it was
 * at (promise 6), and the next finds a fresh process. They are started when first needed. */
#ifndef LAMINA_DAEMON_RENDER_POOL_H
#define LAMINA_DAEMON_RENDER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

typedef struct lam_render_pool lam_render_pool;

enum { LAM_RENDER_PROCESSES = 2 };

/* `timeout_ms`: what one answer may take. */
lam_status lam_render_pool_create(int64_t timeout_ms, lam_render_pool **out, lam_error *err);
/* Ends the threads and processes. No request may be under way. NULL is fine. */
void lam_render_pool_free(lam_render_pool *pool);

/* Sends a request (daemon/ipc/messages.h, 50 to 59) and waits for its answer, which is appended to `answer`.
 * Descriptors stay the caller's. Errors: what the worker says; LAM_E_CORRUPT when it crashed or hung over the
 * object; LAM_E_BUSY when too many wait or no process can be had. Thread-safe. */
lam_status lam_render_pool_ask(lam_render_pool *pool, uint32_t type, const char *payload, const int *fds,
                               size_t fd_count, lam_buffer *answer, lam_error *err);

#endif
