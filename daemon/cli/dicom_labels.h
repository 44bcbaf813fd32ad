/* What people said of a series, as a model's labels: segmentation objects become its label map, structured
 * reports its class. Reading DICOM is dicom/'s; here the names of the one are matched to those of the other.
 */
#ifndef LAMINA_CLI_DICOM_LABELS_H
#define LAMINA_CLI_DICOM_LABELS_H

#include "core/rnn/manifest.h"
#include "daemon/cli/dicom_files.h"
#include "dicom/geometry.h"

/* Draws the segmentation objects `files` into `labels`, [z, y, x] of the series' grid, all 0 before: numbers
 * of the manifest's segments. A drawn segment is the manifest's of the same coded type, modifier and anatomy,
 * where several have these or none has, the one of the same label or name. LAM_E_INVALID, with the object's
 * UID: a segment that is none of the model's, one that two objects draw, another grid. What is not drawn at
 * all, and voxels that two segments claim (the greater number gets them), are noted on stderr. */
lam_status lam_dicom_labels_draw(const lam_manifest *manifest, const lam_dicom_file *const *files,
                                 size_t count, const lam_grid *grid, uint8_t *labels, lam_error *err);

/* The class that the coded items of the reports `files` name: by code, or by a meaning that is a class's
 * label or name. LAM_E_INVALID: none, or two different ones. */
lam_status lam_dicom_labels_class(const lam_manifest *manifest, const lam_dicom_file *const *files,
                                  size_t count, size_t *out, lam_error *err);

#endif
