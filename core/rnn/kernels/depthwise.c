/* Depthwise convolution: rows of outputs over the pool; weight gradients by kernel slice and channels. */
#include "core/rnn/kernels/depthwise.h"

#include "core/rnn/kernels/forms.h"

typedef struct depthwise_job {
    const lam_forms *forms;
    const lam_depthwise *shape;
    const float *x, *dy, *w, *bias;
    bool add_input, mirror;
    float *y, *dw;
} depthwise_job;

static size_t sample_size(const lam_depthwise *s)
{
    return s->depth * s->height * s->width * s->channels;
}

/* A task is one slice (sample, z). */
static void depthwise_slice(void *context, size_t task, size_t worker)
{
    const depthwise_job *job = context;
    const lam_depthwise *s = job->shape;
    size_t sample = task / s->depth * sample_size(s), z = task % s->depth;
    (void)worker;
    for (size_t y = 0; y < s->height; y++)
        job->forms->depthwise(s, z, y, job->x + sample, job->w, job->bias, job->add_input, job->mirror,
                              job->y + sample);
}

void lam_depthwise_forward(const lam_depthwise *shape, const float *x, const float *w, const float *bias,
                           bool add_input, float *y, lam_pool *pool)
{
    depthwise_job job = {.forms = lam_forms_get(),
                         .shape = shape,
                         .x = x,
                         .w = w,
                         .bias = bias,
                         .add_input = add_input,
                         .y = y};
    lam_pool_run(pool, shape->batch * shape->depth, depthwise_slice, &job);
}

void lam_depthwise_backward_input(const lam_depthwise *shape, const float *dy, const float *w, bool add_input,
                                  float *dx, lam_pool *pool)
{
    depthwise_job job = {.forms = lam_forms_get(),
                         .shape = shape,
                         .x = dy,
                         .w = w,
                         .add_input = add_input,
                         .mirror = true,
                         .y = dx};
    lam_pool_run(pool, shape->batch * shape->depth, depthwise_slice, &job);
}

/* A task is one kernel slice (tap z) for one vector of channels, all samples in order. */
static void depthwise_slice_weights(void *context, size_t task, size_t worker)
{
    const depthwise_job *job = context;
    const lam_depthwise *s = job->shape;
    size_t lanes = job->forms->lanes, first = task / s->kernel_depth * lanes;
    size_t count = s->channels - first < lanes ? s->channels - first : lanes;
    (void)worker;
    for (size_t b = 0; b < s->batch; b++)
        job->forms->depthwise_weights(s, first, count, task % s->kernel_depth, job->x + b * sample_size(s),
                                      job->dy + b * sample_size(s), job->dw);
}

void lam_depthwise_backward_weights(const lam_depthwise *shape, const float *x, const float *dy, float *dw,
                                    float *dbias, lam_pool *pool)
{
    depthwise_job job = {.forms = lam_forms_get(), .shape = shape, .x = x, .dy = dy, .dw = dw};
    size_t vectors = (shape->channels + job.forms->lanes - 1) / job.forms->lanes;
    lam_pool_run(pool, vectors * shape->kernel_depth, depthwise_slice_weights, &job);
    if (dbias)
        lam_gemm_add_columns(sample_size(shape) / shape->channels * shape->batch, shape->channels,
                             (lam_matrix_in){dy, shape->channels}, dbias, pool);
}
