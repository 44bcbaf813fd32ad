/* batch_norm and instance_norm: each channel normalised by its mean and variance over a group of positions:
 * all of them (Ioffe, Szegedy 2015), or those of one sample (Ulyanov 2016). Parameters: weight, bias
 * [channels]; batch_norm also running_mean, running_var [channels], which inference uses.
 *
 * The running statistics are not trained by descent: backward leaves (batch value - running value) in their
 * gradient, and the trainer moves them that way. */
#include <math.h>
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/options.h"

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VARIANCE };

struct moments_options {
    double epsilon;
    bool batch;
};

static lam_status read_options(lam_layer *layer, const lam_jv *json, bool batch, lam_error *err)
{
    struct moments_options *options = layer->options;
    int64_t channels = lam_shape_channels(&layer->in[0].shape);
    options->batch = batch;
    lam_layer_declare(layer, "weight", LAM_INIT_ONE, 0, 1, channels);
    lam_layer_declare(layer, "bias", LAM_INIT_ZERO, 0, 1, channels);
    if (batch) {
        int mean = lam_layer_declare(layer, "running_mean", LAM_INIT_ZERO, 0, 1, channels);
        int variance = lam_layer_declare(layer, "running_var", LAM_INIT_ONE, 0, 1, channels);
        layer->parameters[mean].statistic = layer->parameters[variance].statistic = true;
    }
    return lam_options_number(json, "epsilon", 1e-5, 1e-12, 1, &options->epsilon, err);
}

static lam_status batch_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    return read_options(layer, json, true, err);
}

static lam_status instance_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    return read_options(layer, json, false, err);
}

static int64_t group_count(const struct moments_options *options, const lam_shape *shape)
{
    return options->batch ? 1 : shape->dim[0];
}

/* Saved and scratch: mean and 1/deviation of each group and channel. */
static void measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                    const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    size_t values = (size_t)(group_count(layer->options, out) * lam_shape_channels(out)) * 2;
    (void)packed, (void)in, (void)mode, (void)pool;
    needs->saved = needs->forward = values * sizeof(float);
    needs->backward = (size_t)lam_shape_channels(out) * 2 * sizeof(double);
}

static void take_moments(const float *x, int64_t rows, int64_t channels, double epsilon, float *mean,
                         float *inverse)
{
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += x[r * channels + c];
        double middle = sum / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            squares += (x[r * channels + c] - middle) * (x[r * channels + c] - middle);
        mean[c] = (float)middle;
        inverse[c] = (float)(1 / sqrt(squares / (double)rows + epsilon));
    }
}

static void forward(const lam_layer_run *run)
{
    const struct moments_options *options = run->layer->options;
    int64_t channels = lam_shape_channels(run->out_shape), groups = group_count(options, run->out_shape);
    int64_t rows = lam_shape_rows(run->out_shape) / groups;
    float *moments = run->saved ? run->saved : run->scratch;
    for (int64_t g = 0; g < groups; g++) {
        const float *x = run->in[0] + g * rows * channels;
        float *y = run->out + g * rows * channels, *mean = moments + g * 2 * channels,
              *inverse = mean + channels;
        if (options->batch && !run->batch_statistics)
            for (int64_t c = 0; c < channels; c++) {
                mean[c] = run->parameters[RUNNING_MEAN][c];
                inverse[c] =
                    1 / sqrtf(fmaxf(run->parameters[RUNNING_VARIANCE][c], 0) + (float)options->epsilon);
            }
        else
            take_moments(x, rows, channels, options->epsilon, mean, inverse);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < channels; c++)
                y[r * channels + c] =
                    (x[r * channels + c] - mean[c]) * inverse[c] * run->parameters[WEIGHT][c] +
                    run->parameters[BIAS][c];
    }
}

/* What the batch says minus what is kept; the variance without bias, as PyTorch keeps it. */
static void move_statistics(const lam_layer_run *run, const float *mean, const float *inverse, int64_t rows)
{
    const struct moments_options *options = run->layer->options;
    double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    for (int64_t c = 0; c < lam_shape_channels(run->out_shape); c++) {
        double variance = (1 / ((double)inverse[c] * inverse[c]) - options->epsilon) * unbiased;
        run->d_parameters[RUNNING_MEAN][c] += mean[c] - run->parameters[RUNNING_MEAN][c];
        run->d_parameters[RUNNING_VARIANCE][c] += (float)(variance - run->parameters[RUNNING_VARIANCE][c]);
    }
}

static void backward(const lam_layer_run *run)
{
    const struct moments_options *options = run->layer->options;
    int64_t channels = lam_shape_channels(run->out_shape), groups = group_count(options, run->out_shape);
    int64_t rows = lam_shape_rows(run->out_shape) / groups;
    double *sum = run->scratch, *product = sum + channels;
    for (int64_t g = 0; g < groups; g++) {
        int64_t at = g * rows * channels;
        const float *mean = (const float *)run->saved + g * 2 * channels, *inverse = mean + channels;
        const float *x = run->in[0] + at, *dy = run->d_out + at;
        memset(sum, 0, (size_t)channels * 2 * sizeof *sum);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < channels; c++) {
                sum[c] += dy[r * channels + c];
                product[c] += dy[r * channels + c] * (x[r * channels + c] - mean[c]) * inverse[c];
            }
        /* the moments of the values themselves move with them; running statistics do not */
        double moving = options->batch && !run->batch_statistics ? 0 : 1 / (double)rows;
        for (int64_t r = 0; r < rows && run->d_in[0]; r++)
            for (int64_t c = 0; c < channels; c++) {
                double normal = (x[r * channels + c] - mean[c]) * inverse[c];
                run->d_in[0][at + r * channels + c] =
                    (float)(run->parameters[WEIGHT][c] * inverse[c] *
                            (dy[r * channels + c] - (sum[c] + normal * product[c]) * moving));
            }
        for (int64_t c = 0; c < channels; c++) {
            run->d_parameters[WEIGHT][c] += (float)product[c];
            run->d_parameters[BIAS][c] += (float)sum[c];
        }
        if (options->batch && run->batch_statistics)
            move_statistics(run, mean, inverse, rows);
    }
}

static const char *const members[] = {"epsilon", NULL};

const lam_layer_kind lam_layer_batch_norm = {
    .name = "batch_norm",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct moments_options),
    .setup = batch_setup,
    .measure = measure,
    .forward = forward,
    .backward = backward,
};

const lam_layer_kind lam_layer_instance_norm = {
    .name = "instance_norm",
    .members = members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct moments_options),
    .setup = instance_setup,
    .measure = measure,
    .forward = forward,
    .backward = backward,
};
