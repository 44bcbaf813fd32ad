/* Named numbers that say how good a model is, with confidence intervals. */
#ifndef LAMINA_RNN_TRAIN_SCORES_H
#define LAMINA_RNN_TRAIN_SCORES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_MAX_SCORES = 1024, LAM_SCORE_NAME = 96 };

typedef struct lam_score {
    char name[LAM_SCORE_NAME]; /* "dice_mean", "dice.anterior", "hd95_mm.anterior", "accuracy", "auc", … */
    double value;
    double low, high; /* 95 % confidence interval; NaN where none was asked for */
} lam_score;

typedef struct lam_scores {
    lam_score items[LAM_MAX_SCORES];
    size_t count;
} lam_scores;

/* NaN when there is none of that name. */
double lam_scores_get(const lam_scores *scores, const char *name);

/* Appends NAME or NAME.PART (`part` "": none); past LAM_MAX_SCORES nothing. The interval is NaN. */
void lam_scores_add(lam_scores *scores, double value, const char *name, const char *part);

#ifdef __cplusplus
}
#endif
#endif
