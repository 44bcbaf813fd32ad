#include "daemon/laminad/dimse_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/commitment.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/release.h"

enum { OPEN_FILES = 4096, REPLY_MS = 5000 };

void lam_dimse_link_init(lam_dimse_link *link, int listener, lam_store *store, lam_audit *audit)
{
    *link = (lam_dimse_link){.listener = listener, .store = store, .open = {.audit = audit}};
    lam_child_init(&link->child, "lamina-dimse");
}

/* ---- its life ---- */

static void ended(lam_dimse_link *link, const char *why)
{
    char how[64] = "";
    lam_child_stop(&link->child, how);
    lam_audit_associations_end(&link->open);
    if (link->draining)
        return;
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_ERROR, "dimse_ended", "reason=%s how=%s", LAM_QUOTE(why), LAM_QUOTE(how));
}

static void write_peers(lam_json_writer *w, const lam_config *config)
{
    lam_jw_array(w, "peers");
    for (size_t i = 0; i < config->peer_count; i++) {
        const lam_config_peer *peer = &config->peers[i];
        if (!peer->accept || peer->kind != LAM_PEER_DIMSE)
            continue;
        lam_jw_object(w, NULL);
        lam_jw_text(w, "name", peer->name);
        lam_jw_text(w, "ae_title", peer->ae_title);
        lam_jw_text(w, "host", peer->address.host);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

/* What a new lamina-dimse is handed: listener, spool, and with TLS the files for that. The first two are
 * borrowed. */
typedef struct handing {
    int fds[5];
    size_t count;
} handing;

enum { BORROWED = 2 };

static void handing_done(handing *h)
{
    while (h->count > BORROWED)
        close(h->fds[--h->count]);
}

static lam_status hand_tls(handing *h, const lam_config *c, lam_json_writer *w, lam_error *err)
{
    const char *const files[][2] = {
        {"ca", c->dicom_ca}, {"certificate", c->dicom_certificate}, {"key", c->dicom_key}};
    if (!c->dicom_certificate[0])
        return LAM_OK;
    lam_jw_object(w, "tls");
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        if (!files[i][1][0])
            continue;
        int fd = open(files[i][1], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return lam_fail_errno(err, errno, "cannot read %s", files[i][1]);
        h->fds[h->count++] = fd;
        lam_jw_bool(w, files[i][0], true);
    }
    lam_jw_end(w);
    return LAM_OK;
}

static lam_status send_configuration(lam_dimse_link *link, const lam_config *c, bool first, lam_error *err)
{
    LAM_AUTO(handing_done) handing h = {{link->listener, lam_store_spool_fd(link->store)}, BORROWED};
    lam_status status = LAM_OK;
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
    lam_jw_integer(&w, "last_association", link->last_association);
    lam_jw_bool(&w, "private_classes", c->private_classes);
    if (first)
        status = hand_tls(&h, c, &w, err);
    lam_jw_end(&w);
    if (status == LAM_OK)
        status = text.status;
    if (status == LAM_OK)
        status = lam_ipc_send(link->child.socket, LAM_MESSAGE_CONFIGURE, 0, lam_buffer_text(&text), h.fds,
                              first ? h.count : 0, err);
    lam_buffer_done(&text);
    return status;
}

void lam_dimse_link_start(lam_dimse_link *link, const lam_config *config)
{
    if (link->child.pid > 0 || lam_child_wait_ms(&link->child) > 0)
        return;
    const lam_child_limits limits = {.open_files = OPEN_FILES, .non_blocking = true};
    lam_error err = {0};
    lam_spool_sweep(link->store, LAM_SPOOL_DIMSE);
    if (lam_release_lose(link->idle_db(link->context), &err) != LAM_OK) /* a hint less, no more */
        lam_log(LAM_LOG_WARNING, "release_fault", "reason=%s", LAM_QUOTE(err.message));
    lam_status status = lam_child_start(&link->child, &limits, &err);
    if (status == LAM_OK)
        status = send_configuration(link, config, true, &err);
    if (status != LAM_OK)
        ended(link, err.message);
}

bool lam_dimse_link_configure(lam_dimse_link *link, const lam_config *config)
{
    if (link->child.pid <= 0) /* the next one starts with it */
        return true;
    lam_error err = {0};
    lam_status status = send_configuration(link, config, false, &err);
    if (status != LAM_OK && status != LAM_E_BUSY)
        ended(link, err.message);
    return status != LAM_E_BUSY;
}

void lam_dimse_link_drain(lam_dimse_link *link)
{
    link->draining = true;
    if (link->child.pid > 0 &&
        lam_ipc_send(link->child.socket, LAM_MESSAGE_DRAIN, 0, NULL, NULL, 0, NULL) != LAM_OK)
        lam_child_stop(&link->child, NULL);
}

void lam_dimse_link_stop(lam_dimse_link *link)
{
    lam_child_stop(&link->child, NULL);
    lam_audit_associations_end(&link->open);
}

/* Its buffer holds hundreds of answers; one that is full for long belongs to a process that no longer reads.
 */
static lam_status send_patiently(const lam_dimse_link *link, uint32_t type, uint32_t request,
                                 const char *text, lam_error *err)
{
    for (;;) {
        lam_status status = lam_ipc_send(link->child.socket, type, request, text, NULL, 0, err);
        struct pollfd poller = {.fd = link->child.socket, .events = POLLOUT};
        if (status != LAM_E_BUSY || poll(&poller, 1, REPLY_MS) == 0)
            return status;
    }
}

/* ---- what it says ---- */

static lam_status read_store(const lam_ipc_message *message, lam_arrival **out)
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
    arrival->association = lam_jv_integer(lam_jv_get(root, "association"), LAM_NO_ASSOCIATION);
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
    *out = arrival;
    return LAM_OK;
}

static lam_status note_association(lam_dimse_link *link, const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_status status = lam_json_parse(message->payload, message->length, &json, NULL);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(json);
    const char *event = lam_jv_text(lam_jv_get(root, "event"), "?");
    bool rejected = strcmp(event, "rejected") == 0, accepted = strcmp(event, "accepted") == 0;
    bool refused = strcmp(event, "refused") == 0;
    int64_t association = lam_jv_integer(lam_jv_get(root, "association"), LAM_NO_ASSOCIATION);
    if (association > link->last_association)
        link->last_association = association;
    if (accepted || rejected)
        lam_metrics_add(rejected ? LAM_COUNT_ASSOCIATIONS_REJECTED : LAM_COUNT_ASSOCIATIONS, 1);
    lam_metrics_add(LAM_COUNT_REFUSED, refused);
    lam_log(rejected || refused ? LAM_LOG_WARNING : LAM_LOG_INFO, "association",
            "what=%s association=%lld calling=%s called=%s address=%s stored=%lld failed=%lld reason=%s",
            LAM_QUOTE(event), (long long)association,
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "calling_ae"), "")),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "called_ae"), "")),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "address"), "")),
            (long long)lam_jv_integer(lam_jv_get(root, "stored"), 0),
            (long long)lam_jv_integer(lam_jv_get(root, "failed"), 0),
            LAM_QUOTE(lam_jv_text(lam_jv_get(root, "reason"), "")));
    const lam_audit_association said = {.number = association,
                                        .calling_ae = lam_jv_text(lam_jv_get(root, "calling_ae"), ""),
                                        .address = lam_jv_text(lam_jv_get(root, "address"), ""),
                                        .reason = lam_jv_text(lam_jv_get(root, "reason"), "")};
    lam_audit_associations_hear(&link->open, event, &said);
    if (strcmp(event, "released") == 0)
        link->released(link->context, association, lam_jv_text(lam_jv_get(root, "calling_ae"), ""));
    return LAM_OK;
}

