#include "dicom/part10.h"

#include <stdlib.h>
#include <zlib.h>

#include "core/base/buffer.h"
#include "core/base/io.h"

enum { INFLATE_STEP = 1 << 20 };

static lam_status inflate_all(z_stream *stream, lam_buffer *out, lam_error *err)
{
    for (;;) {
        char *room = lam_buffer_reserve(out, INFLATE_STEP);
        if (!room)
            return lam_fail(err, out->status, "the deflated data set grows past %zu bytes", out->maximum);
        stream->next_out = (unsigned char *)room;
        stream->avail_out = INFLATE_STEP;
        int result = inflate(stream, Z_NO_FLUSH);
        out->length += INFLATE_STEP - stream->avail_out;
        if (result == Z_STREAM_END)
            return LAM_OK;
        if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out != 0))
            return lam_fail(err, LAM_E_CORRUPT, "the deflated data set is damaged or cut short");
    }
}

static lam_status inflate_data(lam_part10 *file, lam_error *err)
{
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)file->data};
    if (file->length > UINT32_MAX)
        return lam_fail(err, LAM_E_LIMIT, "deflated data set of %zu bytes", file->length);
    stream.avail_in = (unsigned)file->length;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for inflating");
    lam_buffer inflated;
    lam_buffer_init(&inflated, LAM_PART10_MAX_INFLATED);
    lam_status status = inflate_all(&stream, &inflated, err);
    inflateEnd(&stream);
    if (status != LAM_OK) {
        lam_buffer_done(&inflated);
        return status;
    }
    file->length = inflated.length;
    file->inflated = lam_buffer_take(&inflated);
    file->data = file->inflated;
    return LAM_OK;
}

static lam_status locate(lam_part10 *file, uint64_t offset, lam_error *err)
{
    file->syntax = lam_transfer_syntax_of(file->meta.transfer_syntax);
    file->offset = offset;
    file->data = (const unsigned char *)file->mapping + offset;
    file->length = file->mapped - offset;
    return file->syntax.deflated ? inflate_data(file, err) : LAM_OK;
}

lam_status lam_part10_open(int fd, lam_part10 *out, lam_error *err)
{
    lam_part10 file = {.data = NULL};
    uint64_t offset;
    lam_status status = lam_file_meta_read(fd, &file.meta, &offset, err);
    if (status == LAM_OK)
        status = lam_io_map(fd, LAM_PART10_MAX_BYTES, &file.mapping, &file.mapped, err);
    if (status == LAM_OK)
        status = locate(&file, offset, err);
    if (status != LAM_OK) {
        lam_part10_close(&file);
        return status;
    }
    *out = file;
    return LAM_OK;
}

void lam_part10_close(lam_part10 *file)
{
    if (!file)
        return;
    lam_io_unmap(file->mapping, file->mapped);
    free(file->inflated);
    *file = (lam_part10){.data = NULL};
}
