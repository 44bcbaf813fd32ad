#include "core/rnn/train/card.h"

#include <math.h>
#include <stdio.h>

#include "core/rnn/train/froc.h"

static void write_sentences(const char *title, const lam_jv *list, lam_buffer *out)
{
    if (lam_jv_count(list) == 0)
        return;
    lam_buffer_printf(out, "\n## %s\n\n", title);
    for (size_t i = 0; i < lam_jv_count(list); i++)
        lam_buffer_printf(out, "- %s\n", lam_jv_text(lam_jv_at(list, i), ""));
}

static void write_head(const lam_bundle *bundle, lam_buffer *out)
{
    const lam_manifest *m = lam_bundle_manifest(bundle);
    const lam_network *network = lam_bundle_network(bundle);
    long long parameters = 0;
    for (size_t i = 0; i < lam_network_parameter_count(network); i++)
        parameters += lam_network_parameter(network, i)->count;
    lam_buffer_printf(out, "# %s %s\n\n%s **Not a medical device.** For research and engineering; no ",
                      m->name, m->version, m->description);
    lam_buffer_append_text(out, "diagnosis, no treatment decision.\n\n| | |\n|---|---|\n");
    lam_buffer_printf(out, "| Task | %s |\n", lam_task_name(m->task));
    lam_buffer_printf(out, "| Parameters | %lld in each of %d weight set%s |\n", parameters, m->members,
                      m->members == 1 ? "" : "s, whose predictions are averaged");
    lam_buffer_printf(out, "| Trained on | %s |\n", m->provenance.data);
    if (*m->provenance.split)
        lam_buffer_printf(out, "| Split | %s |\n", m->provenance.split);
    if (*m->card.population)
        lam_buffer_printf(out, "| Population | %s |\n", m->card.population);
    lam_buffer_printf(out, "| Licence of the weights | %s |\n", m->provenance.licence);
    lam_buffer_printf(out, "| Trained | %s |\n\nWeights SHA-256: %s\n", m->provenance.date,
                      lam_bundle_weights_sha256(bundle));
}

static void write_scores(const lam_scores *scores, size_t cases, const char *data, lam_buffer *out)
{
    lam_buffer_printf(out,
                      "\n## Measured\n\nOn %s, %zu cases; 95 %% intervals by bootstrap over patients.\n\n",
                      data, cases);
    lam_buffer_append_text(out, "| measure | value | from | to |\n|---|---|---|---|\n");
    for (size_t i = 0; i < scores->count; i++) {
        const lam_score *score = &scores->items[i];
        lam_buffer_printf(out, "| %s | %.4f |", score->name, score->value);
        if (isnan(score->low))
            lam_buffer_append_text(out, " | |\n");
        else
            lam_buffer_printf(out, " %.4f | %.4f |\n", score->low, score->high);
    }
    if (!isnan(lam_scores_get(scores, "nearest_drawn.least")))
        lam_buffer_append_text(
            out, "\nnearest_drawn and nearest_held: distance of drawn and of these held-out "
                 "images to the nearest image of the training set, the root of the mean squared "
                 "difference of levels 0 to 255. A drawing that repeats an image has one near 0.\n");
    if (lam_froc_measured(scores))
        lam_buffer_append_text(out, "\n![sensitivity over false boxes an image](" LAM_CARD_FROC ")\n");
}

/* What the manifest carries since training. */
static void write_training(const lam_manifest *m, lam_buffer *out)
{
    if (m->provenance.metric_count == 0)
        return;
    lam_buffer_append_text(out, "\n## While training\n\nOn what was held out then.");
    if (m->members > 1)
        lam_buffer_append_text(out, " Each case is scored by the weight set that had not seen it, alone.");
    lam_buffer_append_text(out, "\n\n| measure | value |\n|---|---|\n");
    for (size_t i = 0; i < m->provenance.metric_count; i++)
        lam_buffer_printf(out, "| %s | %.4f |\n", m->provenance.metrics[i].name,
                          m->provenance.metrics[i].value);
    lam_buffer_append_text(out, "\n");
    for (int i = 0; i < m->members && m->members > 1; i++)
        lam_buffer_printf(out, "![loss and %s of member %d by epoch](curve-%d.svg)\n", "score", i + 1, i);
    if (m->members == 1)
        lam_buffer_append_text(out, "![loss and score by epoch](curve.svg)\n");
}

static void write_failures(const lam_evaluation *evaluation, const lam_manifest *m, size_t pictures,
                           lam_buffer *out)
{
    static const char *const qualities[LAM_TASK_COUNT] = {
        [LAM_TASK_CLASSIFICATION] = "probability of the truth",
        [LAM_TASK_DETECTION] = "overlap (IoU) of its best box",
        [LAM_TASK_SEGMENTATION] = "mean Dice",
        [LAM_TASK_GENERATION] = "minus bits a pixel",
    };
    lam_case_quality worst[LAM_CARD_FAILURES];
    size_t count = lam_evaluation_worst(evaluation, LAM_CARD_FAILURES, worst);
    if (count == 0)
        return;
    lam_buffer_printf(out, "\n## Where it fails\n\n| case | %s |\n|---|---|\n", qualities[m->task]);
    for (size_t i = 0; i < count; i++)
        lam_buffer_printf(out, "| %s | %.3f |\n", worst[i].sample->id, worst[i].quality);
    if (pictures)
        lam_buffer_append_text(out, "\nWhite: what is true. Orange: what the model says.\n\n");
    for (size_t i = 0; i < count && i < pictures; i++)
        lam_buffer_printf(out, "![%s](" LAM_CARD_PICTURE ")\n", worst[i].sample->id, i + 1);
}

lam_status lam_card_write(const lam_bundle *bundle, const lam_evaluation *evaluation,
                          const lam_scores *scores, const char *data, size_t pictures, lam_buffer *out,
                          lam_error *err)
{
    const lam_manifest *m = lam_bundle_manifest(bundle);
    write_head(bundle, out);
    write_sentences("Intended use", m->card.intended, out);
    write_sentences("Not intended", m->card.not_intended, out);
    write_scores(scores, lam_evaluation_count(evaluation), data, out);
    write_training(m, out);
    write_sentences("Compared", m->card.comparison, out);
    write_failures(evaluation, m, pictures, out);
    write_sentences("Limits", m->card.limits, out);
    return out->status ? lam_fail(err, out->status, "the card is too long") : LAM_OK;
}
