#include "daemon/laminad/audit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/laminad/audit_file.h"
#include "daemon/laminad/config.h"

enum {
    SYNC_MS = 1000, /* also between two tries on a disk that takes nothing */
    IDLE_MS = 60 * 1000,
    MAX_PENDING = 64 << 20,
    TURN = 256,         /* records made before they are written */
    GATHER_MS = 100,    /* how long the first waits for others, so that they are written together */
    PATIENCE_MS = 1000, /* how long at most somebody waits for room */
    ROOMY = LAM_AUDIT_QUEUE / 2
};

/* Events of one kind that have no record of their own. */
typedef struct tally {
    uint64_t count;
    int64_t since_ms; /* wall clock, of the first */
} tally;

/* Refusals of one kind, which somebody who tries doors makes by the thousand. */
typedef struct folding {
    int64_t until_ms; /* monotonic: end of the minute */
    int noted;
    tally folded;
} folding;

struct lam_audit {
    pthread_t thread;
    char host[64], ae_title[LAM_CONFIG_AE_TITLE];
    lam_audit_source source;
    lam_database *database;
    _Atomic int64_t keep_ms;
    _Atomic bool stopping, failing;

    pthread_mutex_t lock; /* down to `folded` */
    pthread_cond_t changed, drained;
    lam_audit_entry *first, **tail;
    size_t count;
    tally lost[LAM_AUDIT_KINDS];
    bool gap; /* something was lost */
    folding folded[LAM_AUDIT_KINDS];

    /* the thread's own */
    lam_audit_file file;
    lam_buffer pending; /* records that are not written yet */
    int64_t synced_ms;  /* monotonic */
};

static void entry_free(lam_audit_entry *entry)
{
    if (entry)
        free((void *)(uintptr_t)entry->query);
    free(entry);
}

/* ---- noting ---- */

static void tally_add(tally *t, uint64_t count)
{
    if (t->count == 0)
        t->since_ms = lam_clock_wall_ms();
    t->count += count;
}

/* To be called with the lock. */
static void lose(lam_audit *audit, lam_audit_kind kind, uint64_t count)
{
    tally_add(&audit->lost[kind], count);
    audit->gap |= count > 0;
}

/* To be called with the lock. True: the refusal is counted, and not recorded by itself. */
static bool fold(lam_audit *audit, lam_audit_kind kind)
{
    folding *f = &audit->folded[kind];
    int64_t now = lam_clock_monotonic_ms();
    if (kind != LAM_AUDIT_NODE_REFUSED && kind != LAM_AUDIT_USER_REFUSED)
        return false;
    if (now >= f->until_ms && f->folded.count == 0)
        *f = (folding){.until_ms = now + LAM_AUDIT_FOLD_MS};
    if (f->noted < LAM_AUDIT_ALERTS) {
        f->noted++;
        return false;
    }
    tally_add(&f->folded, 1);
    return true;
}

static lam_audit_entry *copy_of(const lam_audit_entry *entry)
{
    lam_audit_entry *copy = malloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *entry;
    copy->next = NULL;
    copy->wall_ms = lam_clock_wall_ms();
    copy->query = entry->query ? strdup(entry->query) : NULL;
    if (entry->query && !copy->query) {
        free(copy);
        return NULL;
    }
    return copy;
}

void lam_audit_note(lam_audit *audit, const lam_audit_entry *entry)
{
    if (!audit)
        return;
    lam_audit_entry *copy = copy_of(entry);
    pthread_mutex_lock(&audit->lock);
    bool folded = fold(audit, entry->kind);
    bool room = copy && audit->count < LAM_AUDIT_QUEUE;
    if (!folded && room) {
        *audit->tail = copy;
        audit->tail = &copy->next;
        audit->count++;
    } else if (!folded) {
        lose(audit, entry->kind, 1);
    }
    if (audit->count == 1 || audit->count == TURN || !room)
        pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
    if (folded || !room)
        entry_free(copy);
}

void lam_audit_wait_for_room(lam_audit *audit)
{
    if (!audit)
        return;
    struct timespec deadline = lam_clock_after_ms(PATIENCE_MS);
    pthread_mutex_lock(&audit->lock);
    for (int timed_out = 0; audit->count > ROOMY && !audit->failing && !timed_out;)
        timed_out = pthread_cond_timedwait(&audit->drained, &audit->lock, &deadline);
    pthread_mutex_unlock(&audit->lock);
}

