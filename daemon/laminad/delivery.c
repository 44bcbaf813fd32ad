#include "daemon/laminad/delivery.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/laminad/commitment.h"
#include "daemon/laminad/deliver.h"

enum {
    MAX_RUNNERS = 64,
    IDLE_MS = 5000,        /* what the intake notes about commitments is found within this time */
    FAULT_PAUSE_MS = 1000, /* after a database fault */
    LONGEST_PAUSE_MS = 10 * 60 * 1000,
};

/* A destination that could not be reached. */
typedef struct pause_of {
    char name[LAM_CONFIG_NAME];
    int failures;
    int64_t until_ms;
} pause_of;

typedef struct runner {
    lam_delivery *delivery;
    const lam_config *config;
    const lam_config_peer *peer; /* NULL: sends the reports of commitments to whom they concern */
    pthread_t thread;
    bool started, finished; /* finished: to be joined */
} runner;

struct lam_delivery {
    pthread_t thread;
    int wake;
    lam_database *database;
    lam_store *store;
    lam_audit *audit;
    lam_render_pool *renderers;
    lam_db *db;
    _Atomic(const lam_config *) config;
    _Atomic bool stopping, ended, reconfigure;
    lam_flag abandon;
    pthread_mutex_t lock; /* all below */
    runner runners[MAX_RUNNERS];
    pause_of pauses[LAM_CONFIG_MAX_PEERS];
};

static void wake_up(const lam_delivery *d)
{
    uint64_t one = 1;
    ssize_t written = write(d->wake, &one, sizeof one);
    (void)written;
}

static void log_fault(const char *what, const lam_error *err)
{
    lam_log(LAM_LOG_ERROR, "delivery_fault", "at=%s reason=%s", what, LAM_QUOTE(err->message));
}

/* ---- pauses ---- */

int64_t lam_deliver_pause_ms(const lam_config_peer *peer, int failures)
{
    int doublings = failures < 1 ? 0 : failures > 20 ? 19 : failures - 1;
    int64_t pause = peer->retry_delay_ms << doublings;
    int64_t longest = peer->retry_delay_ms > LONGEST_PAUSE_MS ? peer->retry_delay_ms : LONGEST_PAUSE_MS;
    if (pause > longest)
        pause = longest;
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = UINT16_MAX / 2;
    return pause + pause * ((int64_t)random - UINT16_MAX / 2) / (2 * (int64_t)UINT16_MAX);
}

/* To be called with the lock; NULL when there are more names than places, which then go without pauses. */
static pause_of *find_pause(lam_delivery *d, const char *name)
{
    for (size_t i = 0; i < LAM_COUNT(d->pauses); i++) {
        if (!d->pauses[i].name[0])
            lam_text_copy(d->pauses[i].name, LAM_CONFIG_NAME, name);
        if (strcmp(d->pauses[i].name, name) == 0)
            return &d->pauses[i];
    }
    return NULL;
}

static void note_outcome(lam_delivery *d, const lam_config_peer *peer, bool reached, const lam_error *err)
{
    int64_t pause_ms = 0;
    pthread_mutex_lock(&d->lock);
    pause_of *pause = find_pause(d, peer->name);
    int failures = pause ? pause->failures : 0;
    if (pause) {
        pause->failures = reached ? 0 : failures + 1;
        pause_ms = reached ? 0 : lam_deliver_pause_ms(peer, pause->failures);
        pause->until_ms = lam_clock_steady_ms() + pause_ms;
    }
    pthread_mutex_unlock(&d->lock);
    if (!reached)
        lam_log(LAM_LOG_WARNING, "destination_failed", "destination=%s failures=%d pause_ms=%lld reason=%s",
                LAM_QUOTE(peer->name), failures + 1, (long long)pause_ms, LAM_QUOTE(err->message));
    else if (failures)
        lam_log(LAM_LOG_INFO, "destination_back", "destination=%s", LAM_QUOTE(peer->name));
}

/* ---- a batch ---- */

static const struct {
    lam_delivery_event event;
    const char *word;
} verdicts[] = {
    [LAM_VERDICT_TAKEN] = {LAM_DELIVERY_CONFIRM, "delivered"},
    [LAM_VERDICT_WARNED] = {LAM_DELIVERY_CONFIRM, "delivered_with_warning"},
    [LAM_VERDICT_LATER] = {LAM_DELIVERY_DEFER, "deferred"},
    [LAM_VERDICT_REFUSED] = {LAM_DELIVERY_REFUSE, "refused"},
};

