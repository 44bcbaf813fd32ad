/* See wire.h. */
#include "core/rnn/import/wire.h"

#include <string.h>

static bool take(lam_wire *from, size_t length, lam_wire *out)
{
    if (length > from->length)
        return false;
    if (out)
        *out = (lam_wire){from->bytes, length};
    from->bytes += length;
    from->length -= length;
    return true;
}

static bool take_varint(lam_wire *from, uint64_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        lam_wire byte;
        if (!take(from, 1, &byte))
            return false;
        if (shift < 64)
            value |= (uint64_t)(byte.bytes[0] & 0x7f) << shift;
        if (!(byte.bytes[0] & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool take_fixed(lam_wire *from, size_t length, uint64_t *out)
{
    lam_wire bytes;
    if (!take(from, length, &bytes))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)bytes.bytes[i] << (8 * i);
    *out = value;
    return true;
}

static bool take_value(lam_wire *from, lam_wire_type type, uint64_t *integer, lam_wire *content)
{
    uint64_t length;
    switch (type) {
    case LAM_WIRE_VARINT:
        return take_varint(from, integer);
    case LAM_WIRE_FIXED64:
        return take_fixed(from, 8, integer);
    case LAM_WIRE_FIXED32:
        return take_fixed(from, 4, integer);
    case LAM_WIRE_BYTES:
        return content && take_varint(from, &length) && length <= from->length &&
               take(from, (size_t)length, content);
    }
    return false; /* groups (3, 4) went out of use before ONNX was made */
}

bool lam_wire_next(lam_wire *message, lam_wire_field *out, lam_status *status)
{
    lam_wire_field field = {0};
    uint64_t key;
    if (message->length == 0)
        return false;
    if (!take_varint(message, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) {
        *status = LAM_E_CORRUPT;
        return false;
    }
    field.number = (uint32_t)(key >> 3);
    field.type = (lam_wire_type)(key & 7);
    if (!take_value(message, field.type, &field.integer, &field.content)) {
        *status = LAM_E_CORRUPT;
        return false;
    }
    *out = field;
    return true;
}

bool lam_wire_next_packed(lam_wire *numbers, lam_wire_type type, uint64_t *out, lam_status *status)
{
    if (numbers->length == 0)
        return false;
    if (!take_value(numbers, type, out, NULL)) {
        *status = LAM_E_CORRUPT;
        return false;
    }
    return true;
}
