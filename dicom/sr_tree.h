/* Content items of structured reports (PS3.3 C.17.3): the tree, one call an item. What the items mean is in
 * sr.c. */
#ifndef LAMINA_DICOM_SR_TREE_H
#define LAMINA_DICOM_SR_TREE_H

#include "dicom/dataset.h"
#include "dicom/result.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_sr_relation {
    LAM_SR_CONTAINS,
    LAM_SR_HAS_CONCEPT_MOD,
    LAM_SR_HAS_OBS_CONTEXT,
    LAM_SR_HAS_ACQ_CONTEXT,
    LAM_SR_HAS_PROPERTIES,
    LAM_SR_SELECTED_FROM,
} lam_sr_relation;

/* Each appends a child to `parent` and returns it, for children of its own. A name without value is left out,
 * where the standard allows that (IMAGE). */
lam_dataset *lam_sr_container(lam_dataset *parent, lam_sr_relation relation, lam_code name,
                              const char *template_id);
lam_dataset *lam_sr_code(lam_dataset *parent, lam_sr_relation relation, lam_code name, lam_code value);
lam_dataset *lam_sr_text(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *text);
lam_dataset *lam_sr_uid(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *uid);
lam_dataset *lam_sr_number(lam_dataset *parent, lam_sr_relation relation, lam_code name, double number,
                           lam_code unit);
/* `segment` 0: the whole object. */
lam_dataset *lam_sr_image(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *sop_class,
                          const char *sop_instance, int segment);
/* One frame of an image: `frame` from 1; 0 where the object has one only. */
lam_dataset *lam_sr_image_frame(lam_dataset *parent, lam_sr_relation relation, lam_code name,
                                const char *sop_class, const char *sop_instance, int64_t frame);

/* Coordinates (PS3.3 C.18.6, C.18.9): `type` as POLYLINE or POLYGON; points are column, row pairs in pixels
 * from the top left corner of the image, or x, y, z triples in mm. An image that they are selected from is a
 * child of the former. At most LAM_SR_MAX_POINTS, as the attribute holds no more than 64 KiB. */
enum { LAM_SR_MAX_POINTS = 5000 };
lam_dataset *lam_sr_scoord(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *type,
                           const double *points, size_t count);
lam_dataset *lam_sr_scoord3d(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *type,
                             const double *points, size_t count, const char *frame_of_reference);

/* Makes a data set itself the root container. */
void lam_sr_root(lam_dataset *document, lam_code name, const char *template_id);

#ifdef __cplusplus
}
#endif
#endif
