/* The outbox as JSON, for the HTTP side. */
#include <string.h>

#include "core/base/clock.h"
#include "daemon/laminad/outbox.h"

/* Of a peer's words that are no text only that is lost, not the delivery. */
static json_t *text_or_null(const char *text)
{
    json_t *value = text ? json_string(text) : NULL;
    return value ? value : json_null();
}

static json_t *time_text(int64_t wall_ms)
{
    char text[LAM_CLOCK_TEXT];
    return json_string(lam_clock_iso8601(wall_ms, text));
}

#define DELIVERY_COLUMNS                                                                                     \
    "SELECT v.id, v.destination, v.state, v.attempts, v.warning, v.last_error, v.answer, v.job_id, t.uid,"   \
    " o.type, i.sop_class_uid, i.uid, v.not_before_ms, v.created_ms, v.updated_ms FROM delivery v"           \
    " JOIN job j ON j.id = v.job_id JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id"   \
    " LEFT JOIN instance i ON i.id = v.instance_id"                                                          \
    " LEFT JOIN result_object o ON o.job_id = v.job_id AND o.instance_id = v.instance_id "

static json_t *delivery_object(sqlite3_stmt *s)
{
    json_t *object = json_pack(
        "{s:I,s:s,s:s,s:i,s:o,s:o,s:o,s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "delivery",
        (json_int_t)sqlite3_column_int64(s, 0), "destination", lam_db_text(s, 1), "state", lam_db_text(s, 2),
        "attempts", sqlite3_column_int(s, 3), "warning", text_or_null(lam_db_text(s, 4)), "last_error",
        text_or_null(lam_db_text(s, 5)), "answer",
        sqlite3_column_type(s, 6) == SQLITE_NULL ? json_null() : json_integer(sqlite3_column_int64(s, 6)),
        "job", (json_int_t)sqlite3_column_int64(s, 7), "study_uid", lam_db_text(s, 8), "type",
        lam_db_text(s, 9) ? json_string(lam_db_text(s, 9)) : json_string("message"), "sop_class_uid",
        text_or_null(lam_db_text(s, 10)), "sop_uid", text_or_null(lam_db_text(s, 11)), "created",
        time_text(sqlite3_column_int64(s, 13)), "updated", time_text(sqlite3_column_int64(s, 14)));
    bool waits = object && strcmp(lam_db_text(s, 2), "queued") == 0 && sqlite3_column_int64(s, 12) > 0;
    if (object)
        json_object_set_new(object, "not_before",
                            waits ? time_text(sqlite3_column_int64(s, 12)) : json_null());
    return object;
}

static lam_status collect(lam_db *db, sqlite3_stmt *s, json_t **out, lam_error *err)
{
    json_t *list = json_array();
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK) {
            json_decref(list);
            return status;
        }
        if (row)
            json_array_append_new(list, delivery_object(s));
    }
    *out = list;
    return LAM_OK;
}

lam_status lam_outbox_list(lam_db *db, const char *state, const char *destination, int64_t limit,
                           int64_t offset, json_t **out, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     DELIVERY_COLUMNS "WHERE (?1 IS NULL OR v.state = ?1) AND (?2 IS NULL OR"
                                                      " v.destination = ?2) ORDER BY v.id DESC LIMIT ?3"
                                                      " OFFSET ?4",
                                     "ttii", state, destination, limit, offset);
    return collect(db, s, out, err);
}

lam_status lam_outbox_show(lam_db *db, int64_t delivery, json_t **out, lam_error *err)
{
    json_t *found = NULL;
    sqlite3_stmt *s = lam_db_prepare(db, err, DELIVERY_COLUMNS "WHERE v.id = ?", "i", delivery);
    lam_status status = collect(db, s, &found, err);
    if (status == LAM_OK && json_array_size(found) == 0)
        status = lam_fail(err, LAM_E_NOT_FOUND, "there is no delivery %lld", (long long)delivery);
    if (status == LAM_OK)
        *out = json_incref(json_array_get(found, 0));
    json_decref(found);
    return status;
}

lam_status lam_outbox_destinations(lam_db *db, json_t **out, lam_error *err)
{
    json_t *list = json_array(), *last = NULL;
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT d.name, d.kind, d.profile, d.active, d.paused, v.state, count(v.id)"
                       " FROM destination d LEFT JOIN delivery v ON v.destination = d.name"
                       " GROUP BY d.name, v.state ORDER BY d.name",
                       "");
    for (bool row = true; row;) {
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK) {
            json_decref(list);
            return status;
        }
        if (!row)
            break;
        const char *name = lam_db_text(s, 0);
        if (!last || strcmp(json_string_value(json_object_get(last, "destination")), name) != 0) {
            last = json_pack("{s:s,s:s,s:s,s:b,s:b,s:{}}", "destination", name, "kind", lam_db_text(s, 1),
                             "profile", lam_db_text(s, 2), "active", sqlite3_column_int(s, 3), "paused",
                             sqlite3_column_int(s, 4), "deliveries");
            json_array_append_new(list, last);
        }
        if (lam_db_text(s, 5))
            json_object_set_new(json_object_get(last, "deliveries"), lam_db_text(s, 5),
                                json_integer(sqlite3_column_int64(s, 6)));
    }
    *out = list;
    return LAM_OK;
}