void lam_audit_note_transfers(lam_audit *audit, const lam_audit_entry *like, const lam_transfers *transfers)
{
    if (!audit)
        return;
    pthread_mutex_lock(&audit->lock);
    lose(audit, like->kind, transfers->lost);
    pthread_mutex_unlock(&audit->lock);
    for (size_t i = 0; i < transfers->count; i++) {
        lam_audit_entry entry = *like;
        entry.study = transfers->items[i];
        entry.records = true;
        entry.outcome = entry.study.refused ? LAM_AUDIT_MINOR_FAILURE : LAM_AUDIT_SUCCESS;
        lam_text_copy(entry.reason, sizeof entry.reason, entry.study.reason);
        lam_audit_note(audit, &entry);
    }
}

void lam_audit_set_keep(lam_audit *audit, int64_t keep_ms)
{
    if (audit)
        audit->keep_ms = keep_ms;
}

/* ---- what the index knows ---- */

static void find_study_of_job(lam_db *db, lam_audit_entry *e, lam_error *err)
{
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(db, err,
                                     "SELECT t.uid, s.uid FROM job j JOIN series s ON s.id = j.series_id"
                                     " JOIN study t ON t.id = s.study_id WHERE j.id = ?",
                                     "i", e->job);
    if (lam_db_step(db, s, &row, err) != LAM_OK || !row)
        return;
    lam_text_copy(e->study.study_uid, LAM_UID_TEXT, lam_db_text(s, 0));
    lam_text_copy(e->series_uid, LAM_UID_TEXT, lam_db_text(s, 1));
    sqlite3_reset(s);
}

void lam_audit_find_patient(lam_db *db, const char *study_uid, char id[LAM_AUDIT_PATIENT], lam_error *err)
{
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(db, err, "SELECT patient_id FROM study WHERE uid = ?", "t", study_uid);
    id[0] = '\0';
    if (lam_db_step(db, s, &row, err) != LAM_OK || !row)
        return;
    lam_text_copy(id, LAM_AUDIT_PATIENT, lam_db_text(s, 0));
    sqlite3_reset(s);
}

/* Of one instance by its index: a viewer asks for each frame of a study. */
static void find_classes(lam_db *db, lam_audit_entry *e, lam_error *err)
{
#define IN_STUDY                                                                                             \
    "SELECT i.sop_class_uid, count(*) FROM instance i JOIN series s ON s.id = i.series_id"                   \
    " JOIN study t ON t.id = s.study_id WHERE t.uid = ?1 AND (?2 IS NULL OR s.uid = ?2) "
    const char *series_uid = e->series_uid[0] ? e->series_uid : NULL;
    sqlite3_stmt *s = e->sop_uid[0] ? lam_db_prepare(db, err, IN_STUDY "AND i.uid = ?3 GROUP BY 1", "ttt",
                                                     e->study.study_uid, series_uid, e->sop_uid)
                                    : lam_db_prepare(db, err, IN_STUDY "GROUP BY 1 ORDER BY 1", "tt",
                                                     e->study.study_uid, series_uid);
#undef IN_STUDY
    for (bool row = true; row;)
        if (lam_db_step(db, s, &row, err) != LAM_OK)
            return;
        else if (row)
            lam_transfer_count(&e->study, lam_db_text(s, 0), sqlite3_column_int64(s, 1));
}

/* A record is worth more than what cannot be added to it. */
static void complete(lam_audit *audit, lam_audit_entry *e)
{
    lam_error err = {0};
    if (!audit->database || !e->records)
        return;
    LAM_AUTO_DB *db = lam_db_get(audit->database, &err);
    if (db && e->job)
        find_study_of_job(db, e, &err);
    if (db && e->study.study_uid[0] && !e->patient_id[0])
        lam_audit_find_patient(db, e->study.study_uid, e->patient_id, &err);
    if (db && e->study.study_uid[0] && e->study.class_count == 0)
        find_classes(db, e, &err);
    if (err.status != LAM_OK)
        lam_log(LAM_LOG_WARNING, "audit_fault", "at=index reason=%s", LAM_QUOTE(err.message));
}

/* ---- the thread ---- */

