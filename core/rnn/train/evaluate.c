#include "core/rnn/train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/prepare.h"
#include "core/rnn/random.h"
#include "core/rnn/train/task.h"

enum { BOOTSTRAP_SEED = 20120 };

struct lam_evaluation {
    const lam_task_kind *kind;
    lam_scoring scoring;
    lam_scored *cases;
    size_t count;
};

lam_status lam_evaluation_create(const lam_manifest *manifest, bool thorough, bool calibrate,
                                 lam_evaluation **out, lam_error *err)
{
    static const double unit[3] = {1, 1, 1};
    LAM_AUTO_PTR(lam_evaluation) *evaluation = calloc(1, sizeof *evaluation);
    if (!evaluation)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_task_kind_of(manifest, &evaluation->kind, err);
    if (status)
        return status;
    evaluation->scoring = (lam_scoring){manifest, unit, thorough, calibrate};
    *out = LAM_TAKE_PTR(evaluation);
    return LAM_OK;
}

void lam_evaluation_free(lam_evaluation *evaluation)
{
    if (!evaluation)
        return;
    for (size_t i = 0; i < evaluation->count; i++)
        evaluation->kind->release(evaluation->cases[i].result);
    free(evaluation->cases);
    free(evaluation);
}

size_t lam_evaluation_count(const lam_evaluation *evaluation)
{
    return evaluation->count;
}

/* ---- cases ---- */

struct outcome {
    lam_status status;
    lam_error error;
};

struct job {
    lam_evaluation *evaluation;
    const lam_samples *dataset;
    lam_predictor **predictors; /* by worker */
    struct outcome *outcomes;   /* by sample */
    size_t first;
};

static void case_task(void *context, size_t index, size_t worker)
{
    struct job *job = context;
    const lam_evaluation *e = job->evaluation;
    struct outcome *outcome = &job->outcomes[index];
    const lam_sample *sample = lam_samples_at(job->dataset, index);
    lam_scored *scored = &e->cases[job->first + index];
    scored->sample = sample;
    outcome->status =
        e->kind->score(&e->scoring, job->predictors[worker], sample, &scored->result, &outcome->error);
    if (outcome->status)
        lam_error_prefix(&outcome->error, "%s", sample->id);
}

static lam_status run_job(struct job *job, const lam_weights *const *members, size_t member_count,
                          lam_pool *pool, lam_error *err)
{
    size_t cases = lam_samples_count(job->dataset);
    for (size_t i = 0; i < lam_pool_threads(pool); i++) {
        lam_status status = lam_predictor_create_for(job->evaluation->scoring.manifest, members, member_count,
                                                     NULL, &job->predictors[i], err);
        if (status)
            return status;
    }
    lam_pool_run(pool, cases, case_task, job);
    job->evaluation->count += cases;
    for (size_t i = 0; i < cases; i++)
        if (job->outcomes[i].status) {
            if (err)
                *err = job->outcomes[i].error;
            return job->outcomes[i].status;
        }
    return LAM_OK;
}

lam_status lam_evaluation_add(lam_evaluation *evaluation, const lam_weights *const *members,
                              size_t member_count, const lam_samples *dataset, lam_pool *pool, lam_error *err)
{
    size_t cases = lam_samples_count(dataset), workers = lam_pool_threads(pool);
    struct job job = {.evaluation = evaluation, .dataset = dataset, .first = evaluation->count};
    lam_scored *all = realloc(evaluation->cases, (evaluation->count + cases) * sizeof *all);
    if (!all)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memset(all + evaluation->count, 0, cases * sizeof *all);
    evaluation->cases = all;
    evaluation->scoring.spacing_mm = lam_samples_spacing(dataset);
    job.predictors = calloc(workers, sizeof(lam_predictor *));
    job.outcomes = calloc(cases, sizeof *job.outcomes);
    lam_status status = job.predictors && job.outcomes ? run_job(&job, members, member_count, pool, err)
                                                       : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; job.predictors && i < workers; i++)
        lam_predictor_free(job.predictors[i]);
    free(job.predictors);
    free(job.outcomes);
    return status;
}

/* ---- scores ---- */

/* Cases of each patient, as runs in a list of cases sorted by patient and place. */
struct patients {
    const lam_scored **cases;
    size_t *begin; /* count + 1 */
    size_t count;
};

static void patients_done(struct patients *patients)
{
    free(patients->cases);
    free(patients->begin);
}

static int by_patient(const void *a, const void *b)
{
    const lam_scored *x = *(const lam_scored *const *)a, *y = *(const lam_scored *const *)b;
    if (x->sample->group != y->sample->group)
        return x->sample->group < y->sample->group ? -1 : 1;
    return (x > y) - (x < y);
}

static lam_status find_patients(const lam_evaluation *e, struct patients *out, lam_error *err)
{
    out->cases = malloc((e->count + 1) * sizeof *out->cases);
    out->begin = malloc((e->count + 1) * sizeof *out->begin);
    if (!out->cases || !out->begin)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < e->count; i++)
        out->cases[i] = &e->cases[i];
    qsort(out->cases, e->count, sizeof *out->cases, by_patient);
    for (size_t i = 0; i < e->count; i++)
        if (i == 0 || out->cases[i]->sample->group != out->cases[i - 1]->sample->group)
            out->begin[out->count++] = i;
    out->begin[out->count] = e->count;
    return LAM_OK;
}

