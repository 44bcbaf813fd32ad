#include "daemon/laminad/worklist.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "daemon/laminad/element.h"
#include "daemon/laminad/fold.h"
#include "daemon/laminad/performer.h"

enum { MAX_NAME = 4096 };

/* ---- rows ---- */

void lam_workitem_done(lam_workitem *item)
{
    json_decref(item->attributes);
    item->attributes = NULL;
}

#define WORKITEM                                                                                             \
    "SELECT id, uid, state, transaction_uid, ours, model, retrieve_root, attributes FROM workitem WHERE "

lam_status lam_worklist_read(lam_db *db, int64_t id, const char *uid, lam_workitem *out, lam_error *err)
{
    sqlite3_stmt *s = uid ? lam_db_prepare(db, err, WORKITEM "uid = ?", "t", uid)
                          : lam_db_prepare(db, err, WORKITEM "id = ?", "i", id);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    const char *none = NULL;
    if (!row)
        return lam_workitem_answer(LAM_UPS_UNKNOWN, LAM_WORKITEM_KEY_RIGHT, &none, err);
    lam_workitem item = {.id = sqlite3_column_int64(s, 0), .ours = sqlite3_column_int(s, 4) != 0};
    lam_text_copy(item.uid, sizeof item.uid, lam_db_text(s, 1));
    lam_workitem_state_parse(lam_db_text(s, 2), &item.state);
    lam_text_copy(item.transaction_uid, sizeof item.transaction_uid, lam_db_text(s, 3));
    lam_text_copy(item.model, sizeof item.model, lam_db_text(s, 5));
    lam_text_copy(item.retrieve_root, sizeof item.retrieve_root, lam_db_text(s, 6));
    item.attributes = json_loads(lam_db_text(s, 7), 0, NULL);
    sqlite3_reset(s);
    if (!item.attributes)
        return lam_fail(err, LAM_E_CORRUPT, "a stored workitem cannot be read");
    *out = item;
    return LAM_OK;
}

