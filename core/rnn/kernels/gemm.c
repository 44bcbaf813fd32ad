/* General products on OpenBLAS, one thread each, over tiles of fixed size. */
#include "core/rnn/kernels/gemm.h"

#include <cblas.h>
#include <pthread.h>
#include <string.h>

#include "core/rnn/kernels/forms.h"

enum { TILE_M = 256, TILE_N = 512 };

static pthread_once_t one_thread_once = PTHREAD_ONCE_INIT;

static void one_thread(void)
{
    openblas_set_num_threads(1);
}

typedef struct gemm_job {
    CBLAS_TRANSPOSE transpose_a, transpose_b;
    size_t m, n, k, tiles_n;
    lam_matrix_in a, b;
    const float *bias;
    bool add;
    lam_matrix c;
} gemm_job;

static void gemm_tile(void *context, size_t task, size_t worker)
{
    const gemm_job *job = context;
    size_t i = task / job->tiles_n * TILE_M, j = task % job->tiles_n * TILE_N;
    size_t m = job->m - i < TILE_M ? job->m - i : TILE_M, n = job->n - j < TILE_N ? job->n - j : TILE_N;
    float *c = job->c.data + i * job->c.stride + j;
    const float *a = job->a.data + (job->transpose_a == CblasTrans ? i : i * job->a.stride);
    const float *b = job->b.data + (job->transpose_b == CblasTrans ? j * job->b.stride : j);
    float beta = job->add || job->bias ? 1.0f : 0.0f;
    (void)worker;
    for (size_t r = 0; job->bias && r < m; r++)
        memcpy(c + r * job->c.stride, job->bias + j, n * sizeof *c);
    if (job->k == 0) {
        for (size_t r = 0; beta == 0.0f && r < m; r++)
            memset(c + r * job->c.stride, 0, n * sizeof *c);
        return;
    }
    cblas_sgemm(CblasRowMajor, job->transpose_a, job->transpose_b, (blasint)m, (blasint)n, (blasint)job->k,
                1.0f, a, (blasint)job->a.stride, b, (blasint)job->b.stride, beta, c, (blasint)job->c.stride);
}

static void gemm_run(gemm_job *job, lam_pool *pool)
{
    if (job->m == 0 || job->n == 0)
        return;
    pthread_once(&one_thread_once, one_thread);
    job->tiles_n = (job->n + TILE_N - 1) / TILE_N;
    lam_pool_run(pool, (job->m + TILE_M - 1) / TILE_M * job->tiles_n, gemm_tile, job);
}

void lam_gemm_nt(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, const float *bias,
                 lam_matrix c, lam_pool *pool)
{
    gemm_job job = {CblasNoTrans, CblasTrans, m, n, k, 0, a, b, bias, false, c};
    gemm_run(&job, pool);
}

void lam_gemm_nn(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, bool add, lam_matrix c,
                 lam_pool *pool)
{
    gemm_job job = {CblasNoTrans, CblasNoTrans, m, n, k, 0, a, b, NULL, add, c};
    gemm_run(&job, pool);
}

void lam_gemm_tn(size_t m, size_t n, size_t k, lam_matrix_in a, lam_matrix_in b, bool add, lam_matrix c,
                 lam_pool *pool)
{
    gemm_job job = {CblasTrans, CblasNoTrans, m, n, k, 0, a, b, NULL, add, c};
    gemm_run(&job, pool);
}

enum { SUM_COLUMNS = 64 };

typedef struct columns_job {
    size_t m, n;
    lam_matrix_in a;
    float *sums;
} columns_job;

static void columns_task(void *context, size_t task, size_t worker)
{
    const columns_job *job = context;
    size_t first = task * SUM_COLUMNS, n = job->n - first < SUM_COLUMNS ? job->n - first : SUM_COLUMNS;
    (void)worker;
    lam_forms_get()->add_columns(job->m, NULL, n, job->a.data + first, job->a.stride, job->sums + first);
}

void lam_gemm_add_columns(size_t m, size_t n, lam_matrix_in a, float *sums, lam_pool *pool)
{
    columns_job job = {m, n, a, sums};
    lam_pool_run(pool, (n + SUM_COLUMNS - 1) / SUM_COLUMNS, columns_task, &job);
}
