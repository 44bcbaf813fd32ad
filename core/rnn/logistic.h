/* A pixel's distribution over 256 levels as a mixture of discretised logistics (Salimans, PixelCNN++, ICLR
 * 2017): the probability of a level is the mass of the mixture between the edges of its bin; the first and
 * the last bin reach to infinity, so the 256 sum to 1. Levels 0 … 255 lie at -1 … 1, bins are 2/255 wide.
 *
 * Scores of a pixel, K components: K logits of the weights, K means, K log scales (an offset of -2.5 is
 * added, the sum before it held to ±5, so that a fresh network starts broad). Pure functions, safe from any
 * thread. */
#ifndef LAMINA_RNN_LOGISTIC_H
#define LAMINA_RNN_LOGISTIC_H

#include "core/rnn/random.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_LOGISTIC_LEVELS = 256, LAM_LOGISTIC_MAX_COMPONENTS = 32 };

/* Where a level lies, -1 … 1. */
float lam_logistic_position(int level);

/* Negative log-likelihood of `level` (0 … 255) in nats. `gradient` [3·components] (NULL: not wanted) gets
 * scale × derivatives by the scores. components 1 … LAM_LOGISTIC_MAX_COMPONENTS. NaN scores give NaN. */
double lam_logistic_nll(int components, const float *scores, int level, double scale, float *gradient);

/* The probabilities of all levels. */
void lam_logistic_probabilities(int components, const float *scores,
                                double probabilities[LAM_LOGISTIC_LEVELS]);

/* Draws a level: a component by its weight, then the inverse of its distribution, with scales times
 * `temperature` (1: the distribution itself; less: closer to the means). Takes two numbers of `random`. */
int lam_logistic_draw(int components, const float *scores, double temperature, lam_random *random);

#ifdef __cplusplus
}
#endif
#endif
