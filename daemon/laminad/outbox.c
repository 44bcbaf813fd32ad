#include "daemon/laminad/outbox.h"

#include <string.h>

#include "core/base/text.h"
#include "daemon/laminad/worker_slot.h"

/* ---- states ---- */

static const char *const state_names[LAM_DELIVERY_STATES] = {
    [LAM_DELIVERY_QUEUED] = "queued", [LAM_DELIVERY_SENDING] = "sending",
    [LAM_DELIVERY_SENT] = "sent",     [LAM_DELIVERY_DELIVERED] = "delivered",
    [LAM_DELIVERY_FAILED] = "failed", [LAM_DELIVERY_SUPERSEDED] = "superseded",
};

static const struct {
    lam_delivery_event event;
    lam_delivery_state from, to;
} transitions[] = {
    {LAM_DELIVERY_CLAIM, LAM_DELIVERY_QUEUED, LAM_DELIVERY_SENDING},
    {LAM_DELIVERY_CONFIRM, LAM_DELIVERY_SENDING, LAM_DELIVERY_DELIVERED},
    {LAM_DELIVERY_ACCEPT, LAM_DELIVERY_SENDING, LAM_DELIVERY_SENT},
    {LAM_DELIVERY_COMMIT, LAM_DELIVERY_SENT, LAM_DELIVERY_DELIVERED},
    {LAM_DELIVERY_FORGET, LAM_DELIVERY_SENT, LAM_DELIVERY_QUEUED},
    {LAM_DELIVERY_DEFER, LAM_DELIVERY_SENDING, LAM_DELIVERY_QUEUED},
    {LAM_DELIVERY_INTERRUPT, LAM_DELIVERY_SENDING, LAM_DELIVERY_QUEUED},
    {LAM_DELIVERY_REFUSE, LAM_DELIVERY_SENDING, LAM_DELIVERY_FAILED},
    {LAM_DELIVERY_EXPIRE, LAM_DELIVERY_QUEUED, LAM_DELIVERY_FAILED},
    {LAM_DELIVERY_EXPIRE, LAM_DELIVERY_SENT, LAM_DELIVERY_FAILED},
    {LAM_DELIVERY_RETRY, LAM_DELIVERY_FAILED, LAM_DELIVERY_QUEUED},
};

lam_delivery_state lam_delivery_next(lam_delivery_state state, lam_delivery_event event)
{
    for (size_t i = 0; i < LAM_COUNT(transitions); i++)
        if (transitions[i].event == event && transitions[i].from == state)
            return transitions[i].to;
    return LAM_DELIVERY_STATES;
}

static lam_delivery_state find_state(const char *name)
{
    int state = 0;
    while (state < LAM_DELIVERY_STATES && strcmp(state_names[state], name) != 0)
        state++;
    return state;
}

lam_status lam_outbox_apply(lam_db *db, int64_t delivery, lam_delivery_event event,
                            const lam_outbox_note *note, int64_t now_ms, lam_error *err)
{
    static const lam_outbox_note nothing = {.answer = -1};
    const lam_outbox_note *n = note ? note : &nothing;
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(db, err, "SELECT state FROM delivery WHERE id = ?", "i", delivery);
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    if (!row)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no delivery %lld", (long long)delivery);
    lam_delivery_state from = find_state(lam_db_text(s, 0));
    lam_delivery_state to =
        from == LAM_DELIVERY_STATES ? LAM_DELIVERY_STATES : lam_delivery_next(from, event);
    sqlite3_reset(s);
    if (to == LAM_DELIVERY_STATES)
        return lam_fail(err, LAM_E_STATE, "delivery %lld is %s", (long long)delivery,
                        from == LAM_DELIVERY_STATES ? "in no known state" : state_names[from]);
    const int64_t *answer = n->answer >= 0 ? &n->answer : NULL;
    bool by_hand = event == LAM_DELIVERY_RETRY;
    return lam_db_run(
        db, err,
        "UPDATE delivery SET state = ?2, not_before_ms = ?3, answer = coalesce(?4, answer),"
        " warning = coalesce(?5, warning), last_error = iif(?8, NULL, coalesce(?6, last_error)),"
        " attempts = attempts + ?7, since_ms = iif(?8, ?9, since_ms), updated_ms = ?9"
        " WHERE id = ?1",
        "itiottiii", delivery, state_names[to], n->not_before_ms, answer, n->warning, n->error,
        (int64_t)(event == LAM_DELIVERY_CLAIM) - (event == LAM_DELIVERY_INTERRUPT), (int64_t)by_hand, now_ms);
}

/* ---- entering ---- */

#define LAST_NUMBER "(SELECT number FROM last_number WHERE of = 'delivery')"

