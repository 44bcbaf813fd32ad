#include "daemon/laminad/commitment.h"

#include <jansson.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/uid.h"
#include "daemon/laminad/deliver.h"
#include "daemon/laminad/outbox.h"

enum {
    MOST_OBJECTS = 1000,        /* in one transaction of Storage Commitment */
    MOST_REPORTS = 1000,        /* that one sender has not taken yet */
    SAME_ASSOCIATION_MS = 5000, /* for the sender to take the report there */
    FIRST_RETRY_MS = 10000,
    GIVE_UP_MS = 24 * 60 * 60 * 1000,
    WAIT_HERE_MS = 1000,       /* for the peer to answer over our association */
    NO_SUCH_INSTANCE = 0x0112, /* PS3.3 C.14.1.1 */
    CLASS_CONFLICT = 0x0119,
    MAX_DOCUMENT = 16 * 1024 * 1024,
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- ours to ask for ---- */

static lam_status new_uid(char uid[LAM_UID_TEXT], lam_error *err)
{
    return lam_uid_random(uid) ? LAM_OK : lam_fail(err, LAM_E_IO, "no random numbers");
}

static lam_status list_transaction(lam_db *db, const char *uid, lam_buffer *out, size_t *count,
                                   lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     "SELECT i.sop_class_uid, i.uid FROM delivery v"
                                     " JOIN instance i ON i.id = v.instance_id WHERE v.commitment_uid = ?"
                                     " AND v.state = 'sent' ORDER BY v.id",
                                     "t", uid);
    lam_buffer_printf(out, "{\"transaction_uid\":\"%s\",\"wait_ms\":%d,\"instances\":[", uid, WAIT_HERE_MS);
    for (*count = 0;; (*count)++) {
        bool row = false;
        lam_status status = lam_db_step(db, s, &row, err);
        if (status != LAM_OK)
            return status;
        if (!row)
            break;
        lam_buffer_printf(out, "%s[\"%s\",\"%s\"]", *count ? "," : "", lam_db_text(s, 0), lam_db_text(s, 1));
    }
    lam_buffer_append_text(out, "]}");
    return out->status == LAM_OK ? LAM_OK : lam_fail(err, out->status, "too many objects to ask for");
}

lam_status lam_commitment_begin(lam_db *db, const char *destination, int64_t now_ms, int64_t again_ms,
                                lam_buffer *out, size_t *count, lam_error *err)
{
    char uid[LAM_UID_TEXT];
    lam_status status = new_uid(uid, err);
    if (status == LAM_OK)
        status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_run(db, err,
                        "UPDATE delivery SET commitment_uid = ?1, not_before_ms = ?4, updated_ms = ?3"
                        " WHERE id IN (SELECT id FROM delivery WHERE destination = ?2 AND state = 'sent'"
                        " AND not_before_ms <= ?3 ORDER BY id LIMIT ?5)",
                        "ttiii", uid, destination, now_ms, again_ms, (int64_t)MOST_OBJECTS);
    if (status == LAM_OK)
        status = list_transaction(db, uid, out, count, err);
    return lam_db_end(db, status, err);
}

lam_status lam_commitment_refused(lam_db *db, const char *transaction_uid, int64_t again_ms,
                                  const char *reason, int64_t now_ms, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    status = lam_db_run(db, err,
                        "UPDATE delivery SET not_before_ms = ?2, last_error = ?3, updated_ms = ?4"
                        " WHERE commitment_uid = ?1 AND state = 'sent'",
                        "titi", transaction_uid, again_ms, reason, now_ms);
    return lam_db_end(db, status, err);
}

static lam_status find_sent(lam_db *db, const char *transaction, const json_t *entry, int64_t *delivery,
                            lam_error *err)
{
    const char *instance = json_string_value(json_array_get(entry, 1));
    return lam_db_get_integer(db, delivery, err,
                              "SELECT v.id FROM delivery v JOIN instance i ON i.id = v.instance_id"
                              " WHERE v.commitment_uid = ? AND v.state = 'sent' AND i.uid = ?",
                              "tt", transaction, instance ? instance : "");
}

