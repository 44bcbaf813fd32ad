#include "core/rnn/train/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/vecmath.h"
#include "core/rnn/options.h"

/* Probabilities below this count as this, so that a certain mistake costs much but not infinity. */
#define LEAST_PROBABILITY 1e-12f

/* One sample while its terms are summed. Terms add to `d`, the gradient with respect to the probabilities'
 * logits (or, when the network gives probabilities, with respect to these). */
struct sample {
    const lam_loss *loss;
    int64_t slices, rows;
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
static double dice(const struct sample *s, const lam_loss_term *term, double scale)
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
        loss += (1 - (2 * both[c] + term->smooth) / (sum_p[c] + sum_t[c] + term->smooth)) / foreground;
    for (int64_t r = 0; r < s->rows; r++) {
        int label = label_of(s, r);
        for (int c = 1; c < s->classes; c++) {
            double below = sum_p[c] + sum_t[c] + term->smooth;
            dp[c] = scale / foreground *
                    ((2 * both[c] + term->smooth) / (below * below) - (c == label ? 2 / below : 0));
        }
        add_row(s, r, dp);
    }
    return loss;
}

static double dice_slices(const struct sample *s, const lam_loss_term *term, double scale)
{
    int64_t rows = s->rows / s->slices;
    double sum = 0, share = 1 / (double)s->slices;
    for (int64_t i = 0; i < s->slices; i++) {
        int64_t at = i * rows * s->classes;
        struct sample slice = *s;
        slice.rows = rows;
        slice.scores += at;
        slice.p += at;
        slice.d += at;
        slice.labels += i * rows;
        sum += share * dice(&slice, term, scale * share);
    }
    return sum;
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

double lam_loss_evaluate(const lam_loss *loss, int64_t slices, int64_t rows, int classes, const float *scores,
                         const uint8_t *labels, double scale, float *gradient, float *scratch)
{
    size_t n = (size_t)classes;
    struct sample s = {loss, slices, rows, classes, scores, scores, labels, gradient};
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
            value = dice(&s, term, weighted);
            break;
        case LAM_LOSS_DICE_SLICES:
            value = dice_slices(&s, term, weighted);
            break;
        }
        sum += term->weight * value;
    }
    return sum;
}

/* ---- from the manifest ---- */

static lam_status read_term(const lam_jv *value, lam_loss_term *out, lam_error *err)
{
    static const char *const members[] = {"kind", "weight", "label_smoothing", "gamma", "smooth", NULL};
    static const char *const kinds[] = {"cross_entropy", "binary_cross_entropy", "focal",
                                        "dice",          "dice_slices",          NULL};
    int kind;
    lam_status status;
    if ((status = lam_options_only(value, members, err)) ||
        (status = lam_options_choice(value, "kind", kinds, -1, &kind, err)) ||
        (status = lam_options_number(value, "weight", 1, 0, 1e6, &out->weight, err)) ||
        (status = lam_options_number(value, "label_smoothing", 0, 0, 0.9, &out->label_smoothing, err)) ||
        (status = lam_options_number(value, "smooth", 1, 1e-6, 1e6, &out->smooth, err)) ||
        (status = lam_options_number(value, "gamma", 2, 0, 10, &out->gamma, err)))
        return status;
    out->kind = (lam_loss_kind)kind;
    return LAM_OK;
}

static lam_status read_class_weights(const lam_jv *parent, size_t classes, lam_loss *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "class_weights");
    if (!list)
        return LAM_OK;
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || lam_jv_count(list) != classes || classes > LAM_MAX_LOSS_CLASSES)
        return lam_fail(err, LAM_E_INVALID,
                        "`class_weights` must be a list of %zu numbers, one a class (at most %d)", classes,
                        LAM_MAX_LOSS_CLASSES);
    for (size_t i = 0; i < classes; i++) {
        double weight = lam_jv_number(lam_jv_at(list, i), -1);
        if (!(weight >= 0 && weight <= 1e6))
            return lam_fail(err, LAM_E_INVALID, "`class_weights` must be numbers from 0 to 1e6");
        out->class_weights[i] = (float)weight;
    }
    out->weighted = true;
    return LAM_OK;
}

static lam_status read_loss(const lam_jv *parent, size_t classes, lam_loss *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(parent, "loss");
    size_t count = lam_jv_count(list);
    if (!list) {
        out->terms[0] = (lam_loss_term){.kind = LAM_LOSS_CROSS_ENTROPY, .weight = 1};
        out->count = 1;
        return read_class_weights(parent, classes, out, err);
    }
    if (!lam_jv_is(list, LAM_JSON_ARRAY) || count < 1 || count > LAM_MAX_LOSS_TERMS)
        return lam_fail(err, LAM_E_INVALID, "`loss` must be a list of 1 to %d terms", LAM_MAX_LOSS_TERMS);
    for (size_t i = 0; i < count; i++) {
        lam_status status = read_term(lam_jv_at(list, i), &out->terms[out->count++], err);
        if (status) {
            lam_error_prefix(err, "`loss[%zu]`", i);
            return status;
        }
    }
    return read_class_weights(parent, classes, out, err);
}

lam_status lam_loss_parse(const lam_manifest *manifest, size_t classes, lam_loss *out, lam_error *err)
{
    lam_loss loss = {0};
    lam_status status = read_loss(manifest->training, classes, &loss, err);
    if (status)
        lam_error_prefix(err, "model.json: `training`");
    else
        *out = loss;
    return status;
}

/* ---- as a task's criterion ---- */

lam_status lam_loss_create(const lam_manifest *manifest, const lam_network *network, void **out,
                           lam_error *err)
{
    lam_autofree lam_loss *loss = calloc(1, sizeof *loss);
    int64_t classes = lam_network_output_channels(network);
    if (!loss)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (classes > 256)
        return lam_fail(err, LAM_E_LIMIT, "networks of more than 256 classes cannot be trained");
    lam_status status = lam_loss_parse(manifest, (size_t)classes, loss, err);
    if (status)
        return status;
    loss->probabilities = lam_network_gives_probabilities(network);
    *out = LAM_TAKE_PTR(loss);
    return LAM_OK;
}

void lam_loss_free(void *loss)
{
    free(loss);
}

double lam_loss_run(const void *loss, const lam_loss_case *at)
{
    const lam_shape *shape = at->shape;
    int classes = (int)shape->dim[shape->rank - 1];
    int64_t rows = lam_shape_count(shape) / classes, slices = shape->rank > 3 ? shape->dim[1] : 1;
    uint8_t label = (uint8_t)at->truth->label;
    return lam_loss_evaluate(loss, slices, rows, classes, at->scores,
                             at->truth->map ? at->truth->map : &label, at->scale, at->gradient, at->scratch);
}
