/* The carrier of kind = dimse: a lamina-dimse of its own for each association, handed the objects as
 * descriptors (promise 2: nothing of them is read here). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/commitment.h"
#include "daemon/laminad/deliver.h"

enum {
    OPEN_FILES = 128,
    SLICE_MS = 200,                 /* how soon a stop is noticed */
    MARGIN_MS = 30 * 1000,          /* beyond what lamina-dimse itself allows the peer */
    MAX_REQUEST = 17 * 1024 * 1024, /* a report of as many instances as a peer may ask for */
};

/* One association. */
typedef struct call {
    lam_carriage *carriage;
    lam_child child;
    int fds[LAM_IPC_MAX_FDS];
    size_t fd_count;
    lam_parcel *sent[LAM_OUTBOX_BATCH]; /* in the order of the descriptors */
    size_t sent_count;
    lam_buffer request;
    lam_json_writer w;
    bool ended, commit_refused, reported;
    lam_status end;
    char reason[256];
} call;

static lam_status fail_with(lam_error *err, const call *k)
{
    return lam_fail(err, k->end, "%s", k->reason);
}

/* ---- the request ---- */

static lam_status add_file(call *k, const char *path, const char *member, lam_error *err)
{
    if (!path[0])
        return LAM_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot read %s", path);
    k->fds[k->fd_count++] = fd;
    lam_jw_bool(&k->w, member, true);
    return LAM_OK;
}

static lam_status begin(call *k, lam_carriage *c)
{
    *k = (call){.carriage = c, .end = LAM_E_PEER};
    lam_child_init(&k->child, "lamina-dimse");
    lam_buffer_init(&k->request, MAX_REQUEST);
    k->w = lam_json_write_to(&k->request);
    lam_jw_object(&k->w, NULL);
    lam_jw_text(&k->w, "host", c->peer->address.host);
    lam_jw_integer(&k->w, "port", c->peer->address.port);
    lam_jw_text(&k->w, "called_ae", c->peer->ae_title);
    lam_jw_text(&k->w, "calling_ae", c->config->ae_title);
    lam_jw_integer(&k->w, "timeout_ms", c->peer->timeout_ms);
    return k->request.status;
}

/* After the objects, whose descriptors come first. */
static lam_status finish_request(call *k, lam_error *err)
{
    const lam_config_peer *peer = k->carriage->peer;
    lam_status status = LAM_OK;
    lam_jw_integer(&k->w, "objects", (int64_t)k->sent_count);
    if (peer->tls) {
        lam_jw_object(&k->w, "tls");
        status = add_file(k, peer->tls_ca, "ca", err);
        if (status == LAM_OK)
            status = add_file(k, peer->tls_certificate, "certificate", err);
        if (status == LAM_OK)
            status = add_file(k, peer->tls_key, "key", err);
        lam_jw_end(&k->w);
    }
    lam_jw_end(&k->w);
    if (status == LAM_OK && k->request.status != LAM_OK)
        status = lam_fail(err, k->request.status, "too much for one association");
    return status;
}

/* ---- what comes back ---- */

static lam_status take_delivered(call *k, const lam_jv *root, lam_error *err)
{
    int64_t index = lam_jv_integer(lam_jv_get(root, "object"), -1);
    int64_t status = lam_jv_integer(lam_jv_get(root, "status"), -2);
    const char *said = lam_jv_text(lam_jv_get(root, "reason"), "");
    if (index < 0 || (size_t)index >= k->sent_count || k->sent[index]->settled || status < -1 ||
        status > 0xffff)
        return lam_fail(err, LAM_E_CORRUPT, "lamina-dimse broke the protocol");
    char text[LAM_OUTBOX_NOTE];
    if (status < 0)
        snprintf(text, sizeof text, "%s", said);
    else
        snprintf(text, sizeof text, "the peer answered status %04llXH%s%s", (unsigned long long)status,
                 *said ? ": " : "", said);
    lam_text_end_whole(text);
    /* PS3.4 annex B.2.3: Bxxx and the general warnings are stored; A7xx is about the moment, as is 0110H;
     * the rest is about the object. */
    bool warned = (status & 0xf000) == 0xb000 || status == 0x0001 || status == 0x0107 || status == 0x0116;
    bool later = (status & 0xff00) == 0xa700 || status == 0x0110;
    lam_verdict verdict = status == 0 ? LAM_VERDICT_TAKEN
                          : warned    ? LAM_VERDICT_WARNED
                          : later     ? LAM_VERDICT_LATER
                                      : LAM_VERDICT_REFUSED;
    return lam_deliver_settle(k->carriage, k->sent[index], verdict, (int)status, status == 0 ? "" : text,
                              err);
}