lam_status lam_outbox_enter(lam_db *db, int64_t job, int64_t now_ms, lam_error *err)
{
    /* An older result must not follow a newer one. */
    lam_status status =
        lam_db_run(db, err,
                   "UPDATE delivery SET state = 'superseded', updated_ms = ?2,"
                   " last_error = 'a newer result of the series took its place'"
                   " WHERE state = 'queued' AND job_id IN (SELECT o.id FROM job j"
                   " JOIN job o ON o.series_id = j.series_id"
                   " WHERE j.id = ?1 AND NOT EXISTS (SELECT 1 FROM current_job c WHERE c.id = o.id))",
                   "ii", job, now_ms);
    if (status == LAM_OK)
        status = lam_db_run(
            db, err,
            "INSERT OR IGNORE INTO delivery (id, destination, job_id, instance_id, state, since_ms,"
            " created_ms, updated_ms) SELECT " LAST_NUMBER
            " + row_number() OVER (ORDER BY d.name, o.position),"
            " d.name, j.id, o.instance_id, 'queued', ?2, ?2, ?2 FROM job j"
            " JOIN current_job c ON c.id = j.id"
            " JOIN destination d ON d.active AND d.kind IN ('dimse', 'dicomweb')"
            " JOIN result_object o ON o.job_id = j.id AND o.profile = d.profile AND o.problems IS NULL"
            " AND instr(' ' || d.objects || ' ', ' ' || o.type || ' ') > 0"
            " WHERE j.id = ?1 ORDER BY d.name, o.position",
            "ii", job, now_ms);
    if (status == LAM_OK)
        status = lam_db_run(
            db, err,
            "INSERT OR IGNORE INTO delivery (id, destination, job_id, instance_id, state, since_ms,"
            " created_ms, updated_ms) SELECT " LAST_NUMBER " + row_number() OVER (ORDER BY d.name),"
            " d.name, j.id, NULL, 'queued', ?2, ?2, ?2 FROM job j"
            " JOIN current_job c ON c.id = j.id"
            " JOIN destination d ON d.active AND d.kind IN ('mllp', 'webhook') WHERE j.id = ?1",
            "ii", job, now_ms);
    return status;
}

/* ---- transactions of their own ---- */

static lam_status write_destinations(lam_db *db, const lam_config *config, lam_error *err)
{
    static const char *const kinds[] = {[LAM_PEER_DIMSE] = "dimse",
                                        [LAM_PEER_DICOMWEB] = "dicomweb",
                                        [LAM_PEER_MLLP] = "mllp",
                                        [LAM_PEER_WEBHOOK] = "webhook"};
    char objects[LAM_SLOT_KINDS];
    lam_status status = lam_db_run(db, err, "UPDATE destination SET active = 0", "");
    for (size_t i = 0; status == LAM_OK && i < config->peer_count; i++) {
        const lam_config_peer *peer = &config->peers[i];
        if (peer->deliver == LAM_DELIVER_NONE)
            continue;
        lam_slot_kinds(&peer->objects, objects);
        status = lam_db_run(
            db, err,
            "INSERT INTO destination (name, kind, profile, objects, active) VALUES (?1, ?2, ?3, ?4, 1)"
            " ON CONFLICT DO UPDATE SET kind = ?2, profile = ?3, objects = ?4, active = 1",
            "tttt", peer->name, kinds[peer->kind], lam_profile_name(peer->profile), objects);
    }
    return status;
}

lam_status lam_outbox_configure(lam_db *db, const lam_config *config, bool resume, int64_t now_ms,
                                lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = write_destinations(db, config, err);
    if (status == LAM_OK && resume)
        status = lam_db_run(db, err,
                            "UPDATE delivery SET state = 'queued', not_before_ms = 0, updated_ms = ?"
                            " WHERE state = 'sending'",
                            "i", now_ms);
    return lam_db_end(db, status, err);
}

#define PARCEL_COLUMNS                                                                                       \
    "SELECT v.id, v.job_id, coalesce(i.file, -1), v.attempts, i.sop_class_uid, i.uid, "                      \
    "i.transfer_syntax_uid,"                                                                                 \
    " t.uid FROM delivery v JOIN job j ON j.id = v.job_id JOIN series s ON s.id = j.series_id"               \
    " JOIN study t ON t.id = s.study_id LEFT JOIN instance i ON i.id = v.instance_id "

