/* Our end of the socket to laminad, shared by all associations: events go out, objects are handed over and
 * their fate comes back. Thread-safe; one thread (the program's main one) delivers the replies. */
#ifndef LAMINA_DAEMON_DIMSE_LINK_H
#define LAMINA_DAEMON_DIMSE_LINK_H

#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/status.h"

typedef struct lam_scp_link lam_scp_link;

typedef struct lam_scp_verdict {
    uint16_t status;  /* for the C-STORE response */
    char comment[65]; /* "" or why */
} lam_scp_verdict;

/* `socket` is borrowed. */
lam_status lam_scp_link_create(int socket, lam_scp_link **out, lam_error *err);
void lam_scp_link_free(lam_scp_link *link);
LAM_DEFINE_AUTO(lam_scp_link, lam_scp_link_free)

/* Sends a message that needs no answer. */
lam_status lam_scp_link_tell(lam_scp_link *link, uint32_t type, const char *json, lam_error *err);

/* Sends STORE and waits for its reply. Errors: LAM_E_PEER (laminad is gone), LAM_E_TIMEOUT. From the moment
 * this is called the file belongs to laminad, whatever comes back. `fd`, which is closed, is only there so
 * that the kernel begins to write the file while laminad looks at it: its sync is the shorter then. */
lam_status lam_scp_link_store(lam_scp_link *link, const char *json, int fd, int timeout_ms,
                              lam_scp_verdict *out, lam_error *err);

/* Sends a message of another type and waits for its answer, whose payload `reply` gets. */
lam_status lam_scp_link_ask(lam_scp_link *link, uint32_t type, const char *json, int timeout_ms,
                            lam_buffer *reply, lam_error *err);
/* Hands over the answer to one of those. */
void lam_scp_link_deliver_text(lam_scp_link *link, uint32_t request, const char *json, size_t length);

/* Hands a STORE_REPLY to who waits for it; one that nobody waits for any more is dropped. LAM_E_INVALID: not
 * a reply as messages.h has it. */
lam_status lam_scp_link_deliver(lam_scp_link *link, uint32_t request, const char *json, size_t length,
                                lam_error *err);

/* laminad is gone: everybody who waits, and will wait, gets LAM_E_PEER. */
void lam_scp_link_break(lam_scp_link *link);

#endif