/* As many patients as there are, drawn with replacement; returns the number of cases. */
static size_t draw(const struct patients *patients, lam_random *random, const lam_scored **out, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < patients->count; i++) {
        size_t patient = lam_random_below(random, (uint32_t)patients->count);
        for (size_t k = patients->begin[patient]; k < patients->begin[patient + 1] && used < room; k++)
            out[used++] = patients->cases[k];
    }
    return used;
}

static size_t largest_patient(const struct patients *patients)
{
    size_t most = 1;
    for (size_t i = 0; i < patients->count; i++)
        if (patients->begin[i + 1] - patients->begin[i] > most)
            most = patients->begin[i + 1] - patients->begin[i];
    return most;
}

/* Percentiles of each score over the rounds, which lie in `values` [scores, rounds] with NaN where a score
 * was not defined. */
static void set_intervals(float *values, int rounds, lam_scores *scores)
{
    for (size_t s = 0; s < scores->count; s++) {
        float *row = values + s * (size_t)rounds;
        int64_t used = 0;
        for (int r = 0; r < rounds; r++)
            if (isfinite(row[r]))
                row[used++] = row[r];
        if (used < rounds / 2)
            continue;
        scores->items[s].low = lam_prepare_percentile(row, used, 2.5);
        scores->items[s].high = lam_prepare_percentile(row, used, 97.5);
    }
}

static lam_status bootstrap(const lam_evaluation *e, const struct patients *patients, int rounds,
                            lam_scores *scores, lam_error *err)
{
    size_t room = patients->count * largest_patient(patients);
    lam_autofree float *values = malloc(scores->count * (size_t)rounds * sizeof *values + 1);
    lam_autofree const lam_scored **drawn = malloc(room * sizeof *drawn + 1);
    lam_autofree lam_scores *round = malloc(sizeof *round);
    if (!values || !drawn || !round)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int r = 0; r < rounds; r++) {
        lam_random random = lam_random_stream(BOOTSTRAP_SEED, (uint64_t)r, 0);
        size_t count = draw(patients, &random, drawn, room);
        round->count = 0;
        lam_status status = e->kind->summarise(&e->scoring, drawn, count, round, err);
        if (status)
            return status;
        for (size_t s = 0; s < scores->count; s++)
            values[s * (size_t)rounds + (size_t)r] = (float)lam_scores_get(round, scores->items[s].name);
    }
    set_intervals(values, rounds, scores);
    return LAM_OK;
}

lam_status lam_evaluation_scores(const lam_evaluation *evaluation, int rounds, lam_scores *out,
                                 lam_error *err)
{
    struct patients patients = {0};
    lam_status status = find_patients(evaluation, &patients, err);
    if (status == LAM_OK) {
        out->count = 0;
        status =
            evaluation->kind->summarise(&evaluation->scoring, patients.cases, evaluation->count, out, err);
    }
    if (status == LAM_OK && rounds > 0)
        status = bootstrap(evaluation, &patients, rounds, out, err);
    patients_done(&patients);
    return status;
}

/* ---- temperature ---- */

/* Mean negative log-likelihood at a temperature `ratio` times that of the kept probabilities. */
static double likelihood(const lam_evaluation *e, double ratio)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < e->count; i++) {
        lam_calibration_rows rows;
        e->kind->calibration(&e->cases[i], &rows);
        for (int64_t r = 0; r < rows.rows; r++) {
            const float *p = rows.probabilities + r * rows.classes;
            int label = rows.labels[r];
            double own = log(fmax(p[label], 1e-30)) / ratio, others = 0;
            for (int c = 0; c < rows.classes; c++)
                others += c == label ? 0 : exp(log(fmax(p[c], 1e-30)) / ratio - own);
            sum += log1p(others);
        }
        count += (double)rows.rows;
    }
    return count > 0 ? sum / count : 0;
}

/* The likelihood is convex in 1 / temperature, so thirds can be cut off where it is higher. */
lam_status lam_evaluation_temperature(const lam_evaluation *evaluation, double *out, lam_error *err)
{
    double low = log(0.1), high = log(10), had = evaluation->scoring.manifest->temperature;
    if (!evaluation->scoring.calibrate)
        return lam_fail(err, LAM_E_STATE, "probabilities were not kept");
    while (high - low > 1e-3 && evaluation->kind->calibration) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (likelihood(evaluation, exp(a)) < likelihood(evaluation, exp(b)))
            high = b;
        else
            low = a;
    }
    *out = evaluation->kind->calibration ? fmin(fmax(had * exp((low + high) / 2), 0.1), 10) : had;
    return LAM_OK;
}

/* ---- failures ---- */

size_t lam_evaluation_worst(const lam_evaluation *evaluation, size_t room, lam_case_quality *out)
{
    size_t used = 0;
    for (size_t i = 0; i < evaluation->count && evaluation->kind->quality && room > 0; i++) {
        lam_case_quality one = {evaluation->cases[i].sample,
                                evaluation->kind->quality(&evaluation->cases[i])};
        size_t at = used < room ? used++ : room;
        if (at == room && !(one.quality < out[room - 1].quality))
            continue;
        for (at = at == room ? room - 1 : at; at > 0 && one.quality < out[at - 1].quality; at--)
            out[at] = out[at - 1];
        out[at] = one;
    }
    return used;
}