static lam_status settle_list(lam_db *db, const json_t *document, const char *list, lam_delivery_event event,
                              int64_t retry_ms, int64_t now_ms, lam_error *err)
{
    size_t index;
    json_t *entry;
    lam_status status = LAM_OK;
    json_array_foreach(json_object_get(document, list), index, entry)
    {
        char why[LAM_OUTBOX_NOTE];
        int64_t delivery = 0;
        snprintf(why, sizeof why, "the peer does not commit itself to it (reason %04llXH)",
                 (unsigned long long)json_integer_value(json_array_get(entry, 2)));
        bool forgotten = event == LAM_DELIVERY_FORGET;
        const lam_outbox_note note = {.not_before_ms = forgotten ? now_ms + retry_ms : 0,
                                      .answer = -1,
                                      .error = forgotten ? why : NULL};
        status = find_sent(db, text_of(document, "transaction_uid"), entry, &delivery, err);
        if (status == LAM_OK)
            status = lam_outbox_apply(db, delivery, event, &note, now_ms, err);
        if (status == LAM_E_NOT_FOUND) /* not asked for, or settled before */
            status = LAM_OK;
        if (status != LAM_OK)
            break;
        if (delivery)
            lam_log(forgotten ? LAM_LOG_WARNING : LAM_LOG_INFO, "commitment", "delivery=%lld what=%s",
                    (long long)delivery, forgotten ? "not_committed" : "committed");
    }
    return status;
}

lam_status lam_commitment_settle(lam_db *db, const char *payload, size_t length, int64_t retry_ms,
                                 int64_t now_ms, lam_error *err)
{
    json_t *document = json_loadb(payload, length, JSON_REJECT_DUPLICATES, NULL);
    if (!document)
        return lam_fail(err, LAM_E_CORRUPT, "a commitment that is no JSON");
    lam_status status = lam_db_begin(db, err);
    if (status == LAM_OK) {
        status = settle_list(db, document, "committed", LAM_DELIVERY_COMMIT, retry_ms, now_ms, err);
        if (status == LAM_OK)
            status = settle_list(db, document, "failed", LAM_DELIVERY_FORGET, retry_ms, now_ms, err);
        status = lam_db_end(db, status, err);
    }
    json_decref(document);
    return status;
}

/* ---- asked of us ---- */

/* 0, or why we do not commit ourselves to an instance. */
static lam_status judge(lam_db *db, const json_t *entry, int *reason, lam_error *err)
{
    const char *class = json_string_value(json_array_get(entry, 0));
    const char *instance = json_string_value(json_array_get(entry, 1));
    int64_t same = 0;
    lam_status status =
        lam_db_get_integer(db, &same, err, "SELECT sop_class_uid = ? FROM instance WHERE uid = ?", "tt",
                           class ? class : "", instance ? instance : "");
    if (status != LAM_OK && status != LAM_E_NOT_FOUND)
        return status;
    *reason = status == LAM_E_NOT_FOUND ? NO_SUCH_INSTANCE : same ? 0 : CLASS_CONFLICT;
    return LAM_OK;
}

/* Adds the lists "committed" and "failed" to `reply`. */
static lam_status judge_all(lam_db *db, const json_t *instances, json_t *reply, lam_error *err)
{
    json_t *committed = json_array(), *failed = json_array(), *entry;
    json_object_set_new(reply, "committed", committed);
    json_object_set_new(reply, "failed", failed);
    size_t index;
    json_array_foreach(instances, index, entry)
    {
        int reason = 0;
        lam_status status = judge(db, entry, &reason, err);
        if (status != LAM_OK)
            return status;
        json_t *copy = json_pack("[O,O]", json_array_get(entry, 0), json_array_get(entry, 1));
        if (reason)
            json_array_append_new(copy, json_integer(reason));
        json_array_append_new(reason ? failed : committed, copy);
    }
    return LAM_OK;
}

