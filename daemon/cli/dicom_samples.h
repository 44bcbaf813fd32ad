/* Folders of DICOM as samples for `lamina train` and `lamina eval`: each series that the model's selector
 * wants and that somebody drew into (segmentation objects) or reported on (structured reports), brought into
 * the network's axes and spacing as the worker does it. The samples become a set in memory
 * (core/rnn/train/samples.h says its layout), so that training knows no DICOM and no image is written to a
 * disk. */
#ifndef LAMINA_CLI_DICOM_SAMPLES_H
#define LAMINA_CLI_DICOM_SAMPLES_H

#include "core/base/cleanup.h"
#include "core/base/status.h"

/* A set in memory, which can be opened by its path as long as this lives. */
typedef struct lam_dicom_set {
    int fd;
    char path[32];
} lam_dicom_set;

#define LAM_DICOM_SET_NONE ((lam_dicom_set){-1, ""})

void lam_dicom_set_done(lam_dicom_set *set);

/* Replaces what are folders among `paths` by one set of the samples in them, made for the model.json in
 * `bundle`; what are files stay. Series without a label are noted and counted on stderr. Errors name the
 * series: LAM_E_INVALID (labels that do not fit, dicom_labels.h; a series that the model cannot take),
 * LAM_E_NOT_FOUND (no labelled series), LAM_E_UNSUPPORTED (the task), LAM_E_NO_MEMORY, LAM_E_IO. */
lam_status lam_dicom_samples_replace(const char *bundle, const char **paths, size_t *count,
                                     lam_dicom_set *set, lam_error *err);

#endif
