#include "daemon/laminad/feed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "daemon/laminad/changes.h"

/* Changes follow each other in bursts: what happens within PAUSE_MS comes together, a thing once. */
enum { BATCH = 64, PAUSE_MS = 200 };

struct lam_feed {
    lam_database *database;
    int64_t epoch;    /* numbers of another run of the daemon mean nothing */
    int64_t position; /* the last change given */
    int64_t read_ms;
    bool opened; /* the first lines are out */
    bool reset;  /* the client has to look at everything anew */
};

static const struct {
    const char *name, *key, *sql;
} kinds[LAM_CHANGE_KINDS] = {
    [LAM_CHANGE_STUDY] = {"study", NULL,
                          "SELECT json_object('study_uid', uid, 'state', state) FROM study WHERE id = ?"},
    [LAM_CHANGE_JOB] =
        {"job", "job",
         "SELECT json_object('job', j.id, 'study_uid', t.uid, 'model', j.model, 'state', j.state)"
         " FROM job j JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id"
         " WHERE j.id = ?"},
    [LAM_CHANGE_DELIVERY] =
        {"delivery", "delivery",
         "SELECT json_object('delivery', d.id, 'study_uid', t.uid, 'destination', d.destination,"
         " 'state', d.state) FROM delivery d JOIN job j ON j.id = d.job_id"
         " JOIN series s ON s.id = j.series_id JOIN study t ON t.id = s.study_id WHERE d.id = ?"},
    [LAM_CHANGE_WORKITEM] = {"workitem", NULL,
                             "SELECT json_object('workitem_uid', uid, 'state', state) FROM workitem"
                             " WHERE id = ?"},
};

static atomic_uint open_feeds;

/* False for an id of another run, or one that was never given. */
static bool go_on_from(lam_feed *feed, const char *id)
{
    char *end = NULL;
    long long epoch = strtoll(id, &end, 10);
    if (*end != '-' || epoch != feed->epoch)
        return false;
    const char *number = end + 1;
    long long position = strtoll(number, &end, 10);
    if (end == number || *end || position < 0 || position > feed->position)
        return false;
    feed->position = position;
    return true;
}

lam_status lam_feed_open(lam_database *database, const char *last_id, lam_feed **out, lam_error *err)
{
    if (atomic_fetch_add(&open_feeds, 1) >= LAM_FEEDS) {
        atomic_fetch_sub(&open_feeds, 1);
        return lam_fail(err, LAM_E_BUSY, "%d clients follow the events already; close one or ask again later",
                        LAM_FEEDS);
    }
    lam_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        atomic_fetch_sub(&open_feeds, 1);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    feed->database = database;
    feed->epoch = lam_database_opened_ms(database);
    feed->position = lam_changes_now(lam_database_changes(database));
    if (last_id && *last_id)
        feed->reset = !go_on_from(feed, last_id);
    *out = feed;
    return LAM_OK;
}

void lam_feed_close(lam_feed *feed)
{
    if (!feed)
        return;
    atomic_fetch_sub(&open_feeds, 1);
    free(feed);
}

static lam_status write_change(lam_db *db, const lam_feed *feed, const lam_change *change, lam_buffer *out,
                               lam_error *err)
{
    bool row = false;
    sqlite3_stmt *s = lam_db_prepare(db, err, kinds[change->kind].sql, "i", change->id);
    lam_status status = lam_db_step(db, s, &row, err);
    if (status != LAM_OK)
        return status;
    lam_buffer_printf(out, "id: %lld-%lld\nevent: %s\ndata: ", (long long)feed->epoch,
                      (long long)change->sequence, kinds[change->kind].name);
    if (row)
        lam_buffer_append_text(out, lam_db_text(s, 0));
    else if (kinds[change->kind].key)
        lam_buffer_printf(out, "{\"%s\":%lld,\"state\":\"removed\"}", kinds[change->kind].key,
                          (long long)change->id);
    else
        lam_buffer_append_text(out, "{\"state\":\"removed\"}");
    lam_buffer_append_text(out, "\n\n");
    sqlite3_reset(s);
    return out->status;
}

/* EventSource takes the id of an event without data, too, and so knows where to go on from the start. */
static void write_opening(lam_feed *feed, lam_buffer *out)
{
    lam_buffer_printf(out, "retry: 2000\nid: %lld-%lld\n%s\n", (long long)feed->epoch,
                      (long long)feed->position, feed->reset ? "event: reset\ndata: {}\n" : "");
    feed->opened = true;
    feed->reset = false;
}

static void pause_between_batches(const lam_feed *feed)
{
    int64_t left_ms = feed->read_ms + PAUSE_MS - lam_clock_monotonic_ms();
    struct timespec time = {.tv_nsec = (long)left_ms * 1000000L};
    if (left_ms > 0 && left_ms <= PAUSE_MS)
        nanosleep(&time, NULL);
}

lam_status lam_feed_read(lam_feed *feed, int64_t wait_ms, lam_buffer *out, lam_error *err)
{
    lam_change list[BATCH];
    size_t count = 0;
    lam_changes *changes = lam_database_changes(feed->database);
    pause_between_batches(feed);
    lam_status status =
        lam_changes_read(changes, feed->position, feed->opened ? wait_ms : 0, list, BATCH, &count, err);
    if (status == LAM_E_LIMIT && !feed->opened) { /* it was away for too long */
        feed->reset = true;
        feed->position = lam_changes_now(changes);
        status = LAM_OK;
    }
    if (status != LAM_OK)
        return status;
    if (!feed->opened)
        write_opening(feed, out);
    if (count == 0)
        return out->status;
    feed->read_ms = lam_clock_monotonic_ms();
    LAM_AUTO_DB *db = lam_db_get(feed->database, err);
    if (!db)
        return err ? err->status : LAM_E_IO;
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = write_change(db, feed, &list[i], out, err);
    feed->position = list[count - 1].sequence;
    return status;
}
