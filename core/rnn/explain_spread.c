/* How much the probabilities of a classification vary (explain.h). */
#include <math.h>
#include <stdlib.h>

#include "core/rnn/explain.h"
#include "core/rnn/explain_case.h"
#include "core/rnn/layer.h"

static bool has_dropout(const lam_network *network)
{
    const lam_layer_kind *dropout = lam_layer_find_kind("dropout");
    for (int i = 0; i < network->layer_count; i++)
        if (network->layers[i].kind == dropout)
            return true;
    return false;
}

/* Adds the probabilities of one pass, and their squares. */
static void add_answer(const lam_explain_case *c, double *sum, double *squares)
{
    size_t classes = c->manifest->class_count;
    const float *scores = lam_session_output(c->session);
    bool probabilities = lam_network_gives_probabilities(c->network);
    double total = 0, largest = -INFINITY;
    for (size_t k = 0; k < classes; k++)
        largest = fmax(largest, scores[k] / c->manifest->temperature);
    for (size_t k = 0; k < classes; k++)
        total += probabilities ? scores[k] : exp(scores[k] / c->manifest->temperature - largest);
    for (size_t k = 0; k < classes; k++) {
        double p = (probabilities ? scores[k] : exp(scores[k] / c->manifest->temperature - largest)) / total;
        sum[k] += p;
        squares[k] += p * p;
    }
}

lam_status lam_explain_spread(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume, int samples,
                              uint64_t seed, double *mean, double *deviation, lam_error *err)
{
    LAM_AUTO(lam_explain_case_done) lam_explain_case c = {.session = NULL};
    size_t members;
    const lam_weights *const *weights = lam_bundle_members(bundle, &members);
    lam_status status = lam_explain_case_begin(&c, bundle, pool, volume, err);
    if (status)
        return status;
    bool dropout = has_dropout(c.network);
    if (c.manifest->task != LAM_TASK_CLASSIFICATION || (members < 2 && !dropout) || samples < 1)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "model %s has nothing that varies: neither several members nor dropout",
                        c.manifest->name);
    size_t classes = c.manifest->class_count;
    lam_autofree double *sums = calloc(2 * classes, sizeof *sums);
    if (!sums)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    int passes = dropout ? samples : 1;
    lam_session_behave(c.session, LAM_BEHAVE_DROPOUT);
    for (size_t m = 0; m < members; m++) {
        lam_session_use(c.session, weights[m]);
        for (int i = 0; i < passes; i++) {
            lam_explain_case_run(&c, c.input, 1, seed + m * (uint64_t)passes + (uint64_t)i);
            add_answer(&c, sums, sums + classes);
        }
    }
    double count = (double)members * passes;
    for (size_t k = 0; k < classes; k++) {
        mean[k] = sums[k] / count;
        deviation[k] = sqrt(fmax(sums[classes + k] / count - mean[k] * mean[k], 0));
    }
    return LAM_OK;
}
