/* The answer to STOW-RS: the Store Instances Response Module (PS3.18 annex I.2) as DICOM JSON (PS3.18 annex
 * F). Internal to api/. */
#ifndef LAMINA_API_STORE_RESPONSE_H
#define LAMINA_API_STORE_RESPONSE_H

#include <jansson.h>
#include <stddef.h>

#include "api/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_store_response {
    json_t *stored; /* items of Referenced SOP Sequence */
    json_t *failed; /* items of Failed SOP Sequence */
    json_t *others; /* items of Other Failures Sequence: what failed could not be told to be any instance */
    size_t stored_count;
    size_t warning_count;
    size_t failed_count;
    size_t resource_count;        /* of them, those that failed for want of resources here (A7xxH) */
    char study_uid[LAM_UID_TEXT]; /* "" when nothing was stored, or several studies */
    char first_reason[256];       /* of the first failure */
} lam_store_response;

void lam_store_response_init(lam_store_response *response);
void lam_store_response_done(lam_store_response *response);

/* Counts and describes one result. `root` is the URL of /dicom-web as clients see it. */
void lam_store_response_add(lam_store_response *response, const lam_store_result *result, const char *root);

/* 200 when all were stored, 202 when some failed or have a warning, 409 when none was (PS3.18
 * table 10.5.3-1); 507 when none was for want of space: not the client's fault, and worth another try. */
unsigned lam_store_response_status(const lam_store_response *response);

/* The data set as a DICOM JSON object (json_decref), NULL without memory. */
json_t *lam_store_response_json(const lam_store_response *response, const char *root);

#ifdef __cplusplus
}
#endif
#endif
