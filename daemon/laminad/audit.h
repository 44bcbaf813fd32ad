/* The audit trail: who stored, searched, read, sent and deleted what, and who was refused (PS3.15 section
 * A.5). It is apart from the logs, which name no patient (promise 9): one file a day,
 * data_dir/audit/YYYY-MM-DD.log (UTC), a record a line, for people and for a forwarder such as rsyslog.
 *
 * To note something waits for nothing: a thread of the trail's own writes. Its queue is bounded, so that a
 * disk that takes no records stops neither intake nor reading; what does not fit is counted by its kind, and
 * the counts become records themselves as soon as there is room: the trail may have a gap, but never a silent
 * one. Those who ask faster than a healthy disk takes records are slowed down instead, by
 * lam_audit_wait_for_room. Records reach stable storage within a second, and at the end. */
#ifndef LAMINA_DAEMON_AUDIT_H
#define LAMINA_DAEMON_AUDIT_H

#include "core/base/status.h"
#include "daemon/laminad/audit_message.h"
#include "daemon/laminad/db.h"

typedef struct lam_audit lam_audit;

enum {
    LAM_AUDIT_QUEUE = 4096, /* records that wait at most */
    LAM_AUDIT_ALERTS =
        10, /* refusals of a kind recorded one by one in a minute; others are counted together */
    LAM_AUDIT_FOLD_MS = 60 * 1000
};

typedef struct lam_audit_options {
    const char *data_dir, *ae_title; /* copied */
    lam_database *database; /* borrowed: patients and SOP classes of studies; NULL: neither is looked up */
    int64_t keep_ms;        /* age after which a file is removed; 0: never */
} lam_audit_options;

/* Makes the folder, starts the thread and notes LAM_AUDIT_START. */
lam_status lam_audit_start(const lam_audit_options *options, lam_audit **out, lam_error *err);
/* Notes LAM_AUDIT_STOP, and writes and syncs what waits, once. NULL-safe. */
void lam_audit_stop(lam_audit *audit);

/* All below: from any thread; nothing happens with a trail that is NULL, which is one that is switched off.
 */

/* How long files are kept from now on. */
void lam_audit_set_keep(lam_audit *audit, int64_t keep_ms);

/* Notes a copy of *entry, whose `next` and `wall_ms` do not matter; its `query`, which may be NULL, is
 * copied, too. Of a study the patient, and of one without classes the SOP classes, are filled in from the
 * index. */
void lam_audit_note(lam_audit *audit, const lam_audit_entry *entry);

/* For who may wait, before noting: until the queue is half empty, for a second at most, and not at all while
 * the disk takes nothing. */
void lam_audit_wait_for_room(lam_audit *audit);

/* The PatientID of a study as the index has it, "" when it is not known; no trail is needed. */
void lam_audit_find_patient(lam_db *db, const char *study_uid, char id[LAM_AUDIT_PATIENT], lam_error *err);

/* One record for each study of `transfers`, with those members of `like` that concern all of them. What
 * `transfers` has lost is part of a gap. */
void lam_audit_note_transfers(lam_audit *audit, const lam_audit_entry *like, const lam_transfers *transfers);

#endif
