/* See onnx_model.h. Field numbers are onnx.proto3's. */
#include "core/rnn/import/onnx_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/rnn/import/wire.h"
#include "core/rnn/numbers.h"

enum { MAX_NAME = 1024, MAX_ATTRIBUTES = 64, MAX_CONSTANTS = 65536, MAX_VALUES = 65536 };
#define MAX_ELEMENTS ((int64_t)1 << 30)

/* TensorProto.DataType */
enum data_type { FLOAT = 1, INT32 = 6, INT64 = 7, BOOL = 9, FLOAT16 = 10, DOUBLE = 11, BFLOAT16 = 16 };

/* ---- memory ---- */

struct block {
    struct block *next;
    max_align_t data[];
};

void *lam_onnx_allocate(lam_onnx_model *model, size_t count, size_t size)
{
    if (count > ((size_t)1 << 40) / size)
        return NULL;
    struct block *block = calloc(1, sizeof *block + (count ? count : 1) * size);
    if (!block)
        return NULL;
    block->next = model->blocks;
    model->blocks = block;
    return block->data;
}

void lam_onnx_free(lam_onnx_model *model)
{
    if (!model)
        return;
    for (struct block *block = model->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(model);
}

/* ---- reading ---- */

/* One file being read; the first failure stays. */
struct reader {
    lam_onnx_model *model;
    lam_status status;
    lam_error *err;
};

static void fail(struct reader *r, lam_status status, const char *what)
{
    if (r->status == LAM_OK)
        r->status = lam_fail(r->err, status, "%s", what);
}

static bool next(struct reader *r, lam_wire *message, lam_wire_field *field)
{
    lam_status status = LAM_OK;
    if (r->status == LAM_OK && lam_wire_next(message, field, &status))
        return true;
    if (status)
        fail(r, status, "this is not an ONNX file, or it is damaged");
    return false;
}

static bool next_packed(struct reader *r, lam_wire *numbers, lam_wire_type type, uint64_t *bits)
{
    lam_status status = LAM_OK;
    if (lam_wire_next_packed(numbers, type, bits, &status))
        return true;
    if (status)
        fail(r, status, "this is not an ONNX file, or it is damaged");
    return false;
}

static void *allocate(struct reader *r, size_t count, size_t size)
{
    void *memory = lam_onnx_allocate(r->model, count, size);
    if (!memory)
        fail(r, LAM_E_NO_MEMORY, "out of memory");
    return memory;
}

static const char *text_of(struct reader *r, lam_wire content)
{
    if (content.length > MAX_NAME) {
        fail(r, LAM_E_LIMIT, "a name is longer than 1024 bytes");
        return "";
    }
    char *text = allocate(r, content.length + 1, 1);
    if (!text)
        return "";
    for (size_t i = 0; i < content.length; i++) /* printable, so that messages can show it */
        text[i] = (char)(content.bytes[i] < ' ' || content.bytes[i] == 0x7f ? '?' : content.bytes[i]);
    return text;
}

static size_t count_fields(struct reader *r, lam_wire message, uint32_t number)
{
    size_t count = 0;
    lam_wire_field field;
    while (next(r, &message, &field))
        count += field.number == number;
    return count;
}

/* Room for the repeated field `number`, at most `maximum`. */
static void *list_of(struct reader *r, lam_wire message, uint32_t number, size_t maximum, size_t size)
{
    size_t count = count_fields(r, message, number);
    if (count > maximum) {
        fail(r, LAM_E_LIMIT, "the graph has more nodes, constants or attributes than are supported");
        return NULL;
    }
    return r->status ? NULL : allocate(r, count, size);
}

/* ---- numbers ---- */

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* How the numbers of a data type stand in `raw_data` and in the field of their own. */
struct number_form {
    enum data_type type;
    bool integer;
    lam_wire_type raw; /* VARINT for the two-byte and one-byte ones, see `bytes` */
    size_t bytes;
    uint32_t field;
    lam_wire_type packed;
};

static const struct number_form number_forms[] = {
    {FLOAT, false, LAM_WIRE_FIXED32, 4, 4, LAM_WIRE_FIXED32},
    {INT32, true, LAM_WIRE_FIXED32, 4, 5, LAM_WIRE_VARINT},
    {INT64, true, LAM_WIRE_FIXED64, 8, 7, LAM_WIRE_VARINT},
    {BOOL, true, LAM_WIRE_VARINT, 1, 5, LAM_WIRE_VARINT},
    {FLOAT16, false, LAM_WIRE_VARINT, 2, 5, LAM_WIRE_VARINT},
    {DOUBLE, false, LAM_WIRE_FIXED64, 8, 10, LAM_WIRE_FIXED64},
    {BFLOAT16, false, LAM_WIRE_VARINT, 2, 5, LAM_WIRE_VARINT},
};

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void set_number(const struct number_form *form, lam_onnx_tensor *tensor, int64_t index, uint64_t bits)
{
    switch (form->type) {
    case FLOAT:
        tensor->floats[index] = float_of_bits((uint32_t)bits);
        break;
    case FLOAT16:
        tensor->floats[index] = lam_float_of_half((uint16_t)bits);
        break;
    case BFLOAT16:
        tensor->floats[index] = lam_float_of_bf16((uint16_t)bits);
        break;
    case DOUBLE:
        tensor->floats[index] = (float)double_of_bits(bits);
        break;
    case INT32:
        tensor->integers[index] = (int32_t)(uint32_t)bits;
        break;
    default:
        tensor->integers[index] = (int64_t)bits;
    }
}

static void read_raw(struct reader *r, const struct number_form *form, lam_wire raw, lam_onnx_tensor *tensor)
{
    if (raw.length != (size_t)tensor->count * form->bytes) {
        fail(r, LAM_E_CORRUPT, "a constant has not as many numbers as its shape says");
        return;
    }
    for (int64_t i = 0; i < tensor->count; i++) {
        uint64_t bits = 0;
        for (size_t b = 0; b < form->bytes; b++)
            bits |= (uint64_t)raw.bytes[(size_t)i * form->bytes + b] << (8 * b);
        set_number(form, tensor, i, bits);
    }
}

/* The repeated field of the type, packed or one by one. */
static void read_repeated(struct reader *r, const struct number_form *form, lam_wire message,
                          lam_onnx_tensor *tensor)
{
    int64_t count = 0;
    lam_wire_field field;
    while (next(r, &message, &field)) {
        uint64_t bits = field.integer;
        if (field.number != form->field)
            continue;
        if (field.type != LAM_WIRE_BYTES) {
            if (count < tensor->count)
                set_number(form, tensor, count, bits);
            count++;
            continue;
        }
        for (; next_packed(r, &field.content, form->packed, &bits); count++)
            if (count < tensor->count)
                set_number(form, tensor, count, bits);
    }
    if (count != tensor->count)
        fail(r, LAM_E_CORRUPT, "a constant has not as many numbers as its shape says");
}

/* ---- TensorProto ---- */

static void add_dimension(struct reader *r, lam_onnx_tensor *tensor, int64_t size)
{
    if (tensor->rank == LAM_ONNX_MAX_RANK || size < 0 || (size > 0 && tensor->count > MAX_ELEMENTS / size)) {
        fail(r, LAM_E_LIMIT, "a constant has more than 8 dimensions or 2^30 numbers");
        return;
    }
    tensor->dim[tensor->rank++] = size;
    tensor->count *= size;
}

static void read_dimensions(struct reader *r, lam_wire_field field, lam_onnx_tensor *tensor)
{
    uint64_t size;
    if (field.type == LAM_WIRE_VARINT)
        add_dimension(r, tensor, (int64_t)field.integer);
    else
        while (r->status == LAM_OK && next_packed(r, &field.content, LAM_WIRE_VARINT, &size))
            add_dimension(r, tensor, (int64_t)size);
}

static void read_tensor(struct reader *r, lam_wire message, lam_onnx_tensor *tensor)
{
    const struct number_form *form = NULL;
    lam_wire whole = message, raw = {0};
    lam_wire_field field;
    bool has_raw = false, external = false;
    uint64_t type = 0;
    *tensor = (lam_onnx_tensor){.name = "", .count = 1};
    while (next(r, &message, &field)) {
        if (field.number == 1) {
            read_dimensions(r, field, tensor);
        } else if (field.number == 2) {
            type = field.integer;
        } else if (field.number == 8) {
            tensor->name = text_of(r, field.content);
        } else if (field.number == 9) {
            raw = field.content;
            has_raw = true;
        } else if (field.number == 14) {
            external = field.integer == 1;
        }
    }
    for (size_t i = 0; i < LAM_COUNT(number_forms); i++)
        if ((uint64_t)number_forms[i].type == type)
            form = &number_forms[i];
    if (external)
        fail(r, LAM_E_UNSUPPORTED, "the weights lie in another file; export the model as one file");
    if (!form)
        fail(r, LAM_E_UNSUPPORTED, "a constant is neither of floating-point numbers nor of integers");
    /* So that a shape alone cannot make us allocate. */
    if (r->status == LAM_OK && (size_t)tensor->count > whole.length)
        fail(r, LAM_E_CORRUPT, "a constant has not as many numbers as its shape says");
    if (r->status)
        return;
    if (form->integer)
        tensor->integers = allocate(r, (size_t)tensor->count, sizeof tensor->integers[0]);
    else
        tensor->floats = allocate(r, (size_t)tensor->count, sizeof tensor->floats[0]);
    if (r->status)
        return;
    if (has_raw)
        read_raw(r, form, raw, tensor);
    else
        read_repeated(r, form, whole, tensor);
}

/* ---- AttributeProto ---- */

/* Numbers of a repeated field, packed or not, `bits` at a time into one array. */
static uint64_t *read_numbers(struct reader *r, lam_wire message, uint32_t number, lam_wire_type type,
                              size_t *out)
{
    uint64_t *numbers = allocate(r, message.length + 1, sizeof numbers[0]), bits;
    size_t count = 0;
    lam_wire_field field;
    while (numbers && next(r, &message, &field)) {
        if (field.number != number)
            continue;
        if (field.type != LAM_WIRE_BYTES)
            numbers[count++] = field.integer;
        else
            while (next_packed(r, &field.content, type, &bits))
                numbers[count++] = bits;
    }
    *out = count;
    return numbers;
}

static void read_lists(struct reader *r, lam_wire message, lam_onnx_attribute *attribute)
{
    uint64_t *ints = read_numbers(r, message, 8, LAM_WIRE_VARINT, &attribute->int_count);
    uint64_t *bits = read_numbers(r, message, 7, LAM_WIRE_FIXED32, &attribute->float_count);
    float *floats = allocate(r, attribute->float_count, sizeof floats[0]);
    const char **strings = list_of(r, message, 9, LAM_ONNX_MAX_LINKS, sizeof strings[0]);
    lam_wire_field field;
    if (r->status)
        return;
    for (size_t i = 0; i < attribute->float_count; i++)
        floats[i] = float_of_bits((uint32_t)bits[i]);
    while (next(r, &message, &field))
        if (field.number == 9)
            strings[attribute->string_count++] = text_of(r, field.content);
    attribute->ints = (const int64_t *)ints;
    attribute->floats = floats;
    attribute->strings = strings;
}

static void read_attribute(struct reader *r, lam_wire message, lam_onnx_attribute *attribute)
{
    lam_wire whole = message;
    lam_wire_field field;
    attribute->name = "";
    while (next(r, &message, &field)) {
        if (field.number == 1) {
            attribute->name = text_of(r, field.content);
        } else if (field.number == 2) {
            attribute->f = float_of_bits((uint32_t)field.integer);
        } else if (field.number == 3) {
            attribute->i = (int64_t)field.integer;
        } else if (field.number == 4) {
            attribute->s = text_of(r, field.content);
        } else if (field.number == 5) {
            lam_onnx_tensor *tensor = allocate(r, 1, sizeof *tensor);
            if (tensor)
                read_tensor(r, field.content, tensor);
            attribute->t = tensor;
        }
    }
    read_lists(r, whole, attribute);
}

/* ---- NodeProto, ValueInfoProto ---- */

static void add_link(struct reader *r, lam_wire content, const char **links, size_t *count)
{
    if (*count == LAM_ONNX_MAX_LINKS)
        fail(r, LAM_E_LIMIT, "a node has more than 64 inputs or outputs");
    else
        links[(*count)++] = text_of(r, content);
}

static void read_node(struct reader *r, lam_wire message, lam_onnx_node *node)
{
    lam_onnx_attribute *attributes = list_of(r, message, 5, MAX_ATTRIBUTES, sizeof attributes[0]);
    lam_wire_field field;
    node->operation = node->name = node->domain = "";
    node->attributes = attributes;
    while (next(r, &message, &field)) {
        if (field.number == 1)
            add_link(r, field.content, node->inputs, &node->input_count);
        else if (field.number == 2)
            add_link(r, field.content, node->outputs, &node->output_count);
        else if (field.number == 3)
            node->name = text_of(r, field.content);
        else if (field.number == 4)
            node->operation = text_of(r, field.content);
        else if (field.number == 5)
            read_attribute(r, field.content, &attributes[node->attribute_count++]);
        else if (field.number == 7)
            node->domain = text_of(r, field.content);
    }
}

/* The messages under a path of field numbers, the last one's content; empty when a step is missing. */
static lam_wire descend(struct reader *r, lam_wire message, const uint32_t *path, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        lam_wire found = {0};
        lam_wire_field field;
        while (next(r, &message, &field))
            if (field.number == path[i] && field.type == LAM_WIRE_BYTES)
                found = field.content;
        message = found;
    }
    return message;
}

