#include "dicom/associate.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/bytes.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"

enum {
    PDU_ASSOCIATE_RQ = 0x01,
    PDU_ASSOCIATE_RJ = 0x03,
    PDU_ABORT = 0x07,
    ITEM_APPLICATION_CONTEXT = 0x10,
    ITEM_PRESENTATION_CONTEXT = 0x20,
    ITEM_ABSTRACT_SYNTAX = 0x30,
    ITEM_TRANSFER_SYNTAX = 0x40,
    ITEM_USER_INFORMATION = 0x50,
    FIXED_BYTES = 74, /* before the first item */
    ABORT_BY_PROVIDER = 2,
};

typedef struct item {
    uint8_t type;
    const uint8_t *bytes;
    size_t length;
} item;

/* Takes the next item off *at; the caller has seen that *at < end. */
static lam_status next_item(const uint8_t **at, const uint8_t *end, item *out, lam_error *err)
{
    size_t left = (size_t)(end - *at);
    if (left < 4 || left - 4 < lam_be16(*at + 2))
        return lam_fail(err, LAM_E_INVALID, "an item of the association request reaches past its container");
    *out = (item){(*at)[0], *at + 4, lam_be16(*at + 2)};
    *at += 4 + out->length;
    return LAM_OK;
}

/* Text without the padding that senders use, whatever the standard says: blanks or NUL. */
static lam_status copy_text(item from, const char *what, char *out, size_t size, lam_error *err)
{
    size_t length = from.length;
    while (length && (from.bytes[length - 1] == '\0' || from.bytes[length - 1] == ' '))
        length--;
    if (length >= size)
        return lam_fail(err, LAM_E_INVALID, "%s of %zu characters in the association request", what, length);
    for (size_t i = 0; i < length; i++)
        if (from.bytes[i] < 0x20 || from.bytes[i] > 0x7e)
            return lam_fail(err, LAM_E_INVALID, "%s in the association request is not printable", what);
    memcpy(out, from.bytes, length);
    out[length] = '\0';
    return LAM_OK;
}

static lam_status copy_ae_title(const uint8_t *bytes, const char *what, char *out, lam_error *err)
{
    size_t length = 16;
    while (length && *bytes == ' ') { /* leading blanks are not significant (PS3.5 6.2) */
        bytes++;
        length--;
    }
    return copy_text((item){0, bytes, length}, what, out, LAM_AE_TEXT, err);
}

lam_status lam_associate_length(const uint8_t *head, size_t *out, lam_error *err)
{
    if (head[0] != PDU_ASSOCIATE_RQ)
        return lam_fail(err, LAM_E_INVALID, "the connection does not begin with an association request");
    uint32_t length = lam_be32(head + 2);
    if (length > LAM_ASSOCIATE_MAX_BYTES - LAM_ASSOCIATE_HEAD_BYTES)
        return lam_fail(err, LAM_E_LIMIT, "association request of %u bytes; at most %d are taken", length,
                        LAM_ASSOCIATE_MAX_BYTES);
    *out = LAM_ASSOCIATE_HEAD_BYTES + (size_t)length;
    return LAM_OK;
}

static lam_status parse_context(item from, lam_associate *out, lam_error *err)
{
    if (out->context_count == LAM_ASSOCIATE_MAX_CONTEXTS)
        return lam_fail(err, LAM_E_LIMIT, "more than %d presentation contexts", LAM_ASSOCIATE_MAX_CONTEXTS);
    if (from.length < 4)
        return lam_fail(err, LAM_E_INVALID, "a presentation context is too short");
    lam_associate_context *context = &out->contexts[out->context_count];
    *context = (lam_associate_context){.id = from.bytes[0]};
    if (context->id % 2 == 0)
        return lam_fail(err, LAM_E_INVALID, "presentation context %u is not odd", context->id);
    for (size_t i = 0; i < out->context_count; i++)
        if (out->contexts[i].id == context->id)
            return lam_fail(err, LAM_E_INVALID, "presentation context %u comes twice", context->id);

    const uint8_t *at = from.bytes + 4, *end = from.bytes + from.length;
    size_t abstract_syntaxes = 0, transfer_syntaxes = 0;
    while (at < end) {
        const uint8_t *start = at;
        item sub = {0};
        char ignored[LAM_UID_TEXT];
        lam_status status = next_item(&at, end, &sub, err);
        if (status == LAM_OK && sub.type == ITEM_ABSTRACT_SYNTAX) {
            status = copy_text(sub, "abstract syntax", context->abstract_syntax, LAM_UID_TEXT, err);
            abstract_syntaxes++;
        } else if (status == LAM_OK && sub.type == ITEM_TRANSFER_SYNTAX) {
            status = copy_text(sub, "transfer syntax", ignored, LAM_UID_TEXT, err);
            if (!transfer_syntaxes++)
                context->proposed = start;
        }
        if (status != LAM_OK)
            return status;
    }
    if (abstract_syntaxes != 1 || !transfer_syntaxes)
        return lam_fail(err, LAM_E_INVALID,
                        "presentation context %u needs one abstract and at least one transfer syntax",
                        context->id);
    context->proposed_length = (size_t)(end - context->proposed);
    out->context_count++;
    return LAM_OK;
}

