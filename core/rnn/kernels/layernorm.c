/* Layer normalisation over rows, split into fixed blocks. */
#include "core/rnn/kernels/layernorm.h"

#include <string.h>

#include "core/rnn/kernels/forms.h"

enum { ROWS_A_TASK = 256, CHANNELS_A_TASK = 64 };

typedef struct norm_job {
    const lam_forms *forms;
    size_t rows, channels;
    lam_matrix_in x, dy;
    const float *gamma, *beta, *stats_in;
    float epsilon;
    lam_matrix y;
    float *stats, *dgamma, *dbeta;
} norm_job;

static size_t rows_end(const norm_job *job, size_t task)
{
    return job->rows < (task + 1) * ROWS_A_TASK ? job->rows : (task + 1) * ROWS_A_TASK;
}

static void norm_rows(void *context, size_t task, size_t worker)
{
    const norm_job *job = context;
    (void)worker;
    for (size_t r = task * ROWS_A_TASK; r < rows_end(job, task); r++)
        job->forms->norm(job->channels, job->x.data + r * job->x.stride, job->gamma, job->beta, job->epsilon,
                         job->y.data + r * job->y.stride, job->stats ? job->stats + 2 * r : NULL);
}

void lam_layernorm_forward(size_t rows, size_t channels, lam_matrix_in x, const float *gamma,
                           const float *beta, float epsilon, lam_matrix y, float *stats, lam_pool *pool)
{
    norm_job job = {.forms = lam_forms_get(),
                    .rows = rows,
                    .channels = channels,
                    .x = x,
                    .gamma = gamma,
                    .beta = beta,
                    .epsilon = epsilon,
                    .y = y,
                    .stats = stats};
    lam_pool_run(pool, (rows + ROWS_A_TASK - 1) / ROWS_A_TASK, norm_rows, &job);
}

static void norm_back_rows(void *context, size_t task, size_t worker)
{
    const norm_job *job = context;
    (void)worker;
    for (size_t r = task * ROWS_A_TASK; r < rows_end(job, task); r++)
        job->forms->norm_back(job->channels, job->x.data + r * job->x.stride, job->gamma,
                              job->stats_in + 2 * r, job->dy.data + r * job->dy.stride,
                              job->y.data + r * job->y.stride);
}

/* Parameter gradients of some channels over all rows, before dx may overwrite dy. */
static void norm_back_channels(void *context, size_t task, size_t worker)
{
    const norm_job *job = context;
    size_t first = task * CHANNELS_A_TASK;
    size_t n = job->channels - first < CHANNELS_A_TASK ? job->channels - first : CHANNELS_A_TASK;
    (void)worker;
    job->forms->norm_back_sums(job->rows, n, job->x.data + first, job->x.stride, job->stats_in,
                               job->dy.data + first, job->dy.stride, job->dgamma ? job->dgamma + first : NULL,
                               job->dbeta ? job->dbeta + first : NULL);
}

void lam_layernorm_backward(size_t rows, size_t channels, lam_matrix_in x, const float *gamma,
                            const float *stats, lam_matrix_in dy, lam_matrix dx, float *dgamma, float *dbeta,
                            lam_pool *pool)
{
    norm_job job = {.forms = lam_forms_get(),
                    .rows = rows,
                    .channels = channels,
                    .x = x,
                    .dy = dy,
                    .gamma = gamma,
                    .stats_in = stats,
                    .y = dx,
                    .dgamma = dgamma,
                    .dbeta = dbeta};
    if (dgamma || dbeta)
        lam_pool_run(pool, (channels + CHANNELS_A_TASK - 1) / CHANNELS_A_TASK, norm_back_channels, &job);
    lam_pool_run(pool, (rows + ROWS_A_TASK - 1) / ROWS_A_TASK, norm_back_rows, &job);
}
