#include "core/rnn/tensor.h"

#include <inttypes.h>
#include <stdio.h>

int64_t lam_shape_count(const lam_shape *shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++)
        count *= shape->dim[i];
    return count;
}

lam_status lam_shape_check(const lam_shape *shape, lam_error *err)
{
    char text[LAM_SHAPE_TEXT];
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 1 || shape->dim[i] > LAM_MAX_ELEMENTS / count)
            return lam_fail(err, LAM_E_LIMIT, "an array of shape %s is empty or too large",
                            lam_shape_text(shape, text));
        count *= shape->dim[i];
    }
    return LAM_OK;
}

bool lam_shape_equal(const lam_shape *a, const lam_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

char *lam_shape_text(const lam_shape *shape, char text[LAM_SHAPE_TEXT])
{
    size_t used = (size_t)snprintf(text, LAM_SHAPE_TEXT, "[");
    for (int i = 0; i < shape->rank && used < LAM_SHAPE_TEXT; i++)
        used +=
            (size_t)snprintf(text + used, LAM_SHAPE_TEXT - used, "%s%" PRId64, i ? ", " : "", shape->dim[i]);
    if (used < LAM_SHAPE_TEXT)
        snprintf(text + used, LAM_SHAPE_TEXT - used, "]");
    return text;
}
