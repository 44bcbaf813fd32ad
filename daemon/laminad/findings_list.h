/* The findings of one RESULT document as a plain list of named values, for messages that know nothing of
 * segments or boxes: FHIR Observations and HL7 OBX segments. */
#ifndef LAMINA_DAEMON_FINDINGS_LIST_H
#define LAMINA_DAEMON_FINDINGS_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lam_listed_finding {
    const json_t *code; /* {scheme, value, meaning} of what was found or measured; NULL: none */
    const char *label;
    bool is_volume; /* the value is the volume of what `code` names, else a number about it */
    double value;
    const char *unit; /* UCUM; "%" for probabilities */
} lam_listed_finding;

/* Calls `visit` for each. What a document lacks or has in another shape is passed over. */
void lam_findings_list(const json_t *result, void (*visit)(void *context, const lam_listed_finding *finding),
                       void *context);

#endif