lam_status lam_deliver_settle(lam_carriage *c, lam_parcel *parcel, lam_verdict verdict, int answer,
                              const char *text, lam_error *err)
{
    lam_delivery_event event = verdicts[verdict].event;
    if (event == LAM_DELIVERY_CONFIRM && c->peer->commitment)
        event = LAM_DELIVERY_ACCEPT;
    int64_t now = lam_clock_steady_ms();
    bool taken = verdict <= LAM_VERDICT_WARNED;
    const lam_outbox_note note = {
        .not_before_ms =
            verdict == LAM_VERDICT_LATER ? now + lam_deliver_pause_ms(c->peer, parcel->attempts) : 0,
        .answer = answer,
        .warning = verdict == LAM_VERDICT_WARNED ? text : NULL,
        .error = taken ? NULL : text,
    };
    lam_status status = lam_outbox_settle(c->db, parcel->delivery, event, &note, now, err);
    if (status == LAM_E_NOT_FOUND) /* the study was deleted meanwhile */
        status = LAM_OK;
    if (status != LAM_OK)
        return status;
    parcel->settled = true;
    parcel->taken = taken;
    lam_log(taken ? LAM_LOG_INFO : LAM_LOG_WARNING, "delivery",
            "delivery=%lld destination=%s job=%lld what=%s attempt=%d answer=%d reason=%s",
            (long long)parcel->delivery, LAM_QUOTE(c->peer->name), (long long)parcel->job,
            verdicts[verdict].word, parcel->attempts, answer, LAM_QUOTE(text));
    return LAM_OK;
}

static lam_status (*const carriers[])(lam_carriage *, lam_parcel *, size_t, lam_error *) = {
    [LAM_PEER_DIMSE] = lam_deliver_dimse,
    [LAM_PEER_DICOMWEB] = lam_deliver_stow,
    [LAM_PEER_MLLP] = lam_deliver_mllp,
    [LAM_PEER_WEBHOOK] = lam_deliver_webhook,
};

/* What was not confirmed goes back into the queue. */
static void give_back(lam_carriage *c, lam_parcel *parcels, size_t count, const char *why)
{
    bool ours = lam_flag_is_set(c->abandon);
    int64_t now = lam_clock_steady_ms();
    for (size_t i = 0; i < count; i++) {
        if (parcels[i].settled)
            continue;
        const lam_outbox_note note = {.not_before_ms =
                                          ours ? 0 : now + lam_deliver_pause_ms(c->peer, parcels[i].attempts),
                                      .answer = -1,
                                      .error = ours ? NULL : why};
        lam_error err = {0};
        lam_status status = lam_outbox_settle(
            c->db, parcels[i].delivery, ours ? LAM_DELIVERY_INTERRUPT : LAM_DELIVERY_DEFER, &note, now, &err);
        if (status != LAM_OK && status != LAM_E_NOT_FOUND)
            log_fault("giving back", &err); /* the next start takes it up */
    }
}

/* Notes what is sent, and what has been: a record for each study. */
static void note_parcels(lam_delivery *d, const lam_config_peer *peer, lam_audit_kind kind,
                         const lam_parcel *parcels, size_t count)
{
    lam_transfers transfers = {0};
    lam_audit_entry entry = {.kind = kind, .user_is_ae_title = peer->ae_title[0] != '\0'};
    lam_text_copy(entry.user, sizeof entry.user, peer->ae_title[0] ? peer->ae_title : peer->name);
    lam_text_copy(entry.address, sizeof entry.address, peer->address.host);
    for (size_t i = 0; i < count; i++)
        lam_transfers_add(&transfers, parcels[i].study_uid, parcels[i].sop_class_uid,
                          kind == LAM_AUDIT_SENDING || parcels[i].taken ? NULL : "not taken");
    lam_audit_note_transfers(d->audit, &entry, &transfers);
    lam_transfers_done(&transfers);
}

/* One batch, or one question for commitment. False: nothing is left, or the peer needs a pause. */
static bool run_once(lam_delivery *d, lam_carriage *c)
{
    lam_parcel parcels[LAM_OUTBOX_BATCH];
    size_t count = 0, asked = 0;
    lam_error err = {0};
    lam_status status = lam_outbox_claim(c->db, c->peer->name, lam_clock_steady_ms(), parcels, &count, &err);
    if (status != LAM_OK) {
        log_fault("claiming", &err);
        return false;
    }
    if (count) {
        note_parcels(d, c->peer, LAM_AUDIT_SENDING, parcels, count);
        status = carriers[c->peer->kind](c, parcels, count, &err);
        note_parcels(d, c->peer, LAM_AUDIT_SENT, parcels, count);
        give_back(c, parcels, count, err.message);
    } else if (c->peer->commitment) {
        status = lam_deliver_ask_commitment(c, &asked, &err);
    }
    if (lam_flag_is_set(c->abandon) || (!count && !asked && status == LAM_OK))
        return false;
    note_outcome(d, c->peer, status == LAM_OK, &err);
    return status == LAM_OK;
}

