#include "daemon/laminad/intake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/arrival.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/indexer.h"
#include "daemon/laminad/metrics.h"

enum {
    INDEX_PROCESSES = 2,
    BATCH = 256, /* objects a commit takes at most */
    DIMSE_OPEN_FILES = 4096,
    IDLE_MS = 60000,
};

typedef struct arrival_queue {
    lam_arrival *first, **tail;
    size_t count;
} arrival_queue;

struct lam_intake {
    lam_intake_options options;
    pthread_t thread;
    int wake; /* eventfd: something below changed */

    pthread_mutex_t lock; /* submitted, config, stopping */
    arrival_queue submitted;
    const lam_config *config;
    bool config_changed;
    bool stopping;
    _Atomic bool ready;
    _Atomic bool ended; /* the thread takes nothing more */

    /* the thread's own */
    lam_child dimse;
    unsigned generation; /* of dimse: replies to a dead one are dropped */
    bool draining;
    lam_indexer *indexer;
    arrival_queue indexed;
    size_t under_way; /* submitted to the indexer and not yet answered */
};

struct lam_upload {
    lam_intake *intake;
    lam_arrival *arrival;
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t decided;
    bool done;
    lam_store_result result;
};

static void queue_init(arrival_queue *queue)
{
    *queue = (arrival_queue){.tail = &queue->first};
}

static void queue_push(arrival_queue *queue, lam_arrival *arrival)
{
    arrival->next = NULL;
    *queue->tail = arrival;
    queue->tail = &arrival->next;
    queue->count++;
}

static lam_arrival *queue_take_all(arrival_queue *queue)
{
    lam_arrival *first = queue->first;
    queue_init(queue);
    return first;
}

