#include "daemon/laminad/routed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/header.h"

enum {
    MAX_POSITIONS = 4096, /* instances that are looked at for the distance of slices */
    MAX_CANDIDATES = 64,  /* series that are looked at for one role */
};

/* ---- what is known of a series ---- */

/* A study is of one patient: that of the object that came first. Messages about its results name that one, so
 * what is of another patient must have none (promise 7). Who is not named may be anyone. */
static bool is_of_other_patient(const json_t *attributes, const char *patient_id)
{
    char text[LAM_HEADER_VALUE];
    const char *own = lam_header_text(attributes, "00100020", text);
    return own && patient_id && patient_id[0] && strcmp(own, patient_id) != 0;
}

static lam_status read_attributes(lam_db *db, lam_routed *series, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT m.attributes, t.patient_id FROM series s JOIN study t ON t.id = s.study_id"
                       " JOIN instance i ON i.series_id = s.id JOIN metadata m ON m.instance_id = i.id"
                       " WHERE s.id = ? ORDER BY i.id LIMIT 1",
                       "i", series->id);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK || !row)
        return status;
    series->attributes = json_loads(lam_db_text(s, 0), 0, NULL);
    series->stranger = is_of_other_patient(series->attributes, lam_db_text(s, 1));
    sqlite3_reset(s);
    return LAM_OK;
}

/* Frames of one multi-frame object count as slices. */
static int64_t count_slices(const json_t *attributes, int64_t instances)
{
    char text[LAM_HEADER_VALUE];
    const char *frames = lam_header_text(attributes, "00280008", text);
    int64_t count = frames ? strtoll(frames, NULL, 10) : 0;
    return instances == 1 && count > 1 ? count : instances;
}

lam_status lam_routed_read(lam_db *db, int64_t series, lam_routed *out, lam_error *err)
{
    lam_routed read = {.id = series};
    lam_status status = lam_catalog_input_set(db, series, read.input_set, &read.instances, err);
    if (status == LAM_OK)
        status = read_attributes(db, &read, err);
    if (status != LAM_OK)
        return status;
    read.facts = (lam_series_facts){.attributes = read.attributes,
                                    .slices = count_slices(read.attributes, read.instances)};
    *out = read;
    return LAM_OK;
}

void lam_routed_done(lam_routed *series)
{
    json_decref(series->attributes);
    *series = (lam_routed){0};
}

static int by_number(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Where the slices lie along their normal. */
static lam_status read_positions(lam_db *db, const lam_routed *series, const double normal[3], double *out,
                                 size_t *count, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT m.attributes -> '$.00200032.Value' ->> 0, m.attributes -> '$.00200032.Value' ->> 1,"
        " m.attributes -> '$.00200032.Value' ->> 2"
        " FROM instance i JOIN metadata m ON m.instance_id = i.id WHERE i.series_id = ? LIMIT ?",
        "ii", series->id, (int64_t)MAX_POSITIONS);
    *count = 0;
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (!row || sqlite3_column_type(s, 2) == SQLITE_NULL)
            continue;
        double at = 0;
        for (int i = 0; i < 3; i++)
            at += normal[i] * sqlite3_column_double(s, i);
        out[(*count)++] = at;
    }
    return LAM_OK;
}

/* The median distance of neighbouring positions: what a gap or a doubled slice does not change. */
static double median_distance(double *positions, size_t count)
{
    size_t distances = 0;
    qsort(positions, count, sizeof *positions, by_number);
    for (size_t i = 1; i < count; i++)
        if (positions[i] - positions[i - 1] > 1e-4)
            positions[distances++] = positions[i] - positions[i - 1];
    qsort(positions, distances, sizeof *positions, by_number);
    return distances ? positions[distances / 2] : 0;
}

