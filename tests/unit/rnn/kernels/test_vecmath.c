/* Vector math: within 4 ulp of the exact value over the whole range of float, sampled densely, on every
 * instruction set; special values; softmax and its gradients. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rnn/kernels/vecmath.h"
#include "tests/unit/rnn/kernels/every_isa.h"

enum { CHUNK = 4099, STRIDE = 61 }; /* every 61st float of all 2^32, in arrays that leave a tail */

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Distance between two floats counted in floats; infinity is one past the largest. */
static double ulps(float ours, double exact)
{
    float nearest = (float)exact;
    if (isnan(ours) || isnan(nearest))
        return isnan(ours) && isnan(nearest) ? 0 : INFINITY;
    if (ours == nearest)
        return 0;
    if (isinf(ours) || isinf(nearest)) {
        int32_t a, b;
        memcpy(&a, &ours, sizeof a);
        memcpy(&b, &nearest, sizeof b);
        return fabs((double)a - (double)b);
    }
    double unit = ldexp(1.0, ilogb(nearest == 0 ? 1e-45 : fabs((double)nearest)) - 23);
    return fabs((double)ours - exact) / (unit < 0x1p-149 ? 0x1p-149 : unit);
}

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static void check_range(void (*ours)(size_t, const float *, float *), double (*exact)(double))
{
    static float x[CHUNK], y[CHUNK];
    double worst = 0;
    for (uint64_t bits = 0; bits < 1ull << 32;) {
        size_t n = 0;
        for (; n < CHUNK && bits < 1ull << 32; n++, bits += STRIDE)
            x[n] = float_of((uint32_t)bits);
        ours(n, x, y);
        for (size_t i = 0; i < n; i++) {
            double error = ulps(y[i], exact((double)x[i]));
            if (!(error <= 4))
                fail_msg("f(%a) is %a, %.2f ulp away", (double)x[i], (double)y[i], error);
            worst = error > worst ? error : worst;
        }
    }
    printf("# worst %.2f ulp\n", worst);
}

static void test_exp_over_all_floats(void **state)
{
    (void)state;
    check_range(lam_vec_exp, exp);
}

static void test_tanh_over_all_floats(void **state)
{
    (void)state;
    check_range(lam_vec_tanh, tanh);
}

static void test_sigmoid_over_all_floats(void **state)
{
    (void)state;
    check_range(lam_vec_sigmoid, sigmoid);
}

static void test_special_values(void **state)
{
    const float x[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f};
    float y[6];
    (void)state;
    lam_vec_exp(6, x, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && isinf(y[2]) && y[3] == 0 && y[4] == 1 && y[5] == 1);
    lam_vec_tanh(6, x, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && y[2] == 1 && y[3] == -1 && y[4] == 0 && signbit(y[5]));
    lam_vec_sigmoid(6, x, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && y[2] == 1 && y[3] == 0 && y[4] == 0.5f && y[5] == 0.5f);
    lam_vec_relu(6, x, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && isinf(y[2]) && y[3] == 0 && y[4] == 0 && y[5] == 0);
}

static void test_tails_are_not_touched(void **state)
{
    float x[40], y[40];
    (void)state;
    for (size_t n = 0; n < 39; n++) {
        for (size_t i = 0; i < 40; i++) {
            x[i] = 0.1f * (float)i;
            y[i] = 77;
        }
        lam_vec_tanh(n, x, y);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(y[i] - tanh(x[i])) < 1e-6);
        for (size_t i = n; i < 40; i++)
            assert_true(y[i] == 77);
    }
}

