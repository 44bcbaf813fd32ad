/* The signature of webhooks, so that a receiver can tell ours from others and old from new. */
#ifndef LAMINA_DAEMON_WEBHOOK_H
#define LAMINA_DAEMON_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/sha256.h"

/* HMAC-SHA256 (RFC 2104) of "TIMESTAMP.BODY" in hexadecimal. */
void lam_webhook_sign(const char *secret, int64_t timestamp_s, const char *body, size_t length,
                      char out[LAM_SHA256_TEXT]);

#endif
