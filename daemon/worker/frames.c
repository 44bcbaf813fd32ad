#include "daemon/worker/frames.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "dicom/frames.h"
#include "dicom/transcode.h"
#include "dicom/transfer_syntax.h"
#include "dicom/value.h"

enum { MAX_FRAMES = 100000 };

static lam_status need_files(const lam_ipc_message *message, size_t count, lam_error *err)
{
    if (message->fd_count == count)
        return LAM_OK;
    return lam_fail(err, LAM_E_PEER, "a request for pixels with %zu descriptors instead of %zu",
                    message->fd_count, count);
}

/* ---- layout ---- */

lam_status lam_work_layout(const lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO(lam_part10_close) lam_part10 file = {.data = NULL};
    LAM_AUTO(lam_layout_done) lam_layout layout = {.tag = 0};
    lam_status status = need_files(message, 1, err);
    if (status == LAM_OK)
        status = lam_part10_open(message->fds[0], &file, err);
    if (status == LAM_OK)
        status = lam_layout_read(&file, &layout, err);
    if (status == LAM_OK && file.syntax.deflated)
        status = lam_fail(err, LAM_E_UNSUPPORTED, "the pixels of a deflated object are nowhere in its file");
    if (status != LAM_OK)
        return status;
    lam_json_writer w = lam_json_write_to(answer);
    lam_layout_write(&layout, &file, &w, NULL);
    return LAM_OK;
}

/* ---- frames ---- */

/* The output while it is written, and the answer that says where what is. */
typedef struct output {
    int fd;
    int64_t length;
    lam_json_writer w;
} output;

static output output_begin(int fd, lam_buffer *answer)
{
    output out = {.fd = fd, .w = lam_json_write_to(answer)};
    lam_jw_object(&out.w, NULL);
    lam_jw_array(&out.w, "pieces");
    return out;
}

static lam_status output_write(output *out, const void *bytes, size_t length, lam_error *err)
{
    lam_status status = lam_io_write_all(out->fd, bytes, length, err);
    if (status != LAM_OK)
        return status;
    lam_jw_array(&out->w, NULL);
    lam_jw_integer(&out->w, NULL, out->length);
    lam_jw_integer(&out->w, NULL, (int64_t)length);
    lam_jw_end(&out->w);
    out->length += (int64_t)length;
    return LAM_OK;
}

static void output_end(output *out)
{
    lam_jw_end(&out->w);
    lam_jw_end(&out->w);
}

/* What a decoded frame takes in the output: YBR_FULL_422 that is native stays shorter. */
static size_t bytes_of(const lam_frames *frames, size_t size)
{
    return frames->layout.encapsulated ? size : (size_t)(frames->layout.frame_bits + 7) / 8;
}

static lam_status write_decoded(lam_frames *frames, int64_t index, void *pixels, size_t size, output *out,
                                lam_error *err)
{
    char photometric[17];
    lam_status status = lam_frames_decode(frames, index, false, pixels, photometric, err);
    return status == LAM_OK ? output_write(out, pixels, bytes_of(frames, size), err) : status;
}

static lam_status write_stored(const lam_frames *frames, int64_t index, output *out, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer bytes;
    lam_buffer_init(&bytes, LAM_FRAME_MAX_BYTES);
    lam_status status = lam_frames_stored(frames, index, &bytes, err);
    return status == LAM_OK ? output_write(out, bytes.data, bytes.length, err) : status;
}

/* `wanted` may be NULL or empty: all. */
static lam_status write_frames(lam_frames *frames, const lam_jv *wanted, bool stored, output *out,
                               lam_error *err)
{
    size_t count = lam_jv_count(wanted), size = 0;
    size_t all = count ? count : (size_t)frames->layout.frames;
    lam_status status = lam_frames_size(frames, &size, err);
    if (status == LAM_OK && all > MAX_FRAMES)
        status = lam_fail(err, LAM_E_LIMIT, "%zu frames in one request", all);
    lam_autofree void *pixels = status == LAM_OK && !stored ? calloc(1, size + 1) : NULL;
    if (status == LAM_OK && !stored && !pixels)
        status = lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a frame of %zu bytes", size);
    for (size_t i = 0; i < all && status == LAM_OK; i++) {
        int64_t index = (count ? lam_jv_integer(lam_jv_at(wanted, i), 0) : (int64_t)i + 1) - 1;
        status = stored ? write_stored(frames, index, out, err)
                        : write_decoded(frames, index, pixels, size, out, err);
    }
    return status;
}

lam_status lam_work_frames(const lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
    lam_status status = need_files(message, 2, err);
    if (status == LAM_OK)
        status = lam_json_parse(message->payload, message->length, &json, err);
    if (status == LAM_OK)
        status = lam_frames_open(message->fds[0], &frames, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(json);
    output out = output_begin(message->fds[1], answer);
    status = write_frames(&frames, lam_jv_get(root, "frames"), lam_jv_bool(lam_jv_get(root, "stored"), false),
                          &out, err);
    output_end(&out);
    return status;
}

/* ---- whole objects ---- */

static lam_status read_syntax(const lam_jv *root, const char **out, lam_error *err)
{
    static const char *const native[] = {LAM_TS_EXPLICIT_LITTLE, LAM_TS_IMPLICIT_LITTLE};
    const char *wanted = lam_jv_text(lam_jv_get(root, "transfer_syntax"), native[0]);
    for (size_t i = 0; i < LAM_COUNT(native); i++)
        if (strcmp(native[i], wanted) == 0) {
            *out = native[i];
            return LAM_OK;
        }
    return lam_fail(err, LAM_E_UNSUPPORTED, "objects are not written in transfer syntax %.64s", wanted);
}

lam_status lam_work_transcode(const lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    const char *syntax = NULL;
    struct stat info;
    lam_status status = need_files(message, 2, err);
    if (status == LAM_OK)
        status = lam_json_parse(message->payload, message->length, &json, err);
    if (status == LAM_OK)
        status = read_syntax(lam_json_root(json), &syntax, err);
    if (status == LAM_OK)
        status = lam_transcode(message->fds[0], message->fds[1], syntax, err);
    if (status != LAM_OK)
        return status;
    if (fstat(message->fds[1], &info) != 0)
        return lam_fail(err, LAM_E_IO, "cannot tell the size of the output");
    lam_buffer_printf(answer, "{\"pieces\":[[0,%lld]]}", (long long)info.st_size);
    return LAM_OK;
}

/* ---- single values ---- */

lam_status lam_work_value(const lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    LAM_AUTO(lam_part10_close) lam_part10 file = {.data = NULL};
    const char *path = NULL;
    lam_bytes value = {NULL, 0};
    lam_status status = need_files(message, 2, err);
    if (status == LAM_OK)
        status = lam_json_parse(message->payload, message->length, &json, err);
    if (status == LAM_OK)
        status = lam_jv_need_text(lam_json_root(json), "path", &path, err);
    if (status == LAM_OK)
        status = lam_part10_open(message->fds[0], &file, err);
    if (status == LAM_OK)
        status = lam_value_find(&file, path, &value, err);
    if (status != LAM_OK)
        return status;
    int64_t offset = 0;
    if (file.syntax.deflated)
        status = lam_io_write_all(message->fds[1], value.data, value.length, err);
    else
        offset = (int64_t)file.offset + ((const unsigned char *)value.data - file.data);
    lam_buffer_printf(answer, "{\"pieces\":[[%lld,%lld]],\"in_object\":%s}", (long long)offset,
                      (long long)value.length, file.syntax.deflated ? "false" : "true");
    return status;
}
