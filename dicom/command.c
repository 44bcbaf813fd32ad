#include "dicom/command.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/bytes.h"

typedef enum kind { NUMBER, UID, TEXT } kind;

/* In tag order, which is the order on the wire. */
static const struct element {
    uint16_t number; /* (0000,number) */
    uint16_t has;    /* for numbers */
    kind kind;
    size_t offset, size;
} elements[] = {
#define NUMBER_OF(member)     NUMBER, offsetof(lam_command, member), sizeof(uint16_t)
#define TEXT_OF(kind, member) kind, offsetof(lam_command, member), sizeof((lam_command *)0)->member
    {0x0002, 0, TEXT_OF(UID, sop_class)},
    {0x0003, 0, TEXT_OF(UID, requested_class)},
    {0x0100, LAM_COMMAND_HAS_FIELD, NUMBER_OF(field)},
    {0x0110, LAM_COMMAND_HAS_MESSAGE, NUMBER_OF(message)},
    {0x0120, LAM_COMMAND_HAS_RESPONDED_TO, NUMBER_OF(responded_to)},
    {0x0700, LAM_COMMAND_HAS_PRIORITY, NUMBER_OF(priority)},
    {0x0800, LAM_COMMAND_HAS_DATA_SET_TYPE, NUMBER_OF(data_set_type)},
    {0x0900, LAM_COMMAND_HAS_STATUS, NUMBER_OF(status)},
    {0x0902, 0, TEXT_OF(TEXT, comment)},
    {0x1000, 0, TEXT_OF(UID, sop_instance)},
    {0x1001, 0, TEXT_OF(UID, requested_instance)},
    {0x1002, LAM_COMMAND_HAS_EVENT_TYPE, NUMBER_OF(event_type)},
    {0x1008, LAM_COMMAND_HAS_ACTION_TYPE, NUMBER_OF(action_type)},
#undef NUMBER_OF
#undef TEXT_OF
};

int lam_dimse_outcome(uint16_t status)
{
    if (status == LAM_DIMSE_SUCCESS)
        return 0;
    /* Bxxx, and the general warnings of PS3.7 annex C.4 */
    return (status & 0xf000) == 0xb000 || status == 0x0001 || status == 0x0107 || status == 0x0116 ? 1 : -1;
}

lam_command lam_command_request(uint16_t field, uint16_t message, bool data_set)
{
    return (lam_command){
        .has = LAM_COMMAND_HAS_FIELD | LAM_COMMAND_HAS_MESSAGE | LAM_COMMAND_HAS_DATA_SET_TYPE,
        .field = field,
        .message = message,
        .data_set_type = data_set ? LAM_HAS_DATA_SET : LAM_NO_DATA_SET,
    };
}

lam_command lam_command_response(const lam_command *request, uint16_t status)
{
    lam_command response = {
        .has = LAM_COMMAND_HAS_FIELD | LAM_COMMAND_HAS_RESPONDED_TO | LAM_COMMAND_HAS_DATA_SET_TYPE |
               LAM_COMMAND_HAS_STATUS,
        .field = request->field | LAM_COMMAND_RESPONSE,
        .responded_to = request->message,
        .data_set_type = LAM_NO_DATA_SET,
        .status = status,
    };
    memcpy(response.sop_class, request->sop_class, sizeof response.sop_class);
    memcpy(response.sop_instance, request->sop_instance, sizeof response.sop_instance);
    return response;
}

static const struct element *find_element(uint32_t tag)
{
    for (size_t i = 0; i < LAM_COUNT(elements); i++)
        if (elements[i].number == tag)
            return &elements[i];
    return NULL;
}

