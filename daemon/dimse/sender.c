#include "daemon/dimse/sender.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/dimse/identity.h"
#include "daemon/ipc/messages.h"
#include "dicom/commitment.h"
#include "dicom/scu.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"

/* What an object is sent in to a peer that does not take it as it is stored: the second every peer has to
 * take (PS3.5 10.1). */
static const char *const native[] = {LAM_TS_EXPLICIT_LITTLE, LAM_TS_IMPLICIT_LITTLE};

enum { CONNECT_TIMEOUT_MS = 10 * 1000, HOUR_MS = 60 * 60 * 1000 };

typedef struct parcel {
    int fd; /* of the message */
    bool readable;
    lam_file_meta meta;
    uint64_t offset;
    lam_error fault; /* unless readable */
} parcel;

typedef struct sender {
    int socket;
    const lam_jv *request;
    lam_net_peer peer;
    parcel parcels[LAM_IPC_MAX_FDS];
    size_t count;
    lam_net_context contexts[LAM_IPC_MAX_FDS * (1 + LAM_COUNT(native)) + 1];
    size_t context_count;
    lam_tls_context *tls;
    lam_association *association;
    uint16_t message;
    const char *commit; /* "asked", "refused" or NULL */
    bool reported;
} sender;

static lam_status tell(const sender *s, uint32_t type, lam_buffer *text, lam_error *err)
{
    lam_status status = text->status;
    if (status == LAM_OK)
        status = lam_ipc_send(s->socket, type, 0, lam_buffer_text(text), NULL, 0, err);
    lam_buffer_done(text);
    return status;
}

/* ---- the request ---- */

static lam_status read_peer(sender *s, lam_error *err)
{
    int64_t port = 0, timeout = 0;
    const struct {
        const char *key, **out;
    } texts[] = {
        {"host", &s->peer.host}, {"called_ae", &s->peer.called_ae}, {"calling_ae", &s->peer.calling_ae}};
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < LAM_COUNT(texts); i++)
        status = lam_jv_need_text(s->request, texts[i].key, texts[i].out, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(s->request, "port", 1, 65535, &port, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(s->request, "timeout_ms", 1, HOUR_MS, &timeout, err);
    s->peer.port = (uint16_t)port;
    s->peer.response_timeout_ms = (int)timeout;
    s->peer.connect_timeout_ms = timeout < CONNECT_TIMEOUT_MS ? (int)timeout : CONNECT_TIMEOUT_MS;
    return status;
}

static lam_status read_parcels(sender *s, const lam_ipc_message *message, lam_error *err)
{
    int64_t count = 0;
    lam_status status =
        lam_jv_need_integer(s->request, "objects", 0, (int64_t)message->fd_count, &count, err);
    s->count = (size_t)count;
    for (size_t i = 0; status == LAM_OK && i < s->count; i++) {
        parcel *p = &s->parcels[i];
        p->fd = message->fds[i];
        p->readable = lam_file_meta_read(p->fd, &p->meta, &p->offset, &p->fault) == LAM_OK;
    }
    return status;
}

static lam_status read_tls(sender *s, const lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO(lam_scp_identity_done) lam_scp_identity identity;
    lam_status status = lam_scp_identity_read(&identity, lam_jv_get(s->request, "tls"),
                                              message->fds + s->count, message->fd_count - s->count, err);
    if (status == LAM_OK)
        status = lam_tls_context_create(LAM_TLS_CLIENT, &identity.texts, &s->tls, err);
    s->peer.tls = s->tls;
    return status;
}

static void propose(sender *s, const char *abstract_syntax, const char *transfer_syntax)
{
    for (size_t i = 0; i < s->context_count; i++)
        if (strcmp(s->contexts[i].abstract_syntax, abstract_syntax) == 0 &&
            strcmp(s->contexts[i].transfer_syntax, transfer_syntax) == 0)
            return;
    lam_net_context *context = &s->contexts[s->context_count++];
    lam_text_copy(context->abstract_syntax, LAM_UID_TEXT, abstract_syntax);
    lam_text_copy(context->transfer_syntax, LAM_UID_TEXT, transfer_syntax);
}

static void propose_all(sender *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const parcel *p = &s->parcels[i];
        if (p->readable)
            propose(s, p->meta.sop_class, p->meta.transfer_syntax);
        for (size_t k = 0; p->readable && k < LAM_COUNT(native); k++)
            propose(s, p->meta.sop_class, native[k]);
    }
    if (lam_jv_get(s->request, "commit") || lam_jv_get(s->request, "report"))
        propose(s, LAM_SOP_CLASS_COMMITMENT, LAM_TS_IMPLICIT_LITTLE);
    if (lam_jv_get(s->request, "report"))
        s->contexts[s->context_count - 1].provider = true;
}

