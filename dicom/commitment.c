#include "dicom/commitment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/uid.h"
#include "dicom/bytes.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"
#include "dicom/walk.h"

/* PS3.6. Not in tag.h, which is about objects. */
enum {
    REFERENCED_CLASS = 0x00081150,
    REFERENCED_INSTANCE = 0x00081155,
    TRANSACTION_UID = 0x00081195,
    FAILURE_REASON = 0x00081197,
    FAILED_SEQUENCE = 0x00081198,
    REFERENCED_SEQUENCE = 0x00081199,
};

/* ---- writing ---- */

static void put_head(lam_buffer *out, uint32_t tag, uint32_t length)
{
    const uint8_t head[8] = {(uint8_t)(tag >> 16),    (uint8_t)(tag >> 24),   (uint8_t)tag,
                             (uint8_t)(tag >> 8),     (uint8_t)length,        (uint8_t)(length >> 8),
                             (uint8_t)(length >> 16), (uint8_t)(length >> 24)};
    lam_buffer_append(out, head, sizeof head);
}

static uint32_t uid_length(const char *uid)
{
    return (uint32_t)(strlen(uid) + strlen(uid) % 2);
}

static void put_uid(lam_buffer *out, uint32_t tag, const char *uid)
{
    put_head(out, tag, uid_length(uid));
    lam_buffer_append(out, uid, strlen(uid));
    lam_buffer_append(out, "", strlen(uid) % 2); /* padded with NUL (PS3.5 9.1) */
}

static lam_status put_item(const lam_jv *entry, bool with_reason, lam_buffer *out, lam_error *err)
{
    const char *class = lam_jv_text(lam_jv_at(entry, 0), ""),
               *instance = lam_jv_text(lam_jv_at(entry, 1), "");
    if (!lam_uid_is_valid(class) || !lam_uid_is_valid(instance))
        return lam_fail(err, LAM_E_INVALID, "an instance of a commitment has no valid UIDs");
    uint32_t length = 8 + uid_length(class) + 8 + uid_length(instance) + (with_reason ? 10 : 0);
    put_head(out, 0xfffee000, length);
    put_uid(out, REFERENCED_CLASS, class);
    put_uid(out, REFERENCED_INSTANCE, instance);
    if (with_reason) {
        int64_t reason = lam_jv_integer(lam_jv_at(entry, 2), LAM_DIMSE_PROCESSING_FAILURE);
        const uint8_t bytes[2] = {(uint8_t)reason, (uint8_t)(reason >> 8)};
        put_head(out, FAILURE_REASON, sizeof bytes);
        lam_buffer_append(out, bytes, sizeof bytes);
    }
    return out->status;
}

static lam_status put_sequence(uint32_t tag, const lam_jv *list, lam_buffer *out, lam_error *err)
{
    if (lam_jv_count(list) == 0)
        return LAM_OK;
    put_head(out, tag, 0xffffffff);
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && i < lam_jv_count(list); i++)
        status = put_item(lam_jv_at(list, i), tag == FAILED_SEQUENCE, out, err);
    put_head(out, 0xfffee0dd, 0);
    return status;
}

lam_status lam_commitment_write(const lam_jv *document, lam_buffer *out, lam_error *err)
{
    const lam_jv *instances = lam_jv_get(document, "instances"),
                 *committed = lam_jv_get(document, "committed");
    const char *transaction = lam_jv_text(lam_jv_get(document, "transaction_uid"), "");
    if (!lam_uid_is_valid(transaction))
        return lam_fail(err, LAM_E_INVALID, "a commitment has no valid transaction UID");
    put_uid(out, TRANSACTION_UID, transaction);
    lam_status status = put_sequence(FAILED_SEQUENCE, lam_jv_get(document, "failed"), out, err);
    if (status == LAM_OK)
        status = put_sequence(REFERENCED_SEQUENCE, instances ? instances : committed, out, err);
    return status == LAM_OK && out->status != LAM_OK
               ? lam_fail(err, out->status, "the commitment names too many instances")
               : status;
}

/* ---- reading ---- */

typedef struct entry {
    char class[LAM_UID_TEXT], instance[LAM_UID_TEXT];
    int64_t reason; /* -1: none */
} entry;

static void take_uid(const lam_walk_event *event, char out[LAM_UID_TEXT])
{
    size_t length = event->length;
    while (length && (event->value[length - 1] == '\0' || event->value[length - 1] == ' '))
        length--;
    if (length >= LAM_UID_TEXT)
        length = 0; /* not a UID; found out where it is checked */
    memcpy(out, event->value, length);
    out[length] = '\0';
}

