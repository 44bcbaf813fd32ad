/* Elementwise functions and row softmax: dispatch to the chosen form. */
#include "core/rnn/kernels/vecmath.h"

#include "core/rnn/kernels/forms.h"

void lam_vec_exp(size_t n, const float *x, float *y)
{
    lam_forms_get()->exp(n, x, y);
}

void lam_vec_tanh(size_t n, const float *x, float *y)
{
    lam_forms_get()->tanh(n, x, y);
}

void lam_vec_sigmoid(size_t n, const float *x, float *y)
{
    lam_forms_get()->sigmoid(n, x, y);
}

void lam_vec_relu(size_t n, const float *x, float *y)
{
    lam_forms_get()->relu(n, x, y);
}

void lam_vec_tanh_backward(size_t n, const float *y, const float *dy, float *dx)
{
    lam_forms_get()->tanh_back(n, y, dy, dx);
}

void lam_vec_sigmoid_backward(size_t n, const float *y, const float *dy, float *dx)
{
    lam_forms_get()->sigmoid_back(n, y, dy, dx);
}

void lam_vec_relu_backward(size_t n, const float *y, const float *dy, float *dx)
{
    lam_forms_get()->relu_back(n, y, dy, dx);
}

void lam_vec_axpy(size_t n, float a, const float *x, float *y)
{
    lam_forms_get()->axpy(n, a, x, y);
}

void lam_softmax_rows(size_t rows, size_t columns, lam_matrix_in x, lam_matrix y)
{
    const lam_forms *forms = lam_forms_get();
    for (size_t r = 0; r < rows; r++)
        forms->softmax(columns, x.data + r * x.stride, y.data + r * y.stride);
}

void lam_log_softmax_rows(size_t rows, size_t columns, lam_matrix_in x, lam_matrix y)
{
    const lam_forms *forms = lam_forms_get();
    for (size_t r = 0; r < rows; r++)
        forms->log_softmax(columns, x.data + r * x.stride, y.data + r * y.stride);
}

void lam_softmax_rows_backward(size_t rows, size_t columns, lam_matrix_in y, lam_matrix_in dy, lam_matrix dx)
{
    const lam_forms *forms = lam_forms_get();
    for (size_t r = 0; r < rows; r++) {
        const float *p = y.data + r * y.stride, *d = dy.data + r * dy.stride;
        float *out = dx.data + r * dx.stride, mean = forms->dot(columns, p, d);
        for (size_t c = 0; c < columns; c++)
            out[c] = p[c] * (d[c] - mean);
    }
}

void lam_log_softmax_rows_backward(size_t rows, size_t columns, lam_matrix_in y, lam_matrix_in dy,
                                   lam_matrix dx)
{
    enum { CHUNK = 256 };
    const lam_forms *forms = lam_forms_get();
    float p[CHUNK];
    for (size_t r = 0; r < rows; r++) {
        const float *log_p = y.data + r * y.stride, *d = dy.data + r * dy.stride;
        float *out = dx.data + r * dx.stride, sum = forms->sum(columns, d);
        for (size_t c = 0, n; c < columns; c += n) {
            n = columns - c < CHUNK ? columns - c : CHUNK;
            forms->exp(n, log_p + c, p);
            for (size_t i = 0; i < n; i++)
                out[c + i] = d[c + i] - p[i] * sum;
        }
    }
}
