/* Certificates and keys as a configuration names them, in PEM: can they be used at all? So that a mistake is
 * said when the configuration is read and not by the first connection that fails. Trusts and serves nothing.
 */
#ifndef LAMINA_API_CERTIFICATE_H
#define LAMINA_API_CERTIFICATE_H

#include <stdint.h>

#include "core/base/status.h"

/* Reads a file of one or more certificates. *expires_s: when the first of them ends to be valid, seconds
 * since 1970. LAM_E_INVALID: the file holds none. */
lam_status lam_certificate_read(const char *path, int64_t *expires_s, lam_error *err);

/* LAM_E_INVALID unless `key` holds the private key, without a passphrase, of the first certificate in
 * `certificate`. */
lam_status lam_certificate_match(const char *certificate, const char *key, lam_error *err);

#endif
