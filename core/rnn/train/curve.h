/* The training curve: one row an epoch, as CSV and as a picture. Internal to the training side of core/rnn.
 */
#ifndef LAMINA_RNN_TRAIN_CURVE_H
#define LAMINA_RNN_TRAIN_CURVE_H

#include "core/base/buffer.h"

typedef struct lam_curve_row {
    double epoch, loss, norm, rate, metric; /* metric NaN: not validated */
} lam_curve_row;

typedef struct lam_curve {
    lam_curve_row *rows;
    size_t count, room;
} lam_curve;

void lam_curve_done(lam_curve *curve);
lam_status lam_curve_add(lam_curve *curve, const lam_curve_row *row, lam_error *err);
/* Appends the rows of a CSV text; LAM_E_CORRUPT. */
lam_status lam_curve_read(lam_curve *curve, const char *csv, lam_error *err);
void lam_curve_csv(const lam_curve *curve, const char *metric, lam_buffer *out);
/* Loss and metric over epochs. */
void lam_curve_svg(const lam_curve *curve, const char *metric, lam_buffer *out);

#endif
