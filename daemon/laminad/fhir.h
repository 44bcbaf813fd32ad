/* Results as FHIR R4 (hl7.org/fhir/R4): one Bundle of ImagingStudy, DiagnosticReport and Observation, made
 * from the documents that the JSON interface gives. */
#ifndef LAMINA_DAEMON_FHIR_H
#define LAMINA_DAEMON_FHIR_H

#include <jansson.h>

#include "core/base/status.h"

/* `study` as lam_document_study gives it, `results` as lam_document_results. A DiagnosticReport for each
 * result that is in effect, an Observation for each segment, answer, detection and derived number. The same
 * documents give the same Bundle: its ids are functions of UIDs. The caller owns *out. LAM_E_NO_MEMORY. */
lam_status lam_fhir_bundle(const json_t *study, const json_t *results, json_t **out, lam_error *err);

#endif