static void read_value(struct reader *r, lam_wire message, lam_onnx_value *value)
{
    static const uint32_t to_shape[] = {2, 1, 2}; /* type, tensor_type, shape */
    lam_wire shape = descend(r, message, to_shape, LAM_COUNT(to_shape));
    lam_wire_field field;
    value->name = "";
    value->rank = shape.bytes ? 0 : -1;
    while (next(r, &message, &field))
        if (field.number == 1)
            value->name = text_of(r, field.content);
    while (next(r, &shape, &field)) {
        lam_wire_field part;
        if (field.number != 1)
            continue;
        if (value->rank == LAM_ONNX_MAX_RANK) {
            fail(r, LAM_E_LIMIT, "an input or output has more than 8 dimensions");
            return;
        }
        int64_t *dim = &value->dim[value->rank++];
        while (next(r, &field.content, &part))
            if (part.number == 1 && (int64_t)part.integer > 0)
                *dim = (int64_t)part.integer;
    }
}

/* ---- GraphProto, ModelProto ---- */

static void read_graph(struct reader *r, lam_wire message)
{
    lam_onnx_model *m = r->model;
    m->nodes = list_of(r, message, 1, LAM_ONNX_MAX_NODES, sizeof m->nodes[0]);
    m->constants = list_of(r, message, 5, MAX_CONSTANTS, sizeof m->constants[0]);
    m->inputs = list_of(r, message, 11, MAX_VALUES, sizeof m->inputs[0]);
    m->outputs = list_of(r, message, 12, MAX_VALUES, sizeof m->outputs[0]);
    lam_wire_field field;
    while (next(r, &message, &field)) {
        if (field.number == 1)
            read_node(r, field.content, &m->nodes[m->node_count++]);
        else if (field.number == 5)
            read_tensor(r, field.content, &m->constants[m->constant_count++]);
        else if (field.number == 11)
            read_value(r, field.content, &m->inputs[m->input_count++]);
        else if (field.number == 12)
            read_value(r, field.content, &m->outputs[m->output_count++]);
    }
}