/* User information sub-items are skipped here unless we use them, but later readers rely on their inner
 * lengths (PS3.7 annex D.3.3). This table says where each keeps them. */
static bool inner_lengths_hold(item sub)
{
    switch (sub.type) {
    case 0x51: /* maximum length */
    case 0x53: /* asynchronous operations window */
        return sub.length == 4;
    case 0x54: /* role selection: UID length, UID, two roles */
        return sub.length >= 2 && lam_be16(sub.bytes) == sub.length - 4;
    case 0x56: /* extended negotiation: UID length, UID, anything */
        return sub.length >= 2 && lam_be16(sub.bytes) <= sub.length - 2;
    case 0x58: { /* user identity: type, flag, length, field, length, field */
        if (sub.length < 6 || lam_be16(sub.bytes + 2) > sub.length - 6)
            return false;
        size_t first = lam_be16(sub.bytes + 2);
        return lam_be16(sub.bytes + 4 + first) == sub.length - 6 - first;
    }
    default:
        return true;
    }
}

static lam_status parse_user_information(item from, lam_associate *out, lam_error *err)
{
    const uint8_t *at = from.bytes, *end = at + from.length;
    while (at < end) {
        item sub = {0};
        lam_status status = next_item(&at, end, &sub, err);
        if (status != LAM_OK)
            return status;
        if (!inner_lengths_hold(sub))
            return lam_fail(err, LAM_E_INVALID, "user information item %02x contradicts its length",
                            sub.type);
        if (sub.type == 0x51)
            out->max_pdu = lam_be32(sub.bytes);
        else if (sub.type == 0x52)
            status = copy_text(sub, "implementation class", out->implementation_class, LAM_UID_TEXT, err);
        else if (sub.type == 0x55)
            status = copy_text(sub, "implementation version", out->implementation_version,
                               sizeof out->implementation_version, err);
        if (status != LAM_OK)
            return status;
    }
    return LAM_OK;
}

static lam_status parse_items(const uint8_t *at, const uint8_t *end, lam_associate *out, lam_error *err)
{
    int application_contexts = 0, user_informations = 0;
    while (at < end) {
        item next = {0};
        lam_status status = next_item(&at, end, &next, err);
        if (status != LAM_OK)
            return status;
        if (next.type == ITEM_APPLICATION_CONTEXT) {
            application_contexts++;
            status = copy_text(next, "application context", out->application_context, LAM_UID_TEXT, err);
        } else if (next.type == ITEM_PRESENTATION_CONTEXT) {
            status = parse_context(next, out, err);
        } else if (next.type == ITEM_USER_INFORMATION) {
            user_informations++;
            status = parse_user_information(next, out, err);
        }
        if (status != LAM_OK)
            return status;
    }
    if (application_contexts != 1 || user_informations != 1 || !out->context_count)
        return lam_fail(err, LAM_E_INVALID,
                        "the association request lacks an application context, a presentation context or "
                        "user information, or has one of them twice");
    return LAM_OK;
}

lam_status lam_associate_parse(const uint8_t *pdu, size_t length, lam_associate *out, lam_error *err)
{
    size_t announced = 0;
    if (length < FIXED_BYTES)
        return lam_fail(err, LAM_E_INVALID, "association request of only %zu bytes", length);
    lam_status status = lam_associate_length(pdu, &announced, err);
    if (status != LAM_OK)
        return status;
    if (announced != length)
        return lam_fail(err, LAM_E_INVALID, "association request of %zu bytes says it has %zu", length,
                        announced);
    memset(out, 0, sizeof *out);
    out->protocol_version = lam_be16(pdu + 6);
    status = copy_ae_title(pdu + 10, "called AE title", out->called_ae, err);
    if (status == LAM_OK)
        status = copy_ae_title(pdu + 26, "calling AE title", out->calling_ae, err);
    if (status == LAM_OK)
        status = parse_items(pdu + FIXED_BYTES, pdu + length, out, err);
    return status;
}