/* ---- objects ---- */

static lam_status tell_object(const sender *s, size_t index, int status_of_peer, const char *reason,
                              lam_error *err)
{
    lam_buffer text;
    lam_buffer_init(&text, 4096);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "object", (int64_t)index);
    lam_jw_integer(&w, "status", status_of_peer);
    lam_jw_text(&w, "reason", reason);
    lam_jw_end(&w);
    return tell(s, LAM_MESSAGE_DELIVERED, &text, err);
}

/* The object in another transfer syntax, from laminad, which has a worker decode it: no codec runs where
 * there is a network. LAM_E_UNSUPPORTED with the reason when it cannot be had. */
static lam_status convert(const sender *s, size_t index, const char *syntax, int *fd, lam_error *err)
{
    LAM_AUTO(lam_ipc_message_done) lam_ipc_message reply = {.payload = ""};
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_buffer text;
    lam_buffer_init(&text, 256);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "object", (int64_t)index);
    lam_jw_text(&w, "transfer_syntax", syntax);
    lam_jw_end(&w);
    lam_status status = tell(s, LAM_MESSAGE_CONVERT, &text, err);
    if (status == LAM_OK)
        status = lam_ipc_receive(s->socket, &reply, err);
    if (status == LAM_OK && reply.type != LAM_MESSAGE_CONVERTED)
        status = lam_fail(err, LAM_E_CORRUPT, "laminad answered something else");
    if (status == LAM_OK)
        status = lam_json_parse(reply.payload, reply.length, &json, err);
    if (status != LAM_OK)
        return status;
    if (reply.fd_count != 1)
        return lam_fail(err, LAM_E_UNSUPPORTED, "the peer takes it in transfer syntax %s only: %s", syntax,
                        lam_jv_text(lam_jv_get(lam_json_root(json), "reason"), "it cannot be written so"));
    *fd = LAM_TAKE_FD(reply.fds[0]);
    return LAM_OK;
}

/* In the first of the native transfer syntaxes that the peer takes. `refusal` is why not as it is stored. */
static lam_status send_converted(sender *s, size_t index, const lam_error *refusal, lam_scu_answer *answer,
                                 lam_error *err)
{
    const char *syntax = NULL, *sop_class = s->parcels[index].meta.sop_class;
    for (size_t k = LAM_COUNT(native); k > 0; k--)
        if (lam_association_find(s->association, sop_class, native[k - 1]))
            syntax = native[k - 1];
    if (!syntax)
        return lam_fail(err, LAM_E_UNSUPPORTED, "%s", refusal->message);
    lam_autoclose int fd = -1;
    lam_file_meta meta;
    uint64_t offset = 0;
    lam_status status = convert(s, index, syntax, &fd, err);
    if (status == LAM_OK)
        status = lam_file_meta_read(fd, &meta, &offset, err);
    return status == LAM_OK ? lam_scu_store(s->association, ++s->message, fd, &meta, offset, answer, err)
                            : status;
}

/* A failure is the association's; what the peer says of the object is no failure here. */
static lam_status send_object(sender *s, size_t index, lam_error *err)
{
    parcel *p = &s->parcels[index];
    lam_scu_answer answer = {0};
    if (!p->readable)
        return tell_object(s, index, -1, p->fault.message, err);
    lam_error refusal = {0};
    lam_status status =
        lam_scu_store(s->association, ++s->message, p->fd, &p->meta, p->offset, &answer, &refusal);
    if (status == LAM_E_UNSUPPORTED)
        status = send_converted(s, index, &refusal, &answer, err);
    else if (status != LAM_OK)
        return lam_fail(err, status, "%s", refusal.message);
    if (status == LAM_E_UNSUPPORTED)
        return tell_object(s, index, -1, err->message, err);
    if (status != LAM_OK)
        return status;
    return tell_object(s, index, answer.status, answer.comment, err);
}

static lam_status send_objects(sender *s, lam_error *err)
{
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < s->count; i++)
        status = send_object(s, i, err);
    return status;
}