/* The version of ONNX's own operators. */
static void read_opset(struct reader *r, lam_wire message)
{
    lam_wire_field field;
    int64_t version = 0;
    bool own = true;
    while (next(r, &message, &field)) {
        if (field.number == 1)
            own = field.content.length == 0;
        else if (field.number == 2)
            version = (int64_t)field.integer;
    }
    if (own)
        r->model->opset = version;
}

static void read_model(struct reader *r, lam_wire message)
{
    lam_wire graph = {0};
    lam_wire_field field;
    r->model->producer = "";
    while (next(r, &message, &field)) {
        if (field.number == 2)
            r->model->producer = text_of(r, field.content);
        else if (field.number == 7)
            graph = field.content;
        else if (field.number == 8)
            read_opset(r, field.content);
    }
    if (r->status == LAM_OK && (!graph.bytes || r->model->opset < 1))
        fail(r, LAM_E_CORRUPT, "this is not an ONNX file: it has no graph");
    else
        read_graph(r, graph);
}

lam_status lam_onnx_read(const void *bytes, size_t length, lam_onnx_model **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_onnx_model) *model = calloc(1, sizeof *model);
    if (!model)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    struct reader reader = {.model = model, .err = err};
    read_model(&reader, (lam_wire){bytes, length});
    if (reader.status)
        return reader.status;
    *out = LAM_TAKE_PTR(model);
    return LAM_OK;
}

const lam_onnx_attribute *lam_onnx_find(const lam_onnx_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}