static void *runner_main(void *argument)
{
    runner *r = argument;
    lam_delivery *d = r->delivery;
    lam_error err = {0};
    lam_carriage c = {.config = r->config,
                      .peer = r->peer,
                      .db = lam_db_get(d->database, &err),
                      .store = d->store,
                      .renderers = d->renderers,
                      .abandon = &d->abandon};
    if (!c.db)
        log_fault("a connection", &err);
    if (c.db && !c.peer &&
        lam_commitment_send_reports(c.db, d->store, r->config, &d->abandon, &err) != LAM_OK)
        log_fault("reports of commitments", &err);
    while (c.db && c.peer && !d->stopping && run_once(d, &c))
        ;
    lam_db_put(c.db);
    pthread_mutex_lock(&d->lock);
    r->finished = true;
    pthread_mutex_unlock(&d->lock);
    wake_up(d);
    return NULL;
}

/* ---- the thread ---- */

static size_t join_finished(lam_delivery *d)
{
    size_t active = 0;
    for (size_t i = 0; i < MAX_RUNNERS; i++) {
        runner *r = &d->runners[i];
        pthread_mutex_lock(&d->lock);
        bool finished = r->finished;
        pthread_mutex_unlock(&d->lock);
        if (r->started && finished) {
            pthread_join(r->thread, NULL);
            *r = (runner){.started = false};
        }
        active += r->started;
    }
    return active;
}

static int count_runners(const lam_delivery *d, const char *name)
{
    int count = 0;
    for (size_t i = 0; i < MAX_RUNNERS; i++)
        count += d->runners[i].started && d->runners[i].peer && strcmp(d->runners[i].peer->name, name) == 0;
    return count;
}

static void start_runner(lam_delivery *d, const lam_config *config, const lam_config_peer *peer)
{
    for (size_t i = 0; i < MAX_RUNNERS; i++) {
        runner *r = &d->runners[i];
        if (r->started)
            continue;
        *r = (runner){.delivery = d, .config = config, .peer = peer};
        r->started = pthread_create(&r->thread, NULL, runner_main, r) == 0;
        return;
    }
}

/* What is due for one destination: rows to send, or commitments to ask for. */
static lam_status find_due(lam_delivery *d, const lam_config_peer *peer, int64_t now, int64_t *due,
                           int64_t *next_ms, lam_error *err)
{
    int expired = 0;
    int64_t asks = 0, next_ask = INT64_MAX;
    lam_status status = lam_outbox_expire(d->db, peer, now, &expired, err);
    if (expired)
        lam_log(LAM_LOG_ERROR, "deliveries_given_up", "destination=%s count=%d", LAM_QUOTE(peer->name),
                expired);
    if (status == LAM_OK)
        status = lam_outbox_due(d->db, peer->name, LAM_DELIVERY_QUEUED, now, due, next_ms, err);
    if (status == LAM_OK && peer->commitment)
        status = lam_outbox_due(d->db, peer->name, LAM_DELIVERY_SENT, now, &asks, &next_ask, err);
    if (next_ask < *next_ms)
        *next_ms = next_ask;
    if (asks && !*due)
        *due = 1;
    return status;
}

/* Starts what runners the destination needs; lowers *wait_ms to when to look again. */
static lam_status serve(lam_delivery *d, const lam_config *config, const lam_config_peer *peer,
                        int64_t *wait_ms, lam_error *err)
{
    int64_t now = lam_clock_steady_ms(), due = 0, next_ms = INT64_MAX;
    lam_status status = find_due(d, peer, now, &due, &next_ms, err);
    if (status != LAM_OK)
        return status;
    pthread_mutex_lock(&d->lock);
    const pause_of *pause = find_pause(d, peer->name);
    int64_t until_ms = pause ? pause->until_ms : 0;
    int failures = pause ? pause->failures : 0;
    pthread_mutex_unlock(&d->lock);
    if (due && until_ms > now)
        next_ms = until_ms;
    if (next_ms != INT64_MAX && next_ms - now < *wait_ms)
        *wait_ms = next_ms > now ? next_ms - now : 0;
    if (!due || until_ms > now)
        return LAM_OK;
    int64_t wanted = (due + LAM_OUTBOX_BATCH - 1) / LAM_OUTBOX_BATCH;
    int64_t most = failures ? 1 : peer->concurrency; /* one finds out whether the peer is back */
    for (int64_t have = count_runners(d, peer->name); have < wanted && have < most; have++)
        start_runner(d, config, peer);
    return LAM_OK;
}

