#include "daemon/laminad/arrival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/laminad/catalog.h"
#include "daemon/laminad/removal.h"

enum {
    PROCESSING_FAILURE = 0x0110,
    DUPLICATE_INSTANCE = 0x0111,
    OUT_OF_RESOURCES = 0xA700,
    CANNOT_UNDERSTAND = 0xC000,
};

/* DIMSE status and STOW failure reason of what can go wrong (PS3.4 table B.2-1, PS3.7 annex C). */
static const struct {
    lam_status status;
    uint16_t dicom;
} dicom_statuses[] = {
    {LAM_OK, 0x0000},
    {LAM_E_NO_SPACE, OUT_OF_RESOURCES},
    {LAM_E_NO_MEMORY, OUT_OF_RESOURCES},
    {LAM_E_BUSY, OUT_OF_RESOURCES}, /* the same object may be taken later */
    {LAM_E_STATE, 0xA900},          /* the data set does not match what was announced */
    {LAM_E_CORRUPT, CANNOT_UNDERSTAND},
    {LAM_E_INVALID, CANNOT_UNDERSTAND},
    {LAM_E_LIMIT, CANNOT_UNDERSTAND},
    {LAM_E_EXISTS, DUPLICATE_INSTANCE},
};

lam_arrival *lam_arrival_create(void)
{
    lam_arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival)
        arrival->index.fd = -1;
    return arrival;
}

void lam_arrival_free(lam_arrival *arrival)
{
    if (!arrival)
        return;
    if (arrival->index.fd >= 0)
        close(arrival->index.fd);
    lam_header_done(&arrival->header);
    free(arrival);
}

void lam_arrivals_init(lam_arrivals *list)
{
    *list = (lam_arrivals){.tail = &list->first};
}

void lam_arrivals_push(lam_arrivals *list, lam_arrival *arrival)
{
    arrival->next = NULL;
    *list->tail = arrival;
    list->tail = &arrival->next;
    list->count++;
}

lam_arrival *lam_arrivals_pop(lam_arrivals *list)
{
    lam_arrival *arrival = list->first;
    if (!arrival)
        return NULL;
    list->first = arrival->next;
    if (!list->first)
        list->tail = &list->first;
    list->count--;
    arrival->next = NULL;
    return arrival;
}

void lam_arrival_refuse(lam_arrival *arrival, lam_status status, const char *reason)
{
    lam_store_result *result = &arrival->result;
    arrival->fate = LAM_ARRIVAL_REFUSED;
    result->status = status;
    result->dicom_status = PROCESSING_FAILURE;
    for (size_t i = 0; i < LAM_COUNT(dicom_statuses); i++)
        if (dicom_statuses[i].status == status)
            result->dicom_status = dicom_statuses[i].dicom;
    lam_text_copy(result->reason, sizeof result->reason, reason);
}

void lam_arrival_fail(lam_arrival *arrival, lam_status status, const char *reason)
{
    lam_arrival_refuse(arrival, status == LAM_E_LIMIT ? LAM_E_BUSY : status, reason);
}

void lam_arrival_indexed(lam_arrival *arrival, const char *payload)
{
    lam_error err = {0};
    lam_header *header = &arrival->header;
    lam_status status = lam_header_parse(payload, header, &err);
    if (status != LAM_OK) {
        lam_arrival_refuse(arrival, status, err.message);
        return;
    }
    if (header->dataset_offset < 0 || header->dataset_offset > arrival->bytes) {
        lam_arrival_refuse(arrival, LAM_E_CORRUPT, "the data set begins outside of the file");
        return;
    }
    lam_text_copy(arrival->result.sop_class_uid, LAM_UID_TEXT, header->sop_class_uid);
    lam_text_copy(arrival->result.sop_instance_uid, LAM_UID_TEXT, header->sop_uid);
    lam_text_copy(arrival->result.study_uid, LAM_UID_TEXT, header->study_uid);
    lam_text_copy(arrival->result.series_uid, LAM_UID_TEXT, header->series_uid);
    const struct {
        const char *announced, *found, *refusal;
    } pairs[] = {
        {arrival->sop_class_uid, header->sop_class_uid,
         "SOPClassUID of the data set is not the one announced"},
        {arrival->sop_uid, header->sop_uid, "SOPInstanceUID of the data set is not the one announced"},
        {arrival->transfer_syntax_uid, header->transfer_syntax_uid,
         "transfer syntax is not the one negotiated"},
        {arrival->study_uid, header->study_uid,
         "StudyInstanceUID of the data set is not the study addressed"},
    };
    for (size_t i = 0; i < LAM_COUNT(pairs); i++)
        if (pairs[i].announced[0] && strcmp(pairs[i].announced, pairs[i].found) != 0) {
            lam_arrival_refuse(arrival, LAM_E_STATE, pairs[i].refusal);
            return;
        }
}

