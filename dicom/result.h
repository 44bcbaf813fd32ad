/* What all result objects share: who made them from what, their UIDs, and the modules that say whose they
 * are. Patient, study and frame of reference are copied from the source as they are written there (promise
 * 7). */
#ifndef LAMINA_DICOM_RESULT_H
#define LAMINA_DICOM_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uid.h"
#include "dicom/dataset.h"
#include "dicom/findings.h"
#include "dicom/profile.h"
#include "dicom/series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The installation that produced the result; the four attributes of Enhanced General Equipment (PS3.3
 * C.7.5.2). */
typedef struct lam_device {
    const char *manufacturer, *model_name, *serial, *software;
} lam_device;

typedef struct lam_algorithm {
    const char *name, *version, *weights_sha256;
    const char *title;    /* for people */
    const char *seg_form; /* that it prefers (lam_profile_prefer); may be NULL */
} lam_algorithm;

/* Everything a result is made from; all borrowed. */
typedef struct lam_result {
    lam_series *series;
    const char *input_set; /* hash of the SOP instance UIDs that went in */
    lam_device device;
    lam_algorithm algorithm;
    lam_findings findings;
    const float *voxels; /* [z, y, x]: the images, for objects that show them; NULL: none */
    const char *notice;  /* what pictures and outlines say on every slice; NULL: "not for diagnosis" */
    lam_profile profile;
    lam_profile_choices choices; /* lam_profile_choose(profile), unless a bundle or a site asks for other */
    struct {
        const char *series_uid, *sop_uid;
    } predecessor;   /* the report that this one replaces, as when more images arrived; NULL: none */
    int64_t made_ms; /* wall clock; the only thing that may differ between two runs */
} lam_result;

/* The UID of a part of the result, by its role ("SEG", "SEG series", "segment 1"): a function of source
 * series, input set, model, profile and form of segmentation (promise 5). What is found keeps its UID in
 * every profile: roles that begin with a small letter do not depend on it. */
void lam_result_uid(const lam_result *result, const char *role, char uid[LAM_UID_TEXT]);
/* The UID that tracks a finding ("segment", "detection", "answer") and its number, the same in every object
 * and profile. */
void lam_result_tracking_uid(const lam_result *result, const char *what, int number, char uid[LAM_UID_TEXT]);

/* The number of segment `index` in objects, from 1 without gaps; 0 where the profile leaves it out because it
 * has no voxels. When none has any, all are kept. */
int lam_result_segment_number(const lam_result *result, size_t index);

/* The notice, printable ASCII. */
const char *lam_result_notice(const lam_result *result);

/* The UID of the device that computed: another for every version and every weights of a model. */
void lam_result_device_uid(const lam_result *result, char uid[LAM_UID_TEXT]);

/* Starts an object: SOP common, patient, study, series, frame of reference, equipment, contributing
 * equipment. The SOP instance and series UIDs are those of roles `kind` and "`kind` series". */
typedef struct lam_result_kind {
    const char *kind; /* "SEG" */
    const char *sop_class;
    int series_offset; /* added to a thousand times the source's series number */
    const char *series_description;
    const char *modality; /* NULL: `kind` is one */
} lam_result_kind;
void lam_result_begin(const lam_result *result, const lam_result_kind *kind, lam_dataset *out);

/* Text with everything but printable ASCII replaced, cut to `most` characters. `out` has room for most + 1.
 */
const char *lam_result_ascii(const char *text, size_t most, char *out);

/* Code sequence item `sequence` of `dataset`; nothing for a code without value. */
void lam_result_code(lam_dataset *dataset, lam_tag sequence, lam_code code);

/* Referenced SOP class and instance into an item. */
void lam_result_reference(lam_dataset *item, const char *sop_class, const char *sop_instance);

/* Calls `each` once for every object that went in, phase by phase in the order of slices. */
void lam_result_each_source(const lam_result *result, void (*each)(lam_dataset *source, void *context),
                            void *context);

/* A Referenced Series Sequence of all of them; `instances` is the sequence that lists the objects of one. */
void lam_result_add_sources(const lam_result *result, lam_tag instances, lam_dataset *out);

/* When the result was made, as YYYYMMDD and HHMMSS.FFFFFF: in the zone of the source's Timezone Offset From
 * UTC, which holds for all of an object that has it, else in local time. */
void lam_result_date(const lam_result *result, char date[16], char time[16]);

#ifdef __cplusplus
}
#endif
#endif
