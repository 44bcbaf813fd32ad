#include "core/rnn/train/loss.h"

#include <math.h>
#include <string.h>

#include "core/rnn/kernels/vecmath.h"

/* Probabilities below this count as this, so that a certain mistake costs much but not infinity. */
#define LEAST_PROBABILITY 1e-12f

/* One sample while its terms are summed. Terms add to `d`, the gradient with respect to the probabilities'
 * logits (or, when the network gives probabilities, with respect to these). */
struct sample {
    const lam_loss *loss;
    int64_t rows;
    int classes;
    const float *scores, *p; /* p: probabilities [rows, classes] */
    const uint8_t *labels;
    float *d;
};

static int label_of(const struct sample *s, int64_t row)
{
    return s->labels[row] < s->classes ? s->labels[row] : 0;
}

/* Adds the gradient of one row, given that with respect to its probabilities. */
static void add_row(const struct sample *s, int64_t row, const double *dp)
{
    const float *p = s->p + row * s->classes;
    float *d = s->d + row * s->classes;
    double dot = 0;
    if (!s->loss->probabilities)
        for (int c = 0; c < s->classes; c++)
            dot += p[c] * dp[c];
    for (int c = 0; c < s->classes; c++)
        d[c] += (float)(s->loss->probabilities ? dp[c] : p[c] * (dp[c] - dot));
}

/* Weight of a row: that of its class; and their sum. */
static double row_weight(const struct sample *s, int64_t row)
{
    return s->loss->weighted ? s->loss->class_weights[label_of(s, row)] : 1;
}

static double total_weight(const struct sample *s)
{
    if (!s->loss->weighted)
        return (double)s->rows;
    double sum = 0;
    for (int64_t r = 0; r < s->rows; r++)
        sum += row_weight(s, r);
    return sum > 0 ? sum : 1;
}

/* -Σ_c t_c·log p_c; on logits the gradient is p·Σt - t, without dividing by a small p. */
static double cross_entropy(const struct sample *s, const lam_loss_term *term, double scale)
{
    double total = total_weight(s), sum = 0, other = term->label_smoothing / s->classes;
    for (int64_t r = 0; r < s->rows; r++) {
        const float *p = s->p + r * s->classes;
        float *d = s->d + r * s->classes;
        int label = label_of(s, r);
        double weight = row_weight(s, r) / total;
        for (int c = 0; c < s->classes; c++) {
            double t = other + (c == label ? 1 - term->label_smoothing : 0);
            double q = p[c] > LEAST_PROBABILITY ? p[c] : LEAST_PROBABILITY;
            if (t > 0)
                sum -= weight * t * log(q);
            d[c] += (float)(scale * weight * (s->loss->probabilities ? -t / q : p[c] - t));
        }
    }
    return sum;
}

/* -w·(1-p)^γ·log p of the row's class. */
static double focal(const struct sample *s, const lam_loss_term *term, double scale)
{
    double total = total_weight(s), sum = 0, dp[256];
    memset(dp, 0, sizeof dp);
    for (int64_t r = 0; r < s->rows; r++) {
        int label = label_of(s, r);
        double p = s->p[r * s->classes + label], weight = row_weight(s, r) / total;
        p = p > LEAST_PROBABILITY ? p : LEAST_PROBABILITY;
        double rest = 1 - p > 0 ? 1 - p : 0, power = pow(rest, term->gamma);
        sum -= weight * power * log(p);
        double slope = rest > 0 ? term->gamma * power / rest * log(p) : 0;
        dp[label] = scale * weight * (slope - power / p);
        add_row(s, r, dp);
        dp[label] = 0;
    }
    return sum;
}

/* Soft Dice (Milletari 2016, in its first-power form) over the classes but the first. */
static double dice(const struct sample *s, double scale)
{
    double both[256] = {0}, sum_p[256] = {0}, sum_t[256] = {0}, loss = 0, dp[256] = {0};
    int foreground = s->classes - 1;
    if (foreground < 1)
        return 0;
    for (int64_t r = 0; r < s->rows; r++) {
        int label = label_of(s, r);
        for (int c = 1; c < s->classes; c++)
            sum_p[c] += s->p[r * s->classes + c];
        both[label] += s->p[r * s->classes + label];
        sum_t[label]++;
    }
    for (int c = 1; c < s->classes; c++)
        loss += (1 - (2 * both[c] + 1) / (sum_p[c] + sum_t[c] + 1)) / foreground;
    for (int64_t r = 0; r < s->rows; r++) {
        int label = label_of(s, r);
        for (int c = 1; c < s->classes; c++) {
            double below = sum_p[c] + sum_t[c] + 1;
            dp[c] = scale / foreground * ((2 * both[c] + 1) / (below * below) - (c == label ? 2 / below : 0));
        }
        add_row(s, r, dp);
    }
    return loss;
}

static double binary_cross_entropy(const struct sample *s, double scale)
{
    double sum = 0, weight = 1 / ((double)s->rows * s->classes);
    for (int64_t i = 0; i < s->rows * s->classes; i++) {
        double t = i % s->classes == label_of(s, i / s->classes), x = s->scores[i];
        if (s->loss->probabilities) {
            double q = fmin(fmax(x, LEAST_PROBABILITY), 1 - 1e-7);
            sum -= weight * (t * log(q) + (1 - t) * log(1 - q));
            s->d[i] += (float)(scale * weight * (q - t) / (q * (1 - q)));
        } else {
            sum += weight * (fmax(x, 0) - x * t + log1p(exp(-fabs(x))));
            s->d[i] += (float)(scale * weight * (1 / (1 + exp(-x)) - t));
        }
    }
    return sum;
}

double lam_loss_evaluate(const lam_loss *loss, int64_t rows, int classes, const float *scores,
                         const uint8_t *labels, double scale, float *gradient, float *scratch)
{
    size_t n = (size_t)classes;
    struct sample s = {loss, rows, classes, scores, scores, labels, gradient};
    double sum = 0;
    if (!loss->probabilities) {
        lam_softmax_rows((size_t)rows, n, (lam_matrix_in){scores, n}, (lam_matrix){scratch, n});
        s.p = scratch;
    }
    memset(gradient, 0, (size_t)rows * n * sizeof *gradient);
    for (int i = 0; i < loss->count; i++) {
        const lam_loss_term *term = &loss->terms[i];
        double weighted = scale * term->weight, value = 0;
        switch (term->kind) {
        case LAM_LOSS_CROSS_ENTROPY:
            value = cross_entropy(&s, term, weighted);
            break;
        case LAM_LOSS_BINARY_CROSS_ENTROPY:
            value = binary_cross_entropy(&s, weighted);
            break;
        case LAM_LOSS_FOCAL:
            value = focal(&s, term, weighted);
            break;
        case LAM_LOSS_DICE:
            value = dice(&s, weighted);
            break;
        }
        sum += term->weight * value;
    }
    return sum;
}
