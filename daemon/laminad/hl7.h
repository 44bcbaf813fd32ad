/* HL7 v2.5 messages with results (ORU^R01, HL7 v2.5 chapter 7): text only; who sends it by MLLP is another.
 */
#ifndef LAMINA_DAEMON_HL7_H
#define LAMINA_DAEMON_HL7_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/status.h"

typedef struct lam_hl7_envelope {
    const char *application, *facility;             /* ours: MSH-3, MSH-4 */
    const char *their_application, *their_facility; /* MSH-5, MSH-6; may be "" */
    const char *control_id; /* MSH-10: the same for a message that is sent again; at most 20 characters */
    int64_t now_ms;         /* MSH-7 */
} lam_hl7_envelope;

/* Appends the message for one result: MSH, PID, OBR and an OBX for each finding, segments ended by CR, UTF-8
 * (MSH-18 UNICODE UTF-8). `study` as lam_document_study gives it, `result` a member of its results.
 * Delimiters in texts are escaped (HL7 v2.5 2.7). LAM_E_LIMIT: it does not fit the buffer; LAM_E_NO_MEMORY.
 */
lam_status lam_hl7_oru_write(const json_t *study, const json_t *result, const lam_hl7_envelope *envelope,
                             lam_buffer *out, lam_error *err);

/* A text as a component: | ^ ~ \ & become escape sequences, line ends a space. */
void lam_hl7_escape(const char *text, lam_buffer *out);

#endif