static void wake_up(const lam_intake *intake)
{
    uint64_t one = 1;
    ssize_t written = write(intake->wake, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

/* ---- lamina-dimse ---- */

static void write_peers(lam_json_writer *w, const lam_config *config)
{
    lam_jw_array(w, "peers");
    for (size_t i = 0; i < config->peer_count; i++) {
        const lam_config_peer *peer = &config->peers[i];
        if (!peer->accept)
            continue;
        lam_jw_object(w, NULL);
        lam_jw_text(w, "name", peer->name);
        lam_jw_text(w, "ae_title", peer->ae_title);
        lam_jw_text(w, "host", peer->address.host);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

static lam_status send_configuration(lam_intake *intake, bool first, lam_error *err)
{
    const lam_config *c = intake->config;
    lam_buffer text;
    lam_buffer_init(&text, LAM_IPC_MAX_PAYLOAD);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "ae_title", c->ae_title);
    lam_jw_text(&w, "accept", lam_config_effective_accept(c) == LAM_ACCEPT_ANY ? "any" : "known");
    write_peers(&w, c);
    lam_jw_integer(&w, "max_associations", c->max_associations);
    lam_jw_integer(&w, "max_associations_per_peer", c->max_associations_per_peer);
    lam_jw_integer(&w, "max_pdu", c->max_pdu);
    lam_jw_integer(&w, "association_timeout_ms", c->association_timeout_ms);
    lam_jw_integer(&w, "idle_timeout_ms", c->idle_timeout_ms);
    lam_jw_integer(&w, "max_object_bytes", c->max_object_bytes);
    lam_jw_integer(&w, "reserve_bytes", c->reserve_bytes);
    lam_jw_end(&w);
    const int fds[2] = {intake->options.dicom_socket, lam_store_spool_fd(intake->options.store)};
    lam_status status = text.status;
    if (status == LAM_OK)
        status = lam_ipc_send(intake->dimse.socket, LAM_MESSAGE_CONFIGURE, 0, lam_buffer_text(&text), fds,
                              first ? 2 : 0, err);
    lam_buffer_done(&text);
    return status;
}

static void dimse_ended(lam_intake *intake)
{
    char how[64] = "";
    lam_child_stop(&intake->dimse, how);
    intake->generation++;
    intake->ready = false;
    if (intake->draining)
        return;
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_ERROR, "dimse_ended", "how=%s", LAM_QUOTE(how));
}

static void start_dimse(lam_intake *intake)
{
    const lam_child_limits limits = {.open_files = DIMSE_OPEN_FILES, .non_blocking = true};
    lam_error err = {0};
    lam_status status = lam_child_start(&intake->dimse, &limits, &err);
    if (status == LAM_OK) {
        pthread_mutex_lock(&intake->lock);
        status = send_configuration(intake, true, &err);
        intake->config_changed = false;
        pthread_mutex_unlock(&intake->lock);
    }
    if (status != LAM_OK && status != LAM_E_BUSY) {
        lam_log(LAM_LOG_ERROR, "dimse_start_failed", "reason=%s", LAM_QUOTE(err.message));
        dimse_ended(intake);
    }
}

static void reply_to_dimse(lam_intake *intake, const lam_arrival *arrival)
{
    if (arrival->dimse_generation != intake->generation || intake->dimse.pid <= 0)
        return; /* the association is gone with its process; the sender will ask again */
    lam_buffer text;
    lam_buffer_init(&text, 4096);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "status", arrival->result.dicom_status);
    lam_jw_text(&w, "comment", arrival->result.reason);
    lam_jw_end(&w);
    lam_error err = {0};
    lam_status status = lam_ipc_send(intake->dimse.socket, LAM_MESSAGE_STORE_REPLY, arrival->dimse_request,
                                     lam_buffer_text(&text), NULL, 0, &err);
    lam_buffer_done(&text);
    if (status != LAM_OK) /* without its answers its associations would hang */
        dimse_ended(intake);
}

/* ---- answers ---- */

static void answer_upload(lam_upload *upload, const lam_store_result *result)
{
    pthread_mutex_lock(&upload->lock);
    upload->result = *result;
    upload->done = true;
    pthread_cond_signal(&upload->decided);
    pthread_mutex_unlock(&upload->lock);
}

static void count_fate(const lam_arrival *arrival)
{
    switch (arrival->fate) {
    case LAM_ARRIVAL_REFUSED:
        lam_metrics_add(LAM_COUNT_REFUSED, 1);
        lam_log(LAM_LOG_WARNING, "refused", "sender=%s dicom_status=%04Xh reason=%s",
                LAM_QUOTE(arrival->sender), arrival->result.dicom_status, LAM_QUOTE(arrival->result.reason));
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
    count_fate(arrival);
    if (arrival->upload)
        answer_upload(arrival->upload, &arrival->result);
    else
        reply_to_dimse(intake, arrival);
    lam_arrival_free(arrival);
}

static void commit_indexed(lam_intake *intake, lam_db *db)
{
    lam_arrival *group = queue_take_all(&intake->indexed);
    if (!group)
        return;
    lam_arrivals_commit(group, db, intake->options.store, intake->config->duplicates);
    bool added = false;
    for (lam_arrival *next; group; group = next) {
        next = group->next;
        added |= group->fate == LAM_ARRIVAL_ADDED || group->fate == LAM_ARRIVAL_REPLACED;
        answer(intake, group);
    }
    if (added) {
        lam_metrics_add(LAM_COUNT_COMMITS, 1);
        intake->options.stored(intake->options.context);
    }
}

static void on_indexed(void *context, lam_index_request *request, lam_status status, const char *text)
{
    lam_intake *intake = context;
    lam_arrival *arrival = (lam_arrival *)request;
    intake->under_way--;
    if (status == LAM_OK)
        lam_arrival_indexed(arrival, text);
    else
        lam_arrival_refuse(arrival, status, text);
    queue_push(&intake->indexed, arrival);
}

/* ---- arrivals ---- */

static void admit(lam_intake *intake, lam_arrival *arrival)
{
    lam_error err = {0};
    lam_status status =
        lam_spool_open(intake->options.store, arrival->name, &arrival->index.fd, &arrival->bytes, &err);
    if (status != LAM_OK) {
        lam_arrival_refuse(arrival, status, err.message);
        queue_push(&intake->indexed, arrival);
        return;
    }
    intake->under_way++;
    lam_indexer_submit(intake->indexer, &arrival->index);
}

static lam_status admit_store(lam_intake *intake, const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_status status = lam_json_parse(message->payload, message->length, &json, NULL);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(json);
    lam_arrival *arrival = lam_arrival_create();
    if (!arrival)
        return LAM_E_NO_MEMORY;
    arrival->dimse_request = message->request;
    arrival->dimse_generation = intake->generation;
    const struct {
        char *to;
        size_t size;
        const char *key;
    } members[] = {
        {arrival->name, sizeof arrival->name, "name"},
        {arrival->sender, sizeof arrival->sender, "calling_ae"},
        {arrival->sop_class_uid, LAM_UID_TEXT, "sop_class_uid"},
        {arrival->sop_uid, LAM_UID_TEXT, "sop_instance_uid"},
        {arrival->transfer_syntax_uid, LAM_UID_TEXT, "transfer_syntax_uid"},
    };
    for (size_t i = 0; i < LAM_COUNT(members); i++)
        lam_text_copy(members[i].to, members[i].size, lam_jv_text(lam_jv_get(root, members[i].key), ""));
    admit(intake, arrival);
    return LAM_OK;
}

static void log_association(const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    if (lam_json_parse(message->payload, message->length, &json, NULL) != LAM_OK)
        return;
    const lam_jv *root = lam_json_root(json);
    const char *event = lam_jv_text(lam_jv_get(root, "event"), "?");
    bool rejected = strcmp(event, "rejected") == 0, accepted = strcmp(event, "accepted") == 0;
    if (accepted || rejected)
        lam_metrics_add(rejected ? LAM_COUNT_ASSOCIATIONS_REJECTED : LAM_COUNT_ASSOCIATIONS, 1);
    lam_log(rejected ? LAM_LOG_WARNING : LAM_LOG_INFO, "association",
            "what=%s association=%lld calling=%s called=%s address=%s stored=%lld failed=%lld reason=%s",
            LAM_QUOTE(event), (long long)lam_jv_integer(lam_jv_get(root, "association"), 0),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "calling_ae"), "")),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "called_ae"), "")),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "address"), "")),
            (long long)lam_jv_integer(lam_jv_get(root, "stored"), 0),
            (long long)lam_jv_integer(lam_jv_get(root, "failed"), 0),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "reason"), "")));
}