/* ---- commitment ---- */

static lam_status ask_commitment(sender *s, lam_error *err)
{
    const lam_jv *commit = lam_jv_get(s->request, "commit");
    LAM_AUTO(lam_buffer_done) lam_buffer data, report;
    lam_buffer_init(&data, LAM_COMMITMENT_MAX_BYTES);
    lam_buffer_init(&report, LAM_COMMITMENT_MAX_BYTES);
    lam_scu_answer answer = {0};
    lam_status status = lam_commitment_write(commit, &data, err);
    if (status == LAM_OK)
        status = lam_commitment_ask(s->association, ++s->message, &data, &answer, err);
    s->commit = status == LAM_OK && answer.status == LAM_DIMSE_SUCCESS ? "asked" : "refused";
    if (status == LAM_E_UNSUPPORTED)
        return LAM_OK; /* the peer has no such service; laminad hears it as refused */
    if (status != LAM_OK || answer.status != LAM_DIMSE_SUCCESS)
        return status;
    int wait_ms = (int)lam_jv_integer(lam_jv_get(commit, "wait_ms"), 0);
    status = lam_commitment_wait(s->association, wait_ms, s->peer.called_ae, &report, err);
    if (status == LAM_E_TIMEOUT || status == LAM_E_CANCELLED)
        return LAM_OK; /* the answer may come over an association of the peer's */
    if (status == LAM_OK)
        status = lam_ipc_send(s->socket, LAM_MESSAGE_COMMITMENT, 0, lam_buffer_text(&report), NULL, 0, err);
    return status;
}

static lam_status send_report(sender *s, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer data;
    lam_buffer_init(&data, LAM_COMMITMENT_MAX_BYTES);
    bool failed = lam_jv_count(lam_jv_get(lam_jv_get(s->request, "report"), "failed")) > 0;
    lam_status status = lam_commitment_write(lam_jv_get(s->request, "report"), &data, err);
    if (status == LAM_OK)
        status = lam_commitment_report(s->association, ++s->message, failed, &data, err);
    s->reported = status == LAM_OK;
    return status;
}

/* ---- the association ---- */

static lam_status use_association(sender *s, lam_error *err)
{
    lam_status status = send_objects(s, err);
    if (status == LAM_OK && lam_jv_get(s->request, "commit"))
        status = ask_commitment(s, err);
    if (status == LAM_OK && lam_jv_get(s->request, "report"))
        status = send_report(s, err);
    return status;
}

static lam_status run(sender *s, const lam_ipc_message *message, lam_error *err)
{
    lam_status status = lam_jv_get(s->request, "tls") ? read_tls(s, message, err) : LAM_OK;
    if (status != LAM_OK)
        return status;
    propose_all(s);
    if (s->context_count == 0)
        return send_objects(s, err); /* none is readable: says so */
    status = lam_net_request(&s->peer, s->contexts, s->context_count, &s->association, err);
    if (status != LAM_OK)
        return status;
    status = use_association(s, err);
    if (status == LAM_OK)
        lam_association_release(s->association, NULL);
    else
        lam_association_abort(s->association);
    return status;
}

static lam_status tell_end(const sender *s, lam_status status, const char *reason, lam_error *err)
{
    lam_buffer text;
    lam_buffer_init(&text, 4096);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "status", lam_status_name(status));
    lam_jw_text(&w, "reason", reason);
    if (s->commit)
        lam_jw_text(&w, "commit", s->commit);
    lam_jw_bool(&w, "reported", s->reported);
    lam_jw_end(&w);
    return tell(s, LAM_MESSAGE_DELIVER_END, &text, err);
}

lam_status lam_scu_serve(int socket, lam_ipc_message *message, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    sender *s = calloc(1, sizeof *s);
    if (!s)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    s->socket = socket;
    lam_error why = {0};
    lam_status status = lam_json_parse(message->payload, message->length, &json, err);
    if (status == LAM_OK) {
        s->request = lam_json_root(json);
        status = read_peer(s, err);
    }
    if (status == LAM_OK)
        status = read_parcels(s, message, err);
    if (status == LAM_OK) {
        lam_status done = run(s, message, &why);
        status = tell_end(s, done, done == LAM_OK ? "" : why.message, err);
    }
    lam_association_free(s->association);
    lam_tls_context_free(s->tls);
    free(s);
    return status;
}
