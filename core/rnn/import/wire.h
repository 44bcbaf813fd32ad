/* Reading protobuf's wire format (https://protobuf.dev/programming-guides/encoding): a message as a sequence
 * of numbered fields. Enough for ONNX files, a fraction of a protobuf library, and the engine needs none.
 * Knows no schema. Internal to core/rnn/import. */
#ifndef LAMINA_RNN_IMPORT_WIRE_H
#define LAMINA_RNN_IMPORT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* What is left of a message; borrowed bytes. */
typedef struct lam_wire {
    const uint8_t *bytes;
    size_t length;
} lam_wire;

typedef enum lam_wire_type {
    LAM_WIRE_VARINT = 0,
    LAM_WIRE_FIXED64 = 1,
    LAM_WIRE_BYTES = 2,
    LAM_WIRE_FIXED32 = 5
} lam_wire_type;

typedef struct lam_wire_field {
    uint32_t number;
    lam_wire_type type;
    uint64_t integer; /* VARINT, FIXED64, FIXED32: the bits */
    lam_wire content; /* BYTES: text, a message, packed numbers */
} lam_wire_field;

/* Takes the next field off the front; false at the end. LAM_E_CORRUPT for bytes that are no field (`*status`;
 * then false too). */
bool lam_wire_next(lam_wire *message, lam_wire_field *out, lam_status *status);

/* Takes one number off packed ones. False at the end, with LAM_E_CORRUPT in `*status` when it is cut off. */
bool lam_wire_next_packed(lam_wire *numbers, lam_wire_type type, uint64_t *out, lam_status *status);

#endif
