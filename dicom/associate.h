/* The A-ASSOCIATE-RQ PDU (PS3.8 section 9.3.2) read strictly, before anything else believes a byte of it, and
 * our answer to each presentation context. Also the two ten-byte answers that need no association: reject and
 * abort. No sockets here; those are in net.h. */
#ifndef LAMINA_DICOM_ASSOCIATE_H
#define LAMINA_DICOM_ASSOCIATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LAM_ASSOCIATE_HEAD_BYTES = 6,
    LAM_ASSOCIATE_MAX_BYTES = 128 * 1024, /* 128 contexts with thirty transfer syntaxes each */
    LAM_ASSOCIATE_MAX_CONTEXTS = 128,     /* odd identifiers of one byte */
    LAM_AE_TEXT = 17,
    LAM_SHORT_PDU_BYTES = 10, /* A-ASSOCIATE-RJ, A-RELEASE-RQ and -RP, A-ABORT */
};

/* Results of a presentation context (PS3.8 table 9-18). */
enum {
    LAM_CONTEXT_ACCEPTED = 0,
    LAM_CONTEXT_NO_ABSTRACT_SYNTAX = 3,
    LAM_CONTEXT_NO_TRANSFER_SYNTAX = 4,
};

typedef struct lam_associate_context {
    uint8_t id;
    uint8_t result;
    char abstract_syntax[LAM_UID_TEXT];
    char transfer_syntax[LAM_UID_TEXT]; /* the one chosen; "" unless accepted */
    const uint8_t *proposed;            /* its transfer syntax items, inside the PDU */
    size_t proposed_length;
} lam_associate_context;

typedef struct lam_associate {
    uint16_t protocol_version; /* bit 0 is version 1 */
    char called_ae[LAM_AE_TEXT], calling_ae[LAM_AE_TEXT];
    char application_context[LAM_UID_TEXT];
    char implementation_class[LAM_UID_TEXT];
    char implementation_version[17];
    uint32_t max_pdu; /* that the requestor takes; 0 is no limit */
    size_t context_count;
    lam_associate_context contexts[LAM_ASSOCIATE_MAX_CONTEXTS];
} lam_associate;

/* From the first LAM_ASSOCIATE_HEAD_BYTES of a connection: how long the whole PDU is, the head included.
 * Errors: LAM_E_INVALID (not an A-ASSOCIATE-RQ), LAM_E_LIMIT (longer than LAM_ASSOCIATE_MAX_BYTES). */
lam_status lam_associate_length(const uint8_t *head, size_t *out, lam_error *err);

/* Reads a whole PDU; `pdu` is borrowed for as long as `out` is used. Every item must fit where it lies,
 * context identifiers must be odd and different, AE titles must be printable. Errors: LAM_E_INVALID,
 * LAM_E_LIMIT. */
lam_status lam_associate_parse(const uint8_t *pdu, size_t length, lam_associate *out, lam_error *err);

/* Answers each context: Verification, Storage Commitment and every storage class, each with the first
 * transfer syntax of the proposal that a file may have; private classes too when told so. Returns how many
 * were accepted. */
size_t lam_associate_negotiate(lam_associate *associate, bool private_classes);

/* ---- the short answers ---- */

typedef struct lam_rejection {
    uint8_t result, source, reason; /* PS3.8 table 9-21 */
} lam_rejection;

extern const lam_rejection LAM_REJECT_APPLICATION_CONTEXT; /* 1,1,2 */
extern const lam_rejection LAM_REJECT_CALLING_AE;          /* 1,1,3 */
extern const lam_rejection LAM_REJECT_CALLED_AE;           /* 1,1,7 */
extern const lam_rejection LAM_REJECT_PROTOCOL_VERSION;    /* 1,2,2 */
extern const lam_rejection LAM_REJECT_LOCAL_LIMIT;         /* 2,3,2: transient, try again later */

/* What the standard calls it ("calling AE title not recognized"); never NULL. */
const char *lam_rejection_text(lam_rejection rejection);
void lam_rejection_write(lam_rejection rejection, uint8_t pdu[LAM_SHORT_PDU_BYTES]);

/* Reasons of an abort by the service provider (PS3.8 table 9-26). */
enum { LAM_ABORT_NO_REASON = 0, LAM_ABORT_UNRECOGNIZED_PDU = 1, LAM_ABORT_INVALID_PARAMETER = 6 };
void lam_abort_write(uint8_t reason, uint8_t pdu[LAM_SHORT_PDU_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
