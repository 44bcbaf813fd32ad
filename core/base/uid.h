/* UIDs as text (PS3.5 section 9), in plain C, so that programs that may not touch DICOM data can check and
 * make them. */
#ifndef LAMINA_BASE_UID_H
#define LAMINA_BASE_UID_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_UID_TEXT = 65 };

/* 1 to 64 characters of digits and dots, no empty component. Leading zeros in a component are tolerated, as
 * real senders write them. NULL is not valid. */
bool lam_uid_is_valid(const char *uid);

/* The UID that stands for the `count` texts in order: "2.25." and the first 128 bits of their SHA-256 as an
 * RFC 4122 version 8 UUID in decimal (PS3.5 annex B.2). The same texts give the same UID on every machine
 * (promise 5). */
void lam_uid_derive(const char *const *texts, size_t count, char uid[LAM_UID_TEXT]);
/* A UID that stands for nothing else. False: the system has no random numbers. */
bool lam_uid_random(char uid[LAM_UID_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
