/* The geometry of windows that slide over one to three axes: convolution, transposed convolution, pooling.
 * Internal to core/rnn. Arrays are in the order depth, height, width; axes that are not there have kernel 1,
 * stride 1, padding 0. */
#ifndef LAMINA_RNN_LAYERS_PATCHES_H
#define LAMINA_RNN_LAYERS_PATCHES_H

#include "core/rnn/layer.h"

enum { LAM_MAX_KERNEL = 64 };

typedef struct lam_window {
    int axes;
    int64_t kernel[3], stride[3], padding[3], dilation[3];
    int64_t taps;
} lam_window;

/* Options `kernel` (default `kernel`), `stride` (default `stride`, 0: the kernel's size), `padding` (integers
 * or "same") and `dilation` of a layer. */
lam_status lam_window_read(const lam_layer *layer, const lam_jv *json, int64_t kernel, int64_t stride,
                           lam_window *out, lam_error *err);

/* Positions of the window along axis 0 … 2 of an input of this size; 0 when it does not fit. */
int64_t lam_window_extent(const lam_window *window, int axis, int64_t size);

/* Copies the windows first … first + rows - 1, numbered over the positions `out` (in memory order), of
 * `image` [in] into `columns` [rows, taps, channels]; 0 outside the image. */
void lam_window_gather(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t first,
                       int64_t rows, const float *image, float *columns);

/* The transpose: adds each window's values to the image. */
void lam_window_scatter(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t first,
                        int64_t rows, const float *columns, float *image);

/* A kernel [deep, wide, taps], as PyTorch has it, as the matrix [deep, taps, wide] that multiplies columns;
 * and the gradient of such a matrix added to that of the kernel. */
void lam_kernel_to_matrix(int64_t deep, int64_t wide, int64_t taps, const float *kernel, float *matrix);
void lam_kernel_add_gradient(int64_t deep, int64_t wide, int64_t taps, const float *matrix, float *kernel);

/* The part of one window that lies inside the image. */
typedef struct lam_window_view {
    int64_t begin[3], end[3]; /* taps */
    int64_t origin[3];        /* of tap 0 in the image; may lie outside */
    int64_t batch;
} lam_window_view;
lam_window_view lam_window_at(const lam_window *window, const lam_grid *in, const lam_grid *out, int64_t row);

#endif
