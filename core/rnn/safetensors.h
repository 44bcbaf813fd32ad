/* The safetensors file format: named arrays in one file (https://github.com/huggingface/safetensors,
 * "Format"): 8 bytes little-endian header length, a JSON header, raw little-endian data.
 *
 * The reader is strict: every byte of the data belongs to exactly one tensor, sizes agree with shapes, names
 * are unique. Any bytes give an error, never a crash. It does not convert: who asks for float32 gets float32.
 */
#ifndef LAMINA_RNN_SAFETENSORS_H
#define LAMINA_RNN_SAFETENSORS_H

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/rnn/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_dtype {
    LAM_DTYPE_BOOL,
    LAM_DTYPE_U8,
    LAM_DTYPE_I8,
    LAM_DTYPE_I16,
    LAM_DTYPE_U16,
    LAM_DTYPE_F16,
    LAM_DTYPE_BF16,
    LAM_DTYPE_I32,
    LAM_DTYPE_U32,
    LAM_DTYPE_F32,
    LAM_DTYPE_F64,
    LAM_DTYPE_I64,
    LAM_DTYPE_U64,
    LAM_DTYPE_COUNT
} lam_dtype;

/* "F32", "U8", …; never NULL. */
const char *lam_dtype_name(lam_dtype dtype);
/* Bytes of one element. */
size_t lam_dtype_size(lam_dtype dtype);

typedef struct lam_tensor {
    const char *name;
    lam_dtype dtype;
    lam_shape shape;
    const void *data; /* little-endian, aligned to the element size */
    size_t bytes;
} lam_tensor;

typedef struct lam_safetensors lam_safetensors; /* an open file; immutable, may be shared between threads */

enum { LAM_SAFETENSORS_MAX_HEADER = 16 << 20, LAM_SAFETENSORS_MAX_TENSORS = 200000 };
#define LAM_SAFETENSORS_MAX_FILE ((size_t)1 << 40)

/* Reads from memory that must outlive the object. Errors: LAM_E_CORRUPT, LAM_E_LIMIT, LAM_E_UNSUPPORTED (an
 * element type or a shape of more than LAM_MAX_RANK dimensions), LAM_E_NO_MEMORY. Tensors whose data is not
 * aligned are copied. */
lam_status lam_safetensors_parse(const void *bytes, size_t length, lam_safetensors **out, lam_error *err);

/* Maps `fd` (which the caller may close afterwards) and parses it. */
lam_status lam_safetensors_map(int fd, lam_safetensors **out, lam_error *err);
lam_status lam_safetensors_open(const char *path, lam_safetensors **out, lam_error *err);
void lam_safetensors_free(lam_safetensors *file);
LAM_DEFINE_AUTO(lam_safetensors, lam_safetensors_free)

/* Tensors in the order of the header. Borrowed. */
size_t lam_safetensors_count(const lam_safetensors *file);
const lam_tensor *lam_safetensors_at(const lam_safetensors *file, size_t index);
/* NULL when there is none of that name. */
const lam_tensor *lam_safetensors_find(const lam_safetensors *file, const char *name);

/* The value of `key` in `__metadata__`, or NULL. */
const char *lam_safetensors_metadata(const lam_safetensors *file, const char *key);
/* The whole of `__metadata__`, or NULL. */
const lam_jv *lam_safetensors_all_metadata(const lam_safetensors *file);

/* SHA-256 of the whole file, lower-case hexadecimal. */
void lam_safetensors_sha256(const lam_safetensors *file, char text[65]);

/* Writes `count` tensors in the given order; `metadata` is `metadata_count` pairs key, value. The data starts
 * at a multiple of 64 bytes. Writes to `fd` from its current position and does not sync. */
lam_status lam_safetensors_write(int fd, const lam_tensor *tensors, size_t count,
                                 const char *const (*metadata)[2], size_t metadata_count, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
