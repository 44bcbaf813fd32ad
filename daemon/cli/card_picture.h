/* A picture of a case as a model answers it: the image, what is true in white, the answer in colour. For the
 * failures in a bundle's card. */
#ifndef LAMINA_CLI_CARD_PICTURE_H
#define LAMINA_CLI_CARD_PICTURE_H

#include "core/base/buffer.h"
#include "core/rnn/predict.h"
#include "core/rnn/train/samples.h"

/* Appends a PNG: of several slices the one where truth and answer differ most. `members` answer together.
 * LAM_E_UNSUPPORTED for tasks without a picture. */
lam_status lam_card_picture_draw(const lam_manifest *manifest, const lam_weights *const *members,
                                 size_t member_count, const lam_sample *sample, const double spacing_mm[3],
                                 lam_buffer *png, lam_error *err);

#endif