/* A sender asks us to commit ourselves. */
static lam_status answer_commit(lam_dimse_link *link, const lam_ipc_message *message)
{
    enum { PROCESSING_FAILURE = 0x0110, RESOURCE_LIMITATION = 0x0213 }; /* PS3.7 annex C */
    lam_buffer text;
    lam_error err = {0};
    lam_buffer_init(&text, LAM_IPC_MAX_PAYLOAD);
    lam_status status = lam_commitment_answer(link->idle_db(link->context), message->payload, message->length,
                                              lam_clock_steady_ms(), &text, &err);
    if (status != LAM_OK) {
        lam_log(LAM_LOG_ERROR, "commitment_fault", "reason=%s", LAM_QUOTE(err.message));
        lam_buffer_clear(&text);
        lam_buffer_printf(&text, "{\"status\":%d}",
                          status == LAM_E_LIMIT ? RESOURCE_LIMITATION : PROCESSING_FAILURE);
    }
    status = send_patiently(link, LAM_MESSAGE_COMMIT_REPLY, message->request, lam_buffer_text(&text), NULL);
    lam_buffer_done(&text);
    return status;
}

/* A database that fails costs no association: what was said is asked for, or reported, again. */
static lam_status note_commitment(lam_dimse_link *link, const lam_ipc_message *message)
{
    enum { RETRY_MS = 10 * 1000 };
    lam_error err = {0};
    lam_status status =
        message->type == LAM_MESSAGE_COMMITMENT
            ? lam_commitment_settle(link->idle_db(link->context), message->payload, message->length, RETRY_MS,
                                    lam_clock_steady_ms(), &err)
            : lam_commitment_reported(link->idle_db(link->context), message->payload, message->length, &err);
    if (status != LAM_OK)
        lam_log(LAM_LOG_ERROR, "commitment_fault", "reason=%s", LAM_QUOTE(err.message));
    return status == LAM_E_CORRUPT ? status : LAM_OK;
}

