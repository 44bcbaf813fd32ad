/* ONNX operators that rearrange: on placed values they mostly change what the dimensions mean, on constants
 * they are computed here (shapes that a network computes from its input's are constants to us). */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/import/onnx_graph.h"

static lam_status no_memory(lam_onnx_graph *g)
{
    return lam_graph_fail(g, LAM_E_NO_MEMORY, "out of memory, or a constant of more than 2^26 numbers");
}

static lam_status set_constant(lam_onnx_graph *g, const lam_onnx_tensor *value)
{
    return value ? lam_graph_set_constant(g, g->node->outputs[0], value) : no_memory(g);
}

/* The same numbers in another shape of as many. */
static lam_status set_reshaped(lam_onnx_graph *g, const lam_onnx_tensor *value, int rank, const int64_t *dim)
{
    lam_onnx_tensor *result = lam_onnx_allocate(g->model, 1, sizeof *result);
    if (!result)
        return no_memory(g);
    *result = *value;
    result->rank = rank;
    memcpy(result->dim, dim, (size_t)rank * sizeof dim[0]);
    return set_constant(g, result);
}

/* ---- what does nothing here ---- */

static lam_status convert_identity(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    lam_placed value;
    if (constant)
        return set_constant(g, constant);
    lam_status status = lam_graph_placed(g, 0, &value);
    return status ? status : lam_graph_set_placed(g, g->node->outputs[0], &value);
}

/* Exporters write padding of nothing before a pool. */
static lam_status convert_pad(lam_onnx_graph *g)
{
    const int64_t *pads;
    size_t count;
    lam_status status = lam_graph_integers(g, "pads", 1, &pads, &count);
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        if (pads[i] != 0)
            status = lam_graph_fail(g, LAM_E_UNSUPPORTED, "padding outside a convolution or a pool");
    return status ? status : convert_identity(g);
}

static lam_status convert_constant(lam_onnx_graph *g)
{
    const lam_onnx_attribute *value = lam_onnx_find(g->node, "value");
    const lam_onnx_attribute *one = lam_onnx_find(g->node, "value_int");
    const lam_onnx_attribute *list = lam_onnx_find(g->node, "value_ints");
    const int64_t *numbers = one ? &one->i : list ? list->ints : NULL;
    if (value && value->t)
        return set_constant(g, value->t);
    if (!numbers)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "it is neither a tensor nor integers");
    int64_t count = one ? 1 : (int64_t)list->int_count;
    lam_onnx_tensor *tensor = lam_graph_new_constant(g, true, one ? 0 : 1, &count);
    if (!tensor)
        return no_memory(g);
    memcpy(tensor->integers, numbers, (size_t)count * sizeof numbers[0]);
    return set_constant(g, tensor);
}

static lam_status convert_constant_of_shape(lam_onnx_graph *g)
{
    const lam_onnx_tensor *shape = lam_graph_constant(g, 0);
    const lam_onnx_attribute *value = lam_onnx_find(g->node, "value");
    if (!shape || !shape->integers || shape->count > LAM_ONNX_MAX_RANK)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its shape is not constant");
    bool integer = value && value->t && value->t->integers;
    lam_onnx_tensor *tensor = lam_graph_new_constant(g, integer, (int)shape->count, shape->integers);
    if (!tensor)
        return no_memory(g);
    for (int64_t i = 0; i < tensor->count && value && value->t && value->t->count == 1; i++)
        if (integer)
            tensor->integers[i] = value->t->integers[0];
        else
            tensor->floats[i] = value->t->floats[0];
    return set_constant(g, tensor);
}

static lam_status convert_shape(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    lam_placed value = {0};
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    if (status)
        return status;
    int64_t rank = constant ? constant->rank : value.rank;
    lam_onnx_tensor *shape = lam_graph_new_constant(g, true, 1, &rank);
    if (!shape)
        return no_memory(g);
    for (int i = 0; i < rank; i++)
        shape->integers[i] = constant ? constant->dim[i] : lam_dimension_size(&value, i);
    return set_constant(g, shape);
}

