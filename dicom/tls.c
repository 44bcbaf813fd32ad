#include "dicom/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct lam_tls_context {
    SSL_CTX *ssl;
};

struct lam_tls {
    SSL *ssl;
};

static lam_status fail_openssl(lam_error *err, lam_status status, const char *what)
{
    char text[160] = "";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    const char *reason = strrchr(text, ':');
    return lam_fail(err, status, "%s: %s", what, reason ? reason + 1 : "no reason given");
}

/* ---- the context ---- */

static lam_status use_authorities(SSL_CTX *ssl, const char *pem, lam_error *err)
{
    if (!pem)
        return SSL_CTX_set_default_verify_paths(ssl) == 1
                   ? LAM_OK
                   : fail_openssl(err, LAM_E_IO, "the system's certificates");
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    int count = 0;
    for (X509 *one; in && (one = PEM_read_bio_X509(in, NULL, NULL, NULL)); X509_free(one)) {
        count += X509_STORE_add_cert(store, one) == 1;
        SSL_CTX_add_client_CA(ssl, one); /* so that a client knows which of its certificates is wanted */
    }
    BIO_free(in);
    ERR_clear_error(); /* the end of the text is one */
    return count ? LAM_OK : lam_fail(err, LAM_E_INVALID, "tls_ca holds no certificate");
}

static lam_status use_chain(SSL_CTX *ssl, BIO *in, lam_error *err)
{
    X509 *own = PEM_read_bio_X509(in, NULL, NULL, NULL);
    bool used = own && SSL_CTX_use_certificate(ssl, own) == 1;
    X509_free(own);
    if (!used)
        return fail_openssl(err, LAM_E_INVALID, "tls_certificate");
    for (X509 *next; (next = PEM_read_bio_X509(in, NULL, NULL, NULL));)
        if (SSL_CTX_add_extra_chain_cert(ssl, next) != 1) { /* takes it, if it does */
            X509_free(next);
            return fail_openssl(err, LAM_E_INVALID, "tls_certificate");
        }
    ERR_clear_error();
    return LAM_OK;
}

static lam_status use_identity(SSL_CTX *ssl, const lam_tls_identity *identity, lam_error *err)
{
    if (!identity->certificate)
        return LAM_OK;
    BIO *in = BIO_new_mem_buf(identity->certificate, -1);
    BIO *key_in = BIO_new_mem_buf(identity->key ? identity->key : "", -1);
    lam_status status =
        in && key_in ? use_chain(ssl, in, err) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    /* An empty password instead of a question on the terminal. */
    EVP_PKEY *key = status == LAM_OK ? PEM_read_bio_PrivateKey(key_in, NULL, NULL, (void *)"") : NULL;
    if (status == LAM_OK && (!key || SSL_CTX_use_PrivateKey(ssl, key) != 1))
        status = fail_openssl(err, LAM_E_INVALID, "tls_key");
    EVP_PKEY_free(key);
    BIO_free(in);
    BIO_free(key_in);
    return status;
}

/* What of TLS is used at all (RFC 9325, the successor of BCP 195 as PS3.15 cites it). */
static void use_profile(SSL_CTX *ssl)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 0);
}

lam_status lam_tls_context_create(lam_tls_role role, const lam_tls_identity *identity, lam_tls_context **out,
                                  lam_error *err)
{
    lam_tls_context *context = calloc(1, sizeof *context);
    if (context)
        context->ssl = SSL_CTX_new(role == LAM_TLS_SERVER ? TLS_server_method() : TLS_client_method());
    if (!context || !context->ssl) {
        free(context);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for TLS");
    }
    use_profile(context->ssl);
    lam_status status = LAM_OK;
    if (role == LAM_TLS_CLIENT || identity->authorities) {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        status = use_authorities(context->ssl, identity->authorities, err);
    }
    if (status == LAM_OK && role == LAM_TLS_SERVER && !identity->certificate)
        status = lam_fail(err, LAM_E_INVALID, "a server needs tls_certificate");
    if (status == LAM_OK)
        status = use_identity(context->ssl, identity, err);
    if (status == LAM_OK)
        *out = context;
    else
        lam_tls_context_free(context);
    return status;
}

