/* Layer normalisation and depthwise convolution: against double precision, gradients numerically, threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rnn/kernels/depthwise.h"
#include "core/rnn/kernels/layernorm.h"
#include "tests/unit/rnn/kernels/every_isa.h"

static void check(const char *what, size_t i, float ours, double exact, double tolerance)
{
    if (!(fabs(ours - exact) <= tolerance * (1 + fabs(exact))))
        fail_msg("%s[%zu] is %.9g, should be %.9g", what, i, (double)ours, exact);
}

static const double epsilon = 1e-5;

/* y and, when dy is given, the loss Σ dy·y. */
static double reference_norm(size_t rows, size_t n, const float *x, const float *gamma, const float *beta,
                             const float *dy, double *y)
{
    double loss = 0;
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (size_t c = 0; c < n; c++)
            mean += x[r * n + c] / (double)n;
        for (size_t c = 0; c < n; c++)
            variance += (x[r * n + c] - mean) * (x[r * n + c] - mean) / (double)n;
        for (size_t c = 0; c < n; c++) {
            double v = (x[r * n + c] - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c];
            if (y)
                y[r * n + c] = v;
            loss += dy ? dy[r * n + c] * v : 0;
        }
    }
    return loss;
}

static void numeric(float *value, size_t count, const float *ours, const char *what, size_t rows, size_t n,
                    const float *x, const float *gamma, const float *beta, const float *dy)
{
    for (size_t i = 0; i < count; i++) {
        float old = value[i], high = old + 1e-3f, low = old - 1e-3f;
        value[i] = high;
        double up = reference_norm(rows, n, x, gamma, beta, dy, NULL);
        value[i] = low;
        double down = reference_norm(rows, n, x, gamma, beta, dy, NULL);
        value[i] = old;
        check(what, i, ours[i], (up - down) / ((double)high - (double)low), 1e-3);
    }
}

static void check_norm(size_t rows, size_t n, float offset, lam_pool *pool)
{
    unsigned seed = 8;
    float *x = random_floats(&seed, rows * n, 1), *gamma = random_floats(&seed, n, 1);
    float *beta = random_floats(&seed, n, 1), *dy = random_floats(&seed, rows * n, 1);
    float *y = malloc(rows * n * sizeof *y), *stats = malloc(2 * rows * sizeof *stats);
    float *dgamma = calloc(n, sizeof *dgamma), *dbeta = calloc(n, sizeof *dbeta),
          *dx = malloc(rows * n * sizeof *dx);
    double *exact = malloc(rows * n * sizeof *exact);
    for (size_t i = 0; i < rows * n; i++)
        x[i] += offset;
    reference_norm(rows, n, x, gamma, beta, NULL, exact);
    lam_layernorm_forward(rows, n, (lam_matrix_in){x, n}, gamma, beta, (float)epsilon, (lam_matrix){y, n},
                          stats, pool);
    for (size_t i = 0; i < rows * n; i++)
        check("y", i, y[i], exact[i], offset == 0 ? 2e-5 : 2e-3);
    if (rows * n < 200 && n > 1) {
        lam_layernorm_backward(rows, n, (lam_matrix_in){x, n}, gamma, stats, (lam_matrix_in){dy, n},
                               (lam_matrix){dx, n}, dgamma, dbeta, pool);
        numeric(x, rows * n, dx, "dx", rows, n, x, gamma, beta, dy);
        numeric(gamma, n, dgamma, "dgamma", rows, n, x, gamma, beta, dy);
        numeric(beta, n, dbeta, "dbeta", rows, n, x, gamma, beta, dy);
    }
    free(x);
    free(gamma);
    free(beta);
    free(dy);
    free(y);
    free(stats);
    free(dgamma);
    free(dbeta);
    free(dx);
    free(exact);
}

static void test_layernorm(void **state)
{
    static const size_t channels[] = {1, 2, 7, 16, 17, 64, 100};
    (void)state;
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        check_norm(3, channels[i], 0, NULL);
        check_norm(600, channels[i], 0, NULL);
        check_norm(3, channels[i], 100, NULL); /* no cancellation far from zero */
    }
    float x[4] = {1, NAN, 2, 3}, y[4];
    lam_layernorm_forward(1, 4, (lam_matrix_in){x, 4}, NULL, NULL, 1e-5f, (lam_matrix){y, 4}, NULL, NULL);
    assert_true(isnan(y[0]) && isnan(y[3]));
}

static const float *at(const lam_depthwise *s, const float *x, size_t b, ptrdiff_t z, ptrdiff_t y,
                       ptrdiff_t i)
{
    if (z < 0 || y < 0 || i < 0 || z >= (ptrdiff_t)s->depth || y >= (ptrdiff_t)s->height ||
        i >= (ptrdiff_t)s->width)
        return NULL;
    return x + (((b * s->depth + (size_t)z) * s->height + (size_t)y) * s->width + (size_t)i) * s->channels;
}

