#include "daemon/cli/eval_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/explain.h"
#include "core/rnn/random.h"

enum { POINTS = 10, ORDERS = 2, ROUNDS = 1000, SEED = 1, DELETION = 0, INSERTION = 1 };

/* What was measured of a case: of the map, and by chance. */
typedef struct measured {
    double map[2], chance[2];
} measured;

static lam_status measure(const lam_bundle *bundle, const lam_sample *sample, lam_pool *pool, uint64_t number,
                          measured *out, lam_error *err)
{
    LAM_AUTO(lam_explanation_done) lam_explanation explanation = {.map = NULL};
    const lam_explain_options options = {.method = LAM_EXPLAIN_INTEGRATED, .target = -1};
    lam_volume volume = {.voxels = sample->raw, .spacing_mm = {1, 1, 1}};
    lam_explain_areas map, chance;
    memcpy(volume.size, sample->size, sizeof volume.size);
    lam_status status = lam_explain(bundle, pool, &volume, &options, &explanation, err);
    if (status == LAM_OK)
        status = lam_explain_curves(bundle, pool, &volume, explanation.map, POINTS, ORDERS, SEED + number,
                                    &map, &chance, err);
    if (status == LAM_OK)
        *out = (measured){{map.deletion, map.insertion}, {chance.deletion, chance.insertion}};
    return status;
}

/* How much better the map is than chance: a small deletion area and a large insertion area are good. */
static double gain(const measured *m, int which)
{
    return which == DELETION ? m->chance[which] - m->map[which] : m->map[which] - m->chance[which];
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void add_gain(const measured *list, size_t count, int which, const char *name, lam_scores *scores)
{
    double means[ROUNDS], sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += gain(&list[i], which);
    for (size_t round = 0; round < ROUNDS; round++) {
        lam_random random = lam_random_stream(SEED, round, (uint64_t)which);
        means[round] = 0;
        for (size_t i = 0; i < count; i++)
            means[round] += gain(&list[lam_random_below(&random, (uint32_t)count)], which) / (double)count;
    }
    qsort(means, ROUNDS, sizeof *means, by_value);
    size_t at = scores->count;
    lam_scores_add(scores, sum / (double)count, name, "");
    if (scores->count > at) {
        scores->items[at].low = means[ROUNDS / 40];
        scores->items[at].high = means[ROUNDS - 1 - ROUNDS / 40];
    }
}

static void add_scores(const measured *list, size_t count, lam_scores *scores)
{
    static const char *const names[2][3] = {
        {"explain_deletion", "explain_deletion_chance", "explain_deletion_gain"},
        {"explain_insertion", "explain_insertion_chance", "explain_insertion_gain"}};
    for (int which = DELETION; which <= INSERTION; which++) {
        double map = 0, chance = 0;
        for (size_t i = 0; i < count; i++) {
            map += list[i].map[which] / (double)count;
            chance += list[i].chance[which] / (double)count;
        }
        lam_scores_add(scores, map, names[which][0], "");
        lam_scores_add(scores, chance, names[which][1], "");
        add_gain(list, count, which, names[which][2], scores);
    }
}

lam_status lam_eval_add_explain(const lam_bundle *bundle, const lam_samples *samples, lam_pool *pool,
                                size_t cases, lam_scores *scores, lam_error *err)
{
    size_t count = lam_samples_count(samples), used = 0;
    cases = cases < count ? cases : count;
    lam_autofree measured *list = calloc(cases + 1, sizeof *list);
    if (!list)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < cases; i++) {
        const lam_sample *sample = lam_samples_at(samples, i * count / cases);
        lam_status status = measure(bundle, sample, pool, i, &list[used], err);
        if (status != LAM_OK && status != LAM_E_NOT_FOUND) {
            lam_error_prefix(err, "%s", sample->id);
            return status;
        }
        used += status == LAM_OK;
    }
    if (used == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "none of the cases has an answer that could be explained");
    add_scores(list, used, scores);
    lam_scores_add(scores, (double)used, "explain_cases", "");
    return LAM_OK;
}