/* The messages of this service are read here, so they must not be compressed. */
static bool suits(const char *class, const char *transfer_syntax)
{
    if (strcmp(class, LAM_SOP_CLASS_COMMITMENT) != 0)
        return lam_transfer_syntax_is_storable(transfer_syntax);
    return strcmp(transfer_syntax, LAM_TS_IMPLICIT_LITTLE) == 0 ||
           strcmp(transfer_syntax, LAM_TS_EXPLICIT_LITTLE) == 0;
}

/* The first proposed transfer syntax that suits; the order is the sender's wish. */
static bool choose_transfer_syntax(lam_associate_context *context)
{
    const uint8_t *at = context->proposed, *end = at + context->proposed_length;
    while (at < end) {
        item sub = {0};
        char uid[LAM_UID_TEXT];
        if (next_item(&at, end, &sub, NULL) != LAM_OK)
            return false;
        if (sub.type != ITEM_TRANSFER_SYNTAX || copy_text(sub, "", uid, sizeof uid, NULL) != LAM_OK ||
            !suits(context->abstract_syntax, uid))
            continue;
        memcpy(context->transfer_syntax, uid, sizeof uid);
        return true;
    }
    return false;
}

size_t lam_associate_negotiate(lam_associate *associate, bool private_classes)
{
    size_t accepted = 0;
    for (size_t i = 0; i < associate->context_count; i++) {
        lam_associate_context *context = &associate->contexts[i];
        const char *class = context->abstract_syntax;
        bool known = strcmp(class, LAM_SOP_CLASS_VERIFICATION) == 0 ||
                     strcmp(class, LAM_SOP_CLASS_COMMITMENT) == 0 || lam_sop_class_is_storage(class) ||
                     (private_classes && lam_sop_class_is_private(class));
        if (!known)
            context->result = LAM_CONTEXT_NO_ABSTRACT_SYNTAX;
        else if (!choose_transfer_syntax(context))
            context->result = LAM_CONTEXT_NO_TRANSFER_SYNTAX;
        else
            accepted++;
    }
    return accepted;
}

const lam_rejection LAM_REJECT_APPLICATION_CONTEXT = {1, 1, 2};
const lam_rejection LAM_REJECT_CALLING_AE = {1, 1, 3};
const lam_rejection LAM_REJECT_CALLED_AE = {1, 1, 7};
const lam_rejection LAM_REJECT_PROTOCOL_VERSION = {1, 2, 2};
const lam_rejection LAM_REJECT_LOCAL_LIMIT = {2, 3, 2};

const char *lam_rejection_text(lam_rejection rejection)
{
    static const struct {
        uint8_t source, reason;
        const char *text;
    } texts[] = {
        {1, 2, "application context name not supported"},
        {1, 3, "calling AE title not recognized"},
        {1, 7, "called AE title not recognized"},
        {2, 2, "protocol version not supported"},
        {3, 1, "temporary congestion"},
        {3, 2, "local limit exceeded"},
    };
    for (size_t i = 0; i < LAM_COUNT(texts); i++)
        if (texts[i].source == rejection.source && texts[i].reason == rejection.reason)
            return texts[i].text;
    return "no reason given";
}

void lam_rejection_write(lam_rejection rejection, uint8_t pdu[LAM_SHORT_PDU_BYTES])
{
    const uint8_t bytes[LAM_SHORT_PDU_BYTES] = {
        PDU_ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, rejection.result, rejection.source, rejection.reason};
    memcpy(pdu, bytes, sizeof bytes);
}

void lam_abort_write(uint8_t reason, uint8_t pdu[LAM_SHORT_PDU_BYTES])
{
    const uint8_t bytes[LAM_SHORT_PDU_BYTES] = {PDU_ABORT, 0, 0, 0, 0, 4, 0, 0, ABORT_BY_PROVIDER, reason};
    memcpy(pdu, bytes, sizeof bytes);
}