static lam_status take_dimse_message(lam_intake *intake, const lam_ipc_message *message)
{
    switch (message->type) {
    case LAM_MESSAGE_READY:
        intake->ready = true;
        return LAM_OK;
    case LAM_MESSAGE_STORE:
        return admit_store(intake, message);
    case LAM_MESSAGE_ASSOCIATION:
        log_association(message);
        return LAM_OK;
    default:
        return LAM_E_CORRUPT;
    }
}

static void receive_from_dimse(lam_intake *intake)
{
    for (int i = 0; i < BATCH && intake->dimse.pid > 0; i++) {
        lam_ipc_message message;
        lam_status status = lam_ipc_receive(intake->dimse.socket, &message, NULL);
        if (status == LAM_E_BUSY)
            return;
        if (status == LAM_OK) {
            status = take_dimse_message(intake, &message);
            lam_ipc_message_done(&message);
        }
        if (status != LAM_OK)
            dimse_ended(intake);
    }
}

static void take_submitted(lam_intake *intake)
{
    uint64_t count;
    ssize_t got = read(intake->wake, &count, sizeof count);
    (void)got;
    pthread_mutex_lock(&intake->lock);
    lam_arrival *first = queue_take_all(&intake->submitted);
    if (intake->config_changed && intake->dimse.pid > 0)
        send_configuration(intake, false, NULL);
    intake->config_changed = false;
    bool stopping = intake->stopping;
    pthread_mutex_unlock(&intake->lock);
    for (lam_arrival *next; first; first = next) {
        next = first->next;
        admit(intake, first);
    }
    if (stopping && !intake->draining) {
        intake->draining = true;
        if (intake->dimse.pid > 0)
            lam_ipc_send(intake->dimse.socket, LAM_MESSAGE_DRAIN, 0, NULL, NULL, 0, NULL);
    }
}

/* ---- the thread ---- */

static void wait_for_events(lam_intake *intake)
{
    struct pollfd polls[2 + LAM_INDEXER_POLLS];
    size_t count = 0;
    int64_t timeout_ms = IDLE_MS;
    polls[count++] = (struct pollfd){.fd = intake->wake, .events = POLLIN};
    if (intake->dimse.pid > 0)
        polls[count++] = (struct pollfd){.fd = intake->dimse.socket, .events = POLLIN};
    else if (!intake->draining)
        timeout_ms = lam_child_wait_ms(&intake->dimse);
    count += lam_indexer_poll(intake->indexer, polls + count, &timeout_ms);
    poll(polls, count, (int)timeout_ms);
}

static void *intake_main(void *argument)
{
    lam_intake *intake = argument;
    lam_error err = {0};
    LAM_AUTO_DB *db = lam_db_get(intake->options.database, &err);
    if (!db)
        lam_log(LAM_LOG_ERROR, "intake_failed", "reason=%s", LAM_QUOTE(err.message));
    while (db) {
        if (intake->dimse.pid <= 0 && !intake->draining)
            start_dimse(intake);
        lam_indexer_turn(intake->indexer);
        commit_indexed(intake, db);
        if (intake->draining && intake->dimse.pid <= 0 && intake->under_way == 0)
            break;
        wait_for_events(intake);
        take_submitted(intake);
        receive_from_dimse(intake);
    }
    intake->ready = false;
    intake->ended = true;
    return NULL;
}

