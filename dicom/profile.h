/* How result objects differ for who reads them. The standard leaves choices, and viewers contradict each
 * other in what they expect; each difference is one row of the table in profile.c, with its reason. */
#ifndef LAMINA_DICOM_PROFILE_H
#define LAMINA_DICOM_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_profile {
    LAM_PROFILE_STRICT, /* what the standard says, nothing else; what is stored in the study */
    LAM_PROFILE_OHIF,
    LAM_PROFILE_SLICER,
    LAM_PROFILE_COUNT
} lam_profile;

/* "strict", "ohif", "slicer"; never NULL. */
const char *lam_profile_name(lam_profile profile);
/* False, and *out untouched, for another word. */
bool lam_profile_find(const char *name, lam_profile *out);

typedef enum lam_seg_form {
    LAM_SEG_BINARY,      /* a bit a voxel, a frame a segment and slice */
    LAM_SEG_OCCUPANCY,   /* FRACTIONAL, OCCUPANCY, 0 or 1 in 8 bits */
    LAM_SEG_PROBABILITY, /* FRACTIONAL, PROBABILITY, 0 to 255 */
    LAM_SEG_LABELMAP,    /* Label Map Segmentation (Sup 243), a frame a slice */
} lam_seg_form;

/* "binary", "occupancy", "probability", "labelmap"; never NULL. */
const char *lam_seg_form_name(lam_seg_form form);
bool lam_seg_form_find(const char *name, lam_seg_form *out);

/* The choices of a profile; what each decides is written at its row. */
typedef struct lam_profile_choices {
    lam_seg_form seg_form;
    bool form_is_open; /* a model may prefer another */
    bool empty_frames;
    bool empty_segments;
    bool region_contours;
} lam_profile_choices;

lam_profile_choices lam_profile_choose(lam_profile profile);

/* Takes the form that a model prefers, by its name, where the profile leaves it open. NULL, "" and a word
 * that names no form change nothing. */
void lam_profile_prefer(lam_profile_choices *choices, const char *form);

/* The table, for documents and tests. */
typedef struct lam_profile_row {
    const char *choice;                    /* a field of lam_profile_choices, or a rule that holds for all */
    const char *values[LAM_PROFILE_COUNT]; /* as text */
    const char *reason;
} lam_profile_row;
const lam_profile_row *lam_profile_rows(size_t *count);

#ifdef __cplusplus
}
#endif
#endif