static lam_status take_message(lam_dimse_link *link, const lam_ipc_message *message, lam_arrival **arrival)
{
    switch (message->type) {
    case LAM_MESSAGE_READY:
        link->child.ready = true;
        return LAM_OK;
    case LAM_MESSAGE_STORE:
        return read_store(message, arrival);
    case LAM_MESSAGE_ASSOCIATION:
        return note_association(link, message);
    case LAM_MESSAGE_COMMIT:
        return answer_commit(link, message);
    case LAM_MESSAGE_COMMITMENT:
    case LAM_MESSAGE_COMMIT_REPORTED:
        return note_commitment(link, message);
    default:
        return LAM_E_CORRUPT;
    }
}

lam_status lam_dimse_link_receive(lam_dimse_link *link, lam_arrival **arrival)
{
    *arrival = NULL;
    if (link->child.pid <= 0)
        return LAM_E_PEER;
    lam_ipc_message message;
    lam_status status = lam_ipc_receive(link->child.socket, &message, NULL);
    if (status == LAM_E_BUSY) {
        if (lam_child_is_stuck(&link->child))
            ended(link, "it does not become ready");
        return status;
    }
    if (status == LAM_OK) {
        status = take_message(link, &message, arrival);
        lam_ipc_message_done(&message);
    }
    if (status != LAM_OK)
        ended(link, status == LAM_E_PEER ? "it ended" : "it broke the protocol");
    return status == LAM_E_BUSY ? LAM_E_PEER : status;
}

/* ---- what it is told ---- */

void lam_dimse_link_reply(lam_dimse_link *link, const lam_arrival *arrival)
{
    lam_audit_associations_count(&link->open, arrival);
    if (link->child.pid <= 0)
        return;
    lam_buffer text;
    lam_buffer_init(&text, 4096);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "status", arrival->result.dicom_status);
    lam_jw_text(&w, "comment", arrival->result.reason);
    lam_jw_end(&w);
    lam_error err = {0};
    lam_status status =
        send_patiently(link, LAM_MESSAGE_STORE_REPLY, arrival->dimse_request, lam_buffer_text(&text), &err);
    lam_buffer_done(&text);
    if (status != LAM_OK) /* without its answers its associations would hang */
        ended(link, err.message);
}
