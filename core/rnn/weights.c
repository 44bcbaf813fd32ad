/* Parameters: drawing, loading, saving, and what layers derive from them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/layer.h"
#include "core/rnn/random.h"

enum { DATA_ALIGNMENT = 64 };

void lam_weights_free(lam_weights *weights)
{
    if (!weights)
        return;
    for (int i = 0; weights->packed && i < weights->network->layer_count; i++)
        if (weights->packed[i])
            weights->network->layers[i].kind->discard(weights->packed[i]);
    free(weights->packed);
    free(weights->data);
    free(weights);
}

static lam_status allocate(const lam_network *network, lam_weights **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_weights) *weights = calloc(1, sizeof *weights);
    if (!weights)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    size_t bytes =
        ((size_t)network->floats * sizeof(float) + DATA_ALIGNMENT) / DATA_ALIGNMENT * DATA_ALIGNMENT;
    weights->network = network;
    weights->packed = calloc((size_t)network->layer_count, sizeof weights->packed[0]);
    weights->data = aligned_alloc(DATA_ALIGNMENT, bytes);
    if (!weights->packed || !weights->data)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memset(weights->data, 0, bytes);
    *out = LAM_TAKE_PTR(weights);
    return LAM_OK;
}

static void parameters_of(const lam_weights *weights, const lam_layer *layer,
                          const float *parameters[LAM_MAX_LAYER_PARAMETERS])
{
    for (int p = 0; p < layer->parameter_count; p++)
        parameters[p] =
            weights->data + weights->network->parameters[layer->first_parameter + (size_t)p].offset;
}

static lam_status pack(lam_weights *weights, lam_error *err)
{
    for (int i = 0; i < weights->network->layer_count; i++) {
        const lam_layer *layer = &weights->network->layers[i];
        const float *parameters[LAM_MAX_LAYER_PARAMETERS] = {0};
        if (!layer->kind->pack)
            continue;
        parameters_of(weights, layer, parameters);
        lam_status status = layer->kind->pack(layer, parameters, &weights->packed[i], err);
        if (status) {
            lam_error_prefix(err, "layer %s", layer->name);
            return status;
        }
    }
    return LAM_OK;
}

void lam_weights_refresh(lam_weights *weights)
{
    for (int i = 0; i < weights->network->layer_count; i++) {
        const lam_layer *layer = &weights->network->layers[i];
        const float *parameters[LAM_MAX_LAYER_PARAMETERS] = {0};
        if (!weights->packed[i])
            continue;
        parameters_of(weights, layer, parameters);
        layer->kind->repack(layer, parameters, weights->packed[i]);
    }
}

const lam_network *lam_weights_network(const lam_weights *weights)
{
    return weights->network;
}

float *lam_weights_data(lam_weights *weights)
{
    return weights->data;
}

const float *lam_weights_view(const lam_weights *weights)
{
    return weights->data;
}

/* ---- drawing ---- */

/* Gram and Schmidt over normal rows; a square block of each `columns` rows. */
static void draw_orthogonal(lam_random *random, int64_t rows, int64_t columns, double scale, float *data)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = data + r * columns;
        int64_t block = r / columns * columns;
        double norm = 0;
        while (norm < 1e-6) {
            for (int64_t c = 0; c < columns; c++)
                row[c] = lam_random_normal(random);
            for (int64_t q = block; q < r; q++) {
                const float *other = data + q * columns;
                double dot = 0;
                for (int64_t c = 0; c < columns; c++)
                    dot += (double)row[c] * other[c];
                for (int64_t c = 0; c < columns; c++)
                    row[c] -= (float)(dot / (scale * scale)) * other[c];
            }
            norm = 0;
            for (int64_t c = 0; c < columns; c++)
                norm += (double)row[c] * row[c];
        }
        for (int64_t c = 0; c < columns; c++)
            row[c] *= (float)(scale / sqrt(norm));
    }
}

