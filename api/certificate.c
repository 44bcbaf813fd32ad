#include "api/certificate.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"

enum { MAX_PEM = 1 << 20 };

static gnutls_datum_t datum_of(const lam_buffer *buffer)
{
    return (gnutls_datum_t){(unsigned char *)buffer->data, (unsigned)buffer->length};
}

lam_status lam_certificate_read(const char *path, int64_t *expires_s, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_PEM);
    lam_status status = lam_io_read_file(path, &text, err);
    if (status != LAM_OK)
        return status;
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    const gnutls_datum_t pem = datum_of(&text);
    int code = gnutls_x509_crt_list_import2(&list, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return lam_fail(err, LAM_E_INVALID, "%s holds no certificate in PEM: %s", path,
                        gnutls_strerror(code));
    *expires_s = gnutls_x509_crt_get_expiration_time(list[0]);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return LAM_OK;
}

static lam_status check_key(const char *path, const gnutls_datum_t *pem, lam_error *err)
{
    gnutls_x509_privkey_t key;
    if (gnutls_x509_privkey_init(&key) < 0)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    int code = gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_x509_privkey_deinit(key);
    return code < 0 ? lam_fail(err, LAM_E_INVALID, "%s holds no private key in PEM without a passphrase: %s",
                               path, gnutls_strerror(code))
                    : LAM_OK;
}

static lam_status check_pair(const char *path, const gnutls_datum_t *certificate, const gnutls_datum_t *key,
                             lam_error *err)
{
    gnutls_certificate_credentials_t credentials;
    if (gnutls_certificate_allocate_credentials(&credentials) < 0)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    int code = gnutls_certificate_set_x509_key_mem(credentials, certificate, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    return code < 0 ? lam_fail(err, LAM_E_INVALID, "%s is not the key of the certificate: %s", path,
                               gnutls_strerror(code))
                    : LAM_OK;
}

lam_status lam_certificate_match(const char *certificate, const char *key, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer public_part;
    LAM_AUTO(lam_buffer_done) lam_buffer secret;
    lam_buffer_init(&public_part, MAX_PEM);
    lam_buffer_init(&secret, MAX_PEM);
    lam_status status = lam_io_read_file(certificate, &public_part, err);
    if (status == LAM_OK)
        status = lam_io_read_file(key, &secret, err);
    const gnutls_datum_t public_pem = datum_of(&public_part), secret_pem = datum_of(&secret);
    if (status == LAM_OK)
        status = check_key(key, &secret_pem, err);
    if (status == LAM_OK)
        status = check_pair(key, &public_pem, &secret_pem, err);
    if (secret.data)
        explicit_bzero(secret.data, secret.length);
    return status;
}
