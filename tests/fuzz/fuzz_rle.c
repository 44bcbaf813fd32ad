/* RLE streams and headers of JPEG streams: nothing is read or written beside them, whatever they say. The
 * first bytes choose the shape that is expected. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dicom/jpeg.h"
#include "dicom/rle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 2)
        return 0;
    lam_rle_shape shape = {.pixels = 1 + bytes[0] % 64,
                           .samples = bytes[1] & 1 ? 3 : 1,
                           .bytes_allocated = (size_t)1 << (bytes[1] >> 1) % 3,
                           .by_plane = bytes[1] >> 3 & 1};
    unsigned char *out = malloc(shape.pixels * shape.samples * shape.bytes_allocated);
    lam_jpeg_shape jpeg;
    if (out)
        lam_rle_decode(bytes + 2, length - 2, &shape, out, NULL);
    free(out);
    lam_jpeg_read(bytes + 2, length - 2, &jpeg);
    return 0;
}