static void test_backward_and_axpy(void **state)
{
    enum { N = 37 };
    float x[N], y[N], dy[N], dx[N];
    unsigned seed = 5;
    (void)state;
    for (size_t i = 0; i < N; i++) {
        x[i] = random_float(&seed, 2);
        dy[i] = random_float(&seed, 1);
    }
    lam_vec_tanh(N, x, y);
    lam_vec_tanh_backward(N, y, dy, dx);
    for (size_t i = 0; i < N; i++)
        assert_true(fabs(dx[i] - dy[i] * (1 - tanh(x[i]) * tanh(x[i]))) < 1e-6);
    lam_vec_sigmoid(N, x, y);
    lam_vec_sigmoid_backward(N, y, dy, dx);
    for (size_t i = 0; i < N; i++)
        assert_true(fabs(dx[i] - dy[i] * sigmoid(x[i]) * (1 - sigmoid(x[i]))) < 1e-6);
    lam_vec_relu(N, x, y);
    lam_vec_relu_backward(N, y, dy, dx);
    for (size_t i = 0; i < N; i++)
        assert_true(dx[i] == (x[i] > 0 ? dy[i] : 0));
    memcpy(y, x, sizeof y);
    lam_vec_axpy(N, 2.5f, dy, y);
    for (size_t i = 0; i < N; i++)
        assert_true(fabs(y[i] - (x[i] + 2.5 * dy[i])) < 1e-6);
}

static void reference_softmax(size_t n, const float *x, double *p)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += p[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++)
        p[i] /= sum;
}

static void check_softmax(size_t n, float scale)
{
    enum { ROWS = 3 };
    unsigned seed = (unsigned)n;
    float *x = random_floats(&seed, ROWS * (n + 2), scale), *dy = random_floats(&seed, ROWS * n, 1);
    float *y = calloc(ROWS * n, sizeof *y), *z = calloc(ROWS * n, sizeof *z),
          *dx = calloc(ROWS * n, sizeof *dx);
    double *p = calloc(n, sizeof *p);
    lam_softmax_rows(ROWS, n, (lam_matrix_in){x, n + 2}, (lam_matrix){y, n});
    lam_log_softmax_rows(ROWS, n, (lam_matrix_in){x, n + 2}, (lam_matrix){z, n});
    for (size_t r = 0; r < ROWS; r++) {
        double mean = 0, sum = 0;
        reference_softmax(n, x + r * (n + 2), p);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs(y[r * n + i] - p[i]) <= 1e-6);
            assert_true(p[i] < 1e-30 || fabs(z[r * n + i] - log(p[i])) <= 1e-5 * (1 + fabs(log(p[i]))));
            mean += p[i] * dy[r * n + i];
            sum += dy[r * n + i];
        }
        lam_softmax_rows_backward(1, n, (lam_matrix_in){y + r * n, n}, (lam_matrix_in){dy + r * n, n},
                                  (lam_matrix){dx, n});
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(dx[i] - p[i] * (dy[r * n + i] - mean)) <= 1e-5);
        lam_log_softmax_rows_backward(1, n, (lam_matrix_in){z + r * n, n}, (lam_matrix_in){dy + r * n, n},
                                      (lam_matrix){dx, n});
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(dx[i] - (dy[r * n + i] - p[i] * sum)) <= 2e-5);
    }
    free(x);
    free(dy);
    free(y);
    free(z);
    free(dx);
    free(p);
}

static void test_softmax(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 300};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_softmax(sizes[i], 3);
        check_softmax(sizes[i], 200);
    }
    float x[3] = {1, NAN, 2}, y[3];
    lam_softmax_rows(1, 3, (lam_matrix_in){x, 3}, (lam_matrix){y, 3});
    assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
    x[1] = -INFINITY;
    lam_softmax_rows(1, 3, (lam_matrix_in){x, 3}, (lam_matrix){y, 3});
    assert_true(y[1] == 0 && fabsf(y[0] + y[2] - 1) < 1e-6f);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_over_all_floats),
        cmocka_unit_test(test_tanh_over_all_floats),
        cmocka_unit_test(test_sigmoid_over_all_floats),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_tails_are_not_touched),
        cmocka_unit_test(test_backward_and_axpy),
        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests_name("vecmath", tests, NULL, NULL);
}

int main(void)
{
    return every_isa(run);
}
