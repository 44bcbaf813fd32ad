/* The packed dense layer of gemm.h. */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/forms.h"
#include "core/rnn/kernels/gemm.h"

enum { ROWS_A_TASK = 96, SIZE_MAX_DENSE = 1 << 20 };

struct lam_dense {
    const lam_forms *forms;
    lam_packed weights;
    float *bias; /* [outputs] */
};

lam_status lam_dense_create(size_t outputs, size_t inputs, const float *w, const float *bias,
                            lam_dense **dense, lam_error *err)
{
    if (outputs == 0 || inputs == 0 || outputs > SIZE_MAX_DENSE || inputs > SIZE_MAX_DENSE || !w)
        return lam_fail(err, LAM_E_INVALID,
                        "a dense layer of %zu x %zu weights is not possible: sizes are 1 to %d", outputs,
                        inputs, SIZE_MAX_DENSE);
    lam_dense *made = calloc(1, sizeof *made);
    if (!made)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a dense layer");
    made->forms = lam_forms_get();
    lam_status status = lam_packed_init(&made->weights, made->forms->lanes, 1, outputs, inputs,
                                        made->forms->product_width, err);
    if (status == LAM_OK && !(made->bias = lam_floats(outputs)))
        status = lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu biases", outputs);
    if (status != LAM_OK) {
        lam_dense_free(made);
        return status;
    }
    lam_dense_update(made, w, bias);
    *dense = made;
    return LAM_OK;
}

void lam_dense_free(lam_dense *dense)
{
    if (!dense)
        return;
    lam_packed_done(&dense->weights);
    free(dense->bias);
    free(dense);
}

void lam_dense_update(lam_dense *dense, const float *w, const float *bias)
{
    size_t inputs = dense->weights.depth, outputs = dense->weights.units;
    lam_packed_fill(&dense->weights, dense->forms->lanes, 0, inputs, (lam_pack_source){w, inputs, 1});
    if (bias)
        memcpy(dense->bias, bias, outputs * sizeof *bias);
    else
        memset(dense->bias, 0, outputs * sizeof *bias);
}

typedef struct dense_job {
    const lam_dense *dense;
    size_t rows;
    lam_matrix_in x;
    bool add;
    lam_dense_end end;
    lam_matrix y;
} dense_job;

static void add_bias(const lam_dense *dense, size_t rows, float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r++)
        dense->forms->axpy(dense->weights.units, 1.0f, dense->bias, y + r * stride);
}

static void dense_rows(void *context, size_t task, size_t worker)
{
    const dense_job *job = context;
    const lam_dense *dense = job->dense;
    size_t first = task * ROWS_A_TASK,
           rows = job->rows - first < ROWS_A_TASK ? job->rows - first : ROWS_A_TASK;
    float *y = job->y.data + first * job->y.stride;
    lam_product product = {.weights = &dense->weights,
                           .rows = rows,
                           .a = job->x.data + first * job->x.stride,
                           .lda = job->x.stride,
                           .init = job->add ? y : dense->bias,
                           .ldi = job->add ? job->y.stride : 0,
                           .init_units = dense->weights.units,
                           .out = y,
                           .ldo = job->y.stride,
                           .out_units = dense->weights.units,
                           .relu = job->end == LAM_DENSE_RELU};
    (void)worker;
    if (job->add)
        add_bias(dense, rows, y, job->y.stride);
    dense->forms->product(&product);
}

void lam_dense_forward(const lam_dense *dense, size_t rows, lam_matrix_in x, bool add, lam_dense_end end,
                       lam_matrix y, lam_pool *pool)
{
    dense_job job = {dense, rows, x, add, end, y};
    lam_pool_run(pool, (rows + ROWS_A_TASK - 1) / ROWS_A_TASK, dense_rows, &job);
}
