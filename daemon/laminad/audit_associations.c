#include "daemon/laminad/audit_associations.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"

typedef struct lam_audit_open {
    struct lam_audit_open *next;
    int64_t number;
    lam_audit_entry like; /* who it is */
    lam_transfers transfers;
} lam_audit_open;

static lam_audit_entry entry_of(lam_audit_kind kind, const lam_audit_association *said)
{
    lam_audit_entry entry = {.kind = kind, .user_is_ae_title = true};
    lam_text_copy(entry.user, sizeof entry.user, said->calling_ae);
    lam_text_copy(entry.address, sizeof entry.address, said->address);
    return entry;
}

/* The link to it, so that it can be taken out; *link is NULL when it is not open. */
static lam_audit_open **find(lam_audit_associations *associations, int64_t number)
{
    lam_audit_open **link = &associations->first;
    while (*link && (*link)->number != number)
        link = &(*link)->next;
    return link;
}

static void close_one(lam_audit_associations *associations, lam_audit_open **link)
{
    lam_audit_open *open = *link;
    *link = open->next;
    lam_audit_note_transfers(associations->audit, &open->like, &open->transfers);
    lam_transfers_done(&open->transfers);
    free(open);
}

/* Without memory for it its objects have their records one by one. */
static void on_accepted(lam_audit_associations *associations, const lam_audit_association *said)
{
    lam_audit_open *open = malloc(sizeof *open);
    if (!open)
        return;
    *open = (lam_audit_open){
        .next = associations->first, .number = said->number, .like = entry_of(LAM_AUDIT_RECEIVED, said)};
    associations->first = open;
}

static void on_object_refused(lam_audit_associations *associations, const lam_audit_association *said)
{
    lam_audit_open *open = *find(associations, said->number);
    if (open)
        lam_transfers_add(&open->transfers, "", "", said->reason);
}

static void on_rejected(lam_audit_associations *associations, const lam_audit_association *said)
{
    lam_audit_entry entry = entry_of(LAM_AUDIT_NODE_REFUSED, said);
    entry.outcome = LAM_AUDIT_MINOR_FAILURE;
    lam_text_copy(entry.reason, sizeof entry.reason, said->reason);
    lam_audit_note(associations->audit, &entry);
}

static void on_released(lam_audit_associations *associations, const lam_audit_association *said)
{
    lam_audit_open **link = find(associations, said->number);
    if (*link)
        close_one(associations, link);
}

/* One that was never accepted failed at the door: a certificate, or no DICOM at all. */
static void on_broken(lam_audit_associations *associations, const lam_audit_association *said)
{
    lam_audit_open **link = find(associations, said->number);
    if (*link)
        close_one(associations, link);
    else
        on_rejected(associations, said);
}

static const struct {
    const char *event;
    void (*take)(lam_audit_associations *, const lam_audit_association *);
} events[] = {
    {"accepted", on_accepted}, {"refused", on_object_refused}, {"rejected", on_rejected},
    {"released", on_released}, {"aborted", on_broken},         {"failed", on_broken},
};

void lam_audit_associations_hear(lam_audit_associations *associations, const char *event,
                                 const lam_audit_association *said)
{
    for (size_t i = 0; associations->audit && i < LAM_COUNT(events); i++)
        if (strcmp(events[i].event, event) == 0)
            events[i].take(associations, said);
}

static void add_arrival(lam_transfers *transfers, const lam_arrival *arrival)
{
    const lam_header *header = &arrival->header;
    bool refused = arrival->fate == LAM_ARRIVAL_REFUSED || arrival->fate == LAM_ARRIVAL_QUARANTINED;
    lam_transfers_add(transfers, header->study_uid,
                      header->sop_class_uid[0] ? header->sop_class_uid : arrival->sop_class_uid,
                      refused ? arrival->result.reason : NULL);
}

void lam_audit_associations_count(lam_audit_associations *associations, const lam_arrival *arrival)
{
    lam_audit_open *open = *find(associations, arrival->association);
    if (open) {
        add_arrival(&open->transfers, arrival);
    } else if (associations->audit) {
        lam_transfers alone = {0};
        const lam_audit_entry like =
            entry_of(LAM_AUDIT_RECEIVED, &(lam_audit_association){.calling_ae = arrival->sender});
        add_arrival(&alone, arrival);
        lam_audit_note_transfers(associations->audit, &like, &alone);
        lam_transfers_done(&alone);
    }
}

void lam_audit_associations_end(lam_audit_associations *associations)
{
    while (associations->first)
        close_one(associations, &associations->first);
}
