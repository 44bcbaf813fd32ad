/* pool: the largest value or the mean of a window, each channel by itself. global_pool: the same over whole
 * axes, which are then gone. Padding never counts: a mean divides by the positions inside (as Keras does). */
#include <math.h>
#include <string.h>

#include "core/rnn/layers/kinds.h"
#include "core/rnn/layers/patches.h"
#include "core/rnn/options.h"

static const char *const functions[] = {"max", "average", NULL};

/* ---- pool ---- */

struct pool_options {
    lam_window window;
    bool average;
};

static lam_status pool_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                             lam_error *err)
{
    const struct pool_options *options = layer->options;
    char text[LAM_SHAPE_TEXT];
    lam_shape result = *in[0];
    for (int i = 0; i < options->window.axes; i++) {
        result.dim[1 + i] =
            lam_window_extent(&options->window, 3 - options->window.axes + i, in[0]->dim[1 + i]);
        if (result.dim[1 + i] < 1)
            return lam_fail(err, LAM_E_INVALID, "an input of shape %s is smaller than the window",
                            lam_shape_text(in[0], text));
    }
    *out = result;
    return LAM_OK;
}

static lam_status pool_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct pool_options *options = layer->options;
    int function;
    lam_status status;
    if ((status = lam_window_read(layer, json, 2, 0, &options->window, err)) ||
        (status = lam_options_choice(json, "function", functions, 0, &function, err)))
        return status;
    options->average = function == 1;
    for (int i = 0; i < options->window.axes; i++) {
        int axis = 3 - options->window.axes + i;
        if (2 * options->window.padding[axis] > options->window.kernel[axis])
            return lam_fail(err, LAM_E_INVALID, "`padding` must be at most half the kernel");
        if (layer->out.shape.dim[1 + i])
            layer->out.shape.dim[1 + i] =
                lam_window_extent(&options->window, axis, layer->out.shape.dim[1 + i]);
    }
    return LAM_OK;
}

/* Calls back for every value inside the window of output row `row`: its offset in the image. */
typedef void visit_function(void *context, int64_t offset);

static int64_t visit(const struct pool_options *options, const lam_grid *in, const lam_grid *out, int64_t row,
                     visit_function *function, void *context)
{
    const lam_window *w = &options->window;
    lam_window_view view = lam_window_at(w, in, out, row);
    int64_t count = 0;
    for (int64_t z = view.begin[0]; z < view.end[0]; z++)
        for (int64_t y = view.begin[1]; y < view.end[1]; y++)
            for (int64_t x = view.begin[2]; x < view.end[2]; x++, count++) {
                int64_t plane = view.batch * in->size[0] + view.origin[0] + z * w->dilation[0];
                int64_t line = plane * in->size[1] + view.origin[1] + y * w->dilation[1];
                function(context, (line * in->size[2] + view.origin[2] + x * w->dilation[2]) * in->channels);
            }
    return count;
}

/* One output row while it is computed, forward or back. */
struct window_job {
    bool average;
    int64_t channels;
    const float *in;
    float *out;          /* forward */
    const float *y, *dy; /* back: the row's result and gradient */
    float *d_in;
    float share; /* of the mean */
    bool *taken; /* max: the first of equal values gets the gradient */
};

static void take(void *context, int64_t offset)
{
    struct window_job *job = context;
    const float *x = job->in + offset;
    for (int64_t c = 0; c < job->channels; c++)
        job->out[c] = job->average ? job->out[c] + x[c] : x[c] > job->out[c] ? x[c] : job->out[c];
}

static void give(void *context, int64_t offset)
{
    struct window_job *job = context;
    for (int64_t c = 0; c < job->channels; c++) {
        if (job->average) {
            job->d_in[offset + c] += job->share * job->dy[c];
        } else if (!job->taken[c] && job->in[offset + c] == job->y[c]) {
            job->d_in[offset + c] += job->dy[c];
            job->taken[c] = true;
        }
    }
}

static void count_only(void *context, int64_t offset)
{
    (void)context, (void)offset;
}

static void pool_measure(const lam_layer *layer, const void *packed, const lam_shape *const *in,
                         const lam_shape *out, lam_mode mode, const lam_pool *pool, lam_layer_needs *needs)
{
    (void)layer, (void)packed, (void)in, (void)mode, (void)pool;
    needs->backward = (size_t)lam_shape_channels(out) * sizeof(bool);
}

static void pool_forward(const lam_layer_run *run)
{
    const struct pool_options *options = run->layer->options;
    lam_grid in = lam_grid_of(run->in_shape[0]), out = lam_grid_of(run->out_shape);
    int64_t rows = lam_shape_rows(run->out_shape);
    struct window_job job = {
        .average = options->average, .channels = in.channels, .in = run->in[0], .out = run->out};
    for (int64_t r = 0; r < rows; r++, job.out += in.channels) {
        for (int64_t c = 0; c < in.channels; c++)
            job.out[c] = options->average ? 0 : -INFINITY;
        float share = 1 / (float)visit(options, &in, &out, r, take, &job);
        for (int64_t c = 0; c < in.channels && options->average; c++)
            job.out[c] *= share;
    }
}