/* Looked for once, and only for a model that asks: it takes reading every header. */
static lam_status measure(lam_db *db, const lam_model *model, lam_routed *series, lam_error *err)
{
    const lam_manifest *m = model->manifest;
    bool asked = m->selector.slice_mm[1] > 0;
    double normal[3];
    for (size_t i = 0; i < m->role_count; i++)
        asked |= m->roles[i].selector.slice_mm[1] > 0;
    if (!asked || series->measured || !lam_selection_normal(series->attributes, normal))
        return LAM_OK;
    lam_autofree double *positions = malloc(MAX_POSITIONS * sizeof *positions);
    size_t count = 0;
    if (!positions)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = read_positions(db, series, normal, positions, &count, err);
    if (status == LAM_OK) {
        series->facts.slice_mm = median_distance(positions, count);
        series->measured = true;
    }
    return status;
}

/* ---- one series, one role ---- */

/* The [rule] section that sends the series to the model; NULL: none. `reason` says which. */
static const lam_config_rule *find_rule(const lam_config *config, const char *model, const json_t *attributes,
                                        char *reason)
{
    lam_rule_source source = {.attributes = attributes};
    char why[LAM_RULE_REASON];
    for (size_t i = 0; i < config->rule_count; i++) {
        const lam_config_rule *rule = &config->rules[i];
        if (strcmp(rule->model, model) != 0 ||
            !lam_rule_matches(rule->when, lam_rule_source_get, &source, why))
            continue;
        size_t used = lam_text_copy(reason, LAM_RULE_REASON, "[rule ");
        used += lam_text_copy(reason + used, LAM_RULE_REASON - used, rule->name);
        used += lam_text_copy(reason + used, LAM_RULE_REASON - used, "]: ");
        lam_text_copy(reason + used, LAM_RULE_REASON - used, why);
        return rule;
    }
    return NULL;
}

static lam_status fits(const lam_routed_question *q, size_t role, lam_routed *series, bool *out, char *reason,
                       lam_error *err)
{
    char special[LAM_RULE_REASON];
    if (series->stranger) {
        lam_text_copy(reason, LAM_RULE_REASON, "its PatientID is not that of the study");
        *out = false;
        return LAM_OK;
    }
    lam_status status = measure(q->db, q->model, series, err);
    if (status != LAM_OK)
        return status;
    *out = lam_model_wants(q->model, role, &series->facts, false, reason);
    if (*out && q->model->manifest->on_request && !q->named) {
        lam_text_copy(reason, LAM_RULE_REASON, "it reads only what a [rule] or a request for it names");
        *out = false;
    }
    if (!*out && find_rule(q->config, q->model->manifest->name, series->attributes, special)) {
        *out = lam_model_wants(q->model, role, &series->facts, true, reason);
        if (*out)
            memcpy(reason, special, sizeof special);
    }
    return LAM_OK;
}

/* ---- several series ---- */

typedef struct reading {
    lam_job_input inputs[LAM_JOB_MAX_INPUTS];
    char reasons[LAM_JOB_MAX_INPUTS][LAM_RULE_REASON];
} reading;

static void take_place(const lam_routed_question *q, reading *r, size_t role, const lam_routed *series,
                       const char *reason)
{
    lam_job_input *input = &r->inputs[role];
    *input = (lam_job_input){.series = series->id};
    lam_text_copy(input->role, sizeof input->role, q->model->manifest->roles[role].name);
    memcpy(input->input_set, series->input_set, sizeof input->input_set);
    memcpy(r->reasons[role], reason, LAM_RULE_REASON);
}

/* Complete series of the study of ?1; of earlier studies of its patient; of later ones. A patient is the same
 * by ID and, as far as it is known, date of birth. The newest first. */
#define COMPLETE " AND s.input_set IS NOT NULL AND s.state NOT IN ('receiving', 'result')"
#define SAME_PATIENT                                                                                         \
    " FROM series own JOIN study o ON o.id = own.study_id JOIN study t ON t.patient_id = o.patient_id"       \
    " AND t.patient_id <> '' AND t.id <> o.id AND t.birth_date IS o.birth_date"                              \
    " JOIN series s ON s.study_id = t.id WHERE own.id = ?1" COMPLETE
static const char same_study[] = "SELECT s.id FROM series own JOIN series s ON s.study_id = own.study_id"
                                 " WHERE own.id = ?1" COMPLETE " ORDER BY s.id DESC LIMIT ?2";