lam_status lam_intake_start(const lam_intake_options *options, lam_intake **out, lam_error *err)
{
    lam_intake *intake = calloc(1, sizeof *intake);
    if (!intake)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    intake->options = *options;
    intake->config = options->config;
    queue_init(&intake->submitted);
    queue_init(&intake->indexed);
    lam_child_init(&intake->dimse, "lamina-dimse");
    pthread_mutex_init(&intake->lock, NULL);
    intake->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lam_status status = LAM_OK;
    if (intake->wake < 0)
        status = lam_fail_errno(err, errno, "cannot make an event descriptor");
    if (status == LAM_OK)
        status = lam_indexer_create(INDEX_PROCESSES, on_indexed, intake, &intake->indexer, err);
    if (status == LAM_OK && pthread_create(&intake->thread, NULL, intake_main, intake) != 0)
        status = lam_fail(err, LAM_E_NO_MEMORY, "cannot start the intake thread");
    if (status != LAM_OK) {
        lam_indexer_free(intake->indexer);
        if (intake->wake >= 0)
            close(intake->wake);
        free(intake);
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
    if (!intake->ended &&
        intake->dimse.pid > 0) /* still an association: cut it; what was acknowledged is safe */
        kill(intake->dimse.pid, SIGKILL);
    pthread_join(intake->thread, NULL);
    lam_indexer_free(intake->indexer);
    close(intake->wake);
    pthread_mutex_destroy(&intake->lock);
    free(intake);
}

void lam_intake_reload(lam_intake *intake, const lam_config *config)
{
    pthread_mutex_lock(&intake->lock);
    intake->config = config;
    intake->config_changed = true;
    pthread_mutex_unlock(&intake->lock);
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

/* ---- uploads ---- */

static void upload_free(lam_upload *upload)
{
    if (upload->fd >= 0)
        close(upload->fd);
    pthread_mutex_destroy(&upload->lock);
    pthread_cond_destroy(&upload->decided);
    free(upload);
}

lam_status lam_upload_open(lam_intake *intake, const char *sender, lam_upload **out, lam_error *err)
{
    lam_status status = lam_store_check_space(intake->options.store, intake->config->reserve_bytes, err);
    if (status != LAM_OK)
        return status;
    lam_upload *upload = calloc(1, sizeof *upload);
    lam_arrival *arrival = lam_arrival_create();
    if (!upload || !arrival) {
        free(upload);
        lam_arrival_free(arrival);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    *upload = (lam_upload){.intake = intake, .arrival = arrival, .fd = -1};
    pthread_mutex_init(&upload->lock, NULL);
    pthread_cond_init(&upload->decided, NULL);
    arrival->upload = upload;
    lam_text_copy(arrival->sender, sizeof arrival->sender, sender);
    status = lam_spool_create(intake->options.store, arrival->name, &upload->fd, err);
    if (status != LAM_OK) {
        lam_arrival_free(arrival);
        upload_free(upload);
        return status;
    }
    *out = upload;
    return LAM_OK;
}

lam_status lam_upload_write(lam_upload *upload, const void *bytes, size_t length, lam_error *err)
{
    int64_t limit = upload->intake->config->max_object_bytes;
    upload->arrival->bytes += (int64_t)length;
    if (upload->arrival->bytes > limit)
        return lam_fail(err, LAM_E_LIMIT, "object is larger than the %lld MiB of [storage] max_object",
                        (long long)(limit >> 20));
    return lam_io_write_all(upload->fd, bytes, length, err);
}

void lam_upload_submit(lam_upload *upload, const char *study_uid)
{
    lam_intake *intake = upload->intake;
    lam_error err = {0};
    lam_text_copy(upload->arrival->study_uid, LAM_UID_TEXT, study_uid);
    lam_status status = lam_io_sync(upload->fd, &err);
    close(upload->fd);
    upload->fd = -1;
    pthread_mutex_lock(&intake->lock);
    if (status == LAM_OK && (intake->stopping || intake->ended))
        status = lam_fail(&err, LAM_E_BUSY, "the daemon is shutting down: send it again later");
    if (status == LAM_OK)
        queue_push(&intake->submitted, LAM_TAKE_PTR(upload->arrival));
    pthread_mutex_unlock(&intake->lock);
    if (status == LAM_OK) {
        wake_up(intake);
        return;
    }
    lam_arrival_refuse(upload->arrival, status, err.message);
    answer_upload(upload, &upload->arrival->result);
}

static void forget_arrival(lam_upload *upload)
{
    if (!upload->arrival)
        return;
    lam_spool_remove(upload->intake->options.store, upload->arrival->name);
    lam_arrival_free(upload->arrival);
    upload->arrival = NULL;
}

void lam_upload_wait(lam_upload *upload, lam_store_result *out)
{
    pthread_mutex_lock(&upload->lock);
    while (!upload->done)
        pthread_cond_wait(&upload->decided, &upload->lock);
    pthread_mutex_unlock(&upload->lock);
    *out = upload->result;
    forget_arrival(upload);
    upload_free(upload);
}

void lam_upload_discard(lam_upload *upload)
{
    if (!upload)
        return;
    forget_arrival(upload);
    upload_free(upload);
}
