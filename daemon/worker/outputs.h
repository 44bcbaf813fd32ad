/* The files of a finished job, by the names of messages.h: "SEG", "SR", "SC", "PR", "KO", "PM", "montage",
 * and behind "@" the profile that the variant is for, a form of segmentation other than the profile's, and
 * whether segmentations of bytes are run-length coded: "SEG@ohif", "SEG@strict+labelmap+rle". All objects of
 * a variant are asked for alike, as they refer to each other. */
#ifndef LAMINA_DAEMON_WORKER_OUTPUTS_H
#define LAMINA_DAEMON_WORKER_OUTPUTS_H

#include <stdbool.h>

#include "core/base/json.h"
#include "core/base/status.h"
#include "dicom/result.h"

/* Whether a segmentation in this form is among the outputs that `names` asks for. `preferred` is the model's
 * (lam_algorithm.seg_form). */
bool lam_outputs_want(const lam_jv *names, const char *preferred, lam_seg_form form);

/* Writes output `names[i]` into descriptor `fds[i]` (readable too, at its start) and appends the members
 * "objects" and "pictures" of DONE. An object that has nothing to hold, such as a SEG where nothing was
 * segmented, is left out. Errors: LAM_E_UNSUPPORTED (a name that is not known), and those of writing. */
lam_status lam_outputs_write(const lam_result *result, const lam_jv *names, const int *fds,
                             lam_json_writer *w, lam_error *err);

#endif
