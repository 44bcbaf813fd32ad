/* What HTTP clients do, as records of the audit trail. */
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "daemon/laminad/backend.h"

static lam_audit_entry entry_of(lam_audit_kind kind, const lam_client *client)
{
    lam_audit_entry entry = {.kind = kind};
    lam_text_copy(entry.user, sizeof entry.user, client->user);
    lam_text_copy(entry.address, sizeof entry.address, client->address);
    return entry;
}

static void set_place(lam_audit_entry *entry, const lam_place *place)
{
    entry->records = true;
    lam_text_copy(entry->study.study_uid, LAM_UID_TEXT, place->study_uid);
    lam_text_copy(entry->series_uid, LAM_UID_TEXT, place->series_uid);
    lam_text_copy(entry->sop_uid, LAM_UID_TEXT, place->sop_uid);
}

static void set_outcome(lam_audit_entry *entry, unsigned status)
{
    if (status >= 200 && status < 400)
        return;
    entry->outcome = LAM_AUDIT_MINOR_FAILURE;
    if (status)
        snprintf(entry->reason, sizeof entry->reason, "HTTP status %u", status);
    else
        lam_text_copy(entry->reason, sizeof entry->reason, "the answer was not sent to its end");
}

static void note_refusal(lam_audit *audit, const lam_deed *deed)
{
    lam_audit_entry entry = entry_of(LAM_AUDIT_USER_REFUSED, &deed->client);
    set_outcome(&entry, deed->status);
    entry.outcome = LAM_AUDIT_MINOR_FAILURE;
    lam_audit_note(audit, &entry);
}

static void note_query(lam_audit *audit, const lam_deed *deed)
{
    lam_audit_entry entry = entry_of(LAM_AUDIT_QUERY, &deed->client);
    set_outcome(&entry, deed->status);
    entry.query = deed->target;
    lam_audit_note(audit, &entry);
}

static void note_access(lam_audit *audit, const lam_deed *deed)
{
    lam_audit_entry entry = entry_of(LAM_AUDIT_ACCESSED, &deed->client);
    set_outcome(&entry, deed->status);
    set_place(&entry, &deed->place);
    entry.job = deed->job;
    lam_audit_note(audit, &entry);
}

static void note_deed(void *context, const lam_deed *deed)
{
    const lam_daemon *daemon = context;
    lam_audit_wait_for_room(daemon->audit); /* the answer is sent; the client's next request can wait */
    if (deed->refused) {
        note_refusal(daemon->audit, deed);
    } else if (deed->kind == LAM_DEED_QUERY) {
        note_query(daemon->audit, deed);
    } else if (deed->kind == LAM_DEED_ACCESS) {
        note_access(daemon->audit, deed);
    } else if (deed->kind == LAM_DEED_STORE) {
        const lam_audit_entry like = entry_of(LAM_AUDIT_RECEIVED, &deed->client);
        lam_audit_note_transfers(daemon->audit, &like, deed->transfers);
    }
}

void lam_backend_note_removal(lam_daemon *daemon, const lam_place *place, const lam_client *client,
                              const char *patient_id, lam_status done, const lam_error *err)
{
    lam_audit_entry entry = entry_of(place->series_uid ? LAM_AUDIT_OBJECTS_GONE : LAM_AUDIT_DELETED, client);
    set_place(&entry, place);
    lam_text_copy(entry.patient_id, sizeof entry.patient_id, patient_id);
    if (done != LAM_OK) {
        entry.outcome = LAM_AUDIT_MINOR_FAILURE;
        lam_text_copy(entry.reason, sizeof entry.reason, err ? err->message : "");
    }
    lam_audit_note(daemon->audit, &entry);
}

void lam_backend_add_audit(lam_backend *backend)
{
    backend->deed = note_deed;
}
