/* The door: one thread that accepts connections, waits for each one's association request without ever
 * blocking on any, turns away what may not come in, and hands the rest to sessions. However slow, malformed
 * or numerous callers are, others are served meanwhile. */
#ifndef LAMINA_DAEMON_DIMSE_RECEPTION_H
#define LAMINA_DAEMON_DIMSE_RECEPTION_H

#include "core/base/status.h"
#include "daemon/dimse/link.h"
#include "daemon/dimse/sessions.h"
#include "daemon/dimse/settings.h"

typedef struct lam_scp_reception lam_scp_reception;

/* Starts the thread. Takes, once it has, `listener`, a listening socket, and `tls`, with which every
 * connection begins (NULL: none does); the others are borrowed, of `settings` a reference is taken. */
lam_status lam_scp_reception_start(int listener, lam_tls_context *tls, const lam_scp_settings *settings,
                                   lam_scp_sessions *sessions, lam_scp_link *link, lam_scp_reception **out,
                                   lam_error *err);

/* Settings for callers from now on. */
void lam_scp_reception_set(lam_scp_reception *reception, const lam_scp_settings *settings);

/* Stops listening, drops who has not been let in yet, ends the thread and frees. NULL-safe. */
void lam_scp_reception_stop(lam_scp_reception *reception);

#endif
