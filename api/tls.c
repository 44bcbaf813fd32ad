#include "api/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/certificate.h"
#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/text.h"

enum { MAX_PEM = 1024 * 1024 };

/* TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers (BCP 195). */
static const char priorities[] =
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:+AES-256-GCM:"
    "+CHACHA20-POLY1305:+AES-128-GCM";

struct lam_http_tls {
    lam_buffer certificate, key, authorities;
};

static lam_status read_pem(const char *path, const char *option, lam_buffer *out, lam_error *err)
{
    lam_status status = lam_io_read_file(path, out, err);
    if (status == LAM_OK && !out->length)
        status = lam_fail(err, LAM_E_INVALID, "%s is empty", path);
    if (status != LAM_OK)
        lam_error_prefix(err, "%s", option);
    return status;
}

static lam_status check_key_file(const char *path, lam_error *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return lam_fail_errno(err, errno, "tls_key: cannot read %s", path);
    if (info.st_mode & (S_IROTH | S_IWOTH))
        return lam_fail(err, LAM_E_DENIED, "tls_key: %s is accessible to everyone: chmod o= it", path);
    return LAM_OK;
}

static lam_status load(lam_http_tls *tls, const lam_http_options *options, lam_error *err)
{
    if (!options->tls_key)
        return lam_fail(err, LAM_E_INVALID, "tls_certificate needs tls_key");
    lam_status status = check_key_file(options->tls_key, err);
    if (status == LAM_OK)
        status = read_pem(options->tls_certificate, "tls_certificate", &tls->certificate, err);
    if (status == LAM_OK)
        status = read_pem(options->tls_key, "tls_key", &tls->key, err);
    if (status == LAM_OK && options->tls_client_ca)
        status = read_pem(options->tls_client_ca, "tls_client_ca", &tls->authorities, err);
    /* libmicrohttpd says nothing of why it does not start, so what can be wrong is found out here. */
    return status == LAM_OK ? lam_certificate_match(options->tls_certificate, options->tls_key, err) : status;
}

lam_status lam_http_tls_create(const lam_http_options *options, lam_http_tls **out, lam_error *err)
{
    if (options->auth == LAM_HTTP_AUTH_MTLS && (!options->tls_certificate || !options->tls_client_ca))
        return lam_fail(err, LAM_E_INVALID, "auth = mtls needs tls_certificate, tls_key and tls_client_ca");
    *out = NULL;
    if (!options->tls_certificate)
        return LAM_OK;
    lam_http_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_buffer_init(&tls->certificate, MAX_PEM);
    lam_buffer_init(&tls->key, MAX_PEM);
    lam_buffer_init(&tls->authorities, MAX_PEM);
    lam_status status = load(tls, options, err);
    if (status == LAM_OK)
        *out = tls;
    else
        lam_http_tls_free(tls);
    return status;
}

void lam_http_tls_free(lam_http_tls *tls)
{
    if (!tls)
        return;
    if (tls->key.data)
        explicit_bzero(tls->key.data, tls->key.length);
    lam_buffer_done(&tls->certificate);
    lam_buffer_done(&tls->key);
    lam_buffer_done(&tls->authorities);
    free(tls);
}

void lam_http_tls_options(const lam_http_tls *tls, struct MHD_OptionItem out[LAM_HTTP_TLS_OPTIONS])
{
    size_t count = 0;
    if (tls) {
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate.data};
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key.data};
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)priorities};
    }
    if (tls && tls->authorities.length)
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, tls->authorities.data};
    out[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}

static void name_of(const gnutls_datum_t *certificate, char name[LAM_USER_TEXT])
{
    gnutls_x509_crt_t parsed;
    gnutls_datum_t subject = {0};
    if (gnutls_x509_crt_init(&parsed) < 0)
        return;
    if (gnutls_x509_crt_import(parsed, certificate, GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_x509_crt_get_dn3(parsed, &subject, 0) >= 0)
        lam_text_copy(name, LAM_USER_TEXT, (const char *)subject.data);
    gnutls_free(subject.data);
    gnutls_x509_crt_deinit(parsed);
}

bool lam_http_tls_client_is_known(struct MHD_Connection *connection, char name[LAM_USER_TEXT])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned problems = 0;
    if (!info || !info->tls_session)
        return false;
    gnutls_session_t session = info->tls_session;
    unsigned count = 0;
    const gnutls_datum_t *certificates = gnutls_certificate_get_peers(session, &count);
    if (!certificates || count == 0)
        return false;
    name_of(&certificates[0], name);
    return gnutls_certificate_verify_peers2(session, &problems) >= 0 && problems == 0;
}
