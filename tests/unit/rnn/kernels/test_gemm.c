/* Dense products and the pool: against sums in double precision, for odd sizes and strides; same bits with
 * threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rnn/kernels/gemm.h"
#include "tests/unit/rnn/kernels/every_isa.h"

static const size_t sizes[][3] = {{1, 1, 1},      {2, 3, 5},    {7, 17, 3},   {13, 64, 31},
                                  {6, 16, 64},    {5, 15, 8},   {97, 33, 20}, {300, 5, 9},
                                  {257, 520, 16}, {64, 100, 0}, {12, 48, 48}, {1, 130, 70}};
enum { SIZES = sizeof sizes / sizeof sizes[0], PAD = 3 };

static void check(float ours, double exact)
{
    if (!(fabs(ours - exact) <= 1e-5 * (1 + fabs(exact))))
        fail_msg("%.9g should be %.9g", (double)ours, exact);
}

static void check_products(size_t m, size_t n, size_t k, lam_pool *pool)
{
    unsigned seed = 9;
    size_t most = (m + n + k + PAD) * (m + n + k + PAD);
    float *a = random_floats(&seed, most, 1), *b = random_floats(&seed, most, 1),
          *bias = random_floats(&seed, n, 1);
    float *c = random_floats(&seed, m * (n + PAD), 1), *old = malloc(m * (n + PAD) * sizeof *old);
    lam_matrix out = {c, n + PAD};
    memcpy(old, c, m * (n + PAD) * sizeof *old);
    lam_gemm_nt(m, n, k, (lam_matrix_in){a, k + PAD}, (lam_matrix_in){b, k + 1}, bias, out, pool);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = bias[j];
            for (size_t l = 0; l < k; l++)
                sum += (double)a[i * (k + PAD) + l] * b[j * (k + 1) + l];
            check(c[i * (n + PAD) + j], sum);
        }
        assert_memory_equal(c + i * (n + PAD) + n, old + i * (n + PAD) + n, PAD * sizeof *c);
    }
    memcpy(c, old, m * (n + PAD) * sizeof *old);
    lam_gemm_nn(m, n, k, (lam_matrix_in){a, k + PAD}, (lam_matrix_in){b, n}, true, out, pool);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = old[i * (n + PAD) + j];
            for (size_t l = 0; l < k; l++)
                sum += (double)a[i * (k + PAD) + l] * b[l * n + j];
            check(c[i * (n + PAD) + j], sum);
        }
    }
    lam_gemm_tn(m, n, k, (lam_matrix_in){a, m + 1}, (lam_matrix_in){b, n}, false, out, pool);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)a[l * (m + 1) + i] * b[l * n + j];
            check(c[i * (n + PAD) + j], sum);
        }
    }
    memcpy(bias, old, n * sizeof *bias);
    lam_gemm_add_columns(m, n, (lam_matrix_in){a, n + 1}, bias, pool);
    for (size_t j = 0; j < n; j++) {
        double sum = old[j];
        for (size_t i = 0; i < m; i++)
            sum += a[i * (n + 1) + j];
        check(bias[j], sum);
    }
    free(a);
    free(b);
    free(bias);
    free(c);
    free(old);
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++)
        check_products(sizes[i][0], sizes[i][1], sizes[i][2], NULL);
}

static void check_dense(size_t rows, size_t outputs, size_t inputs, bool add, lam_dense_end end,
                        lam_pool *pool)
{
    unsigned seed = 4;
    float *w = random_floats(&seed, outputs * inputs, 1), *bias = random_floats(&seed, outputs, 1);
    float *x = random_floats(&seed, rows * (inputs + PAD), 1),
          *y = random_floats(&seed, rows * (outputs + PAD), 1);
    float *old = malloc(rows * (outputs + PAD) * sizeof *old);
    lam_dense *dense;
    assert_int_equal(lam_dense_create(outputs, inputs, w, bias, &dense, NULL), LAM_OK);
    memcpy(old, y, rows * (outputs + PAD) * sizeof *old);
    lam_dense_forward(dense, rows, (lam_matrix_in){x, inputs + PAD}, add, end, (lam_matrix){y, outputs + PAD},
                      pool);
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < outputs; o++) {
            double sum = bias[o] + (add ? old[r * (outputs + PAD) + o] : 0);
            for (size_t i = 0; i < inputs; i++)
                sum += (double)w[o * inputs + i] * x[r * (inputs + PAD) + i];
            check(y[r * (outputs + PAD) + o], end == LAM_DENSE_RELU && sum < 0 ? 0 : sum);
        }
        assert_memory_equal(y + r * (outputs + PAD) + outputs, old + r * (outputs + PAD) + outputs,
                            PAD * sizeof *y);
    }
    lam_dense_free(dense);
    free(w);
    free(bias);
    free(x);
    free(y);
    free(old);
}

static void test_dense(void **state)
{
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(2, &pool, NULL), LAM_OK);
    for (size_t i = 0; i < SIZES; i++) {
        size_t inputs = sizes[i][2] ? sizes[i][2] : 1;
        check_dense(sizes[i][0], sizes[i][1], inputs, false, LAM_DENSE_LINEAR, NULL);
        check_dense(sizes[i][0], sizes[i][1], inputs, true, LAM_DENSE_LINEAR, pool);
        check_dense(sizes[i][0], sizes[i][1], inputs, true, LAM_DENSE_RELU, pool);
    }
    lam_dense *none = NULL;
    lam_error err;
    float w = 1;
    assert_int_equal(lam_dense_create(0, 1, &w, NULL, &none, &err), LAM_E_INVALID);
    assert_int_equal(lam_dense_create(1, (size_t)1 << 40, &w, NULL, &none, &err), LAM_E_INVALID);
    assert_null(none);
    lam_pool_free(pool);
}

typedef struct counts {
    atomic_int seen[1000];
    atomic_int bad_worker;
    size_t threads;
} counts;

static void count(void *context, size_t task, size_t worker)
{
    counts *c = context;
    atomic_fetch_add(&c->seen[task], 1);
    if (worker >= c->threads)
        atomic_fetch_add(&c->bad_worker, 1);
}

/* Every task once, whatever the number of threads and however loops follow each other. */
static void test_pool_runs_each_task_once(void **state)
{
    (void)state;
    for (size_t threads = 1; threads < 6; threads++) {
        lam_pool *pool;
        assert_int_equal(lam_pool_create(threads, &pool, NULL), LAM_OK);
        assert_int_equal(lam_pool_threads(pool), threads);
        for (int loop = 0; loop < 300; loop++) {
            counts *c = calloc(1, sizeof *c);
            size_t tasks = (size_t)(loop * 7 % 1000);
            c->threads = threads;
            lam_pool_run(pool, tasks, count, c);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(atomic_load(&c->seen[i]), i < tasks);
            assert_int_equal(atomic_load(&c->bad_worker), 0);
            free(c);
        }
        lam_pool_free(pool);
    }
    lam_pool *none = NULL;
    lam_error err;
    assert_int_equal(lam_pool_create(100000, &none, &err), LAM_E_LIMIT);
    assert_null(none);
    assert_int_equal(lam_pool_threads(NULL), 1);
    lam_pool_free(NULL);
}

