/* DICOM files and folders on the command line: which objects there are, sorted into series, and whether a
 * model wants a series. */
#ifndef LAMINA_CLI_DICOM_FILES_H
#define LAMINA_CLI_DICOM_FILES_H

#include "core/base/cleanup.h"
#include "core/base/sha256.h"
#include "core/base/uid.h"
#include "core/rnn/manifest.h"
#include "dicom/series.h"

typedef enum lam_dicom_kind {
    LAM_DICOM_IMAGE,
    LAM_DICOM_SEGMENTATION,
    LAM_DICOM_REPORT, /* structured */
} lam_dicom_kind;

typedef struct lam_dicom_file {
    char *path;
    lam_dicom_kind kind;
    char series_uid[LAM_UID_TEXT], study_uid[LAM_UID_TEXT], sop_uid[LAM_UID_TEXT];
    uint8_t patient[LAM_SHA256_BYTES]; /* hash of PatientID and its issuer, else of the study */
} lam_dicom_file;

typedef struct lam_dicom_files {
    lam_dicom_file *items; /* by SeriesInstanceUID, within it by SOPInstanceUID */
    size_t count, capacity;
} lam_dicom_files;

/* Looks at all files among `paths` (NULL-terminated) and in folders there. What is not DICOM, or
 * a copy of another file, is passed over with a note on stderr, what is neither image nor report without one.
 */
lam_status lam_dicom_files_find(char *const *paths, lam_dicom_files *out, lam_error *err);
void lam_dicom_files_done(lam_dicom_files *files);

/* The index after the last file of the series that begins at `first`. */
size_t lam_dicom_files_end(const lam_dicom_files *files, size_t first);

/* Reads the files of one series. */
lam_status lam_dicom_files_read(const lam_dicom_file *files, size_t count, lam_series **out, lam_error *err);

/* LAM_OK when a selector (a model's, or that of one of its roles) wants series of such images;
 * LAM_E_NOT_FOUND with the reason when not. LAM_E_INVALID: the selector itself is wrong. */
lam_status lam_dicom_files_select(const lam_model_selector *selector, lam_dataset *header, lam_error *err);

#endif