/* A constant repeated along dimensions of size 1: initial states, as exporters write them. */
static lam_status convert_expand(lam_onnx_graph *g)
{
    const lam_onnx_tensor *value = lam_graph_constant(g, 0), *shape = lam_graph_constant(g, 1);
    int64_t dim[LAM_ONNX_MAX_RANK] = {0}, have[LAM_ONNX_MAX_RANK] = {0};
    if (!value || !shape || !shape->integers || shape->count > LAM_ONNX_MAX_RANK)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "only constants can be expanded");
    int rank = shape->count > value->rank ? (int)shape->count : value->rank;
    for (int i = 0; i < rank; i++) {
        int own = i - (rank - value->rank), wanted = i - (rank - (int)shape->count);
        have[i] = own < 0 ? 1 : value->dim[own];
        dim[i] = wanted >= 0 && shape->integers[wanted] > have[i] ? shape->integers[wanted] : have[i];
        if (dim[i] < 1 || (have[i] != 1 && dim[i] != have[i]))
            return lam_graph_fail(g, LAM_E_INVALID, "its shape does not go with its input's");
    }
    lam_onnx_tensor *result = lam_graph_new_constant(g, value->integers, rank, dim);
    for (int64_t to = 0; result && to < result->count; to++) {
        int64_t rest = to, source = 0, step = 1;
        for (int i = rank - 1; i >= 0; i--) {
            source += have[i] == 1 || !dim[i] ? 0 : rest % dim[i] * step;
            rest /= dim[i] ? dim[i] : 1;
            step *= have[i];
        }
        if (value->integers)
            result->integers[to] = value->integers[source];
        else
            result->floats[to] = value->floats[source];
    }
    return set_constant(g, result);
}

/* ---- transpose ---- */

static lam_status transpose_constant(lam_onnx_graph *g, const lam_onnx_tensor *value, const int *from)
{
    int64_t dim[LAM_ONNX_MAX_RANK], stride[LAM_ONNX_MAX_RANK], step = 1;
    for (int i = value->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= value->dim[i];
    }
    for (int i = 0; i < value->rank; i++)
        dim[i] = value->dim[from[i]];
    lam_onnx_tensor *result = lam_graph_new_constant(g, value->integers, value->rank, dim);
    if (!result)
        return no_memory(g);
    for (int64_t to = 0; to < value->count; to++) {
        int64_t rest = to, source = 0;
        for (int i = value->rank - 1; i >= 0; i--) {
            source += rest % dim[i] * stride[from[i]];
            rest /= dim[i];
        }
        if (value->integers)
            result->integers[to] = value->integers[source];
        else
            result->floats[to] = value->floats[source];
    }
    return set_constant(g, result);
}

static lam_status read_permutation(lam_onnx_graph *g, int rank, int *from)
{
    const int64_t *list;
    size_t count;
    unsigned used = 0;
    lam_status status = lam_graph_integers(g, "perm", 0, &list, &count);
    if (status)
        return status;
    for (int i = 0; i < rank; i++) {
        from[i] = count ? (int)list[(size_t)i < count ? (size_t)i : 0] : rank - 1 - i;
        if ((count && count != (size_t)rank) || from[i] < 0 || from[i] >= rank || used >> from[i] & 1)
            return lam_graph_fail(g, LAM_E_INVALID, "`perm` is not an order of %d dimensions", rank);
        used |= 1u << from[i];
    }
    return LAM_OK;
}

static lam_status convert_transpose(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    int from[LAM_ONNX_MAX_RANK];
    lam_placed value, result;
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    if (status || (status = read_permutation(g, constant ? constant->rank : value.rank, from)))
        return status;
    if (constant)
        return transpose_constant(g, constant, from);
    result = value;
    for (int i = 0; i < value.rank; i++)
        result.dim[i] = value.dim[from[i]];
    return lam_graph_set_placed(g, g->node->outputs[0], &result);
}

/* ---- squeeze and unsqueeze ---- */

/* Marks the dimensions that `axes` name, of `rank`. */
static lam_status mark_axes(lam_onnx_graph *g, int rank, bool marks[LAM_ONNX_MAX_RANK], size_t *count)
{
    const int64_t *axes;
    lam_status status = lam_graph_integers(g, "axes", 1, &axes, count);
    for (size_t i = 0; i < *count && status == LAM_OK; i++) {
        int axis = 0;
        status = lam_graph_axis(g, axes[i], rank, &axis);
        if (status == LAM_OK && marks[axis])
            status = lam_graph_fail(g, LAM_E_INVALID, "it names axis %d twice", axis);
        if (status == LAM_OK)
            marks[axis] = true;
    }
    return status;
}