void lam_tls_context_free(lam_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    free(context);
}

/* ---- a stream ---- */

static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char binary[sizeof(struct in6_addr)];
    bool address = inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
    if (address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static lam_status fail_handshake(const lam_tls *tls, lam_error *err)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    if (verdict != X509_V_OK)
        return lam_fail(err, LAM_E_PEER, "TLS: the peer's certificate is not good: %s",
                        X509_verify_cert_error_string(verdict));
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return lam_fail(err, LAM_E_TIMEOUT, "TLS: the peer does not answer");
    return fail_openssl(err, LAM_E_PEER, "TLS: the handshake failed");
}

/* Whether a call has to be made again because a signal, or a stop of the process, cut it short: OpenSSL takes
 * that for a socket that has nothing more for now. */
static bool is_interrupted(const lam_tls *tls, int result)
{
    int kind = SSL_get_error(tls->ssl, result);
    return errno == EINTR && (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE);
}

lam_status lam_tls_connect(const lam_tls_context *context, int socket, const char *host, lam_tls **out,
                           lam_error *err)
{
    lam_tls *tls = calloc(1, sizeof *tls);
    if (tls)
        tls->ssl = SSL_new(context->ssl);
    if (!tls || !tls->ssl || SSL_set_fd(tls->ssl, socket) != 1 || !expect_host(tls->ssl, host)) {
        lam_tls_free(tls);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for TLS");
    }
    int result;
    do {
        errno = 0;
        result = SSL_connect(tls->ssl);
    } while (result != 1 && is_interrupted(tls, result));
    if (result != 1) {
        lam_status status = fail_handshake(tls, err);
        lam_tls_free(tls);
        return status;
    }
    *out = tls;
    return LAM_OK;
}

lam_status lam_tls_expect(const lam_tls_context *context, int socket, lam_tls **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_tls) *tls = calloc(1, sizeof *tls);
    if (tls)
        tls->ssl = SSL_new(context->ssl);
    if (!tls || !tls->ssl || SSL_set_fd(tls->ssl, socket) != 1)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for TLS");
    SSL_set_accept_state(tls->ssl);
    *out = LAM_TAKE_PTR(tls);
    return LAM_OK;
}

lam_status lam_tls_shake(lam_tls *tls, lam_error *err)
{
    errno = 0;
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1)
        return LAM_OK;
    int kind = SSL_get_error(tls->ssl, result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return LAM_E_BUSY;
    return fail_handshake(tls, err);
}

void lam_tls_free(lam_tls *tls)
{
    if (!tls)
        return;
    if (tls->ssl && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
}

static ssize_t fail_stream(const lam_tls *tls, int result)
{
    int kind = SSL_get_error(tls->ssl, result);
    ERR_clear_error();
    if (kind == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE ? EAGAIN : errno ? errno : ECONNRESET;
    return -1;
}

ssize_t lam_tls_read(lam_tls *tls, void *bytes, size_t length)
{
    size_t have = 0;
    while (have < length) {
        size_t got = 0;
        errno = 0;
        int result = SSL_read_ex(tls->ssl, (char *)bytes + have, length - have, &got);
        if (result != 1 && is_interrupted(tls, result))
            continue;
        if (result != 1)
            return have ? (ssize_t)have : fail_stream(tls, result);
        have += got;
    }
    return (ssize_t)have;
}

ssize_t lam_tls_write(lam_tls *tls, const void *bytes, size_t length)
{
    size_t sent = 0;
    int result;
    do {
        errno = 0;
        result = SSL_write_ex(tls->ssl, bytes, length, &sent); /* everything: partial writes are off */
    } while (result != 1 && is_interrupted(tls, result));
    return result == 1 ? (ssize_t)sent : fail_stream(tls, result);
}

bool lam_tls_has_pending(const lam_tls *tls)
{
    return SSL_has_pending(tls->ssl);
}
