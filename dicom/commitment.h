/* Storage Commitment, push model (PS3.4 annex J), both roles: the data sets of its N-ACTION and
 * N-EVENT-REPORT, and their exchange over an association. Lists of instances are JSON: [[SOP class UID, SOP
 * instance UID] …], with the failure reason as third element where there is one. */
#ifndef LAMINA_DICOM_COMMITMENT_H
#define LAMINA_DICOM_COMMITMENT_H

#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "dicom/net.h"
#include "dicom/scu.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_COMMITMENT_INSTANCE "1.2.840.10008.1.20.1.1" /* well-known, PS3.4 J.3.5 */

enum {
    LAM_COMMITMENT_ACTION = 1,   /* Request Storage Commitment */
    LAM_COMMITMENT_SUCCESS = 1,  /* event types */
    LAM_COMMITMENT_FAILURES = 2, /* some or all instances failed */
    LAM_COMMITMENT_MAX_BYTES = 16 * 1024 * 1024,
};

/* ---- data sets, Implicit VR Little Endian when written ---- */

/* Of {"transaction_uid", "instances" or "committed", "failed"?} as a request or a report. LAM_E_INVALID. */
lam_status lam_commitment_write(const lam_jv *document, lam_buffer *out, lam_error *err);

/* A data set that came in `transfer_syntax`, as the members "transaction_uid", "referenced" (name of the list
 * of ReferencedSOPSequence) and "failed" of the object that `w` has open. LAM_E_INVALID, LAM_E_CORRUPT,
 * LAM_E_LIMIT. */
lam_status lam_commitment_read(const void *bytes, size_t length, const char *transfer_syntax,
                               const char *referenced, lam_json_writer *w, lam_error *err);

/* ---- as user ---- */

/* N-ACTION with a data set of lam_commitment_write over an association that has the context. LAM_OK when the
 * peer answered, whatever it said; LAM_E_UNSUPPORTED: it does not take the service. */
lam_status lam_commitment_ask(lam_association *association, uint16_t message, const lam_buffer *data,
                              lam_scu_answer *out, lam_error *err);

/* Waits for the N-EVENT-REPORT over the same association and answers it; `report` gets the payload of a
 * COMMITMENT message ({"ae" …}). LAM_E_TIMEOUT when nothing came in `wait_ms`; then the association is as it
 * was. */
lam_status lam_commitment_wait(lam_association *association, int wait_ms, const char *ae, lam_buffer *report,
                               lam_error *err);

/* ---- as provider ---- */

/* N-EVENT-REPORT without waiting for its answer. */
lam_status lam_commitment_send_report(lam_association *association, uint16_t message, bool failures,
                                      const lam_buffer *data, lam_error *err);
/* With the answer, which must be success. */
lam_status lam_commitment_report(lam_association *association, uint16_t message, bool failures,
                                 const lam_buffer *data, lam_error *err);

/* The data set behind a command, into `out`. */
lam_status lam_commitment_receive(lam_association *association, uint8_t context, lam_buffer *out,
                                  lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