static lam_status convert_squeeze(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    bool marks[LAM_ONNX_MAX_RANK] = {false};
    int64_t dim[LAM_ONNX_MAX_RANK];
    size_t count;
    lam_placed value = {0}, result;
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    int rank = constant ? constant->rank : value.rank, kept = 0;
    if (status || (status = mark_axes(g, rank, marks, &count)))
        return status;
    result = value;
    for (int i = 0; i < rank; i++) {
        int64_t size = constant ? constant->dim[i] : lam_dimension_size(&value, i);
        bool gone = count ? marks[i] : size == 1;
        if (gone && size != 1)
            return lam_graph_fail(g, LAM_E_INVALID, "dimension %d of size %lld cannot be squeezed", i + 1,
                                  (long long)size);
        if (gone)
            continue;
        dim[kept] = size;
        if (!constant)
            result.dim[kept] = value.dim[i];
        kept++;
    }
    result.rank = kept;
    return constant ? set_reshaped(g, constant, kept, dim)
                    : lam_graph_set_placed(g, g->node->outputs[0], &result);
}

static lam_status convert_unsqueeze(lam_onnx_graph *g)
{
    static const lam_dimension nothing = {.count = 0};
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    const int64_t *axes;
    bool marks[LAM_ONNX_MAX_RANK] = {false};
    int64_t dim[LAM_ONNX_MAX_RANK];
    size_t count;
    lam_placed value = {0}, result;
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_integers(g, "axes", 1, &axes, &count)))
        return status;
    int rank = (constant ? constant->rank : value.rank) + (int)(count < 9 ? count : 9), taken = 0;
    if (rank > LAM_ONNX_MAX_RANK)
        return lam_graph_fail(g, LAM_E_LIMIT, "more than %d dimensions", LAM_ONNX_MAX_RANK);
    if ((status = mark_axes(g, rank, marks, &count)))
        return status;
    result = value;
    result.rank = rank;
    for (int i = 0; i < rank; i++) {
        dim[i] = marks[i] ? 1 : constant ? constant->dim[taken] : 0;
        if (!constant)
            result.dim[i] = marks[i] ? nothing : value.dim[taken];
        taken += !marks[i];
    }
    return constant ? set_reshaped(g, constant, rank, dim)
                    : lam_graph_set_placed(g, g->node->outputs[0], &result);
}

/* ---- reshape ---- */

/* The wanted sizes, with 0 (as before) and -1 (what is left) filled in. */
static lam_status read_target(lam_onnx_graph *g, int rank, const int64_t *dim, int64_t total,
                              const lam_onnx_tensor *wanted, int64_t *target)
{
    int64_t product = 1, open = -1;
    if (!wanted || !wanted->integers || wanted->count > LAM_ONNX_MAX_RANK)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED,
                              "its shape is not constant, or has more than 8 dimensions");
    for (int64_t i = 0; i < wanted->count; i++) {
        target[i] = wanted->integers[i];
        if (i < rank && target[i] == 0 && !lam_graph_integer(g, "allowzero", 0))
            target[i] = dim[i];
        if (target[i] == -1 && open < 0)
            open = i;
        else if (target[i] < 1 || target[i] > total)
            return lam_graph_fail(g, LAM_E_INVALID, "dimension %lld of its shape is %lld", (long long)i + 1,
                                  (long long)target[i]);
        else if (__builtin_mul_overflow(product, target[i], &product) || product > total)
            return lam_graph_fail(g, LAM_E_INVALID, "its shape has more elements than its input");
    }
    if (open >= 0)
        target[open] = total / product;
    if (open >= 0 ? total % product != 0 : total != product)
        return lam_graph_fail(g, LAM_E_INVALID, "its shape has not as many elements as its input");
    return LAM_OK;
}

/* Cuts a channel atom into `outer` times the rest; the new one follows it in memory. */
static lam_status split_atom(lam_onnx_graph *g, lam_placed *value, int atom, int64_t outer)
{
    if (!lam_placed_is_channel(value, atom) || value->atoms == LAM_MAX_ATOMS)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "it splits the batch or an axis in parts");
    memmove(&value->atom[atom + 2], &value->atom[atom + 1],
            (size_t)(value->atoms - atom - 1) * sizeof value->atom[0]);
    value->atoms++;
    value->atom[atom + 1] = value->atom[atom];
    value->atom[atom + 1].size /= outer;
    value->atom[atom].size = outer;
    return LAM_OK;
}

/* The atoms of all dimensions in order, as they are dealt out again. */
struct deal {
    int order[LAM_ONNX_MAX_RANK * LAM_MAX_ATOMS];
    int count, next;
};