static void take_element(const lam_walk_event *event, entry *current)
{
    if (event->tag == REFERENCED_CLASS)
        take_uid(event, current->class);
    else if (event->tag == REFERENCED_INSTANCE)
        take_uid(event, current->instance);
    else if (event->tag == FAILURE_REASON && event->length == 2)
        current->reason = event->big_endian ? lam_be16(event->value) : lam_le16(event->value);
}

static lam_status write_entry(lam_json_writer *w, const entry *e, lam_error *err)
{
    if (!lam_uid_is_valid(e->class) || !lam_uid_is_valid(e->instance))
        return lam_fail(err, LAM_E_INVALID, "an instance of a commitment has no valid UIDs");
    lam_jw_array(w, NULL);
    lam_jw_text(w, NULL, e->class);
    lam_jw_text(w, NULL, e->instance);
    if (e->reason >= 0)
        lam_jw_integer(w, NULL, e->reason);
    lam_jw_end(w);
    return LAM_OK;
}

/* One of the two sequences as a list; the transaction UID besides. */
static lam_status read_list(const void *bytes, size_t length, lam_transfer_syntax syntax, uint32_t sequence,
                            char transaction[LAM_UID_TEXT], lam_json_writer *w, lam_error *err)
{
    lam_walk walk;
    lam_walk_event event;
    entry current = {.reason = -1};
    bool inside = false;
    lam_walk_init(&walk, bytes, length, syntax);
    for (;;) {
        lam_status status = lam_walk_next(&walk, &event, err);
        if (status != LAM_OK)
            return status;
        if (event.kind == LAM_WALK_END)
            return LAM_OK;
        if (event.kind == LAM_WALK_ELEMENT && event.depth == 0 && event.tag == TRANSACTION_UID)
            take_uid(&event, transaction);
        if (event.kind == LAM_WALK_SEQUENCE && event.depth == 0)
            inside = event.tag == sequence;
        if (inside && event.kind == LAM_WALK_ITEM && event.tag == sequence)
            current = (entry){.reason = -1};
        if (inside && event.kind == LAM_WALK_ELEMENT && event.depth == 1)
            take_element(&event, &current);
        if (inside && event.kind == LAM_WALK_ITEM_END && event.tag == sequence)
            status = write_entry(w, &current, err);
        if (status != LAM_OK)
            return status;
    }
}

lam_status lam_commitment_read(const void *bytes, size_t length, const char *transfer_syntax,
                               const char *referenced, lam_json_writer *w, lam_error *err)
{
    char transaction[LAM_UID_TEXT] = "";
    lam_transfer_syntax syntax = lam_transfer_syntax_of(transfer_syntax);
    lam_jw_array(w, referenced);
    lam_status status = read_list(bytes, length, syntax, REFERENCED_SEQUENCE, transaction, w, err);
    lam_jw_end(w);
    lam_jw_array(w, "failed");
    if (status == LAM_OK)
        status = read_list(bytes, length, syntax, FAILED_SEQUENCE, transaction, w, err);
    lam_jw_end(w);
    if (status == LAM_OK && !lam_uid_is_valid(transaction))
        status = lam_fail(err, LAM_E_INVALID, "a commitment has no valid transaction UID");
    lam_jw_text(w, "transaction_uid", transaction);
    return status;
}

/* ---- exchange ---- */

