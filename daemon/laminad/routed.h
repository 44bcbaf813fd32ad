/* A complete series in front of a model: whether it is wanted, alone or beside other series in the roles that
 * the model has, and the note of what was said. */
#ifndef LAMINA_LAMINAD_ROUTED_H
#define LAMINA_LAMINAD_ROUTED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/models.h"

typedef struct lam_routed {
    int64_t id;
    char input_set[65];
    int64_t instances;
    json_t *attributes; /* owned: the header of the first instance stands for the series; NULL: it has none */
    bool stranger;      /* its PatientID is not that of the study: no model may read it */
    lam_series_facts facts;
    bool measured; /* facts.slice_mm was looked for */
} lam_routed;

lam_status lam_routed_read(lam_db *db, int64_t series, lam_routed *out, lam_error *err);
void lam_routed_done(lam_routed *series);

/* A model, and what to do with the series that it is to read together. */
typedef struct lam_routed_question {
    lam_db *db;
    const lam_model *model;
    const lam_config *config; /* its [rule] sections stand in for the model's own selector */
    bool named;               /* somebody asked for this model */
    lam_status (*queue)(void *context, const lam_model *model, const lam_job_input *inputs, size_t count,
                        lam_error *err);
    void *context;
} lam_routed_question;

/* Calls `queue` for each job that the model wants with this series in it: with the series alone, or in one of
 * its roles beside complete series of the same study in the others (an earlier study of the patient for a
 * prior; of several that fit, the newest), or where the manifest allows it alone since it suits none.
 * `wanted` and `reason` (LAM_RULE_REASON) say what became of it. */
lam_status lam_routed_ask(const lam_routed_question *question, lam_routed *series, bool *wanted, char *reason,
                          lam_error *err);

/* Keeps what a model said of a series, in place of what it said before. */
lam_status lam_routed_note(lam_db *db, int64_t series, const lam_model *model, bool wanted,
                           const char *reason, lam_error *err);

#endif
