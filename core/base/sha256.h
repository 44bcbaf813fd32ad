/* SHA-256 (FIPS 180-4), for weight hashes, input sets and deterministic UIDs: identity, not secrecy. */
#ifndef LAMINA_BASE_SHA256_H
#define LAMINA_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_SHA256_BYTES = 32, LAM_SHA256_TEXT = 65 };

typedef struct lam_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} lam_sha256;

void lam_sha256_init(lam_sha256 *hash);
void lam_sha256_update(lam_sha256 *hash, const void *bytes, size_t length);
/* Feeds `text` and its terminating NUL, so that ("ab","c") and ("a","bc") differ. NULL counts as "". */
void lam_sha256_update_text(lam_sha256 *hash, const char *text);
void lam_sha256_final(lam_sha256 *hash, uint8_t digest[LAM_SHA256_BYTES]);
/* Of `length` bytes at once, in hexadecimal; the digest of `hash` as lam_sha256_final gives it, the same way.
 * Both return `text`. */
char *lam_sha256_text(const void *bytes, size_t length, char text[LAM_SHA256_TEXT]);
char *lam_sha256_final_text(lam_sha256 *hash, char text[LAM_SHA256_TEXT]);
/* Lower-case hexadecimal, NUL-terminated. Returns `text`. */
char *lam_sha256_hex(const uint8_t digest[LAM_SHA256_BYTES], char text[LAM_SHA256_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