static bool is_about_the_moment(lam_status status)
{
    return status == LAM_E_BUSY || status == LAM_E_NO_MEMORY || status == LAM_E_NO_SPACE ||
           status == LAM_E_IO;
}

/* Has a worker write the object in the transfer syntax that the peer wants. What it says of the object goes
 * back; that none can be had now ends the association, and all is tried again later. */
static lam_status take_convert(call *k, const lam_jv *root, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO(lam_buffer_done) lam_buffer ignored;
    lam_autoclose int fd = -1;
    lam_buffer_init(&text, 4096);
    lam_buffer_init(&ignored, LAM_IPC_MAX_PAYLOAD);
    int64_t index = lam_jv_integer(lam_jv_get(root, "object"), -1);
    if (index < 0 || (size_t)index >= k->sent_count)
        return lam_fail(err, LAM_E_CORRUPT, "lamina-dimse broke the protocol");
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "transfer_syntax", lam_jv_text(lam_jv_get(root, "transfer_syntax"), ""));
    lam_jw_end(&w);
    lam_status status = text.status;
    if (status == LAM_OK)
        status = lam_spool_create_unnamed(k->carriage->store, &fd, err);
    const int fds[2] = {k->fds[index], fd};
    if (status == LAM_OK)
        status = lam_render_pool_ask(k->carriage->renderers, LAM_MESSAGE_TRANSCODE, lam_buffer_text(&text),
                                     fds, 2, &ignored, err);
    if (is_about_the_moment(status))
        return status;
    lam_buffer_clear(&text);
    w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    if (status != LAM_OK)
        lam_jw_text(&w, "reason", err->message);
    lam_jw_end(&w);
    return lam_ipc_send(k->child.socket, LAM_MESSAGE_CONVERTED, 0, lam_buffer_text(&text), &fd,
                        status == LAM_OK, err);
}

static void take_end(call *k, const lam_jv *root)
{
    const char *name = lam_jv_text(lam_jv_get(root, "status"), "");
    k->end = LAM_E_PEER;
    for (int i = 0; i < LAM_STATUS_COUNT; i++)
        if (strcmp(lam_status_name(i), name) == 0)
            k->end = i;
    lam_text_copy(k->reason, sizeof k->reason, lam_jv_text(lam_jv_get(root, "reason"), ""));
    k->commit_refused = strcmp(lam_jv_text(lam_jv_get(root, "commit"), ""), "refused") == 0;
    k->reported = lam_jv_bool(lam_jv_get(root, "reported"), false);
    k->ended = true;
}

static lam_status take_message(call *k, const lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_carriage *c = k->carriage;
    if (message->type == LAM_MESSAGE_COMMITMENT)
        return lam_commitment_settle(c->db, message->payload, message->length,
                                     lam_deliver_pause_ms(c->peer, 1), lam_clock_steady_ms(), err);
    lam_status status = lam_json_parse(message->payload, message->length, &json, err);
    if (status != LAM_OK)
        return status;
    if (message->type == LAM_MESSAGE_DELIVERED)
        return take_delivered(k, lam_json_root(json), err);
    if (message->type == LAM_MESSAGE_CONVERT)
        return take_convert(k, lam_json_root(json), err);
    if (message->type != LAM_MESSAGE_DELIVER_END)
        return lam_fail(err, LAM_E_CORRUPT, "lamina-dimse broke the protocol");
    take_end(k, lam_json_root(json));
    return LAM_OK;
}

static lam_status receive(call *k, lam_error *err)
{
    lam_ipc_message message;
    lam_status status = lam_ipc_receive(k->child.socket, &message, err);
    if (status == LAM_E_PEER) {
        char how[64] = "";
        lam_child_stop(&k->child, how);
        return lam_fail(err, LAM_E_PEER, "lamina-dimse ended: %s", how);
    }
    if (status != LAM_OK)
        return status;
    status = take_message(k, &message, err);
    lam_ipc_message_done(&message);
    return status;
}

