#include "core/rnn/layers/patches.h"

#include <string.h>

#include "core/rnn/options.h"

static lam_status read_padding(const lam_jv *json, lam_window *window, lam_error *err)
{
    int first = 3 - window->axes;
    const char *word = lam_jv_text(lam_jv_get(json, "padding"), NULL);
    if (!word)
        return lam_options_integers(json, "padding", 0, 0, LAM_MAX_KERNEL, window->axes,
                                    window->padding + first, err);
    if (strcmp(word, "same") != 0)
        return lam_fail(err, LAM_E_INVALID, "`padding` must be integers or \"same\"");
    for (int i = first; i < 3; i++) {
        int64_t reach = window->dilation[i] * (window->kernel[i] - 1);
        if (reach % 2 != 0 || window->stride[i] != 1)
            return lam_fail(err, LAM_E_INVALID, "`padding` \"same\" needs odd kernels and stride 1");
        window->padding[i] = reach / 2;
    }
    return LAM_OK;
}

lam_status lam_window_read(const lam_layer *layer, const lam_jv *json, int64_t kernel, int64_t stride,
                           lam_window *out, lam_error *err)
{
    lam_window window = {.axes = layer->in[0].shape.rank - 2};
    int first = 3 - window.axes, axes = window.axes;
    lam_status status;
    if (first < 0 || first > 2)
        return lam_fail(err, LAM_E_INVALID, "works on 1 to 3 axes, not %d", axes);
    for (int i = 0; i < 3; i++)
        window.kernel[i] = window.stride[i] = window.dilation[i] = 1;
    if ((status = lam_options_integers(json, "kernel", kernel, 1, LAM_MAX_KERNEL, axes, window.kernel + first,
                                       err)) ||
        (status = lam_options_integers(json, "stride", stride, 1, LAM_MAX_KERNEL, axes, window.stride + first,
                                       err)) ||
        (status = lam_options_integers(json, "dilation", 1, 1, LAM_MAX_KERNEL, axes, window.dilation + first,
                                       err)))
        return status;
    for (int i = first; i < 3; i++)
        if (window.stride[i] == 0)
            window.stride[i] = window.kernel[i];
    window.taps = window.kernel[0] * window.kernel[1] * window.kernel[2];
    if ((status = read_padding(json, &window, err)))
        return status;
    *out = window;
    return LAM_OK;
}

int64_t lam_window_extent(const lam_window *window, int axis, int64_t size)
{
    int64_t reach = window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    int64_t room = size + 2 * window->padding[axis] - reach;
    return room < 0 ? 0 : room / window->stride[axis] + 1;
}

lam_window_view lam_window_at(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t row)
{
    lam_window_view view;
    for (int i = 2; i >= 0; i--) {
        int64_t step = window->dilation[i];
        view.origin[i] = row % out->size[i] * window->stride[i] - window->padding[i];
        row /= out->size[i];
        view.begin[i] = 0;
        view.end[i] = window->kernel[i];
        while (view.begin[i] < view.end[i] && view.origin[i] + view.begin[i] * step < 0)
            view.begin[i]++;
        while (view.end[i] > view.begin[i] && view.origin[i] + (view.end[i] - 1) * step >= in->size[i])
            view.end[i]--;
    }
    view.batch = row;
    return view;
}

/* Where tap (z, y, begin) of a window lies, in floats. */
static int64_t image_offset(const lam_window *window, const lam_grid *in, const lam_window_view *view,
                            int64_t z, int64_t y)
{
    int64_t plane = view->batch * in->size[0] + view->origin[0] + z * window->dilation[0];
    int64_t line = plane * in->size[1] + view->origin[1] + y * window->dilation[1];
    return (line * in->size[2] + view->origin[2] + view->begin[2] * window->dilation[2]) * in->channels;
}

static int64_t column_offset(const lam_window *window, const lam_grid *in, const lam_window_view *view,
                             int64_t z, int64_t y)
{
    return ((z * window->kernel[1] + y) * window->kernel[2] + view->begin[2]) * in->channels;
}

void lam_window_gather(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t first,
                       int64_t rows, const float *image, float *columns)
{
    int64_t width = window->taps * in->channels, step = window->dilation[2] * in->channels;
    memset(columns, 0, (size_t)(rows * width) * sizeof *columns);
    for (int64_t r = 0; r < rows; r++, columns += width) {
        lam_window_view view = lam_window_at(window, in, out, first + r);
        int64_t count = view.end[2] - view.begin[2];
        for (int64_t z = view.begin[0]; z < view.end[0] && count; z++)
            for (int64_t y = view.begin[1]; y < view.end[1]; y++) {
                const float *from = image + image_offset(window, in, &view, z, y);
                float *to = columns + column_offset(window, in, &view, z, y);
                if (window->dilation[2] == 1)
                    memcpy(to, from, (size_t)(count * in->channels) * sizeof *to);
                for (int64_t t = 0; t < count && window->dilation[2] != 1; t++)
                    memcpy(to + t * in->channels, from + t * step, (size_t)in->channels * sizeof *to);
            }
    }
}

void lam_window_scatter(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t first,
                        int64_t rows, const float *columns, float *image)
{
    int64_t width = window->taps * in->channels, step = window->dilation[2] * in->channels;
    for (int64_t r = 0; r < rows; r++, columns += width) {
        lam_window_view view = lam_window_at(window, in, out, first + r);
        for (int64_t z = view.begin[0]; z < view.end[0]; z++)
            for (int64_t y = view.begin[1]; y < view.end[1]; y++)
                for (int64_t t = 0; t < view.end[2] - view.begin[2]; t++) {
                    const float *from = columns + column_offset(window, in, &view, z, y) + t * in->channels;
                    float *to = image + image_offset(window, in, &view, z, y) + t * step;
                    for (int64_t c = 0; c < in->channels; c++)
                        to[c] += from[c];
                }
    }
}

void lam_kernel_to_matrix(int64_t deep, int64_t wide, int64_t taps, const float *kernel, float *matrix)
{
    for (int64_t d = 0; d < deep; d++)
        for (int64_t w = 0; w < wide; w++)
            for (int64_t t = 0; t < taps; t++)
                matrix[(d * taps + t) * wide + w] = kernel[(d * wide + w) * taps + t];
}

void lam_kernel_add_gradient(int64_t deep, int64_t wide, int64_t taps, const float *matrix, float *kernel)
{
    for (int64_t d = 0; d < deep; d++)
        for (int64_t w = 0; w < wide; w++)
            for (int64_t t = 0; t < taps; t++)
                kernel[(d * wide + w) * taps + t] += matrix[(d * taps + t) * wide + w];
}
