#include "daemon/laminad/intake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "daemon/laminad/dimse_link.h"
#include "daemon/laminad/indexer.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/quarantine.h"
#include "daemon/laminad/release.h"
#include "daemon/laminad/upload.h"

enum {
    INDEX_PROCESSES = 2,
    BATCH = 256,     /* objects a commit takes at most, see LAM_STORE_MAX_ORPHANS */
    UNDER_WAY = 256, /* open files at most; the rest waits without */
    MESSAGES = 256,  /* of lamina-dimse in one turn */
    RELEASES = 256,  /* remembered until the database is free; what they say is a hint only */
    IDLE_MS = 60000,
    NOTICE_MS = 200, /* between two notices that objects were stored: the first comes at once */
};

struct lam_intake {
    lam_intake_options options;
    pthread_t thread;
    int wake; /* eventfd: something below changed */

    _Atomic(const lam_config *) config;
    _Atomic bool config_changed;
    _Atomic bool abandon; /* the grace is over */
    _Atomic bool ready;   /* lamina-dimse serves */
    _Atomic bool ended;

    pthread_mutex_t lock; /* submitted, stopping */
    lam_arrivals submitted;
    bool stopping; /* nothing more is submitted */

    /* the thread's own */
    lam_db *db;
    lam_quarantine *quarantine;
    lam_dimse_link dimse;
    lam_indexer *indexer;
    lam_arrivals waiting; /* to be admitted */
    lam_arrivals indexed; /* to be committed */
    lam_arrivals storing; /* the group under way, or nothing */
    lam_arrival_group group;
    size_t under_way;  /* admitted and not yet answered */
    size_t from_dimse; /* taken from lamina-dimse and not yet answered */
    lam_release released[RELEASES];
    size_t released_count;
    bool draining;
    bool notice_due;
    int64_t noticed_ms;
};

