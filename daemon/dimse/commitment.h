/* Storage Commitment over an association that a peer opened: it asks us (N-ACTION), or tells us about what we
 * asked (N-EVENT-REPORT). The words pass through here; what is durable, laminad knows. */
#ifndef LAMINA_DAEMON_DIMSE_COMMITMENT_H
#define LAMINA_DAEMON_DIMSE_COMMITMENT_H

#include "daemon/dimse/session.h"

/* Handlers of session.c. Asked: answers, and reports over the same association unless the peer leaves; then
 * laminad reports over another. */
lam_status lam_scp_commitment_action(lam_scp_session *session, const lam_net_context *context,
                                     const lam_command *request, lam_error *err);
lam_status lam_scp_commitment_event(lam_scp_session *session, const lam_net_context *context,
                                    const lam_command *request, lam_error *err);
/* The peer's answer to our report. */
lam_status lam_scp_commitment_reported(lam_scp_session *session, const lam_net_context *context,
                                       const lam_command *response, lam_error *err);

#endif
