/* The services we use of a peer, as service class user: verification (PS3.4 annex A) and storage (annex B) of
 * files as they are, never transcoded. One file here, many in send.h. */
#ifndef LAMINA_DICOM_SCU_H
#define LAMINA_DICOM_SCU_H

#include <stdint.h>

#include "core/base/status.h"
#include "dicom/file_meta.h"
#include "dicom/net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_scu_answer {
    uint16_t status;  /* lam_dimse_outcome says what it means */
    char comment[65]; /* the peer's, "" when none */
} lam_scu_answer;

/* The response to the request `field` number `message`. Errors: LAM_E_PEER (the peer released the association
 * instead), LAM_E_INVALID (it answered something else), else as lam_association_receive; then abort. */
lam_status lam_scu_response(lam_association *association, uint16_t field, uint16_t message, lam_command *out,
                            uint8_t *context, lam_error *err);

/* C-ECHO over an association that has a Verification context. `message` numbers the request; any number that
 * is not under way. Errors: LAM_E_UNSUPPORTED (no such context), else as lam_association_receive; then abort.
 */
lam_status lam_scu_echo(lam_association *association, uint16_t message, lam_scu_answer *out, lam_error *err);

/* C-STORE of an open Part 10 file whose meta information has been read (`meta`, `offset`). LAM_OK when the
 * peer answered, whatever it said. Errors: LAM_E_UNSUPPORTED (the peer took no context for the file; the
 * association is as it was), else as above. */
lam_status lam_scu_store(lam_association *association, uint16_t message, int fd, const lam_file_meta *meta,
                         uint64_t offset, lam_scu_answer *out, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
