/* What the rules of validate.c share with their checks of geometry (validate_geometry.c) and of documents
 * (validate_content.c). Internal. */
#ifndef LAMINA_DICOM_VALIDATE_RULES_H
#define LAMINA_DICOM_VALIDATE_RULES_H

#include "dicom/validate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_validation {
    lam_dataset *object;
    lam_dataset *const *sources;
    size_t source_count;
    lam_problem_heard *heard;
    void *context;
    size_t count;
} lam_validation;

typedef struct lam_rule_name {
    lam_tag tag;
    const char *attribute, *clause;
} lam_rule_name;

/* Tells a problem with the attribute. */
void lam_validate_tell(lam_validation *v, const lam_rule_name *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool lam_validate_full(const lam_validation *v);

/* Each looks at one thing and tells what is wrong with it. */
void lam_validate_pixels(lam_validation *v);
void lam_validate_segments(lam_validation *v);
void lam_validate_frames(lam_validation *v);
void lam_validate_planes(lam_validation *v);
void lam_validate_against_source(lam_validation *v);
void lam_validate_content(lam_validation *v);
void lam_validate_presentation(lam_validation *v);

#ifdef __cplusplus
}
#endif
#endif