/* A record for which there is no memory is part of a gap. */
static void add_record(lam_audit *audit, const lam_audit_entry *entry)
{
    size_t before = audit->pending.length;
    lam_audit_message_write(&audit->source, entry, &audit->pending);
    if (audit->pending.status == LAM_OK)
        return;
    audit->pending.length = before;
    audit->pending.status = LAM_OK;
    pthread_mutex_lock(&audit->lock);
    lose(audit, entry->kind, 1);
    pthread_mutex_unlock(&audit->lock);
}

static void add_folded(lam_audit *audit, lam_audit_kind kind, const tally *folded)
{
    char since[LAM_CLOCK_TEXT];
    lam_audit_entry entry = {
        .kind = kind, .outcome = LAM_AUDIT_MINOR_FAILURE, .wall_ms = lam_clock_wall_ms()};
    if (!folded->count)
        return;
    snprintf(entry.reason, sizeof entry.reason,
             "%llu more since %s were refused, which are not recorded one by one",
             (unsigned long long)folded->count, lam_clock_iso8601(folded->since_ms, since));
    add_record(audit, &entry);
}

static void add_lost(lam_audit *audit, lam_audit_kind kind, const tally *lost)
{
    char since[LAM_CLOCK_TEXT];
    lam_audit_entry entry = {
        .kind = LAM_AUDIT_LOST, .outcome = LAM_AUDIT_SERIOUS_FAILURE, .wall_ms = lam_clock_wall_ms()};
    if (!lost->count)
        return;
    snprintf(entry.reason, sizeof entry.reason, "%llu records since %s were lost for want of room: %s",
             (unsigned long long)lost->count, lam_clock_iso8601(lost->since_ms, since),
             lam_audit_kind_name(kind));
    add_record(audit, &entry);
}

/* What is recorded together. */
typedef struct turn {
    lam_audit_entry *first;
    tally lost[LAM_AUDIT_KINDS], folded[LAM_AUDIT_KINDS];
} turn;

/* Takes what there is to be recorded; with `all` also what would wait for the end of its minute. */
static void take(lam_audit *audit, bool all, turn *out)
{
    int64_t now = lam_clock_monotonic_ms();
    lam_audit_entry **cut = &audit->first;
    out->first = audit->first;
    for (size_t i = 0; i < TURN && *cut; i++, audit->count--)
        cut = &(*cut)->next;
    audit->first = *cut;
    *cut = NULL;
    if (!audit->first) {
        audit->tail = &audit->first;
        memcpy(out->lost, audit->lost, sizeof out->lost); /* after all that came before the gap */
        memset(audit->lost, 0, sizeof audit->lost);
        audit->gap = false;
    }
    for (size_t i = 0; i < LAM_AUDIT_KINDS; i++)
        if (all || now >= audit->folded[i].until_ms) {
            out->folded[i] = audit->folded[i].folded;
            audit->folded[i].folded.count = 0;
        }
    if (audit->count <= ROOMY)
        pthread_cond_broadcast(&audit->drained);
}

static void make_records(lam_audit *audit, bool all)
{
    turn t = {.first = NULL};
    pthread_mutex_lock(&audit->lock);
    take(audit, all, &t);
    pthread_mutex_unlock(&audit->lock);
    while (t.first) {
        lam_audit_entry *entry = t.first;
        t.first = entry->next;
        complete(audit, entry);
        add_record(audit, entry);
        entry_free(entry);
    }
    for (lam_audit_kind kind = 0; kind < LAM_AUDIT_KINDS; kind++) {
        add_folded(audit, kind, &t.folded[kind]);
        add_lost(audit, kind, &t.lost[kind]);
    }
}

/* What cannot be written stays, and is tried again. */
static void write_records(lam_audit *audit, bool now)
{
    lam_error err = {0};
    int64_t wall_ms = lam_clock_wall_ms();
    lam_status status = LAM_OK;
    if (audit->pending.length)
        status = lam_audit_file_append(&audit->file, wall_ms, &audit->pending, &err);
    if (status == LAM_OK) {
        lam_buffer_done(&audit->pending);
        lam_buffer_init(&audit->pending, MAX_PENDING);
    }
    if (audit->file.began) /* also on a full disk, which has room then */
        lam_audit_file_expire(&audit->file, wall_ms, audit->keep_ms);
    int64_t elapsed = lam_clock_monotonic_ms() - audit->synced_ms;
    if (status == LAM_OK && audit->file.dirty && (now || elapsed >= SYNC_MS)) {
        status = lam_audit_file_sync(&audit->file, &err);
        audit->synced_ms = lam_clock_monotonic_ms();
    }
    if (status != LAM_OK && !audit->failing)
        lam_log(LAM_LOG_ERROR, "audit_failed", "reason=%s", LAM_QUOTE(err.message));
    else if (status == LAM_OK && audit->failing)
        lam_log(LAM_LOG_WARNING, "audit_back", "reason=\"records are written again\"");
    audit->failing = status != LAM_OK;
}

