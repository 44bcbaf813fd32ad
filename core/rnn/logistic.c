#include "core/rnn/logistic.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define HALF_BIN     (1.0 / 255)
#define SCALE_OFFSET (-2.5)
#define SCALE_LIMIT  5.0

/* One component as its scores say it. */
struct component {
    double log_weight, mean, log_scale;
    bool held; /* the scale does not follow its score */
};

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* log(1 + exp(x)) without overflow. */
static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static void read_scores(int components, const float *scores, struct component *out)
{
    double highest = scores[0], sum = 0;
    for (int k = 1; k < components; k++)
        highest = scores[k] > highest ? scores[k] : highest;
    for (int k = 0; k < components; k++)
        sum += exp(scores[k] - highest);
    for (int k = 0; k < components; k++) {
        double scale = scores[2 * components + k];
        out[k] =
            (struct component){.log_weight = scores[k] - highest - log(sum), .mean = scores[components + k]};
        out[k].held = fabs(scale) >= SCALE_LIMIT;
        out[k].log_scale = (scale > SCALE_LIMIT    ? SCALE_LIMIT
                            : scale < -SCALE_LIMIT ? -SCALE_LIMIT
                                                   : scale) +
                           SCALE_OFFSET;
    }
}

float lam_logistic_position(int level)
{
    return (float)level / 127.5f - 1;
}

/* log of a component's mass in a level's bin; derivatives by mean and log scale.
 *
 * Between edges at a > b (in scales from the mean): σ(a) - σ(b) = σ(a)·σ(-b)·(1 - exp(b - a)), whose
 * logarithm is exact far out in either tail, where the difference itself is lost. */
static double log_mass(const struct component *c, int level, double *by_mean, double *by_scale)
{
    double inverse = exp(-c->log_scale), x = (double)level / 127.5 - 1 - c->mean;
    double a = (x + HALF_BIN) * inverse, b = (x - HALF_BIN) * inverse, width = 2 * HALF_BIN * inverse;
    bool first = level == 0, last = level == LAM_LOGISTIC_LEVELS - 1;
    double result = 0;
    *by_mean = *by_scale = 0;
    if (!last) {
        result -= softplus(-a);
        *by_mean -= sigmoid(-a) * inverse;
        *by_scale -= sigmoid(-a) * a;
    }
    if (!first) {
        result -= softplus(b);
        *by_mean += sigmoid(b) * inverse;
        *by_scale += sigmoid(b) * b;
    }
    if (!first && !last) {
        result += log(-expm1(-width));
        *by_scale -= width / expm1(width);
    }
    return result;
}

double lam_logistic_nll(int components, const float *scores, int level, double scale, float *gradient)
{
    struct component c[LAM_LOGISTIC_MAX_COMPONENTS];
    double joint[LAM_LOGISTIC_MAX_COMPONENTS], by_mean[LAM_LOGISTIC_MAX_COMPONENTS];
    double by_scale[LAM_LOGISTIC_MAX_COMPONENTS], highest = -INFINITY, sum = 0;
    assert(components >= 1 && components <= LAM_LOGISTIC_MAX_COMPONENTS);
    read_scores(components, scores, c);
    for (int k = 0; k < components; k++) {
        joint[k] = c[k].log_weight + log_mass(&c[k], level, &by_mean[k], &by_scale[k]);
        highest = joint[k] > highest || isnan(joint[k]) ? joint[k] : highest;
    }
    for (int k = 0; k < components; k++)
        sum += exp(joint[k] - highest);
    for (int k = 0; k < components && gradient; k++) {
        double share = exp(joint[k] - highest) / sum; /* that this component made the pixel */
        gradient[k] = (float)(scale * (exp(c[k].log_weight) - share));
        gradient[components + k] = (float)(-scale * share * by_mean[k]);
        gradient[2 * components + k] = c[k].held ? 0 : (float)(-scale * share * by_scale[k]);
    }
    return -(highest + log(sum));
}

void lam_logistic_probabilities(int components, const float *scores,
                                double probabilities[LAM_LOGISTIC_LEVELS])
{
    for (int level = 0; level < LAM_LOGISTIC_LEVELS; level++)
        probabilities[level] = exp(-lam_logistic_nll(components, scores, level, 0, NULL));
}

int lam_logistic_draw(int components, const float *scores, double temperature, lam_random *random)
{
    struct component c[LAM_LOGISTIC_MAX_COMPONENTS] = {{0}};
    double pick = lam_random_uniform(random);
    double u = ((double)lam_random_uniform(random) * 0x1p24 + 0.5) / 0x1p24; /* inside 0 … 1 */
    int k = 0;
    read_scores(components, scores, c);
    while (k < components - 1 && pick >= exp(c[k].log_weight))
        pick -= exp(c[k++].log_weight);
    double x = c[k].mean + temperature * exp(c[k].log_scale) * log(u / (1 - u));
    double level = floor((x + 1) * 127.5 + 0.5);
    return level > 0 ? level < LAM_LOGISTIC_LEVELS - 1 ? (int)level : LAM_LOGISTIC_LEVELS - 1 : 0;
}
