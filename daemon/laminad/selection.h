/* Whether a series is one that a model asks for, and why: the conditions of a selector (model.json) against
 * what is known about the series. Which series there are is routing's business. */
#ifndef LAMINA_LAMINAD_SELECTION_H
#define LAMINA_LAMINAD_SELECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "core/rnn/manifest.h"
#include "daemon/laminad/rule.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known about a series. */
typedef struct lam_series_facts {
    const json_t *attributes; /* DICOM JSON of an instance that stands for all; NULL: it has none */
    int64_t slices;
    double slice_mm; /* distance of neighbouring slices; 0: take the attributes' word */
} lam_series_facts;

typedef struct lam_selection lam_selection;

/* Borrows the selector. LAM_E_INVALID names an attribute that cannot be selected on. */
lam_status lam_selection_create(const lam_model_selector *selector, lam_selection **out, lam_error *err);
void lam_selection_free(lam_selection *selection);
LAM_DEFINE_AUTO(lam_selection, lam_selection_free)

/* `reason` says what of the series was asked for and is so, or the first condition that fails. It quotes
 * attribute values: not for logs (promise 9). */
bool lam_selection_wants(const lam_selection *selection, const lam_series_facts *facts,
                         char reason[LAM_RULE_REASON]);

/* For lam_rule_matches over DICOM JSON: `context` is a lam_rule_source. */
typedef struct lam_rule_source {
    const json_t *attributes;
    char text[256];
} lam_rule_source;
const char *lam_rule_source_get(void *context, const char *keyword);

/* The normal of the slices from DICOM JSON (Image Orientation (Patient), also that of enhanced objects, PS3.3
 * C.7.6.16.2.4). False when it has none. */
bool lam_selection_normal(const json_t *attributes, double normal[3]);

#ifdef __cplusplus
}
#endif
#endif