/* LAM_E_LIMIT for a sender that asks and asks and never takes a report. */
static lam_status limit_reports(lam_db *db, const json_t *asked, lam_error *err)
{
    int64_t count = 0;
    lam_status status = lam_db_get_integer(
        db, &count, err,
        "SELECT count(*) FROM commitment_report WHERE calling_ae = ? AND transaction_uid != ?", "tt",
        text_of(asked, "calling_ae"), text_of(asked, "transaction_uid"));
    if (status == LAM_OK && count >= MOST_REPORTS)
        status = lam_fail(err, LAM_E_LIMIT,
                          "%d reports of commitment wait for this sender already: it must take them, or its"
                          " [peer] needs an address at which it listens",
                          MOST_REPORTS);
    return status;
}

static lam_status note_report(lam_db *db, const json_t *asked, int64_t now_ms, lam_error *err)
{
    char *instances = json_dumps(json_object_get(asked, "instances"), JSON_COMPACT);
    lam_status status = instances ? lam_db_begin(db, err) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status == LAM_OK)
        status = lam_db_end(
            db,
            lam_db_run(db, err,
                       "INSERT OR REPLACE INTO commitment_report (calling_ae, transaction_uid, instances,"
                       " not_before_ms, created_ms) VALUES (?, ?, ?, ?, ?)",
                       "tttii", text_of(asked, "calling_ae"), text_of(asked, "transaction_uid"), instances,
                       now_ms + SAME_ASSOCIATION_MS, now_ms),
            err);
    free(instances);
    return status;
}

static lam_status dump(const json_t *document, lam_buffer *out, lam_error *err)
{
    lam_autofree char *text = json_dumps(document, JSON_COMPACT);
    if (!text || lam_buffer_append_text(out, text) != LAM_OK)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a commitment");
    return LAM_OK;
}

lam_status lam_commitment_answer(lam_db *db, const char *payload, size_t length, int64_t now_ms,
                                 lam_buffer *out, lam_error *err)
{
    json_t *asked = json_loadb(payload, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *reply = json_pack("{s:i,s:s}", "status", 0, "transaction_uid", text_of(asked, "transaction_uid"));
    lam_status status = LAM_OK;
    if (!json_is_array(json_object_get(asked, "instances")))
        status = lam_fail(err, LAM_E_CORRUPT, "a request for commitment without instances");
    if (status == LAM_OK)
        status = limit_reports(db, asked, err);
    if (status == LAM_OK)
        status = judge_all(db, json_object_get(asked, "instances"), reply, err);
    if (status == LAM_OK)
        status = note_report(db, asked, now_ms, err);
    if (status == LAM_OK)
        status = dump(reply, out, err);
    json_decref(asked);
    json_decref(reply);
    return status;
}

static lam_status forget_report(lam_db *db, const char *calling_ae, const char *transaction, lam_error *err)
{
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    return lam_db_end(db,
                      lam_db_run(db, err,
                                 "DELETE FROM commitment_report WHERE calling_ae = ? AND transaction_uid = ?",
                                 "tt", calling_ae, transaction),
                      err);
}

lam_status lam_commitment_reported(lam_db *db, const char *payload, size_t length, lam_error *err)
{
    json_t *said = json_loadb(payload, length, JSON_REJECT_DUPLICATES, NULL);
    lam_status status = forget_report(db, text_of(said, "calling_ae"), text_of(said, "transaction_uid"), err);
    json_decref(said);
    return status;
}

lam_status lam_commitment_next_report(lam_db *db, int64_t *next_ms, lam_error *err)
{
    lam_status status =
        lam_db_get_integer(db, next_ms, err, "SELECT min(not_before_ms) FROM commitment_report", "");
    if (status == LAM_E_NOT_FOUND)
        *next_ms = INT64_MAX;
    return status == LAM_E_NOT_FOUND ? LAM_OK : status;
}

/* A report on its way out. */
typedef struct report {
    int64_t id, created_ms;
    int attempts;
    char calling_ae[LAM_CONFIG_AE_TITLE], transaction_uid[LAM_UID_TEXT];
    json_t *instances;
} report;

static lam_status next_report(lam_db *db, int64_t now_ms, report *out, bool *found, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT id, created_ms, attempts, calling_ae, transaction_uid, instances"
                       " FROM commitment_report WHERE not_before_ms <= ? ORDER BY not_before_ms LIMIT 1",
                       "i", now_ms);
    lam_status status = lam_db_step(db, s, found, err);
    if (status != LAM_OK || !*found)
        return status;
    *out = (report){.id = sqlite3_column_int64(s, 0),
                    .created_ms = sqlite3_column_int64(s, 1),
                    .attempts = sqlite3_column_int(s, 2) + 1,
                    .instances = json_loads(lam_db_text(s, 5), 0, NULL)};
    snprintf(out->calling_ae, sizeof out->calling_ae, "%s", lam_db_text(s, 3));
    snprintf(out->transaction_uid, sizeof out->transaction_uid, "%s", lam_db_text(s, 4));
    sqlite3_reset(s);
    return LAM_OK;
}