static lam_status converse(call *k, lam_error *err)
{
    int64_t silence_ms = k->carriage->peer->timeout_ms + MARGIN_MS;
    int64_t deadline = lam_clock_monotonic_ms() + silence_ms;
    while (!k->ended) {
        struct pollfd poller = {.fd = k->child.socket, .events = POLLIN};
        if (lam_flag_is_set(k->carriage->abandon))
            return lam_fail(err, LAM_E_CANCELLED, "the daemon is stopping");
        if (lam_clock_monotonic_ms() > deadline)
            return lam_fail(err, LAM_E_TIMEOUT, "lamina-dimse hangs");
        if (poll(&poller, 1, SLICE_MS) <= 0)
            continue;
        lam_status status = receive(k, err);
        if (status != LAM_OK)
            return status;
        deadline = lam_clock_monotonic_ms() + silence_ms;
    }
    return k->end == LAM_OK ? LAM_OK : fail_with(err, k);
}

/* Sends the request and sees it through. Releases everything. */
static lam_status run(call *k, lam_error *err)
{
    const lam_child_limits limits = {.open_files = OPEN_FILES};
    lam_status status = finish_request(k, err);
    if (status == LAM_OK)
        status = lam_child_start(&k->child, &limits, err);
    if (status == LAM_OK)
        status = lam_ipc_send(k->child.socket, LAM_MESSAGE_DELIVER, 0, lam_buffer_text(&k->request), k->fds,
                              k->fd_count, err);
    if (status == LAM_OK)
        status = converse(k, err);
    lam_child_stop(&k->child, NULL);
    for (size_t i = 0; i < k->fd_count; i++)
        close(k->fds[i]);
    lam_buffer_done(&k->request);
    return status;
}

/* ---- the carrier ---- */

lam_status lam_deliver_dimse(lam_carriage *c, lam_parcel *parcels, size_t count, lam_error *err)
{
    call k;
    lam_status status = begin(&k, c);
    for (size_t i = 0; status == LAM_OK && i < count; i++) {
        int fd = -1;
        int64_t bytes = 0;
        lam_error why = {0};
        if (lam_store_open_file(c->store, parcels[i].file, &fd, &bytes, &why) != LAM_OK) {
            status = lam_deliver_settle(c, &parcels[i], LAM_VERDICT_LATER, -1, why.message, err);
            continue;
        }
        k.fds[k.fd_count++] = fd;
        k.sent[k.sent_count++] = &parcels[i];
    }
    if (status == LAM_OK && k.sent_count)
        return run(&k, err);
    for (size_t i = 0; i < k.fd_count; i++)
        close(k.fds[i]);
    lam_buffer_done(&k.request);
    return status;
}

lam_status lam_deliver_ask_commitment(lam_carriage *c, size_t *asked, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer question;
    LAM_AUTO_PTR(lam_json) *json = NULL;
    int64_t now = lam_clock_steady_ms();
    call k;
    lam_buffer_init(&question, MAX_REQUEST);
    lam_status status = lam_commitment_begin(c->db, c->peer->name, now, now + c->peer->commitment_timeout_ms,
                                             &question, asked, err);
    if (status != LAM_OK || *asked == 0)
        return status;
    status = lam_json_parse(lam_buffer_text(&question), question.length, &json, err);
    if (status != LAM_OK)
        return status;
    const char *uid = lam_jv_text(lam_jv_get(lam_json_root(json), "transaction_uid"), "");
    begin(&k, c);
    lam_jw_raw(&k.w, "commit", lam_buffer_text(&question));
    status = run(&k, err);
    if (status == LAM_OK && k.commit_refused)
        status = lam_fail(err, LAM_E_UNSUPPORTED, "the peer does not take the request for commitment");
    if (status == LAM_OK)
        return LAM_OK;
    lam_error ignored = {0};
    int64_t again_ms = lam_clock_steady_ms() + lam_deliver_pause_ms(c->peer, 1);
    lam_commitment_refused(c->db, uid, again_ms, err->message, lam_clock_steady_ms(), &ignored);
    return status;
}

lam_status lam_deliver_report_commitment(lam_carriage *c, const char *document, lam_error *err)
{
    call k;
    begin(&k, c);
    lam_jw_raw(&k.w, "report", document);
    lam_status status = run(&k, err);
    if (status == LAM_OK && !k.reported)
        status = lam_fail(err, LAM_E_PEER, "the peer did not take the report");
    return status;
}