/* As composed answers need it: members in the order of their tags. */
static char *text_of(const json_t *data_set, lam_error *err)
{
    char *text = json_dumps(data_set, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a workitem");
    return text;
}

lam_status lam_worklist_write(lam_db *db, const lam_workitem *item, int64_t now_ms, lam_error *err)
{
    const char *state = lam_workitem_state_name(item->state);
    lam_element_set_text(item->attributes, LAM_UPS_STATE, "CS", state);
    lam_autofree char *text = text_of(item->attributes, err);
    if (!text)
        return LAM_E_NO_MEMORY;
    return lam_db_run(db, err,
                      "UPDATE workitem SET state = ?2, transaction_uid = ?3, attributes = ?4, ours = ?5,"
                      " retrieve_root = ?6, updated_ms = ?7 WHERE id = ?1",
                      "itttiti", item->id, state, *item->transaction_uid ? item->transaction_uid : NULL, text,
                      (int64_t)item->ours, *item->retrieve_root ? item->retrieve_root : NULL, now_ms);
}

/* ---- what the columns say of the data set ---- */

static bool is_ours(const lam_workitem_plan *plan, lam_config_perform perform)
{
    if (perform == LAM_PERFORM_OPEN && plan->open && plan->work == LAM_WORK_KNOWN)
        return true;
    return perform != LAM_PERFORM_NONE && plan->addressed;
}

static lam_status write_plan(lam_db *db, int64_t id, const json_t *data_set, const lam_config *config,
                             int64_t now_ms, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer key;
    lam_workitem_plan plan;
    lam_workitem_read_plan(data_set, config->ae_title, &plan);
    const char *name =
        json_string_value(json_object_get(lam_element_item(data_set, "00100010"), "Alphabetic"));
    lam_buffer_init(&key, MAX_NAME);
    if (name)
        lam_fold_name(name, &key);
    int64_t from_ms = plan.start_ms > now_ms ? plan.start_ms : now_ms;
    return lam_db_run(db, err,
                      "UPDATE workitem SET name_key = ?2, ours = ?3, ready = ?4, model = ?5, priority = ?6,"
                      " start_ms = ?7, expires_ms = ?8 WHERE id = ?1",
                      "itiitiii", id, name ? lam_buffer_text(&key) : NULL,
                      (int64_t)is_ours(&plan, config->perform), (int64_t)plan.ready, plan.model,
                      (int64_t)plan.priority, plan.start_ms,
                      plan.expires_ms ? plan.expires_ms : from_ms + config->input_wait_ms);
}

static char *list_instances(const json_t *input)
{
    json_t *uids = json_array(), *reference;
    size_t index;
    json_array_foreach(lam_element_items(input, "00081199"), index, reference)
    {
        const char *uid = lam_element_text(reference, "00081155");
        if (uid)
            json_array_append_new(uids, json_string(uid));
    }
    char *text = json_array_size(uids) ? json_dumps(uids, JSON_COMPACT) : NULL;
    json_decref(uids);
    return text;
}

/* An item that names no study (it lies elsewhere, or is no DICOM) is none of Lamina's input. */
static lam_status write_inputs(lam_db *db, int64_t id, const json_t *data_set, lam_error *err)
{
    size_t index;
    json_t *input;
    lam_status status = lam_db_run(db, err, "DELETE FROM workitem_input WHERE workitem_id = ?", "i", id);
    json_array_foreach(lam_element_items(data_set, LAM_UPS_INPUT), index, input)
    {
        const char *study = lam_element_text(input, "0020000D");
        if (!study || status != LAM_OK)
            continue;
        lam_autofree char *instances = list_instances(input);
        status =
            lam_db_run(db, err,
                       "INSERT INTO workitem_input (workitem_id, position, study_uid, series_uid,"
                       " instances) VALUES (?, ?, ?, ?, ?)",
                       "iittt", id, (int64_t)index, study, lam_element_text(input, "0020000E"), instances);
    }
    return status;
}

static void set_modified(json_t *data_set, int64_t now_ms)
{
    char time[LAM_DATETIME_TEXT];
    lam_element_set_text(data_set, "00404010", "DT", lam_element_write_datetime(now_ms, time));
}

/* ---- creating ---- */

static lam_status choose_uid(const char *asked, const json_t *data_set, char uid[LAM_UID_TEXT],
                             lam_error *err)
{
    const char *given = asked ? asked : lam_element_text(data_set, "00080018");
    if (given && !lam_uid_is_valid(given))
        return lam_fail(err, LAM_E_INVALID, "the UID of the workitem is no UID");
    if (given) {
        lam_text_copy(uid, LAM_UID_TEXT, given);
        return LAM_OK;
    }
    return lam_uid_random(uid) ? LAM_OK : lam_fail(err, LAM_E_BUSY, "no random numbers from the system");
}

static lam_status check_room(lam_db *db, lam_error *err)
{
    int64_t open = 0;
    lam_status status = lam_db_get_integer(
        db, &open, err,
        "SELECT count(*) FROM (SELECT 1 FROM workitem WHERE state IN ('SCHEDULED', 'IN PROGRESS') LIMIT ?)",
        "i", (int64_t)LAM_WORKLIST_MAX_OPEN);
    if (status == LAM_OK && open >= LAM_WORKLIST_MAX_OPEN)
        status = lam_fail(err, LAM_E_BUSY, "%d workitems wait or are in progress, which is all there can be",
                          LAM_WORKLIST_MAX_OPEN);
    return status;
}

static lam_status insert(lam_db *db, const char *uid, const json_t *data_set, const lam_config *config,
                         int64_t now_ms, lam_error *err)
{
    lam_autofree char *text = text_of(data_set, err);
    if (!text)
        return LAM_E_NO_MEMORY;
    lam_status status = check_room(db, err);
    if (status == LAM_OK)
        status = lam_db_run(db, err,
                            "INSERT INTO workitem (uid, state, attributes, ours, ready, priority, start_ms,"
                            " expires_ms, updated_ms) VALUES (?1, 'SCHEDULED', ?2, 0, 0, 1, 0, 0, ?3)",
                            "tti", uid, text, now_ms);
    if (status == LAM_E_EXISTS)
        return lam_fail(err, status, "there is a workitem of this UID already");
    int64_t id = lam_db_last_id(db);
    if (status == LAM_OK)
        status = write_plan(db, id, data_set, config, now_ms, err);
    return status == LAM_OK ? write_inputs(db, id, data_set, err) : status;
}

lam_status lam_worklist_create(lam_db *db, const char *uid, json_t *data_set, const lam_config *config,
                               int64_t now_ms, char created[LAM_UID_TEXT], lam_error *err)
{
    char chosen[LAM_UID_TEXT];
    lam_status status = lam_workitem_check_new(data_set, err);
    if (status == LAM_OK)
        status = choose_uid(uid, data_set, chosen, err);
    if (status != LAM_OK)
        return status;
    json_object_del(data_set, LAM_UPS_TRANSACTION);
    lam_element_set_text(data_set, "00080005", "CS", "ISO_IR 192");
    lam_element_set_text(data_set, "00080016", "UI", LAM_UPS_PUSH);
    lam_element_set_text(data_set, "00080018", "UI", chosen);
    set_modified(data_set, now_ms);
    status = lam_db_begin(db, err);
    if (status == LAM_OK)
        status = lam_db_end(db, insert(db, chosen, data_set, config, now_ms, err), err);
    if (status == LAM_OK)
        lam_text_copy(created, LAM_UID_TEXT, chosen);
    return status;
}

lam_status lam_worklist_get(lam_db *db, const char *uid, lam_buffer *out, lam_error *err)
{
    bool row = false;
    const char *none = NULL;
    sqlite3_stmt *s = lam_db_prepare(db, err, "SELECT attributes FROM workitem WHERE uid = ?", "t", uid);
    lam_status status = lam_db_step(db, s, &row, err);
    if (status == LAM_OK && !row)
        status = lam_workitem_answer(LAM_UPS_UNKNOWN, LAM_WORKITEM_KEY_RIGHT, &none, err);
    if (status != LAM_OK)
        return status;
    lam_buffer_append_text(out, "[");
    lam_buffer_append_text(out, lam_db_text(s, 0));
    lam_buffer_append_text(out, "]");
    sqlite3_reset(s);
    return out->status;
}

/* ---- changing ---- */

static lam_workitem_key key_of(const lam_workitem *item, const char *shown)
{
    if (!shown)
        return LAM_WORKITEM_KEY_MISSING;
    if (item->state == LAM_WORKITEM_SCHEDULED)
        return lam_uid_is_valid(shown) ? LAM_WORKITEM_KEY_RIGHT : LAM_WORKITEM_KEY_WRONG;
    return *item->transaction_uid && strcmp(item->transaction_uid, shown) == 0 ? LAM_WORKITEM_KEY_RIGHT
                                                                               : LAM_WORKITEM_KEY_WRONG;
}

/* One change of one workitem. */
typedef struct change {
    lam_db *db;
    lam_workitem item;
    const json_t *given;
    const char *key; /* the Transaction UID that was shown, or NULL */
    const lam_config *config;
    int64_t now_ms;
    const char **warning;
} change;

/* Reads the workitem, lets `act` change it, and commits what it did. */
static lam_status run(change *c, const char *uid, lam_status (*act)(change *c, lam_error *err),
                      lam_error *err)
{
    *c->warning = NULL;
    lam_status status = c->given ? lam_element_check(c->given, err) : LAM_OK;
    if (status == LAM_OK)
        status = lam_db_begin(c->db, err);
    if (status != LAM_OK)
        return status;
    status = lam_worklist_read(c->db, 0, uid, &c->item, err);
    if (status == LAM_OK)
        status = act(c, err);
    status = lam_db_end(c->db, status, err);
    lam_workitem_done(&c->item);
    return status;
}

/* What is scheduled may change until somebody has begun. */
static lam_status update(change *c, lam_error *err)
{
    lam_workitem *item = &c->item;
    lam_workitem_key key = key_of(item, c->key);
    lam_status status =
        lam_workitem_answer(lam_workitem_judge_update(item->state, key), key, c->warning, err);
    if (status == LAM_OK)
        status = lam_workitem_merge(item->attributes, c->given, err);
    if (status == LAM_OK && json_dumpb(item->attributes, NULL, 0, JSON_COMPACT) > LAM_WORKLIST_MAX_TEXT)
        status = lam_fail(err, LAM_E_LIMIT, "a workitem has at most %d bytes", LAM_WORKLIST_MAX_TEXT);
    if (status != LAM_OK)
        return status;
    set_modified(item->attributes, c->now_ms);
    status = lam_worklist_write(c->db, item, c->now_ms, err);
    if (status == LAM_OK && item->state == LAM_WORKITEM_SCHEDULED)
        status = write_plan(c->db, item->id, item->attributes, c->config, c->now_ms, err);
    if (status == LAM_OK && item->state == LAM_WORKITEM_SCHEDULED)
        status = write_inputs(c->db, item->id, item->attributes, err);
    return status;
}

lam_status lam_worklist_update(lam_db *db, const char *uid, const char *transaction_uid,
                               const json_t *changes, const lam_config *config, int64_t now_ms,
                               const char **warning, lam_error *err)
{
    if (!transaction_uid)
        transaction_uid = lam_element_text(changes, LAM_UPS_TRANSACTION);
    change c = {.db = db,
                .given = changes,
                .key = transaction_uid,
                .config = config,
                .now_ms = now_ms,
                .warning = warning};
    return run(&c, uid, update, err);
}

static lam_status change_state(change *c, lam_error *err)
{
    lam_workitem *item = &c->item;
    lam_workitem_state wanted;
    const char *name = lam_element_text(c->given, LAM_UPS_STATE);
    if (!lam_workitem_state_parse(name, &wanted))
        return lam_fail(err, LAM_E_INVALID,
                        "ProcedureStepState must be one of IN PROGRESS, COMPLETED, CANCELED");
    lam_workitem_key key = key_of(item, c->key);
    uint16_t code = lam_workitem_judge_state(item->state, wanted, key);
    if (code == LAM_UPS_OK && item->state == LAM_WORKITEM_IN_PROGRESS &&
        !lam_workitem_is_final(item->attributes, wanted, c->now_ms))
        code = LAM_UPS_NOT_FINAL;
    lam_status status = lam_workitem_answer(code, key, c->warning, err);
    if (status != LAM_OK || code != LAM_UPS_OK)
        return status;
    if (wanted == LAM_WORKITEM_IN_PROGRESS) {
        lam_text_copy(item->transaction_uid, sizeof item->transaction_uid, c->key);
        item->ours = false;
    }
    item->state = wanted;
    return lam_worklist_write(c->db, item, c->now_ms, err);
}

lam_status lam_worklist_change_state(lam_db *db, const char *uid, const json_t *action, int64_t now_ms,
                                     const char **warning, lam_error *err)
{
    change c = {.db = db,
                .given = action,
                .key = lam_element_text(action, LAM_UPS_TRANSACTION),
                .now_ms = now_ms,
                .warning = warning};
    return run(&c, uid, change_state, err);
}

static lam_status request_cancel(change *c, lam_error *err)
{
    lam_workitem *item = &c->item;
    uint16_t code = lam_workitem_judge_cancel(item->state, item->ours);
    lam_status status = lam_workitem_answer(code, LAM_WORKITEM_KEY_RIGHT, c->warning, err);
    if (status != LAM_OK || code != LAM_UPS_OK)
        return status;
    json_t *why = lam_element_item(c->given, LAM_UPS_WHY);
    const char *reason = lam_element_text(c->given, "00741238");
    return lam_performer_cancel(c->db, item, json_is_object(why) ? json_incref(why) : NULL,
                                reason ? reason : "cancelled by request", c->now_ms, err);
}

lam_status lam_worklist_request_cancel(lam_db *db, const char *uid, const json_t *action, int64_t now_ms,
                                       const char **warning, lam_error *err)
{
    change c = {.db = db, .given = action, .now_ms = now_ms, .warning = warning};
    return run(&c, uid, request_cancel, err);
}
