#include "daemon/laminad/arrival.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/laminad/catalog.h"

/* DIMSE status and STOW failure reason of what can go wrong (PS3.4 table B.2-1, PS3.7 annex C). */
static const struct {
    lam_status status;
    uint16_t dicom;
} dicom_statuses[] = {
    {LAM_OK, 0x0000},          {LAM_E_NO_SPACE, 0xA700}, /* out of resources */
    {LAM_E_NO_MEMORY, 0xA700}, {LAM_E_STATE, 0xA900},    /* the data set does not match what was announced */
    {LAM_E_CORRUPT, 0xC000},                             /* cannot understand */
    {LAM_E_INVALID, 0xC000},   {LAM_E_LIMIT, 0xC000},    {LAM_E_EXISTS, 0x0111}, /* duplicate SOP instance */
};

static const uint16_t processing_failure = 0x0110;

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

void lam_arrival_refuse(lam_arrival *arrival, lam_status status, const char *reason)
{
    lam_store_result *result = &arrival->result;
    arrival->fate = LAM_ARRIVAL_REFUSED;
    result->status = status;
    result->dicom_status = processing_failure;
    for (size_t i = 0; i < LAM_COUNT(dicom_statuses); i++)
        if (dicom_statuses[i].status == status)
            result->dicom_status = dicom_statuses[i].dicom;
    lam_text_copy(result->reason, sizeof result->reason, reason);
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

static bool same_bytes(int a, int64_t a_offset, int b, int64_t b_offset, int64_t length)
{
    enum { CHUNK = 64 * 1024 };
    lam_autofree char *left = malloc(2 * CHUNK);
    if (!left)
        return false;
    char *right = left + CHUNK;
    for (int64_t done = 0; done < length;) {
        size_t part = length - done < CHUNK ? (size_t)(length - done) : CHUNK;
        if (lam_io_pread_all(a, left, part, a_offset + done, NULL) != LAM_OK ||
            lam_io_pread_all(b, right, part, b_offset + done, NULL) != LAM_OK ||
            memcmp(left, right, part) != 0)
            return false;
        done += (int64_t)part;
    }
    return true;
}

/* The data set decides, not the file meta information, which names whoever sent it. */
static bool is_same_object(const lam_arrival *arrival, const lam_catalog_instance *stored, lam_store *store)
{
    int64_t length = arrival->bytes - arrival->header.dataset_offset, bytes = 0;
    if (!stored->same_place || !stored->same_syntax || length != stored->bytes - stored->dataset_offset)
        return false;
    lam_autoclose int fd = -1;
    if (lam_store_open_file(store, stored->file, &fd, &bytes, NULL) != LAM_OK)
        return false;
    return same_bytes(arrival->index.fd, arrival->header.dataset_offset, fd, stored->dataset_offset, length);
}

/* The row of the older bytes goes, so that the newer can be entered. */
static lam_status make_room(lam_arrival *arrival, const lam_catalog_instance *stored, lam_db *db,
                            lam_error *err)
{
    lam_status status = lam_db_run(db, err,
                                   "UPDATE series SET instances = instances - 1 WHERE id = (SELECT series_id "
                                   "FROM instance WHERE id = ?)",
                                   "i", stored->id);
    if (status == LAM_OK)
        status = lam_db_run(db, err, "DELETE FROM instance WHERE id = ?", "i", stored->id);
    arrival->old_file = stored->file;
    return status;
}

static lam_status enter(lam_arrival *arrival, lam_db *db, lam_store *store, lam_config_duplicates duplicates,
                        lam_error *err)
{
    lam_catalog_instance stored;
    lam_arrival_fate fate = LAM_ARRIVAL_ADDED;
    lam_status status = lam_catalog_find_instance(db, &arrival->header, &stored, err);
    if (status == LAM_OK) {
        if (is_same_object(arrival, &stored, store)) {
            arrival->fate = LAM_ARRIVAL_SAME;
            return LAM_OK;
        }
        if (duplicates != LAM_DUPLICATES_REPLACE)
            return lam_fail(err, LAM_E_EXISTS, "this SOPInstanceUID is stored already with other content");
        fate = LAM_ARRIVAL_REPLACED;
        status = make_room(arrival, &stored, db, err);
    } else if (status == LAM_E_NOT_FOUND) {
        status = LAM_OK;
    }
    int64_t instance = 0;
    if (status == LAM_OK)
        status = lam_store_adopt(store, arrival->name, &arrival->file, err);
    if (status != LAM_OK)
        return status;
    const lam_catalog_file file = {
        .number = arrival->file, .bytes = arrival->bytes, .sender = arrival->sender};
    status = lam_catalog_add(db, &arrival->header, &file, lam_clock_steady_ms(), &instance, err);
    if (status != LAM_OK)
        lam_store_remove(store, arrival->file);
    else
        arrival->fate = fate;
    return status;
}

/* One that cannot be entered must not spoil the group: its rows are rolled back alone. */
static void enter_alone(lam_arrival *arrival, lam_db *db, lam_store *store, lam_config_duplicates duplicates)
{
    lam_error err = {0};
    lam_status status = lam_db_run(db, &err, "SAVEPOINT arrival", "");
    if (status == LAM_OK)
        status = enter(arrival, db, store, duplicates, &err);
    if (status != LAM_OK) {
        lam_db_run(db, NULL, "ROLLBACK TO arrival", "");
        lam_arrival_refuse(arrival, status, err.message);
    }
    lam_db_run(db, NULL, "RELEASE arrival", "");
}

static void refuse_all(lam_arrival *first, lam_store *store, lam_status status, const char *reason)
{
    for (lam_arrival *a = first; a; a = a->next) {
        if (a->fate == LAM_ARRIVAL_ADDED || a->fate == LAM_ARRIVAL_REPLACED)
            lam_store_remove(store, a->file);
        if (a->result.status == LAM_OK)
            lam_arrival_refuse(a, status, reason);
    }
}

static lam_status commit_group(lam_arrival *first, lam_db *db, lam_store *store,
                               lam_config_duplicates duplicates, lam_error *err)
{
    bool any = false;
    for (const lam_arrival *a = first; a; a = a->next)
        any |= a->result.status == LAM_OK;
    if (!any)
        return LAM_OK;
    lam_status status = lam_db_begin(db, err);
    if (status != LAM_OK)
        return status;
    for (lam_arrival *a = first; a; a = a->next)
        if (a->result.status == LAM_OK)
            enter_alone(a, db, store, duplicates);
    status = lam_store_sync(store, err); /* promise 1: file and directory entry before the row */
    if (status != LAM_OK) {
        lam_db_rollback(db);
        return status;
    }
    return lam_db_commit(db, err);
}

void lam_arrivals_commit(lam_arrival *first, lam_db *db, lam_store *store, lam_config_duplicates duplicates)
{
    lam_error err = {0};
    lam_status status = commit_group(first, db, store, duplicates, &err);
    if (status != LAM_OK)
        refuse_all(first, store, status, err.message);
    for (lam_arrival *a = first; a; a = a->next) {
        if (a->fate == LAM_ARRIVAL_REFUSED || a->fate == LAM_ARRIVAL_SAME)
            lam_spool_remove(store, a->name);
        else if (a->fate == LAM_ARRIVAL_REPLACED)
            lam_store_remove(store, a->old_file);
    }
}