static void after_split(struct deal *deal, int atom)
{
    for (int i = 0; i < deal->count; i++)
        deal->order[i] += deal->order[i] > atom;
    memmove(&deal->order[deal->next + 1], &deal->order[deal->next],
            (size_t)(deal->count - deal->next) * sizeof deal->order[0]);
    deal->order[deal->next + 1] = atom + 1;
    deal->count++;
}

static lam_status deal_dimension(lam_onnx_graph *g, lam_placed *value, struct deal *deal, int64_t wanted,
                                 int dimension)
{
    lam_dimension dim = {0};
    int64_t have = 1;
    while (deal->next < deal->count && (have < wanted || (wanted == 1 && dim.count == 0))) {
        int atom = deal->order[deal->next];
        int64_t size = value->atom[atom].size;
        if (wanted == 1 && size != 1)
            break;
        if (wanted % (have * size) != 0) {
            lam_status status = wanted % have == 0 && size % (wanted / have) == 0
                                    ? split_atom(g, value, atom, wanted / have)
                                    : lam_graph_fail(g, LAM_E_UNSUPPORTED,
                                                     "its shape cuts across the dimensions of its input");
            if (status)
                return status;
            for (int d = 0; d < dimension; d++) /* those dealt already, behind the cut */
                for (int i = 0; i < value->dim[d].count; i++)
                    value->dim[d].atom[i] += value->dim[d].atom[i] > atom;
            for (int i = 0; i < dim.count; i++)
                dim.atom[i] += dim.atom[i] > atom;
            after_split(deal, atom);
            size = value->atom[atom].size;
        }
        dim.atom[dim.count++] = atom;
        have *= size;
        deal->next++;
    }
    value->dim[dimension] = dim;
    return have == wanted ? LAM_OK : lam_graph_fail(g, LAM_E_UNSUPPORTED, "its shape cannot be followed");
}

static lam_status regroup(lam_onnx_graph *g, lam_placed *value, int rank, const int64_t *target)
{
    struct deal deal = {.count = 0};
    for (int d = 0; d < value->rank; d++)
        for (int i = 0; i < value->dim[d].count; i++)
            deal.order[deal.count++] = value->dim[d].atom[i];
    value->rank = rank;
    for (int d = 0; d < rank; d++) {
        lam_status status = deal_dimension(g, value, &deal, target[d], d);
        if (status)
            return status;
    }
    return LAM_OK; /* what is left over has size 1 */
}

static lam_status convert_reshape(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    int64_t dim[LAM_ONNX_MAX_RANK], target[LAM_ONNX_MAX_RANK], total = 1;
    lam_placed value = {0};
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    int rank = constant ? constant->rank : value.rank;
    if (status)
        return status;
    for (int i = 0; i < rank; i++) {
        dim[i] = constant ? constant->dim[i] : lam_dimension_size(&value, i);
        if (__builtin_mul_overflow(total, dim[i], &total))
            return lam_graph_fail(g, LAM_E_LIMIT, "an array of more elements than can be counted");
    }
    const lam_onnx_tensor *wanted = lam_graph_constant(g, 1);
    if ((status = read_target(g, rank, dim, total, wanted, target)))
        return status;
    if (constant)
        return set_reshaped(g, constant, (int)wanted->count, target);
    if ((status = regroup(g, &value, (int)wanted->count, target)))
        return status;
    return lam_graph_set_placed(g, g->node->outputs[0], &value);
}

static lam_status convert_flatten(lam_onnx_graph *g)
{
    lam_placed value, result;
    int64_t axis = lam_graph_integer(g, "axis", 1);
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status)
        return status;
    axis = axis < 0 ? axis + value.rank : axis;
    if (axis < 0 || axis > value.rank)
        return lam_graph_fail(g, LAM_E_INVALID, "axis %lld of %d dimensions", (long long)axis, value.rank);
    result = value;
    result.rank = 2;
    result.dim[0] = result.dim[1] = (lam_dimension){0};
    for (int d = 0; d < value.rank; d++) {
        lam_dimension *to = &result.dim[d >= axis];
        for (int i = 0; i < value.dim[d].count; i++)
            to->atom[to->count++] = value.dim[d].atom[i];
    }
    return lam_graph_set_placed(g, g->node->outputs[0], &result);
}

/* ---- parts ---- */