static const char earlier_studies[] =
    "SELECT s.id" SAME_PATIENT " AND t.study_date || coalesce(t.study_time, '') <"
    " o.study_date || coalesce(o.study_time, '')"
    " ORDER BY t.study_date DESC, t.study_time DESC, s.id DESC LIMIT ?2";
static const char later_studies[] =
    "SELECT s.id" SAME_PATIENT " AND t.study_date || coalesce(t.study_time, '') >"
    " o.study_date || coalesce(o.study_time, '')"
    " ORDER BY t.study_date DESC, t.study_time DESC, s.id DESC LIMIT ?2";

static lam_status list_candidates(lam_db *db, const char *sql, int64_t series, int64_t *out, size_t *count,
                                  lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err, sql, "ii", series, (int64_t)MAX_CANDIDATES);
    *count = 0;
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (row)
            out[(*count)++] = sqlite3_column_int64(s, 0);
    }
    return LAM_OK;
}

static bool is_taken(const reading *r, size_t roles, int64_t series)
{
    for (size_t i = 0; i < roles; i++)
        if (r->inputs[i].series == series)
            return true;
    return false;
}

/* Fills a role with the first candidate that fits. */
static lam_status fill_role(const lam_routed_question *q, reading *r, size_t role, bool *found,
                            lam_error *err)
{
    const lam_model_role *wanted = &q->model->manifest->roles[role];
    int64_t candidates[MAX_CANDIDATES];
    size_t count = 0;
    lam_status status = list_candidates(q->db, wanted->prior ? earlier_studies : same_study,
                                        r->inputs[0].series, candidates, &count, err);
    *found = false;
    for (size_t i = 0; status == LAM_OK && !*found && i < count; i++) {
        char reason[LAM_RULE_REASON];
        lam_routed candidate;
        if (is_taken(r, q->model->manifest->role_count, candidates[i]))
            continue;
        status = lam_routed_read(q->db, candidates[i], &candidate, err);
        if (status != LAM_OK)
            break;
        status = fits(q, role, &candidate, found, reason, err);
        if (*found)
            take_place(q, r, role, &candidate, reason);
        lam_routed_done(&candidate);
    }
    return status;
}

static void say_role(const char *role, const char *why, char reason[LAM_RULE_REASON])
{
    size_t used = lam_text_copy(reason, LAM_RULE_REASON, "as ");
    used += lam_text_copy(reason + used, LAM_RULE_REASON - used, role);
    used += lam_text_copy(reason + used, LAM_RULE_REASON - used, ": ");
    lam_text_copy(reason + used, LAM_RULE_REASON - used, why);
}

/* Notes for each of the series in which role it is read. */
static lam_status note_roles(const lam_routed_question *q, const reading *r, lam_error *err)
{
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < q->model->manifest->role_count; i++) {
        char text[LAM_RULE_REASON];
        say_role(r->inputs[i].role, r->reasons[i], text);
        status = lam_routed_note(q->db, r->inputs[i].series, q->model, true, text, err);
    }
    return status;
}

/* The other roles beside the series in the first; queues the job when none is left open. */
static lam_status compose(const lam_routed_question *q, reading *r, bool *queued, char *reason,
                          lam_error *err)
{
    const lam_manifest *manifest = q->model->manifest;
    *queued = false;
    for (size_t role = 1; role < manifest->role_count; role++) {
        bool found = false;
        lam_status status = fill_role(q, r, role, &found, err);
        if (status != LAM_OK)
            return status;
        if (!found) {
            snprintf(reason, LAM_RULE_REASON, "suits as %s, but no complete series of %s suits as %s",
                     manifest->roles[0].name,
                     manifest->roles[role].prior ? "an earlier study of the patient" : "the study",
                     manifest->roles[role].name);
            return LAM_OK;
        }
    }
    lam_status status = note_roles(q, r, err);
    if (status == LAM_OK)
        status = q->queue(q->context, q->model, r->inputs, manifest->role_count, err);
    *queued = status == LAM_OK;
    return status;
}