static void test_threads_give_the_same_bits(void **state)
{
    enum { M = 700, N = 600, K = 50 };
    unsigned seed = 2;
    float *a = random_floats(&seed, M * K, 1), *b = random_floats(&seed, N * K, 1);
    float *one = malloc(M * N * sizeof *one), *many = malloc(M * N * sizeof *many);
    lam_pool *pool;
    (void)state;
    assert_int_equal(lam_pool_create(3, &pool, NULL), LAM_OK);
    lam_gemm_nt(M, N, K, (lam_matrix_in){a, K}, (lam_matrix_in){b, K}, NULL, (lam_matrix){one, N}, NULL);
    lam_gemm_nt(M, N, K, (lam_matrix_in){a, K}, (lam_matrix_in){b, K}, NULL, (lam_matrix){many, N}, pool);
    assert_memory_equal(one, many, M * N * sizeof *one);
    lam_gemm_tn(N, N, K, (lam_matrix_in){b, N}, (lam_matrix_in){b, N}, false, (lam_matrix){one, N}, NULL);
    lam_gemm_tn(N, N, K, (lam_matrix_in){b, N}, (lam_matrix_in){b, N}, false, (lam_matrix){many, N}, pool);
    assert_memory_equal(one, many, N * N * sizeof *one);
    lam_pool_free(pool);
    free(a);
    free(b);
    free(one);
    free(many);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_pool_runs_each_task_once),
        cmocka_unit_test(test_threads_give_the_same_bits),
    };
    return cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
}

int main(void)
{
    return every_isa(run);
}
