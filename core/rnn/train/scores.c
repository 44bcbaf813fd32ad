#include "core/rnn/train/scores.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double lam_scores_get(const lam_scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->count; i++)
        if (strcmp(scores->items[i].name, name) == 0)
            return scores->items[i].value;
    return NAN;
}

void lam_scores_add(lam_scores *scores, double value, const char *name, const char *part)
{
    if (scores->count == LAM_MAX_SCORES)
        return;
    lam_score *score = &scores->items[scores->count++];
    snprintf(score->name, sizeof score->name, "%s%s%.64s", name, *part ? "." : "", part);
    score->value = value;
    score->low = score->high = NAN;
}