/* `count` elements from `from` along a dimension of one atom, written as a slice layer. */
static lam_status take_part(lam_onnx_graph *g, lam_placed *value, int dimension, int64_t from, int64_t count)
{
    const lam_dimension *dim = &value->dim[dimension];
    int atom = dim->count == 1 ? dim->atom[0] : 0;
    bool channel = atom > 0 && lam_placed_is_channel(value, atom);
    int64_t inner = 1;
    if (atom == 0 || (channel && atom != value->axes + 1))
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "it takes a part of the batch or of several dimensions");
    for (int i = atom + 1; channel && i < value->atoms; i++)
        inner *= value->atom[i].size;
    bool fixed = value->atom[atom].fixed;
    if (!fixed && from >= 0 && from + count == value->atom[atom].size && from > 0)
        from = -count; /* the stand-in for the size must not get into the network */
    lam_graph_layer_on(g, "slice", value);
    lam_jw_text(&g->writer, "axis", channel ? "channels" : value->atom[atom].axis);
    lam_jw_integer(&g->writer, "start", from * inner);
    lam_jw_integer(&g->writer, "count", count * inner);
    if (!channel && count == 1)
        lam_jw_bool(&g->writer, "drop", true);
    lam_jw_end(&g->writer);
    if (!channel && count == 1) {
        bool drop[LAM_MAX_ATOMS] = {false};
        drop[atom] = true;
        lam_placed_drop(value, drop); /* the dimension stays, with size 1 */
        return LAM_OK;
    }
    value->atom[atom].size = count;
    value->atom[atom].fixed = true;
    return LAM_OK;
}

static lam_status gather_constant(lam_onnx_graph *g, const lam_onnx_tensor *value,
                                  const lam_onnx_tensor *indices)
{
    if (value->rank > 1 || !value->integers)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "of constants only lists of integers can be gathered");
    lam_onnx_tensor *result = lam_graph_new_constant(g, true, indices->rank, indices->dim);
    if (!result)
        return no_memory(g);
    for (int64_t i = 0; i < indices->count; i++) {
        int64_t at = indices->integers[i] < 0 ? indices->integers[i] + value->count : indices->integers[i];
        if (at < 0 || at >= value->count)
            return lam_graph_fail(g, LAM_E_INVALID, "index %lld is out of range", (long long)at);
        result->integers[i] = value->integers[at];
    }
    return set_constant(g, result);
}

static lam_status convert_gather(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0), *indices = lam_graph_constant(g, 1);
    lam_placed value;
    int axis;
    if (!indices || !indices->integers)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "its indices are not constant");
    if (constant)
        return gather_constant(g, constant, indices);
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_axis(g, lam_graph_integer(g, "axis", 0), value.rank, &axis)))
        return status;
    if (indices->count != 1 || indices->rank > 1)
        return lam_graph_fail(g, LAM_E_UNSUPPORTED, "more than one index is gathered");
    int64_t size = lam_dimension_size(&value, axis), at = indices->integers[0];
    if (at < -size || at >= size)
        return lam_graph_fail(g, LAM_E_INVALID, "index %lld of %lld", (long long)at, (long long)size);
    status = size == 1 ? LAM_OK : take_part(g, &value, axis, at < 0 ? at + size : at, 1);
    if (status)
        return status;
    if (indices->rank == 0) {
        memmove(&value.dim[axis], &value.dim[axis + 1],
                (size_t)(value.rank - axis - 1) * sizeof value.dim[0]);
        value.rank--;
    }
    return lam_graph_set_placed(g, g->node->outputs[0], &value);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Elements start … end - 1 of one dimension of a constant. */