static lam_status compare(int a, int64_t a_offset, int b, int64_t b_offset, int64_t length, bool *same,
                          lam_error *err)
{
    enum { CHUNK = 64 * 1024 };
    lam_autofree char *left = malloc(2 * CHUNK);
    if (!left)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    char *right = left + CHUNK;
    bool equal = true;
    for (int64_t done = 0; equal && done < length;) {
        size_t part = length - done < CHUNK ? (size_t)(length - done) : CHUNK;
        lam_status status = lam_io_pread_all(a, left, part, a_offset + done, err);
        if (status == LAM_OK)
            status = lam_io_pread_all(b, right, part, b_offset + done, err);
        if (status != LAM_OK)
            return lam_fail(err, LAM_E_IO, "cannot compare with the object that is stored already");
        equal = memcmp(left, right, part) == 0;
        done += (int64_t)part;
    }
    *same = equal;
    return LAM_OK;
}

/* The data set decides, not the file meta information, which names whoever sent it. */
static lam_status is_same_object(const lam_arrival *arrival, const lam_catalog_instance *stored,
                                 lam_store *store, bool *same, lam_error *err)
{
    int64_t length = arrival->bytes - arrival->header.dataset_offset, bytes = 0;
    *same = false;
    if (!stored->same_place || !stored->same_syntax || length != stored->bytes - stored->dataset_offset)
        return LAM_OK;
    lam_autoclose int fd = -1;
    if (lam_store_open_file(store, stored->file, &fd, &bytes, NULL) != LAM_OK)
        return lam_fail(err, LAM_E_IO, "cannot open the object that is stored already");
    return compare(arrival->index.fd, arrival->header.dataset_offset, fd, stored->dataset_offset, length,
                   same, err);
}

/* One whose UID is taken: `fate` is SAME, or REPLACED when the older row has made room. */
static lam_status meet_stored(lam_arrival *arrival, const lam_catalog_instance *stored,
                              const lam_arrival_place *place, lam_arrival_fate *fate, lam_error *err)
{
    bool same = false;
    lam_status status = is_same_object(arrival, stored, place->store, &same, err);
    *fate = same ? LAM_ARRIVAL_SAME : LAM_ARRIVAL_REPLACED;
    if (status != LAM_OK || same)
        return status;
    if (place->config->duplicates != LAM_DUPLICATES_REPLACE || stored->is_result)
        return lam_fail(err, LAM_E_EXISTS, "this SOPInstanceUID is stored already with other content");
    arrival->old_file = stored->file;
    return stored->same_place
               ? lam_catalog_remove(place->db, stored, err)
               : lam_removal_take(place->db, arrival->header.sop_uid, lam_clock_steady_ms(), err);
}

static bool is_entered(const lam_arrival *arrival)
{
    return arrival->fate == LAM_ARRIVAL_ADDED || arrival->fate == LAM_ARRIVAL_REPLACED;
}

/* Begins when the last of the group has its name, and goes on while the last rows are entered. */
static lam_status begin_sync(lam_arrival_group *group, lam_error *err)
{
    size_t count = 0;
    for (const lam_arrival *a = group->first; a; a = a->next)
        count += is_entered(a);
    lam_autofree int *fds = malloc((count + 1) * sizeof *fds);
    if (!fds)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    count = 0;
    for (const lam_arrival *a = group->first; a; a = a->next)
        if (is_entered(a))
            fds[count++] = a->index.fd;
    lam_status status = lam_store_sync_begin(group->place.store, fds, count, err);
    group->syncing = status == LAM_OK;
    return status;
}

static lam_status enter(lam_arrival *arrival, lam_arrival_group *group, lam_error *err)
{
    const lam_arrival_place *place = &group->place;
    lam_catalog_instance stored;
    lam_arrival_fate fate = LAM_ARRIVAL_ADDED;
    lam_catalog_file file = {
        .bytes = arrival->bytes, .sender = arrival->sender, .association = arrival->association};
    if (!arrival->upload)
        file.quiet_ms = lam_config_quiet_of(place->config, arrival->sender).after_ms;
    lam_status status = lam_catalog_find_instance(place->db, &arrival->header, &stored, err);
    if (status == LAM_OK) {
        status = meet_stored(arrival, &stored, place, &fate, err);
        file.revision = stored.revision + 1;
    } else if (status == LAM_E_NOT_FOUND) {
        status = LAM_OK;
    }
    if (status == LAM_OK && fate != LAM_ARRIVAL_SAME)
        status = lam_store_adopt(place->store, arrival->name, &file.number, err);
    if (status != LAM_OK)
        return status;
    arrival->file = file.number;
    arrival->fate = fate;
    if (fate == LAM_ARRIVAL_SAME)
        return LAM_OK;
    if (!arrival->next)
        status = begin_sync(group, err);
    int64_t instance = 0;
    if (status == LAM_OK)
        status = lam_catalog_add(place->db, &arrival->header, &file, lam_clock_steady_ms(), &instance, err);
    if (status != LAM_OK)
        lam_store_remove(place->store, file.number);
    return status;
}

/* One that cannot be entered must not spoil the group: its rows are rolled back alone. Fails when that cannot
 * be done, because SQLite gave up the whole transaction. */