static void wake_up(const lam_intake *intake)
{
    uint64_t one = 1;
    ssize_t written = write(intake->wake, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

/* ---- answers ---- */

static void count_fate(const lam_arrival *arrival)
{
    switch (arrival->fate) {
    case LAM_ARRIVAL_QUARANTINED:
    case LAM_ARRIVAL_REFUSED:
        lam_metrics_add(LAM_COUNT_REFUSED, 1);
        lam_metrics_add(LAM_COUNT_QUARANTINED, arrival->fate == LAM_ARRIVAL_QUARANTINED);
        lam_log(LAM_LOG_WARNING, "refused",
                "association=%lld sender=%s dicom_status=%04Xh quarantined=%s reason=%s",
                (long long)arrival->association, LAM_QUOTE(arrival->sender), arrival->result.dicom_status,
                arrival->fate == LAM_ARRIVAL_QUARANTINED ? "yes" : "no", LAM_QUOTE(arrival->result.reason));
        break;
    case LAM_ARRIVAL_SAME:
        lam_metrics_add(LAM_COUNT_DUPLICATES, 1);
        break;
    case LAM_ARRIVAL_ADDED:
    case LAM_ARRIVAL_REPLACED:
        lam_metrics_add(arrival->upload ? LAM_COUNT_STORED_HTTP : LAM_COUNT_STORED_DIMSE, 1);
        lam_metrics_add(LAM_COUNT_STORED_BYTES, arrival->bytes);
        break;
    }
}

static void answer(lam_intake *intake, lam_arrival *arrival)
{
    lam_failpoint_hit(LAM_FAIL_ANSWER);
    count_fate(arrival);
    if (arrival->upload) {
        lam_upload_answer(arrival->upload, &arrival->result);
    } else {
        lam_dimse_link_reply(&intake->dimse, arrival);
        intake->from_dimse--;
    }
    intake->under_way--;
    lam_arrival_free(arrival);
}

/* ---- groups ---- */

static void begin_group(lam_intake *intake)
{
    while (intake->storing.count < BATCH && intake->indexed.first)
        lam_arrivals_push(&intake->storing, lam_arrivals_pop(&intake->indexed));
    intake->group = (lam_arrival_group){.first = intake->storing.first,
                                        .place = {.db = intake->db,
                                                  .store = intake->options.store,
                                                  .quarantine = intake->quarantine,
                                                  .config = intake->config}};
    lam_arrivals_begin(&intake->group);
}

static void end_group(lam_intake *intake)
{
    bool added = false;
    if (!intake->storing.first)
        return;
    lam_arrivals_end(&intake->group);
    for (lam_arrival *a; (a = lam_arrivals_pop(&intake->storing));) {
        added |= a->fate == LAM_ARRIVAL_ADDED || a->fate == LAM_ARRIVAL_REPLACED;
        answer(intake, a);
    }
    if (added) {
        lam_metrics_add(LAM_COUNT_COMMITS, 1);
        intake->notice_due = true;
    }
}

static void on_released(void *context, int64_t association, const char *calling_ae)
{
    lam_intake *intake = context;
    if (intake->released_count < RELEASES)
        intake->released[intake->released_count++] =
            (lam_release){association, lam_config_quiet_of(intake->config, calling_ae).after_release_ms};
}

static void take_releases(lam_intake *intake)
{
    lam_error err = {0};
    if (!intake->released_count)
        return;
    const lam_config *config = intake->config;
    if (lam_release_take(intake->db, intake->released, intake->released_count, config->stable_after_ms,
                         &err) != LAM_OK)
        lam_log(LAM_LOG_WARNING, "release_fault", "reason=%s", LAM_QUOTE(err.message));
    intake->released_count = 0;
    intake->notice_due = true;
}

/* While the disk works for one group, the next gathers. */
static void turn_group(lam_intake *intake)
{
    if (intake->storing.first && lam_arrivals_are_synced(&intake->group))
        end_group(intake);
    if (!intake->storing.first)
        take_releases(intake);
    if (!intake->storing.first && intake->indexed.first)
        begin_group(intake);
}

static lam_db *idle_db(void *context)
{
    lam_intake *intake = context;
    end_group(intake);
    return intake->db;
}

/* Who waits for series to become complete looks at the database each time, which under load would cost more
 * than the objects. */
static void give_notice(lam_intake *intake)
{
    int64_t now = lam_clock_monotonic_ms();
    if (!intake->notice_due || now - intake->noticed_ms < NOTICE_MS)
        return;
    intake->notice_due = false;
    intake->noticed_ms = now;
    intake->options.stored(intake->options.context);
}

/* ---- arrivals ---- */

static void on_indexed(void *context, lam_index_request *request, lam_status status, const char *text)
{
    lam_intake *intake = context;
    lam_arrival *arrival = (lam_arrival *)request;
    if (status == LAM_OK)
        lam_arrival_indexed(arrival, text);
    else
        lam_arrival_refuse(arrival, status, text);
    lam_arrivals_push(&intake->indexed, arrival);
}

static void admit_waiting(lam_intake *intake)
{
    while (intake->waiting.first && intake->under_way < UNDER_WAY) {
        lam_arrival *arrival = lam_arrivals_pop(&intake->waiting);
        lam_error err = {0};
        intake->under_way++;
        lam_status status =
            lam_spool_open(intake->options.store, arrival->name, &arrival->index.fd, &arrival->bytes, &err);
        if (status == LAM_OK) {
            lam_indexer_submit(intake->indexer, &arrival->index);
        } else {
            lam_arrival_fail(arrival, status, err.message);
            lam_arrivals_push(&intake->indexed, arrival);
        }
    }
}

static void receive_from_dimse(lam_intake *intake)
{
    for (int i = 0; i < MESSAGES && intake->waiting.count < BATCH; i++) {
        lam_arrival *arrival = NULL;
        if (lam_dimse_link_receive(&intake->dimse, &arrival) != LAM_OK)
            return;
        if (arrival) {
            intake->from_dimse++;
            lam_arrivals_push(&intake->waiting, arrival);
        }
    }
}

static void take_submitted(lam_intake *intake)
{
    uint64_t count;
    ssize_t got = read(intake->wake, &count, sizeof count);
    (void)got;
    pthread_mutex_lock(&intake->lock);
    for (lam_arrival *a; (a = lam_arrivals_pop(&intake->submitted));)
        lam_arrivals_push(&intake->waiting, a);
    bool stopping = intake->stopping;
    pthread_mutex_unlock(&intake->lock);
    if (atomic_exchange(&intake->config_changed, false) &&
        !lam_dimse_link_configure(&intake->dimse, intake->config))
        intake->config_changed = true;
    if (stopping && !intake->draining) {
        intake->draining = true;
        lam_dimse_link_drain(&intake->dimse);
    }
}

/* ---- the thread ---- */

/* A new lamina-dimse waits until all objects of the last are decided, so that what then is left of it in the
 * spool is litter. */
static bool may_start_dimse(const lam_intake *intake)
{
    return intake->dimse.child.pid <= 0 && !intake->draining && intake->from_dimse == 0;
}

static void wait_for_events(lam_intake *intake)
{
    struct pollfd polls[3 + LAM_INDEXER_POLLS];
    nfds_t count = 0;
    int64_t timeout_ms = IDLE_MS;
    polls[count++] = (struct pollfd){.fd = intake->wake, .events = POLLIN};
    int synced = intake->storing.first ? lam_store_sync_event(intake->options.store) : -1;
    polls[count++] = (struct pollfd){.fd = synced, .events = POLLIN};
    if (intake->dimse.child.pid > 0) {
        bool room = intake->waiting.count < BATCH;
        polls[count++] = (struct pollfd){.fd = room ? intake->dimse.child.socket : -1, .events = POLLIN};
    } else if (may_start_dimse(intake)) {
        timeout_ms = lam_child_wait_ms(&intake->dimse.child);
    }
    count += lam_indexer_poll(intake->indexer, polls + count, &timeout_ms);
    if (intake->notice_due && timeout_ms > NOTICE_MS)
        timeout_ms = NOTICE_MS;
    if (intake->storing.first ? lam_arrivals_are_synced(&intake->group) : intake->indexed.first != NULL)
        timeout_ms = 0;
    poll(polls, count, (int)timeout_ms);
}

static bool is_drained(const lam_intake *intake)
{
    return intake->draining && intake->dimse.child.pid <= 0 && intake->under_way == 0 &&
           intake->waiting.count == 0;
}

/* Nobody may wait for an answer that does not come. */
static void refuse_the_rest(lam_intake *intake)
{
    static const char reason[] = "the daemon is shutting down: send it again later";
    lam_dimse_link_stop(&intake->dimse);
    lam_indexer_abandon(intake->indexer, LAM_E_BUSY, reason);
    take_submitted(intake);
    for (lam_arrival *a; (a = lam_arrivals_pop(&intake->waiting));) {
        intake->under_way++;
        lam_arrival_refuse(a, LAM_E_BUSY, reason);
        lam_arrivals_push(&intake->indexed, a);
    }
    end_group(intake);
    while (intake->indexed.first) {
        begin_group(intake);
        end_group(intake);
    }
    intake->noticed_ms = 0;
    give_notice(intake);
}

static void *intake_main(void *argument)
{
    lam_intake *intake = argument;
    for (;;) {
        if (may_start_dimse(intake))
            lam_dimse_link_start(&intake->dimse, intake->config);
        admit_waiting(intake);
        lam_indexer_turn(intake->indexer);
        turn_group(intake);
        give_notice(intake);
        intake->ready = intake->dimse.child.ready;
        if (intake->abandon || is_drained(intake))
            break;
        wait_for_events(intake);
        take_submitted(intake);
        receive_from_dimse(intake);
    }
    intake->ready = false;
    refuse_the_rest(intake);
    intake->ended = true;
    return NULL;
}

static void intake_free(lam_intake *intake)
{
    lam_indexer_free(intake->indexer);
    lam_quarantine_close(intake->quarantine);
    lam_db_put(intake->db);
    if (intake->wake >= 0)
        close(intake->wake);
    pthread_mutex_destroy(&intake->lock);
    free(intake);
}

static lam_status open_parts(lam_intake *intake, lam_error *err)
{
    const lam_indexer_options indexer = {
        .processes = INDEX_PROCESSES, .answer = on_indexed, .context = intake};
    intake->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (intake->wake < 0)
        return lam_fail_errno(err, errno, "cannot make an event descriptor");
    intake->db = lam_db_get(intake->options.database, err);
    if (!intake->db)
        return LAM_E_IO;
    lam_status status = lam_quarantine_open(intake->options.config->data_dir, &intake->quarantine, err);
    if (status == LAM_OK)
        status = lam_indexer_create(&indexer, &intake->indexer, err);
    if (status == LAM_OK && pthread_create(&intake->thread, NULL, intake_main, intake) != 0)
        status = lam_fail(err, LAM_E_NO_MEMORY, "cannot start the intake thread");
    return status;
}

lam_status lam_intake_start(const lam_intake_options *options, lam_intake **out, lam_error *err)
{
    lam_intake *intake = calloc(1, sizeof *intake);
    if (!intake)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    intake->options = *options;
    intake->config = options->config;
    lam_arrivals_init(&intake->submitted);
    lam_arrivals_init(&intake->waiting);
    lam_arrivals_init(&intake->indexed);
    lam_arrivals_init(&intake->storing);
    lam_dimse_link_init(&intake->dimse, options->dicom_socket, options->store, options->audit);
    intake->dimse.idle_db = idle_db;
    intake->dimse.released = on_released;
    intake->dimse.context = intake;
    pthread_mutex_init(&intake->lock, NULL);
    lam_status status = open_parts(intake, err);
    if (status != LAM_OK) {
        intake_free(intake);
        return status;
    }
    *out = intake;
    return LAM_OK;
}

void lam_intake_stop(lam_intake *intake, int64_t grace_ms)
{
    if (!intake)
        return;
    pthread_mutex_lock(&intake->lock);
    intake->stopping = true;
    pthread_mutex_unlock(&intake->lock);
    wake_up(intake);
    int64_t deadline = lam_clock_monotonic_ms() + grace_ms;
    while (!intake->ended && lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    intake->abandon = true;
    wake_up(intake);
    pthread_join(intake->thread, NULL);
    intake_free(intake);
}

void lam_intake_reload(lam_intake *intake, const lam_config *config)
{
    intake->config = config;
    intake->config_changed = true;
    wake_up(intake);
}

bool lam_intake_alive(const lam_intake *intake)
{
    return !intake->ended;
}

bool lam_intake_ready(const lam_intake *intake)
{
    return intake->ready;
}

/* ---- for uploads ---- */

const lam_config *lam_intake_config(const lam_intake *intake)
{
    return intake->config;
}

lam_store *lam_intake_store(const lam_intake *intake)
{
    return intake->options.store;
}

lam_status lam_intake_submit(lam_intake *intake, lam_arrival *arrival, lam_error *err)
{
    pthread_mutex_lock(&intake->lock);
    bool stopping = intake->stopping;
    if (!stopping)
        lam_arrivals_push(&intake->submitted, arrival);
    pthread_mutex_unlock(&intake->lock);
    if (stopping)
        return lam_fail(err, LAM_E_BUSY, "the daemon is shutting down: send it again later");
    wake_up(intake);
    return LAM_OK;
}
