#include "core/rnn/layer.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "core/rnn/layers/kinds.h"

static const lam_layer_kind *const kinds[] = {
    &lam_layer_dense,         &lam_layer_conv,           &lam_layer_conv_transpose,
    &lam_layer_depthwise,     &lam_layer_layer_norm,     &lam_layer_batch_norm,
    &lam_layer_instance_norm, &lam_layer_sweep,          &lam_layer_pool,
    &lam_layer_global_pool,   &lam_layer_attention_pool, &lam_layer_dropout,
    &lam_layer_activation,    &lam_layer_softmax,        &lam_layer_add,
    &lam_layer_concat,        &lam_layer_depth_to_space, &lam_layer_space_to_depth,
    &lam_layer_upsample,      &lam_layer_slice,          &lam_layer_transpose,
    &lam_layer_merge,         &lam_layer_shift,          &lam_layer_conv_lstm,
    &lam_layer_norm_lstm,
};

const lam_layer_kind *lam_layer_find_kind(const char *name)
{
    for (size_t i = 0; i < LAM_COUNT(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

const lam_layer_kind *lam_layer_kind_at(size_t index)
{
    return index < LAM_COUNT(kinds) ? kinds[index] : NULL;
}

int lam_layer_declare(lam_layer *layer, const char *name, lam_init init, double scale, int rank, ...)
{
    assert(layer->parameter_count < LAM_MAX_LAYER_PARAMETERS && rank <= LAM_MAX_RANK);
    lam_parameter_spec *spec = &layer->parameters[layer->parameter_count];
    *spec = (lam_parameter_spec){.name = name, .shape.rank = rank, .init = init, .scale = scale};
    va_list arguments;
    va_start(arguments, rank);
    for (int i = 0; i < rank; i++)
        spec->shape.dim[i] = va_arg(arguments, int64_t);
    va_end(arguments);
    return layer->parameter_count++;
}

lam_reach lam_layer_reach_here(const lam_layer *layer, int axis)
{
    bool channels = axis == layer->in[0].shape.rank - 2;
    return channels ? (lam_reach){-LAM_REACH_END, LAM_REACH_END} : (lam_reach){0, 0};
}

int64_t lam_shape_rows(const lam_shape *shape)
{
    int64_t rows = 1;
    for (int i = 0; i < shape->rank - 1; i++)
        rows *= shape->dim[i];
    return rows;
}

int64_t lam_shape_channels(const lam_shape *shape)
{
    return shape->dim[shape->rank - 1];
}

int lam_signature_axis(const lam_signature *signature, const char *name, size_t length)
{
    for (int i = 0; i < signature->shape.rank - 2; i++)
        if (strlen(signature->axis[i]) == length && memcmp(signature->axis[i], name, length) == 0)
            return i;
    return -1;
}

lam_status lam_layer_read_over(const lam_layer *layer, const lam_jv *json, int *kept, lam_error *err)
{
    const lam_jv *list = lam_jv_get(json, "over");
    int axes = layer->in[0].shape.rank - 2, count = list ? (int)lam_jv_count(list) : axes;
    if (count < 1 || count > axes)
        return lam_fail(err, LAM_E_INVALID, "`over` must name 1 to %d axes", axes);
    for (int i = 0; i < count && list; i++) {
        const char *name = lam_jv_text(lam_jv_at(list, (size_t)i), "");
        if (lam_signature_axis(&layer->in[0], name, strlen(name)) != axes - count + i)
            return lam_fail(err, LAM_E_INVALID, "`over` must name the last axes in their order");
    }
    *kept = axes - count;
    return LAM_OK;
}

lam_grid lam_grid_of(const lam_shape *shape)
{
    lam_grid grid = {.batch = shape->dim[0], .size = {1, 1, 1}, .channels = lam_shape_channels(shape)};
    int axes = shape->rank - 2;
    for (int i = 0; i < axes; i++)
        grid.size[3 - axes + i] = shape->dim[1 + i];
    return grid;
}