/* The series completes what others began: those in the first role are looked for. */
static lam_status join_others(const lam_routed_question *q, size_t role, const lam_routed *series,
                              bool *queued, char *reason, lam_error *err)
{
    const lam_manifest *manifest = q->model->manifest;
    int64_t firsts[MAX_CANDIDATES];
    size_t count = 0;
    char other[LAM_RULE_REASON];
    lam_status status = list_candidates(q->db, manifest->roles[role].prior ? later_studies : same_study,
                                        series->id, firsts, &count, err);
    for (size_t i = 0; status == LAM_OK && i < count; i++) {
        lam_routed first;
        bool suits = false, done = false;
        if (firsts[i] == series->id)
            continue;
        status = lam_routed_read(q->db, firsts[i], &first, err);
        if (status != LAM_OK)
            break;
        status = fits(q, 0, &first, &suits, other, err);
        reading r = {0};
        if (suits) {
            take_place(q, &r, 0, &first, other);
            status = compose(q, &r, &done, other, err);
            if (status == LAM_OK && !done)
                status = lam_routed_note(q->db, first.id, q->model, false, other, err);
        }
        *queued |= done && is_taken(&r, manifest->role_count, series->id);
        lam_routed_done(&first);
    }
    if (status == LAM_OK && !*queued)
        snprintf(reason, LAM_RULE_REASON, "suits as %s, but nothing beside it suits as %s",
                 manifest->roles[role].name, manifest->roles[0].name);
    return status;
}

/* `suited`: some role's conditions hold, whatever became of it. */
static lam_status ask_roles(const lam_routed_question *q, lam_routed *series, bool *wanted, bool *suited,
                            char *reason, lam_error *err)
{
    const lam_manifest *manifest = q->model->manifest;
    char first_reason[LAM_RULE_REASON] = "", why[LAM_RULE_REASON];
    lam_status status = LAM_OK;
    for (size_t role = 0; status == LAM_OK && role < manifest->role_count; role++) {
        bool suits = false, queued = false;
        status = fits(q, role, series, &suits, why, err);
        if (status == LAM_OK && suits && role == 0) {
            reading r = {0};
            take_place(q, &r, 0, series, why);
            status = compose(q, &r, &queued, why, err);
        } else if (status == LAM_OK && suits) {
            status = join_others(q, role, series, &queued, why, err);
        }
        if (queued && !*wanted)
            say_role(manifest->roles[role].name, why, reason);
        *wanted |= queued;
        if (role == 0 || (suits && !*suited))
            memcpy(first_reason, why, sizeof why);
        *suited |= suits;
    }
    if (!*wanted)
        memcpy(reason, first_reason, sizeof first_reason);
    return status;
}

/* ---- the whole ---- */

lam_status lam_routed_ask(const lam_routed_question *question, lam_routed *series, bool *wanted, char *reason,
                          lam_error *err)
{
    const lam_manifest *manifest = question->model->manifest;
    bool suited = false;
    lam_status status = LAM_OK;
    *wanted = false;
    if (manifest->role_count)
        status = ask_roles(question, series, wanted, &suited, reason, err);
    if (status != LAM_OK || suited || !manifest->alone)
        return status;
    lam_job_input input = {.series = series->id};
    status = fits(question, manifest->role_count, series, wanted, reason, err);
    memcpy(input.input_set, series->input_set, sizeof input.input_set);
    if (status == LAM_OK && *wanted)
        status = question->queue(question->context, question->model, &input, 1, err);
    return status;
}

lam_status lam_routed_note(lam_db *db, int64_t series, const lam_model *model, bool wanted,
                           const char *reason, lam_error *err)
{
    return lam_db_run(db, err,
                      "INSERT INTO opinion (series_id, model, version, wanted, reason) VALUES (?, ?, ?, ?, ?)"
                      " ON CONFLICT DO UPDATE SET version = excluded.version, wanted = excluded.wanted,"
                      " reason = excluded.reason",
                      "ittit", series, model->manifest->name, model->manifest->version, (int64_t)wanted,
                      reason);
}
