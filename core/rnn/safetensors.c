/* Reading and writing safetensors. The header is JSON and goes through the JSON reader's own limits; here is
 * what the format adds: element types, shapes, and that the byte ranges tile the data without gap or overlap.
 */
#include "core/rnn/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/sha256.h"

enum { PREFIX_BYTES = 8, DATA_ALIGNMENT = 64 };

static const struct {
    const char *name;
    uint8_t size;
} dtypes[LAM_DTYPE_COUNT] = {
    [LAM_DTYPE_BOOL] = {"BOOL", 1}, [LAM_DTYPE_U8] = {"U8", 1},   [LAM_DTYPE_I8] = {"I8", 1},
    [LAM_DTYPE_I16] = {"I16", 2},   [LAM_DTYPE_U16] = {"U16", 2}, [LAM_DTYPE_F16] = {"F16", 2},
    [LAM_DTYPE_BF16] = {"BF16", 2}, [LAM_DTYPE_I32] = {"I32", 4}, [LAM_DTYPE_U32] = {"U32", 4},
    [LAM_DTYPE_F32] = {"F32", 4},   [LAM_DTYPE_F64] = {"F64", 8}, [LAM_DTYPE_I64] = {"I64", 8},
    [LAM_DTYPE_U64] = {"U64", 8},
};

struct lam_safetensors {
    lam_json *header;
    const lam_jv *metadata;
    lam_tensor *tensors;  /* in header order */
    lam_tensor **by_name; /* sorted */
    size_t count;
    const void *bytes;
    size_t length;
    bool mapped;
    void **copies; /* of tensors whose data was not aligned */
    size_t copy_count;
};

const char *lam_dtype_name(lam_dtype dtype)
{
    return (unsigned)dtype < LAM_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

size_t lam_dtype_size(lam_dtype dtype)
{
    return (unsigned)dtype < LAM_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

void lam_safetensors_free(lam_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->copy_count; i++)
        free(file->copies[i]);
    free(file->copies);
    free(file->tensors);
    free(file->by_name);
    lam_json_free(file->header);
    if (file->mapped)
        lam_io_unmap(file->bytes, file->length);
    free(file);
}

static lam_status read_dtype(const lam_jv *entry, lam_dtype *out, lam_error *err)
{
    const char *name;
    lam_status status = lam_jv_need_text(entry, "dtype", &name, err);
    if (status)
        return status;
    for (int i = 0; i < LAM_DTYPE_COUNT; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (lam_dtype)i;
            return LAM_OK;
        }
    return lam_fail(err, LAM_E_UNSUPPORTED, "element type '%.16s' is not known", name);
}

/* Dimensions of 0 are legal in the format. */
static lam_status read_shape(const lam_jv *entry, lam_shape *out, lam_error *err)
{
    const lam_jv *dims;
    lam_status status = lam_jv_need(entry, "shape", LAM_JSON_ARRAY, &dims, err);
    if (status)
        return status;
    size_t rank = lam_jv_count(dims);
    if (rank > LAM_MAX_RANK)
        return lam_fail(err, LAM_E_UNSUPPORTED, "has %zu dimensions, at most %d are supported", rank,
                        LAM_MAX_RANK);
    lam_shape shape = {.rank = (int)rank};
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        int64_t dim = lam_jv_integer(lam_jv_at(dims, i), -1);
        if (dim < 0 || dim > LAM_MAX_ELEMENTS || (dim > 0 && count > LAM_MAX_ELEMENTS / dim))
            return lam_fail(err, LAM_E_CORRUPT, "`shape` is not a list of sizes within limits");
        shape.dim[i] = dim;
        count *= dim;
    }
    *out = shape;
    return LAM_OK;
}

static lam_status read_entry(const lam_jv *entry, const char *data, size_t data_length, lam_tensor *tensor,
                             lam_error *err)
{
    const lam_jv *offsets;
    lam_status status;
    if ((status = read_dtype(entry, &tensor->dtype, err)) ||
        (status = read_shape(entry, &tensor->shape, err)) ||
        (status = lam_jv_need(entry, "data_offsets", LAM_JSON_ARRAY, &offsets, err)))
        return status;
    int64_t begin = lam_jv_integer(lam_jv_at(offsets, 0), -1);
    int64_t end = lam_jv_integer(lam_jv_at(offsets, 1), -1);
    if (lam_jv_count(offsets) != 2 || begin < 0 || end < begin || (uint64_t)end > data_length)
        return lam_fail(err, LAM_E_CORRUPT, "`data_offsets` lie outside the file's %zu bytes of data",
                        data_length);
    tensor->bytes = (size_t)(end - begin);
    if (tensor->bytes != (size_t)lam_shape_count(&tensor->shape) * lam_dtype_size(tensor->dtype))
        return lam_fail(err, LAM_E_CORRUPT, "holds %zu bytes, which its shape and type contradict",
                        tensor->bytes);
    if (lam_jv_count(entry) != 3)
        return lam_fail(err, LAM_E_CORRUPT, "has a member other than dtype, shape, data_offsets");
    tensor->data = data + begin;
    return LAM_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(lam_tensor *const *)a)->name, (*(lam_tensor *const *)b)->name);
}

