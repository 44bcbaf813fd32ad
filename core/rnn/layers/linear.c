#include "core/rnn/layers/linear.h"

#include <stdlib.h>

static void transpose(lam_linear *linear, const float *w)
{
    for (size_t o = 0; o < linear->outputs; o++)
        for (size_t i = 0; i < linear->inputs; i++)
            linear->transposed[i * linear->outputs + o] = w[o * linear->inputs + i];
}

lam_status lam_linear_init(lam_linear *linear, size_t outputs, size_t inputs, const float *w,
                           const float *bias, lam_error *err)
{
    lam_linear made = {.outputs = outputs, .inputs = inputs};
    made.transposed = malloc(outputs * inputs * sizeof *made.transposed);
    if (!made.transposed)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    transpose(&made, w);
    lam_status status = lam_dense_create(outputs, inputs, w, bias, &made.forward, err);
    if (status == LAM_OK)
        status = lam_dense_create(inputs, outputs, made.transposed, NULL, &made.back, err);
    if (status)
        lam_linear_done(&made);
    else
        *linear = made;
    return status;
}

void lam_linear_done(lam_linear *linear)
{
    lam_dense_free(linear->forward);
    lam_dense_free(linear->back);
    free(linear->transposed);
    *linear = (lam_linear){0};
}

void lam_linear_update(lam_linear *linear, const float *w, const float *bias)
{
    transpose(linear, w);
    lam_dense_update(linear->forward, w, bias);
    lam_dense_update(linear->back, linear->transposed, NULL);
}

void lam_linear_back(const lam_linear *linear, size_t rows, const float *dy, bool add, float *dx,
                     lam_pool *pool)
{
    lam_dense_forward(linear->back, rows, (lam_matrix_in){dy, linear->outputs}, add, LAM_DENSE_LINEAR,
                      (lam_matrix){dx, linear->inputs}, pool);
}

lam_status lam_linear_pack(const lam_layer *layer, const float *const *parameters, void **packed,
                           lam_error *err)
{
    const lam_shape *shape = &layer->parameters[0].shape;
    lam_linear *linear = calloc(1, sizeof *linear);
    if (!linear)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_linear_init(linear, (size_t)shape->dim[0], (size_t)shape->dim[1], parameters[0],
                                        parameters[1], err);
    if (status)
        free(linear);
    else
        *packed = linear;
    return status;
}

void lam_linear_repack(const lam_layer *layer, const float *const *parameters, void *packed)
{
    (void)layer;
    lam_linear_update(packed, parameters[0], parameters[1]);
}

void lam_linear_discard(void *packed)
{
    lam_linear_done(packed);
    free(packed);
}
