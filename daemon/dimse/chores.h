/* What laminad asks for that may take long: new settings (their hosts may need a name server) and draining. A
 * thread of its own does these one after the other, so that replies to sessions never wait for them. */
#ifndef LAMINA_DAEMON_DIMSE_CHORES_H
#define LAMINA_DAEMON_DIMSE_CHORES_H

#include "core/base/status.h"
#include "daemon/dimse/reception.h"
#include "daemon/dimse/sessions.h"

typedef struct lam_scp_chores lam_scp_chores;

/* Starts the thread. `sessions` is borrowed; `reception` is stopped when draining. A chore that fails ends in
 * `failed`, called once, from the thread. */
lam_status lam_scp_chores_start(lam_scp_reception *reception, lam_scp_sessions *sessions,
                                void (*failed)(const lam_error *err), lam_scp_chores **out, lam_error *err);

/* Settings for callers from now on: the payload of a CONFIGURE, copied. */
lam_status lam_scp_chores_configure(lam_scp_chores *chores, const char *json, lam_error *err);

/* Takes no more callers, lets messages under way end and then ends the process with status 0. */
lam_status lam_scp_chores_drain(lam_scp_chores *chores, lam_error *err);

#endif