/* True: the end. */
static bool wait_for_records(lam_audit *audit)
{
    bool soon = audit->file.dirty || audit->pending.length;
    struct timespec deadline = lam_clock_after_ms(soon ? SYNC_MS : IDLE_MS);
    pthread_mutex_lock(&audit->lock);
    int timed_out = 0;
    /* While the disk takes nothing, what comes waits in the queue. */
    while (!audit->stopping && !timed_out && (audit->failing || (!audit->first && !audit->gap)))
        timed_out = pthread_cond_timedwait(&audit->changed, &audit->lock, &deadline);
    deadline = lam_clock_after_ms(GATHER_MS);
    timed_out = 0;
    while (!audit->stopping && !timed_out && !audit->failing && audit->first && audit->count < TURN)
        timed_out = pthread_cond_timedwait(&audit->changed, &audit->lock, &deadline);
    bool stopping = audit->stopping && !audit->first;
    pthread_mutex_unlock(&audit->lock);
    return stopping;
}

static void *audit_main(void *argument)
{
    lam_audit *audit = argument;
    for (bool end = false; !end;) {
        end = wait_for_records(audit);
        if (!audit->pending.length)
            make_records(audit, end);
        write_records(audit, end);
        end |= audit->failing && audit->stopping;
    }
    return NULL;
}

/* ---- its life ---- */

static void audit_free(lam_audit *audit)
{
    if (audit->failing)
        lam_log(LAM_LOG_ERROR, "audit_lost", "bytes=%zu records=%zu", audit->pending.length, audit->count);
    while (audit->first) {
        lam_audit_entry *next = audit->first->next;
        entry_free(audit->first);
        audit->first = next;
    }
    lam_buffer_done(&audit->pending);
    lam_audit_file_done(&audit->file);
    pthread_cond_destroy(&audit->changed);
    pthread_cond_destroy(&audit->drained);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
}

/* RFC 5424 section 6.2.4: printable, without blanks. */
static void find_host(char host[64])
{
    if (gethostname(host, 64) < 0)
        host[0] = '\0';
    host[63] = '\0';
    for (char *c = host; *c; c++)
        if (*c <= ' ' || *c > '~')
            *c = '?';
    if (!host[0])
        lam_text_copy(host, 64, "-");
}

lam_status lam_audit_start(const lam_audit_options *options, lam_audit **out, lam_error *err)
{
    char path[LAM_CONFIG_PATH + 8];
    lam_audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    audit->tail = &audit->first;
    audit->database = options->database;
    audit->keep_ms = options->keep_ms;
    find_host(audit->host);
    lam_text_copy(audit->ae_title, sizeof audit->ae_title, options->ae_title);
    audit->source = (lam_audit_source){audit->ae_title, audit->host, getpid()};
    pthread_mutex_init(&audit->lock, NULL);
    lam_clock_condition_init(&audit->changed);
    lam_clock_condition_init(&audit->drained);
    lam_buffer_init(&audit->pending, MAX_PENDING);
    snprintf(path, sizeof path, "%s/audit", options->data_dir);
    lam_status status = lam_audit_file_init(&audit->file, path, err);
    if (status == LAM_OK)
        lam_audit_note(audit, &(lam_audit_entry){.kind = LAM_AUDIT_START});
    if (status == LAM_OK && pthread_create(&audit->thread, NULL, audit_main, audit) != 0)
        status = lam_fail(err, LAM_E_NO_MEMORY, "cannot start the thread of the audit trail");
    if (status != LAM_OK) {
        audit_free(audit);
        return status;
    }
    *out = audit;
    return LAM_OK;
}

void lam_audit_stop(lam_audit *audit)
{
    if (!audit)
        return;
    lam_audit_wait_for_room(audit);
    lam_audit_note(audit, &(lam_audit_entry){.kind = LAM_AUDIT_STOP});
    pthread_mutex_lock(&audit->lock);
    audit->stopping = true;
    pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
    pthread_join(audit->thread, NULL);
    audit_free(audit);
}