/* Walks all (position, tap) pairs inside the tensor and adds the three kinds of products. */
static void reference_depthwise(const lam_depthwise *s, const float *x, const float *w, const float *dy,
                                double *y, double *dx, double *dw)
{
    ptrdiff_t hz = (ptrdiff_t)s->kernel_depth / 2, hy = (ptrdiff_t)s->kernel_height / 2,
              hx = (ptrdiff_t)s->kernel_width / 2;
    size_t out = 0;
    for (size_t b = 0; b < s->batch; b++)
        for (ptrdiff_t z = 0; z < (ptrdiff_t)s->depth; z++)
            for (ptrdiff_t r = 0; r < (ptrdiff_t)s->height; r++)
                for (ptrdiff_t i = 0; i < (ptrdiff_t)s->width; i++, out += s->channels) {
                    size_t tap = 0;
                    for (ptrdiff_t tz = -hz; tz <= hz; tz++)
                        for (ptrdiff_t ty = -hy; ty <= hy; ty++)
                            for (ptrdiff_t tx = -hx; tx <= hx; tx++, tap++) {
                                const float *from = at(s, x, b, z + tz, r + ty, i + tx);
                                for (size_t c = 0; from && c < s->channels; c++) {
                                    y[out + c] += (double)w[tap * s->channels + c] * from[c];
                                    dx[(size_t)(from - x) + c] +=
                                        (double)w[tap * s->channels + c] * dy[out + c];
                                    dw[tap * s->channels + c] += (double)from[c] * dy[out + c];
                                }
                            }
                }
}

static void check_depthwise(lam_depthwise s, bool add_input, lam_pool *pool)
{
    unsigned seed = 6;
    size_t n = s.batch * s.depth * s.height * s.width * s.channels;
    size_t m = s.kernel_depth * s.kernel_height * s.kernel_width * s.channels;
    float *x = random_floats(&seed, n, 1), *w = random_floats(&seed, m, 1), *dy = random_floats(&seed, n, 1);
    float *bias = random_floats(&seed, s.channels, 1), *y = malloc(n * sizeof *y),
          *dx = malloc(n * sizeof *dx);
    float *dw = calloc(m, sizeof *dw), *db = calloc(s.channels, sizeof *db);
    double *ey = calloc(n, sizeof *ey), *ex = calloc(n, sizeof *ex), *ew = calloc(m, sizeof *ew);
    double *eb = calloc(s.channels, sizeof *eb);
    reference_depthwise(&s, x, w, dy, ey, ex, ew);
    for (size_t i = 0; i < n; i++) {
        ey[i] += bias[i % s.channels] + (add_input ? x[i] : 0);
        ex[i] += add_input ? dy[i] : 0;
        eb[i % s.channels] += dy[i];
    }
    lam_depthwise_forward(&s, x, w, bias, add_input, y, pool);
    lam_depthwise_backward_input(&s, dy, w, add_input, dx, pool);
    lam_depthwise_backward_weights(&s, x, dy, dw, db, pool);
    for (size_t i = 0; i < n; i++) {
        check("y", i, y[i], ey[i], 1e-5);
        check("dx", i, dx[i], ex[i], 1e-5);
    }
    for (size_t i = 0; i < m; i++)
        check("dw", i, dw[i], ew[i], 1e-4);
    for (size_t i = 0; i < s.channels; i++)
        check("db", i, db[i], eb[i], 1e-4);
    void *all[] = {x, w, dy, bias, y, dx, dw, db, ey, ex, ew, eb};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void test_depthwise(void **state)
{
    static const lam_depthwise shapes[] = {
        {1, 5, 4, 6, 16, 3, 3, 3},  {2, 3, 4, 5, 7, 3, 3, 3},   {1, 1, 6, 7, 20, 1, 3, 3},
        {2, 1, 1, 9, 33, 1, 1, 5},  {1, 1, 1, 1, 1, 3, 3, 3},   {1, 2, 1, 3, 17, 3, 5, 1},
        {3, 1, 2, 2, 48, 1, 7, 7},  {1, 9, 3, 20, 64, 3, 3, 3}, {1, 1, 3, 40, 40, 1, 3, 3},
        {1, 4, 4, 19, 32, 3, 3, 3}, {1, 3, 3, 3, 100, 3, 3, 3},
    };
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(3, &pool, NULL), LAM_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_depthwise(shapes[i], false, NULL);
        check_depthwise(shapes[i], true, pool);
    }
    lam_pool_free(pool);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layernorm), cmocka_unit_test(test_depthwise)};
    return cmocka_run_group_tests_name("spatial", tests, NULL, NULL);
}

int main(void)
{
    return every_isa(run);
}