static int compare_data(const void *a, const void *b)
{
    const lam_tensor *x = *(lam_tensor *const *)a, *y = *(lam_tensor *const *)b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Every byte of the data belongs to exactly one tensor. Sorts by_name by position. */
static lam_status check_tiling(lam_safetensors *file, const char *data, size_t data_length, lam_error *err)
{
    if (file->count)
        qsort(file->by_name, file->count, sizeof file->by_name[0], compare_data);
    const char *next = data;
    for (size_t i = 0; i < file->count; i++) {
        if ((const char *)file->by_name[i]->data != next)
            return lam_fail(err, LAM_E_CORRUPT,
                            "safetensors: the data of '%.96s' overlaps another or leaves a gap",
                            file->by_name[i]->name);
        next += file->by_name[i]->bytes;
    }
    if (next != data + data_length)
        return lam_fail(err, LAM_E_CORRUPT, "safetensors: %zu bytes at the end belong to no tensor",
                        (size_t)(data + data_length - next));
    return LAM_OK;
}

/* An old writer may pad nothing, so that floats start at odd addresses. */
static lam_status align_data(lam_safetensors *file, lam_error *err)
{
    for (size_t i = 0; i < file->count; i++) {
        lam_tensor *tensor = &file->tensors[i];
        size_t alignment = lam_dtype_size(tensor->dtype); /* a power of two */
        if (tensor->bytes == 0 || ((uintptr_t)tensor->data & (alignment - 1)) == 0)
            continue;
        if (!file->copies && !(file->copies = calloc(file->count, sizeof file->copies[0])))
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        void *copy = malloc(tensor->bytes);
        if (!copy)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        memcpy(copy, tensor->data, tensor->bytes);
        file->copies[file->copy_count++] = copy;
        tensor->data = copy;
    }
    return LAM_OK;
}

static lam_status read_metadata(const lam_jv *value, lam_safetensors *file, lam_error *err)
{
    if (!lam_jv_is(value, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_CORRUPT, "safetensors: `__metadata__` is not an object");
    for (size_t i = 0; i < lam_jv_count(value); i++)
        if (!lam_jv_is(lam_jv_at(value, i), LAM_JSON_STRING))
            return lam_fail(err, LAM_E_CORRUPT,
                            "safetensors: `__metadata__` holds something other than text");
    file->metadata = value;
    return LAM_OK;
}

static lam_status read_header(lam_safetensors *file, const char *data, size_t data_length, lam_error *err)
{
    const lam_jv *root = lam_json_root(file->header);
    size_t members = lam_jv_count(root);
    if (!lam_jv_is(root, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_CORRUPT, "safetensors: the header is not a JSON object");
    if (members > LAM_SAFETENSORS_MAX_TENSORS)
        return lam_fail(err, LAM_E_LIMIT, "safetensors: %zu tensors, at most %d are read", members,
                        LAM_SAFETENSORS_MAX_TENSORS);
    file->tensors = calloc(members + 1, sizeof file->tensors[0]);
    file->by_name = calloc(members + 1, sizeof file->by_name[0]);
    if (!file->tensors || !file->by_name)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < members; i++) {
        const char *name = lam_jv_key_at(root, i);
        lam_status status;
        if (strcmp(name, "__metadata__") == 0) {
            if ((status = read_metadata(lam_jv_at(root, i), file, err)))
                return status;
            continue;
        }
        lam_tensor *tensor = &file->tensors[file->count];
        tensor->name = name;
        if ((status = read_entry(lam_jv_at(root, i), data, data_length, tensor, err))) {
            lam_error_prefix(err, "safetensors: tensor '%.96s'", name);
            return status;
        }
        file->by_name[file->count++] = tensor;
    }
    return LAM_OK;
}

static lam_status parse(lam_safetensors *file, lam_error *err)
{
    const uint8_t *bytes = file->bytes;
    uint64_t header_length = 0;
    if (file->length < PREFIX_BYTES)
        return lam_fail(err, LAM_E_CORRUPT, "safetensors: %zu bytes is too short for a header", file->length);
    for (int i = PREFIX_BYTES - 1; i >= 0; i--)
        header_length = header_length << 8 | bytes[i];
    if (header_length > LAM_SAFETENSORS_MAX_HEADER)
        return lam_fail(err, LAM_E_LIMIT, "safetensors: a header of %" PRIu64 " bytes, at most %d are read",
                        header_length, LAM_SAFETENSORS_MAX_HEADER);
    if (header_length > file->length - PREFIX_BYTES)
        return lam_fail(err, LAM_E_CORRUPT, "safetensors: the header is longer than the file");
    const char *text = (const char *)bytes + PREFIX_BYTES;
    const char *data = text + header_length;
    size_t data_length = file->length - PREFIX_BYTES - (size_t)header_length;
    lam_status status = lam_json_parse(text, (size_t)header_length, &file->header, err);
    if (status) {
        lam_error_prefix(err, "safetensors: header");
        return status == LAM_E_INVALID ? LAM_E_CORRUPT : status;
    }
    if ((status = read_header(file, data, data_length, err)) ||
        (status = check_tiling(file, data, data_length, err)) || (status = align_data(file, err)))
        return status;
    if (file->count)
        qsort(file->by_name, file->count, sizeof file->by_name[0], compare_names);
    return LAM_OK;
}

static lam_status open_bytes(const void *bytes, size_t length, bool mapped, lam_safetensors **out,
                             lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = calloc(1, sizeof *file);
    if (!file) {
        if (mapped)
            lam_io_unmap(bytes, length);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    file->bytes = bytes;
    file->length = length;
    file->mapped = mapped;
    lam_status status = parse(file, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(file);
    return status;
}

lam_status lam_safetensors_parse(const void *bytes, size_t length, lam_safetensors **out, lam_error *err)
{
    return open_bytes(bytes, length, false, out, err);
}

lam_status lam_safetensors_map(int fd, lam_safetensors **out, lam_error *err)
{
    const void *bytes;
    size_t length;
    lam_status status = lam_io_map(fd, LAM_SAFETENSORS_MAX_FILE, &bytes, &length, err);
    return status ? status : open_bytes(bytes, length, true, out, err);
}

lam_status lam_safetensors_open(const char *path, lam_safetensors **out, lam_error *err)
{
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", path);
    lam_status status = lam_safetensors_map(fd, out, err);
    if (status)
        lam_error_prefix(err, "%s", path);
    return status;
}

size_t lam_safetensors_count(const lam_safetensors *file)
{
    return file->count;
}

const lam_tensor *lam_safetensors_at(const lam_safetensors *file, size_t index)
{
    return index < file->count ? &file->tensors[index] : NULL;
}

const lam_tensor *lam_safetensors_find(const lam_safetensors *file, const char *name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *lam_safetensors_metadata(const lam_safetensors *file, const char *key)
{
    return lam_jv_text(lam_jv_get(file->metadata, key), NULL);
}

const lam_jv *lam_safetensors_all_metadata(const lam_safetensors *file)
{
    return file->metadata;
}

void lam_safetensors_sha256(const lam_safetensors *file, char text[65])
{
    lam_sha256_text(file->bytes, file->length, text);
}

/* ---- writing ---- */

static void write_header(lam_buffer *buffer, const lam_tensor *tensors, size_t count,
                         const char *const (*metadata)[2], size_t metadata_count)
{
    lam_json_writer w = lam_json_write_to(buffer);
    int64_t offset = 0;
    lam_jw_object(&w, NULL);
    if (metadata_count) {
        lam_jw_object(&w, "__metadata__");
        for (size_t i = 0; i < metadata_count; i++)
            lam_jw_text(&w, metadata[i][0], metadata[i][1]);
        lam_jw_end(&w);
    }
    for (size_t i = 0; i < count; i++) {
        lam_jw_object(&w, tensors[i].name);
        lam_jw_text(&w, "dtype", lam_dtype_name(tensors[i].dtype));
        lam_jw_array(&w, "shape");
        for (int d = 0; d < tensors[i].shape.rank; d++)
            lam_jw_integer(&w, NULL, tensors[i].shape.dim[d]);
        lam_jw_end(&w);
        lam_jw_array(&w, "data_offsets");
        lam_jw_integer(&w, NULL, offset);
        offset += (int64_t)tensors[i].bytes;
        lam_jw_integer(&w, NULL, offset);
        lam_jw_end(&w);
        lam_jw_end(&w);
    }
    lam_jw_end(&w);
    while ((buffer->length + PREFIX_BYTES) % DATA_ALIGNMENT != 0 && buffer->status == LAM_OK)
        lam_buffer_append(buffer, " ", 1);
}

lam_status lam_safetensors_write(int fd, const lam_tensor *tensors, size_t count,
                                 const char *const (*metadata)[2], size_t metadata_count, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer header;
    lam_buffer_init(&header, LAM_SAFETENSORS_MAX_HEADER);
    write_header(&header, tensors, count, metadata, metadata_count);
    if (header.status)
        return lam_fail(err, header.status, "safetensors: the header cannot be written");
    uint8_t prefix[PREFIX_BYTES];
    for (int i = 0; i < PREFIX_BYTES; i++)
        prefix[i] = (uint8_t)((uint64_t)header.length >> (8 * i));
    lam_status status;
    if ((status = lam_io_write_all(fd, prefix, sizeof prefix, err)) ||
        (status = lam_io_write_all(fd, header.data, header.length, err)))
        return status;
    for (size_t i = 0; i < count; i++)
        if ((status = lam_io_write_all(fd, tensors[i].data, tensors[i].bytes, err)))
            return status;
    return LAM_OK;
}