static void pool_backward(const lam_layer_run *run)
{
    const struct pool_options *options = run->layer->options;
    lam_grid in = lam_grid_of(run->in_shape[0]), out = lam_grid_of(run->out_shape);
    if (!run->d_in[0])
        return;
    struct window_job job = {.average = options->average,
                             .channels = in.channels,
                             .in = run->in[0],
                             .y = run->out,
                             .dy = run->d_out,
                             .d_in = run->d_in[0],
                             .taken = run->scratch};
    memset(run->d_in[0], 0, (size_t)lam_shape_count(run->in_shape[0]) * sizeof(float));
    for (int64_t r = 0; r < lam_shape_rows(run->out_shape);
         r++, job.y += in.channels, job.dy += in.channels) {
        job.share = 1 / (float)visit(options, &in, &out, r, count_only, NULL);
        memset(job.taken, 0, (size_t)in.channels * sizeof(bool));
        visit(options, &in, &out, r, give, &job);
    }
}

static const char *const pool_members[] = {"function", "kernel", "stride", "padding", NULL};

const lam_layer_kind lam_layer_pool = {
    .name = "pool",
    .members = pool_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct pool_options),
    .setup = pool_setup,
    .shape = pool_shape,
    .measure = pool_measure,
    .forward = pool_forward,
    .backward = pool_backward,
};

/* ---- global_pool ---- */

struct global_options {
    bool average;
    int kept; /* the first axes that stay; those after them are pooled */
};

static lam_status global_setup(lam_layer *layer, const lam_jv *json, lam_error *err)
{
    struct global_options *options = layer->options;
    int function;
    lam_status status;
    if ((status = lam_layer_read_over(layer, json, &options->kept, err)) ||
        (status = lam_options_choice(json, "function", functions, 1, &function, err)))
        return status;
    options->average = function == 1;
    lam_shape *out = &layer->out.shape;
    out->dim[options->kept + 1] = lam_shape_channels(out);
    out->rank = options->kept + 2;
    return LAM_OK;
}

static lam_status global_shape(const lam_layer *layer, const lam_shape *const *in, lam_shape *out,
                               lam_error *err)
{
    const struct global_options *options = layer->options;
    (void)err;
    lam_shape result = *in[0];
    result.dim[options->kept + 1] = lam_shape_channels(in[0]);
    result.rank = options->kept + 2;
    *out = result;
    return LAM_OK;
}

static void global_forward(const lam_layer_run *run)
{
    const struct global_options *options = run->layer->options;
    int64_t groups = lam_shape_rows(run->out_shape), members = lam_shape_rows(run->in_shape[0]) / groups;
    int64_t channels = lam_shape_channels(run->out_shape);
    for (int64_t g = 0; g < groups; g++) {
        float *out = run->out + g * channels;
        const float *x = run->in[0] + g * members * channels;
        memcpy(out, x, (size_t)channels * sizeof *out);
        for (int64_t m = 1; m < members; m++)
            for (int64_t c = 0; c < channels; c++) {
                float value = x[m * channels + c];
                out[c] = options->average ? out[c] + value : value > out[c] ? value : out[c];
            }
        for (int64_t c = 0; c < channels && options->average; c++)
            out[c] /= (float)members;
    }
}

static void global_backward(const lam_layer_run *run)
{
    const struct global_options *options = run->layer->options;
    int64_t groups = lam_shape_rows(run->out_shape), members = lam_shape_rows(run->in_shape[0]) / groups;
    int64_t channels = lam_shape_channels(run->out_shape);
    if (!run->d_in[0])
        return;
    for (int64_t g = 0; g < groups; g++) {
        const float *x = run->in[0] + g * members * channels, *y = run->out + g * channels;
        float *dy = run->d_out + g * channels, *dx = run->d_in[0] + g * members * channels;
        for (int64_t m = 0; m < members; m++)
            for (int64_t c = 0; c < channels; c++) {
                bool largest = x[m * channels + c] == y[c];
                dx[m * channels + c] = options->average ? dy[c] / (float)members : largest ? dy[c] : 0;
                if (!options->average && largest)
                    dy[c] = 0; /* the first of equal values gets it */
            }
    }
}

static const char *const global_members[] = {"function", "over", NULL};

const lam_layer_kind lam_layer_global_pool = {
    .name = "global_pool",
    .members = global_members,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .options_size = sizeof(struct global_options),
    .setup = global_setup,
    .shape = global_shape,
    .forward = global_forward,
    .backward = global_backward,
};