static lam_status send_with_data(lam_association *association, uint8_t context, const lam_command *command,
                                 const lam_buffer *data, lam_error *err)
{
    lam_autoclose int fd = memfd_create("commitment", MFD_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot make a memory file");
    lam_status status = lam_io_write_all(fd, data->data, data->length, err);
    if (status == LAM_OK)
        status = lam_association_send(association, context, command, err);
    return status == LAM_OK ? lam_association_send_data(association, context, fd, 0, err) : status;
}

static lam_status find_context(lam_association *association, const lam_net_context **out, lam_error *err)
{
    *out = lam_association_find(association, LAM_SOP_CLASS_COMMITMENT, LAM_TS_IMPLICIT_LITTLE);
    return *out ? LAM_OK
                : lam_fail(err, LAM_E_UNSUPPORTED, "the peer does not take part in Storage Commitment");
}

static lam_status take_response(lam_association *association, uint16_t field, uint16_t message,
                                lam_command *out, lam_error *err)
{
    uint8_t context = 0;
    lam_status status = lam_scu_response(association, field, message, out, &context, err);
    if (status == LAM_OK && out->data_set_type != LAM_NO_DATA_SET) {
        LAM_AUTO(lam_buffer_done) lam_buffer ignored;
        lam_buffer_init(&ignored, LAM_COMMITMENT_MAX_BYTES);
        status = lam_commitment_receive(association, context, &ignored, err);
    }
    return status;
}

lam_status lam_commitment_ask(lam_association *association, uint16_t message, const lam_buffer *data,
                              lam_scu_answer *out, lam_error *err)
{
    const lam_net_context *context = NULL;
    lam_status status = find_context(association, &context, err);
    if (status != LAM_OK)
        return status;
    lam_command response, request = lam_command_request(LAM_COMMAND_ACTION, message, true);
    memcpy(request.requested_class, LAM_SOP_CLASS_COMMITMENT, sizeof LAM_SOP_CLASS_COMMITMENT);
    memcpy(request.requested_instance, LAM_COMMITMENT_INSTANCE, sizeof LAM_COMMITMENT_INSTANCE);
    request.has |= LAM_COMMAND_HAS_ACTION_TYPE;
    request.action_type = LAM_COMMITMENT_ACTION;
    status = send_with_data(association, context->id, &request, data, err);
    if (status == LAM_OK)
        status = take_response(association, LAM_COMMAND_ACTION, message, &response, err);
    if (status != LAM_OK)
        return status;
    out->status = response.status;
    memcpy(out->comment, response.comment, sizeof out->comment);
    return LAM_OK;
}

static bool append(void *user, const void *bytes, size_t length)
{
    return lam_buffer_append(user, bytes, length) == LAM_OK;
}

lam_status lam_commitment_receive(lam_association *association, uint8_t context, lam_buffer *out,
                                  lam_error *err)
{
    lam_status status = lam_association_receive_data(association, context, append, out, err);
    if (out->status != LAM_OK)
        return lam_fail(err, out->status, "a commitment of more than %zu bytes", out->maximum);
    return status;
}

lam_status lam_commitment_wait(lam_association *association, int wait_ms, const char *ae, lam_buffer *report,
                               lam_error *err)
{
    lam_command event;
    uint8_t id = 0;
    LAM_AUTO(lam_buffer_done) lam_buffer data;
    lam_buffer_init(&data, LAM_COMMITMENT_MAX_BYTES);
    if (!lam_association_wait(association, wait_ms))
        return lam_fail(err, LAM_E_TIMEOUT, "the commitment has not come yet");
    lam_status status = lam_association_receive(association, &event, &id, err);
    if (status != LAM_OK)
        return status;
    if (event.field != LAM_COMMAND_EVENT_REPORT || event.data_set_type == LAM_NO_DATA_SET)
        return lam_fail(err, LAM_E_INVALID, "the peer sent something else than a commitment");
    status = lam_commitment_receive(association, id, &data, err);
    if (status != LAM_OK)
        return status;
    lam_json_writer w = lam_json_write_to(report);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "ae", ae);
    status =
        lam_commitment_read(data.data, data.length, lam_association_context(association, id)->transfer_syntax,
                            "committed", &w, err);
    lam_jw_end(&w);
    if (status != LAM_OK)
        return status;
    lam_command response = lam_command_response(&event, LAM_DIMSE_SUCCESS);
    return lam_association_send(association, id, &response, err);
}

lam_status lam_commitment_send_report(lam_association *association, uint16_t message, bool failures,
                                      const lam_buffer *data, lam_error *err)
{
    const lam_net_context *context = NULL;
    lam_status status = find_context(association, &context, err);
    if (status != LAM_OK)
        return status;
    lam_command request = lam_command_request(LAM_COMMAND_EVENT_REPORT, message, true);
    memcpy(request.sop_class, LAM_SOP_CLASS_COMMITMENT, sizeof LAM_SOP_CLASS_COMMITMENT);
    memcpy(request.sop_instance, LAM_COMMITMENT_INSTANCE, sizeof LAM_COMMITMENT_INSTANCE);
    request.has |= LAM_COMMAND_HAS_EVENT_TYPE;
    request.event_type = failures ? LAM_COMMITMENT_FAILURES : LAM_COMMITMENT_SUCCESS;
    return send_with_data(association, context->id, &request, data, err);
}

lam_status lam_commitment_report(lam_association *association, uint16_t message, bool failures,
                                 const lam_buffer *data, lam_error *err)
{
    lam_command response;
    lam_status status = lam_commitment_send_report(association, message, failures, data, err);
    if (status == LAM_OK)
        status = take_response(association, LAM_COMMAND_EVENT_REPORT, message, &response, err);
    if (status == LAM_OK && response.status != LAM_DIMSE_SUCCESS)
        status = lam_fail(err, LAM_E_PEER, "the peer answered the report with status %04XH", response.status);
    return status;
}