static lam_status take_element(const struct element *element, const uint8_t *bytes, size_t length,
                               lam_command *out, lam_error *err)
{
    void *member = (char *)out + element->offset;
    if (element->kind == NUMBER) {
        if (length != 2)
            return lam_fail(err, LAM_E_INVALID, "command element (0000,%04x) has %zu bytes, not 2",
                            element->number, length);
        uint16_t value = lam_le16(bytes);
        memcpy(member, &value, sizeof value);
        out->has |= element->has;
        return LAM_OK;
    }
    while (length && (bytes[length - 1] == '\0' || bytes[length - 1] == ' '))
        length--;
    if (length >= element->size) {
        if (element->kind == UID)
            return lam_fail(err, LAM_E_INVALID, "command element (0000,%04x) has %zu characters",
                            element->number, length);
        length = element->size - 1;
    }
    if (memchr(bytes, '\0', length))
        return lam_fail(err, LAM_E_INVALID, "command element (0000,%04x) contains a NUL", element->number);
    memcpy(member, bytes, length);
    ((char *)member)[length] = '\0';
    return LAM_OK;
}

lam_status lam_command_parse(const uint8_t *bytes, size_t length, lam_command *out, lam_error *err)
{
    if (length > LAM_COMMAND_MAX_BYTES)
        return lam_fail(err, LAM_E_LIMIT, "command of more than %d bytes", LAM_COMMAND_MAX_BYTES);
    lam_command command = {0};
    for (size_t at = 0; at < length;) {
        if (length - at < 8 || length - at - 8 < lam_le32(bytes + at + 4))
            return lam_fail(err, LAM_E_INVALID, "a command element reaches past the end of the command");
        uint32_t tag = (uint32_t)lam_le16(bytes + at) << 16 | lam_le16(bytes + at + 2);
        uint32_t size = lam_le32(bytes + at + 4);
        const struct element *element = find_element(tag);
        if (element) {
            lam_status status = take_element(element, bytes + at + 8, size, &command, err);
            if (status != LAM_OK)
                return status;
        }
        at += 8 + (size_t)size;
    }
    bool response = command.field & LAM_COMMAND_RESPONSE;
    unsigned needed = LAM_COMMAND_HAS_FIELD | LAM_COMMAND_HAS_DATA_SET_TYPE;
    if (response)
        needed |= LAM_COMMAND_HAS_RESPONDED_TO | LAM_COMMAND_HAS_STATUS;
    else if (command.field != LAM_COMMAND_CANCEL)
        needed |= LAM_COMMAND_HAS_MESSAGE;
    if ((command.has & needed) != needed)
        return lam_fail(err, LAM_E_INVALID, "a command lacks its field, number, status or data set type");
    *out = command;
    return LAM_OK;
}

static uint8_t *put(uint8_t *at, uint16_t element, const void *value, size_t length, char padding)
{
    size_t padded = length + length % 2;
    const uint8_t head[8] = {
        0, 0, (uint8_t)element, (uint8_t)(element >> 8), (uint8_t)padded, (uint8_t)(padded >> 8)};
    memcpy(at, head, sizeof head);
    memcpy(at + 8, value, length);
    if (padded > length)
        at[8 + length] = (uint8_t)padding;
    return at + 8 + padded;
}

size_t lam_command_write(const lam_command *command, uint8_t out[LAM_COMMAND_TEXT])
{
    uint8_t *at = put(out, 0x0000, "\0\0\0", 4, 0); /* the group length, known at the end */
    const uint8_t *counted = at;
    for (size_t i = 0; i < LAM_COUNT(elements); i++) {
        const struct element *element = &elements[i];
        const char *member = (const char *)command + element->offset;
        if (element->kind == NUMBER && (command->has & element->has)) {
            uint16_t value;
            memcpy(&value, member, sizeof value);
            const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
            at = put(at, element->number, bytes, sizeof bytes, 0);
        } else if (element->kind != NUMBER && *member) {
            at = put(at, element->number, member, strlen(member), element->kind == UID ? '\0' : ' ');
        }
    }
    size_t length = (size_t)(at - counted);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    return (size_t)(at - out);
}
