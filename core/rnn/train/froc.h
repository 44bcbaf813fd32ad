/* The free-response operating characteristic of a detector as a picture: which share of the objects is found
 * at how many false boxes an image (Bunch et al. 1978), with its confidence interval. */
#ifndef LAMINA_RNN_TRAIN_FROC_H
#define LAMINA_RNN_TRAIN_FROC_H

#include <stdbool.h>

#include "core/base/buffer.h"
#include "core/rnn/train/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether there are scores "froc.RATE". */
bool lam_froc_measured(const lam_scores *scores);
/* Appends an SVG of them. */
void lam_froc_svg(const lam_scores *scores, lam_buffer *out);

#ifdef __cplusplus
}
#endif
#endif
