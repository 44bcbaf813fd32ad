/* Certificates and keys that laminad hands over as descriptors, read as the texts that dicom/tls.h wants:
 * this process reaches no path. */
#ifndef LAMINA_DAEMON_DIMSE_IDENTITY_H
#define LAMINA_DAEMON_DIMSE_IDENTITY_H

#include <stddef.h>

#include "core/base/buffer.h"
#include "core/base/json.h"
#include "dicom/tls.h"

typedef struct lam_scp_identity {
    lam_tls_identity texts; /* point into the rest */
    lam_buffer authorities, certificate, key;
} lam_scp_identity;

/* Reads what `tls` ({"ca","certificate","key"}: which there are, in this order) says that the descriptors
 * are. They stay the caller's. To be ended by lam_scp_identity_done in any case. LAM_E_INVALID: too few of
 * them. */
lam_status lam_scp_identity_read(lam_scp_identity *identity, const lam_jv *tls, const int *fds, size_t count,
                                 lam_error *err);
void lam_scp_identity_done(lam_scp_identity *identity);

#endif