static void draw(const lam_parameter_spec *spec, lam_random *random, int64_t count, float *data)
{
    int64_t columns = spec->shape.dim[spec->shape.rank - 1];
    if (spec->init == LAM_INIT_ORTHOGONAL) {
        draw_orthogonal(random, count / columns, columns, spec->scale, data);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        switch (spec->init) {
        case LAM_INIT_ONE:
            data[i] = 1;
            break;
        case LAM_INIT_UNIFORM:
            data[i] = (float)spec->scale * (2 * lam_random_uniform(random) - 1);
            break;
        case LAM_INIT_NORMAL:
            data[i] = (float)spec->scale * lam_random_normal(random);
            break;
        case LAM_INIT_FORGET:
            data[i] = i % columns / (columns / 4) == 1;
            break;
        default:
            data[i] = 0;
        }
}

lam_status lam_weights_create(const lam_network *network, uint64_t seed, lam_weights **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    lam_status status = allocate(network, &weights, err);
    if (status)
        return status;
    for (size_t i = 0; i < network->parameter_count; i++) {
        const lam_parameter *parameter = &network->parameters[i];
        const lam_layer *layer = &network->layers[parameter->layer];
        lam_random random = lam_random_stream(seed, i, 0);
        draw(&layer->parameters[i - layer->first_parameter], &random, parameter->count,
             weights->data + parameter->offset);
    }
    if ((status = pack(weights, err)))
        return status;
    *out = LAM_TAKE_PTR(weights);
    return LAM_OK;
}

/* ---- files ---- */

enum { MEMBER_NAME = LAM_MAX_NAME + 24 };

static const char *member_name(const lam_parameter *parameter, int member, int members,
                               char name[MEMBER_NAME])
{
    if (members == 1)
        return parameter->name;
    snprintf(name, MEMBER_NAME, "member.%d.%s", member, parameter->name);
    return name;
}

static lam_status check_parameter(const lam_parameter *parameter, const char *name,
                                  const lam_safetensors *file, lam_error *err)
{
    char want[LAM_SHAPE_TEXT], have[LAM_SHAPE_TEXT];
    const lam_tensor *tensor = lam_safetensors_find(file, name);
    if (!tensor)
        return lam_fail(err, LAM_E_INVALID, "weights: the tensor '%s' is missing", name);
    if (tensor->dtype != LAM_DTYPE_F32 || !lam_shape_equal(&tensor->shape, &parameter->shape))
        return lam_fail(err, LAM_E_INVALID, "weights: '%s' is %s %s, the network needs F32 %s", name,
                        lam_dtype_name(tensor->dtype), lam_shape_text(&tensor->shape, have),
                        lam_shape_text(&parameter->shape, want));
    for (int64_t i = 0; i < parameter->count; i++)
        if (!isfinite(((const float *)tensor->data)[i]))
            return lam_fail(err, LAM_E_INVALID, "weights: '%s' holds a value that is not finite", name);
    return LAM_OK;
}

/* As many tensors as parameters and each parameter found: then one more is superfluous. */
static lam_status check_superfluous(const lam_network *network, const lam_safetensors *file, int members,
                                    lam_error *err)
{
    char name[MEMBER_NAME];
    for (size_t i = 0; i < lam_safetensors_count(file); i++) {
        const char *found = lam_safetensors_at(file, i)->name;
        bool known = false;
        for (int m = 0; m < members && !known; m++)
            for (size_t p = 0; p < network->parameter_count && !known; p++)
                known = strcmp(member_name(&network->parameters[p], m, members, name), found) == 0;
        if (!known)
            return lam_fail(err, LAM_E_INVALID, "weights: the network has no parameter '%.96s'", found);
    }
    return LAM_OK;
}

/* Memory is taken once the file has been seen to hold what fills it. */
lam_status lam_weights_load_member(const lam_network *network, const lam_safetensors *file, int member,
                                   int members, lam_weights **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_weights) *weights = NULL;
    char name[MEMBER_NAME];
    lam_status status = LAM_OK;
    for (size_t i = 0; i < network->parameter_count && status == LAM_OK; i++)
        status = check_parameter(&network->parameters[i],
                                 member_name(&network->parameters[i], member, members, name), file, err);
    if (status == LAM_OK && lam_safetensors_count(file) != network->parameter_count * (size_t)members)
        status = check_superfluous(network, file, members, err);
    if (status == LAM_OK)
        status = allocate(network, &weights, err);
    if (status)
        return status;
    for (size_t i = 0; i < network->parameter_count; i++) {
        const lam_parameter *parameter = &network->parameters[i];
        const lam_tensor *tensor = lam_safetensors_find(file, member_name(parameter, member, members, name));
        memcpy(weights->data + parameter->offset, tensor->data, tensor->bytes);
    }
    if ((status = pack(weights, err)))
        return status;
    *out = LAM_TAKE_PTR(weights);
    return LAM_OK;
}

lam_status lam_weights_load(const lam_network *network, const lam_safetensors *file, lam_weights **out,
                            lam_error *err)
{
    return lam_weights_load_member(network, file, 0, 1, out, err);
}

lam_status lam_weights_adopt(lam_weights *weights, const lam_safetensors *file, size_t *taken, lam_error *err)
{
    const lam_network *network = weights->network;
    *taken = 0;
    for (size_t i = 0; i < network->parameter_count; i++) {
        const lam_parameter *parameter = &network->parameters[i];
        const lam_tensor *tensor = lam_safetensors_find(file, parameter->name);
        if (!tensor || tensor->dtype != LAM_DTYPE_F32 || !lam_shape_equal(&tensor->shape, &parameter->shape))
            continue;
        lam_status status = check_parameter(parameter, parameter->name, file, err);
        if (status)
            return status;
        memcpy(weights->data + parameter->offset, tensor->data, tensor->bytes);
        ++*taken;
    }
    lam_weights_refresh(weights);
    return LAM_OK;
}

lam_status lam_weights_save(const lam_weights *const *members, size_t member_count, int fd,
                            const char *const (*metadata)[2], size_t metadata_count, lam_error *err)
{
    const lam_network *network = members[0]->network;
    size_t count = network->parameter_count * member_count;
    lam_autofree lam_tensor *tensors = calloc(count + 1, sizeof *tensors);
    lam_autofree char(*names)[MEMBER_NAME] = calloc(count + 1, sizeof *names);
    if (!tensors || !names)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        size_t member = i / network->parameter_count;
        const lam_parameter *parameter = &network->parameters[i % network->parameter_count];
        tensors[i] = (lam_tensor){.name = member_name(parameter, (int)member, (int)member_count, names[i]),
                                  .dtype = LAM_DTYPE_F32,
                                  .shape = parameter->shape,
                                  .data = members[member]->data + parameter->offset,
                                  .bytes = (size_t)parameter->count * sizeof(float)};
    }
    return lam_safetensors_write(fd, tensors, count, metadata, metadata_count, err);
}