/* Reports of commitments need no more than one runner. */
static lam_status serve_reports(lam_delivery *d, const lam_config *config, int64_t *wait_ms, lam_error *err)
{
    int64_t next_ms = INT64_MAX, now = lam_clock_steady_ms();
    lam_status status = lam_commitment_next_report(d->db, &next_ms, err);
    if (status != LAM_OK || next_ms == INT64_MAX)
        return status;
    for (size_t i = 0; i < MAX_RUNNERS; i++)
        if (d->runners[i].started && !d->runners[i].peer)
            return LAM_OK;
    if (next_ms <= now)
        start_runner(d, config, NULL);
    else if (next_ms - now < *wait_ms)
        *wait_ms = next_ms - now;
    return LAM_OK;
}

static int64_t turn(lam_delivery *d)
{
    int64_t wait_ms = IDLE_MS;
    lam_error err = {0};
    const lam_config *config = d->config;
    lam_status status = LAM_OK;
    join_finished(d);
    if (atomic_exchange(&d->reconfigure, false))
        status = lam_outbox_configure(d->db, config, false, lam_clock_steady_ms(), &err);
    for (size_t i = 0; status == LAM_OK && i < config->peer_count; i++)
        if (config->peers[i].deliver != LAM_DELIVER_NONE)
            status = serve(d, config, &config->peers[i], &wait_ms, &err);
    if (status == LAM_OK)
        status = serve_reports(d, config, &wait_ms, &err);
    if (status == LAM_OK)
        return wait_ms;
    log_fault("looking for what is due", &err);
    return FAULT_PAUSE_MS;
}

static void *delivery_main(void *argument)
{
    lam_delivery *d = argument;
    while (!d->stopping) {
        struct pollfd poller = {.fd = d->wake, .events = POLLIN};
        poll(&poller, 1, (int)turn(d));
        uint64_t number;
        ssize_t got = read(d->wake, &number, sizeof number);
        (void)got;
    }
    while (join_finished(d)) {
        struct pollfd poller = {.fd = d->wake, .events = POLLIN};
        poll(&poller, 1, 100);
        uint64_t number;
        ssize_t got = read(d->wake, &number, sizeof number);
        (void)got;
    }
    d->ended = true;
    return NULL;
}

static void delivery_free(lam_delivery *d)
{
    lam_db_put(d->db);
    if (d->wake >= 0)
        close(d->wake);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

lam_status lam_delivery_start(const lam_delivery_options *options, lam_delivery **out, lam_error *err)
{
    lam_delivery *d = calloc(1, sizeof *d);
    if (!d)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    d->database = options->database;
    d->store = options->store;
    d->audit = options->audit;
    d->renderers = options->renderers;
    d->config = options->config;
    pthread_mutex_init(&d->lock, NULL);
    d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lam_status status = LAM_OK;
    if (d->wake < 0)
        status = lam_fail_errno(err, errno, "cannot make an event descriptor");
    d->db = status == LAM_OK ? lam_db_get(d->database, err) : NULL;
    if (status == LAM_OK && !d->db)
        status = LAM_E_IO;
    if (status == LAM_OK)
        status = lam_outbox_configure(d->db, options->config, true, lam_clock_steady_ms(), err);
    if (status == LAM_OK && pthread_create(&d->thread, NULL, delivery_main, d) != 0)
        status = lam_fail(err, LAM_E_NO_MEMORY, "cannot start the thread of deliveries");
    if (status != LAM_OK) {
        delivery_free(d);
        return status;
    }
    *out = d;
    return LAM_OK;
}

void lam_delivery_stop(lam_delivery *d, int64_t grace_ms)
{
    if (!d)
        return;
    d->stopping = true;
    wake_up(d);
    int64_t deadline = lam_clock_monotonic_ms() + grace_ms;
    while (!d->ended && lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    lam_flag_set(&d->abandon);
    pthread_join(d->thread, NULL);
    delivery_free(d);
}

void lam_delivery_reload(lam_delivery *d, const lam_config *config)
{
    d->config = config;
    d->reconfigure = true;
    lam_delivery_hurry(d);
}

void lam_delivery_notice(lam_delivery *d)
{
    if (d)
        wake_up(d);
}

void lam_delivery_hurry(lam_delivery *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < LAM_COUNT(d->pauses); i++)
        d->pauses[i].until_ms = 0;
    pthread_mutex_unlock(&d->lock);
    wake_up(d);
}

bool lam_delivery_alive(const lam_delivery *d)
{
    return !d->ended;
}