static void read_parcel(sqlite3_stmt *s, lam_parcel *out)
{
    *out = (lam_parcel){.delivery = sqlite3_column_int64(s, 0),
                        .job = sqlite3_column_int64(s, 1),
                        .file = sqlite3_column_int64(s, 2),
                        .attempts = sqlite3_column_int(s, 3) + 1};
    char *const texts[] = {out->sop_class_uid, out->sop_uid, out->transfer_syntax_uid, out->study_uid};
    for (size_t i = 0; i < LAM_COUNT(texts); i++) {
        const char *text = lam_db_text(s, 4 + (int)i);
        lam_text_copy(texts[i], LAM_UID_TEXT, text ? text : "");
    }
}

static lam_status read_due(lam_db *db, const char *destination, int64_t now_ms, lam_parcel *parcels,
                           size_t *count, lam_error *err)
{
    *count = 0;
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        PARCEL_COLUMNS "WHERE v.destination = ?1 AND v.state = 'queued' AND v.not_before_ms <= ?2 AND NOT"
                       " (SELECT paused FROM destination WHERE name = ?1) ORDER BY v.id LIMIT ?3",
        "tii", destination, now_ms, (int64_t)LAM_OUTBOX_BATCH);
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (row)
            read_parcel(s, &parcels[(*count)++]);
    }
    return LAM_OK;
}

lam_status lam_outbox_claim(lam_db *db, const char *destination, int64_t now_ms, lam_parcel *parcels,
                            size_t *count, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = read_due(db, destination, now_ms, parcels, count, err);
    for (size_t i = 0; status == LAM_OK && i < *count; i++)
        status = lam_outbox_apply(db, parcels[i].delivery, LAM_DELIVERY_CLAIM, NULL, now_ms, err);
    return lam_db_end(db, status, err);
}

lam_status lam_outbox_settle(lam_db *db, int64_t delivery, lam_delivery_event event,
                             const lam_outbox_note *note, int64_t now_ms, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    return lam_db_end(db, lam_outbox_apply(db, delivery, event, note, now_ms, err), err);
}

lam_status lam_outbox_expire(lam_db *db, const lam_config_peer *peer, int64_t now_ms, int *expired,
                             lam_error *err)
{
    *expired = 0;
    int64_t limit = now_ms - peer->give_up_after_ms, first = 0;
    lam_status status = lam_db_get_integer(db, &first, err,
                                           "SELECT 1 FROM delivery WHERE destination = ? AND state IN"
                                           " ('queued', 'sent') AND since_ms < ? LIMIT 1",
                                           "ti", peer->name, limit);
    if (status != LAM_OK)
        return status == LAM_E_NOT_FOUND ? LAM_OK : status;
    status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_run(db, err,
                        "UPDATE delivery SET state = 'failed', updated_ms = ?3, last_error = 'given up after"
                        " give_up_after' || coalesce('; last: ' || last_error, '')"
                        " WHERE destination = ?1 AND state IN ('queued', 'sent') AND since_ms < ?2",
                        "tii", peer->name, limit, now_ms);
    int changed = lam_db_changes(db);
    status = lam_db_end(db, status, err);
    if (status == LAM_OK)
        *expired = changed;
    return status;
}

/* The state is a literal, as the partial indexes of the table want it. */
#define DUE(state)                                                                                           \
    "SELECT count(*) FILTER (WHERE not_before_ms <= ?2), min(not_before_ms) FILTER (WHERE not_before_ms >"   \
    " ?2) FROM delivery WHERE destination = ?1 AND state = '" state                                          \
    "' AND NOT (SELECT paused FROM destination WHERE name = ?1)"

lam_status lam_outbox_due(lam_db *db, const char *destination, lam_delivery_state state, int64_t now_ms,
                          int64_t *due, int64_t *next_ms, lam_error *err)
{
    bool row = false;
    const char *sql = state == LAM_DELIVERY_SENT ? DUE("sent") : DUE("queued");
    sqlite3_stmt *s = lam_db_prepare(db, err, sql, "ti", destination, now_ms);
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    *due = sqlite3_column_int64(s, 0);
    *next_ms = sqlite3_column_type(s, 1) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(s, 1);
    sqlite3_reset(s);
    return LAM_OK;
}

/* ---- by hand ---- */

lam_status lam_outbox_pause(lam_db *db, const char *destination, bool paused, int64_t now_ms, lam_error *err)
{
    (void)now_ms;
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_run(db, err, "UPDATE destination SET paused = ?2 WHERE name = ?1", "ti", destination,
                        (int64_t)paused);
    if (status == LAM_OK && lam_db_changes(db) == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "there is no destination of that name");
    return lam_db_end(db, status, err);
}

lam_status lam_outbox_retry(lam_db *db, int64_t delivery, int64_t now_ms, lam_error *err)
{
    return lam_outbox_settle(db, delivery, LAM_DELIVERY_RETRY, NULL, now_ms, err);
}