static const lam_config_peer *find_peer(const lam_config *config, const char *ae_title)
{
    for (size_t i = 0; i < config->peer_count; i++)
        if (config->peers[i].kind == LAM_PEER_DIMSE && config->peers[i].address.host[0] &&
            strcmp(config->peers[i].ae_title, ae_title) == 0)
            return &config->peers[i];
    return NULL;
}

/* Judged anew, as it is now. */
static lam_status send_report(lam_carriage *c, const report *r, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_DOCUMENT);
    json_t *document = json_pack("{s:s}", "transaction_uid", r->transaction_uid);
    lam_status status = judge_all(c->db, r->instances, document, err);
    if (status == LAM_OK)
        status = dump(document, &text, err);
    json_decref(document);
    return status == LAM_OK ? lam_deliver_report_commitment(c, lam_buffer_text(&text), err) : status;
}

static lam_status delay_report(lam_db *db, const report *r, int64_t now_ms, lam_error *err)
{
    int64_t pause = (int64_t)FIRST_RETRY_MS << (r->attempts < 7 ? r->attempts - 1 : 6);
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    return lam_db_end(
        db,
        lam_db_run(db, err, "UPDATE commitment_report SET attempts = ?2, not_before_ms = ?3 WHERE id = ?1",
                   "iii", r->id, (int64_t)r->attempts, now_ms + pause),
        err);
}

static lam_status handle_report(lam_carriage *c, const report *r, lam_error *err)
{
    int64_t now_ms = lam_clock_steady_ms();
    lam_error why = {0};
    c->peer = find_peer(c->config, r->calling_ae);
    lam_status sent = c->peer ? send_report(c, r, &why)
                              : lam_fail(&why, LAM_E_NOT_FOUND, "no [peer] with its AE title and an address");
    bool hopeless = !c->peer || now_ms - r->created_ms > GIVE_UP_MS;
    lam_log(sent == LAM_OK ? LAM_LOG_INFO : LAM_LOG_WARNING, "commitment_report",
            "calling=%s attempt=%d what=%s reason=%s", LAM_QUOTE(r->calling_ae), r->attempts,
            sent == LAM_OK ? "reported"
            : hopeless     ? "given_up"
                           : "deferred",
            LAM_QUOTE(why.message));
    return sent == LAM_OK || hopeless ? forget_report(c->db, r->calling_ae, r->transaction_uid, err)
                                      : delay_report(c->db, r, now_ms, err);
}

lam_status lam_commitment_send_reports(lam_db *db, lam_store *store, const lam_config *config,
                                       const lam_flag *abandon, lam_error *err)
{
    lam_carriage c = {.config = config, .db = db, .store = store, .abandon = abandon};
    lam_status status = LAM_OK;
    for (bool found = true; status == LAM_OK && found && !lam_flag_is_set(abandon);) {
        report r = {0};
        status = next_report(db, lam_clock_steady_ms(), &r, &found, err);
        if (status == LAM_OK && found)
            status = handle_report(&c, &r, err);
        json_decref(r.instances);
    }
    return status;
}