static lam_onnx_tensor *slice_constant(lam_onnx_graph *g, const lam_onnx_tensor *value, int axis,
                                       int64_t start, int64_t end)
{
    int64_t dim[LAM_ONNX_MAX_RANK], inner = 1, outer = 1;
    memcpy(dim, value->dim, sizeof dim);
    dim[axis] = end > start ? end - start : 0;
    for (int i = 0; i < value->rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : value->dim[i];
    lam_onnx_tensor *result = lam_graph_new_constant(g, value->integers, value->rank, dim);
    size_t part = (size_t)(dim[axis] * inner);
    for (int64_t o = 0; result && o < outer && part; o++) {
        size_t from = (size_t)((o * value->dim[axis] + start) * inner), to = (size_t)o * part;
        if (value->integers)
            memcpy(result->integers + to, value->integers + from, part * sizeof(int64_t));
        else
            memcpy(result->floats + to, value->floats + from, part * sizeof(float));
    }
    return result;
}

static lam_status convert_slice(lam_onnx_graph *g)
{
    const lam_onnx_tensor *constant = lam_graph_constant(g, 0);
    const int64_t *starts, *ends, *axes, *steps;
    size_t count, end_count, axis_count, step_count;
    lam_placed value = {0};
    lam_status status = constant ? LAM_OK : lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_integers(g, "starts", 1, &starts, &count)) ||
        (status = lam_graph_integers(g, "ends", 2, &ends, &end_count)) ||
        (status = lam_graph_integers(g, "axes", 3, &axes, &axis_count)) ||
        (status = lam_graph_integers(g, "steps", 4, &steps, &step_count)))
        return status;
    if (count == 0 || end_count != count || (axis_count && axis_count != count) ||
        (step_count && step_count != count))
        return lam_graph_fail(g, LAM_E_INVALID, "starts, ends, axes and steps differ in number");
    for (size_t i = 0; i < count && status == LAM_OK; i++) {
        int axis = 0, rank = constant ? constant->rank : value.rank;
        if ((status = lam_graph_axis(g, axis_count ? axes[i] : (int64_t)i, rank, &axis)))
            break;
        int64_t size = constant ? constant->dim[axis] : lam_dimension_size(&value, axis);
        int64_t start = clamp(starts[i] < 0 ? starts[i] + size : starts[i], 0, size);
        int64_t end = clamp(ends[i] < 0 ? ends[i] + size : ends[i], 0, size);
        if (step_count && steps[i] != 1)
            return lam_graph_fail(g, LAM_E_UNSUPPORTED, "steps other than 1");
        if (constant) {
            constant = slice_constant(g, constant, axis, start, end);
            if (!constant)
                return no_memory(g);
            continue;
        }
        if (end <= start)
            return lam_graph_fail(g, LAM_E_INVALID, "it takes nothing of dimension %d", axis + 1);
        if (end - start < size)
            status = take_part(g, &value, axis, start, end - start);
    }
    if (status)
        return status;
    return constant ? set_constant(g, constant) : lam_graph_set_placed(g, g->node->outputs[0], &value);
}

static lam_status convert_split(lam_onnx_graph *g)
{
    const int64_t *sizes;
    size_t count;
    lam_placed value;
    int axis;
    lam_status status = lam_graph_placed(g, 0, &value);
    if (status || (status = lam_graph_axis(g, lam_graph_integer(g, "axis", 0), value.rank, &axis)) ||
        (status = lam_graph_integers(g, "split", 1, &sizes, &count)))
        return status;
    int64_t from = 0, size = lam_dimension_size(&value, axis), outputs = (int64_t)g->node->output_count;
    if (outputs == 0 || (count && count != g->node->output_count))
        return lam_graph_fail(g, LAM_E_INVALID, "its parts are not as many as its outputs");
    for (int64_t i = 0; i < outputs && status == LAM_OK; i++) {
        int64_t part = count ? sizes[i] : (size + outputs - 1) / outputs;
        lam_placed result = value;
        part = part > size - from && !count ? size - from : part;
        if (part < 1 || part > size - from)
            return lam_graph_fail(g, LAM_E_INVALID, "its parts are more than dimension %d", axis + 1);
        status = take_part(g, &result, axis, from, part);
        if (status == LAM_OK && *g->node->outputs[i])
            status = lam_graph_set_placed(g, g->node->outputs[i], &result);
        from += part;
    }
    return status;
}

const lam_onnx_operator lam_onnx_shape_operators[] = {
    {"Identity", convert_identity, NULL},
    {"Dropout", convert_identity, NULL},
    {"Cast", convert_identity, NULL},
    {"Pad", convert_pad, NULL},
    {"Constant", convert_constant, NULL},
    {"ConstantOfShape", convert_constant_of_shape, NULL},
    {"Shape", convert_shape, NULL},
    {"Expand", convert_expand, NULL},
    {"Transpose", convert_transpose, NULL},
    {"Squeeze", convert_squeeze, NULL},
    {"Unsqueeze", convert_unsqueeze, NULL},
    {"Reshape", convert_reshape, NULL},
    {"Flatten", convert_flatten, NULL},
    {"Gather", convert_gather, NULL},
    {"Slice", convert_slice, NULL},
    {"Split", convert_split, NULL},
    {NULL, NULL, NULL},
};
