#include "dicom/jpeg.h"

#include "dicom/bytes.h"

enum { SOI = 0xd8, SOS = 0xda, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, SOF_JPEG_LS = 0xf7 };

static bool is_frame_header(unsigned marker)
{
    bool jpeg = marker >= 0xc0 && marker <= 0xcf && marker != DHT && marker != JPG && marker != DAC;
    return jpeg || marker == SOF_JPEG_LS;
}

bool lam_jpeg_read(const unsigned char *stream, size_t length, lam_jpeg_shape *out)
{
    if (length < 2 || stream[0] != 0xff || stream[1] != SOI)
        return false;
    for (size_t at = 2; length - at >= 4;) {
        unsigned marker = stream[at + 1];
        if (stream[at] != 0xff || marker == SOS)
            return false;
        if (marker == 0xff) { /* filling */
            at++;
            continue;
        }
        size_t segment = lam_be16(stream + at + 2);
        if (segment < 2 || segment > length - at - 2)
            return false;
        if (is_frame_header(marker) && segment >= 8) {
            *out = (lam_jpeg_shape){.precision = stream[at + 4],
                                    .rows = lam_be16(stream + at + 5),
                                    .columns = lam_be16(stream + at + 7),
                                    .samples = stream[at + 9]};
            return true;
        }
        at += 2 + segment;
    }
    return false;
}