static lam_status enter_alone(lam_arrival *arrival, lam_arrival_group *group, lam_error *err)
{
    lam_error why = {0};
    lam_db *db = group->place.db;
    lam_status status = lam_db_run(db, err, "SAVEPOINT arrival", "");
    if (status != LAM_OK)
        return status;
    status = enter(arrival, group, &why);
    if (!lam_db_in_transaction(db)) {
        *err = why;
        return status != LAM_OK ? status : lam_fail(err, LAM_E_IO, "the transaction was given up");
    }
    if (status != LAM_OK) {
        lam_arrival_fail(arrival, status, why.message);
        status = lam_db_run(db, err, "ROLLBACK TO arrival", "");
        if (status != LAM_OK)
            return status;
    }
    return lam_db_run(db, err, "RELEASE arrival", "");
}

/* `doubtful`: it was the commit itself that failed. */
static void refuse_all(lam_arrival *first, lam_store *store, bool doubtful, lam_status status,
                       const char *reason)
{
    for (lam_arrival *a = first; a; a = a->next) {
        if (is_entered(a) && doubtful)
            lam_store_doubt(store, a->file);
        else if (is_entered(a))
            lam_store_remove(store, a->file);
        if (a->result.status == LAM_OK)
            lam_arrival_fail(a, status, reason);
    }
}

static bool any_to_enter(const lam_arrival *first)
{
    for (const lam_arrival *a = first; a; a = a->next)
        if (a->result.status == LAM_OK)
            return true;
    return false;
}

static lam_status enter_group(lam_arrival_group *group, lam_error *err)
{
    lam_status status = lam_db_begin(group->place.db, err);
    group->entered = status == LAM_OK;
    for (lam_arrival *a = group->first; status == LAM_OK && a; a = a->next)
        if (a->result.status == LAM_OK)
            status = enter_alone(a, group, err);
    if (status == LAM_OK && !group->syncing)
        status = begin_sync(group, err);
    return status;
}

void lam_arrivals_begin(lam_arrival_group *group)
{
    if (any_to_enter(group->first))
        group->fate = enter_group(group, &group->fault);
}

bool lam_arrivals_are_synced(const lam_arrival_group *group)
{
    return !group->syncing || lam_store_sync_is_done(group->place.store);
}

/* `doubtful`: it was the commit itself that failed. */
static lam_status commit(const lam_arrival_group *group, bool *doubtful, lam_error *err)
{
    lam_status status = group->fate;
    lam_error late = {0};
    /* promise 1: the bytes and their names before the rows */
    if (group->syncing && lam_store_sync_end(group->place.store, &late) != LAM_OK && status == LAM_OK) {
        *err = late;
        status = late.status;
    }
    if (group->entered && status != LAM_OK)
        lam_db_rollback(group->place.db);
    if (!group->entered || status != LAM_OK)
        return status;
    status = lam_db_commit(group->place.db, err);
    *doubtful = status != LAM_OK;
    if (status == LAM_OK) {
        lam_failpoint_hit(LAM_FAIL_COMMIT_AFTER);
        lam_store_settle(group->place.store);
    }
    return status;
}

static bool is_worth_a_look(const lam_arrival *arrival, const lam_config *config)
{
    if (arrival->index.fd < 0 || config->quarantine_bytes == 0)
        return false;
    return arrival->result.dicom_status == CANNOT_UNDERSTAND ||
           (arrival->result.dicom_status == DUPLICATE_INSTANCE &&
            config->duplicates == LAM_DUPLICATES_QUARANTINE);
}

static void put_aside(lam_arrival *arrival, const lam_arrival_place *place)
{
    char note[1024], when[LAM_CLOCK_TEXT];
    const lam_store_result *result = &arrival->result;
    snprintf(note, sizeof note,
             "received %s\nsender %s\nstatus %04XH\nreason %s\nsop_instance_uid %s\nstudy_uid %s\n",
             lam_clock_iso8601(lam_clock_wall_ms(), when), arrival->sender, result->dicom_status,
             result->reason, result->sop_instance_uid, result->study_uid);
    if (lam_quarantine_take(place->quarantine, place->store, arrival->name, arrival->bytes, note,
                            place->config->quarantine_bytes, NULL) == LAM_OK)
        arrival->fate = LAM_ARRIVAL_QUARANTINED;
}

void lam_arrivals_end(lam_arrival_group *group)
{
    const lam_arrival_place *place = &group->place;
    bool doubtful = false;
    lam_status status = commit(group, &doubtful, &group->fault);
    if (status != LAM_OK)
        refuse_all(group->first, place->store, doubtful, status, group->fault.message);
    for (lam_arrival *a = group->first; a; a = a->next) {
        if (a->fate == LAM_ARRIVAL_REFUSED && place->quarantine && is_worth_a_look(a, place->config))
            put_aside(a, place);
        if (a->fate == LAM_ARRIVAL_REFUSED || a->fate == LAM_ARRIVAL_SAME)
            lam_spool_remove(place->store, a->name);
        else if (a->fate == LAM_ARRIVAL_REPLACED)
            lam_store_remove(place->store, a->old_file);
    }
}
