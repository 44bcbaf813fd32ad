#include "core/base/uid.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

bool lam_uid_is_valid(const char *uid)
{
    if (!uid || !*uid)
        return false;
    size_t length = 0;
    char before = '.';
    for (const char *c = uid; *c; c++) {
        if (++length > 64 || !((*c >= '0' && *c <= '9') || (*c == '.' && before != '.')))
            return false;
        before = *c;
    }
    return before != '.';
}

void lam_uid_derive(const char *const *texts, size_t count, char uid[LAM_UID_TEXT])
{
    lam_sha256 hash;
    uint8_t digest[LAM_SHA256_BYTES];
    lam_sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        lam_sha256_update_text(&hash, texts[i]);
    lam_sha256_final(&hash, digest);
    digest[6] = (uint8_t)((digest[6] & 0x0f) | 0x80); /* version 8: made by the application's own rule */
    digest[8] = (uint8_t)((digest[8] & 0x3f) | 0x80); /* the RFC 4122 variant */

    unsigned __int128 number = 0;
    for (int i = 0; i < 16; i++)
        number = number << 8 | digest[i];
    char digits[40];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number);
    snprintf(uid, LAM_UID_TEXT, "2.25.%s", digits + at);
}

bool lam_uid_random(char uid[LAM_UID_TEXT])
{
    char text[LAM_RANDOM_TEXT];
    if (!lam_text_random(text))
        return false;
    lam_uid_derive((const char *const[]){text}, 1, uid);
    return true;
}
