/* The rules that viewers and archives need of a result object: presence and values of attributes, how the
 * parts of an object agree, and, with its source at hand, whether it lies where the source lies. Each rule
 * names its attribute and clause. General validators (dciodvfy) see neither a wrong frame of reference nor
 * reversed slices; these rules do. */
#ifndef LAMINA_DICOM_VALIDATE_H
#define LAMINA_DICOM_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "dicom/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_problem {
    lam_tag tag;
    const char *attribute; /* keyword */
    const char *clause;    /* "PS3.3 C.7.4.1" */
    char message[200];     /* what is wrong, for people */
} lam_problem;

/* Hears each problem, in the order of the rules. */
typedef void lam_problem_heard(void *context, const lam_problem *problem);

/* Checks `object` (LAM_DATASET_WHOLE, or the pixel rules fail) and, where `source_count` is not 0, its
 * geometry and identity against headers of the images it was made from. Returns the number of problems; after
 * 100 it stops. Data sets are only read. */
size_t lam_validate(lam_dataset *object, lam_dataset *const *sources, size_t source_count,
                    lam_problem_heard *heard, void *context);

#ifdef __cplusplus
}
#endif
#endif
