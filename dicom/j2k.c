#include "dicom/j2k.h"

#include <openjpeg-2.5/openjpeg.h>
#include <string.h>

#include "core/base/cleanup.h"

static const char *const syntaxes[] = {
    "1.2.840.10008.1.2.4.90",  "1.2.840.10008.1.2.4.91",  "1.2.840.10008.1.2.4.92",
    "1.2.840.10008.1.2.4.93",  "1.2.840.10008.1.2.4.201", /* HTJ2K */
    "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203",
};

bool lam_j2k_is(const char *transfer_syntax)
{
    for (size_t i = 0; i < LAM_COUNT(syntaxes); i++)
        if (strcmp(syntaxes[i], transfer_syntax) == 0)
            return true;
    return false;
}

/* ---- the code stream as OpenJPEG reads it ---- */

typedef struct source {
    const unsigned char *bytes;
    size_t length, position;
} source;

static OPJ_SIZE_T read_source(void *buffer, OPJ_SIZE_T size, void *context)
{
    source *from = context;
    size_t left = from->length - from->position;
    if (left == 0)
        return (OPJ_SIZE_T)-1;
    size_t take = size < left ? size : left;
    memcpy(buffer, from->bytes + from->position, take);
    from->position += take;
    return take;
}

static OPJ_OFF_T skip_source(OPJ_OFF_T count, void *context)
{
    source *from = context;
    if (count < 0 || (uint64_t)count > from->length - from->position)
        return -1;
    from->position += (size_t)count;
    return count;
}

static OPJ_BOOL seek_source(OPJ_OFF_T to, void *context)
{
    source *from = context;
    if (to < 0 || (uint64_t)to > from->length)
        return OPJ_FALSE;
    from->position = (size_t)to;
    return OPJ_TRUE;
}

/* ---- decoding ---- */

typedef struct decoder {
    opj_stream_t *stream;
    opj_codec_t *codec;
    opj_image_t *image;
} decoder;

static void decoder_done(decoder *d)
{
    if (d->image)
        opj_image_destroy(d->image);
    if (d->codec)
        opj_destroy_codec(d->codec);
    if (d->stream)
        opj_stream_destroy(d->stream);
}

static lam_status decoder_open(decoder *d, source *from, lam_error *err)
{
    static const unsigned char stream_magic[4] = {0xff, 0x4f, 0xff, 0x51};
    if (from->length < sizeof stream_magic)
        return lam_fail(err, LAM_E_CORRUPT, "a JPEG 2000 frame of %zu bytes", from->length);
    bool bare = memcmp(from->bytes, stream_magic, sizeof stream_magic) == 0;
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    d->stream = opj_stream_default_create(OPJ_TRUE);
    d->codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    if (!d->stream || !d->codec || !opj_setup_decoder(d->codec, &parameters))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a JPEG 2000 decoder");
    opj_stream_set_user_data(d->stream, from, NULL);
    opj_stream_set_user_data_length(d->stream, from->length);
    opj_stream_set_read_function(d->stream, read_source);
    opj_stream_set_skip_function(d->stream, skip_source);
    opj_stream_set_seek_function(d->stream, seek_source);
    return LAM_OK;
}

/* Before any sample is decoded: a small stream may announce an enormous image. */
static lam_status check_image(const opj_image_t *image, const lam_j2k_shape *shape, lam_error *err)
{
    if (shape->bytes_allocated > 4)
        return lam_fail(err, LAM_E_UNSUPPORTED, "JPEG 2000 with %d bits allocated",
                        8 * shape->bytes_allocated);
    if (image->numcomps != (OPJ_UINT32)shape->samples)
        return lam_fail(err, LAM_E_CORRUPT, "the JPEG 2000 stream has %u components, the header says %lld",
                        image->numcomps, (long long)shape->samples);
    for (OPJ_UINT32 i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *c = &image->comps[i];
        if (c->dx != 1 || c->dy != 1)
            return lam_fail(err, LAM_E_UNSUPPORTED, "JPEG 2000 with components of different sizes");
        if (c->w != shape->columns || c->h != shape->rows)
            return lam_fail(err, LAM_E_CORRUPT, "the JPEG 2000 stream has %u×%u pixels, the header %lld×%lld",
                            c->w, c->h, (long long)shape->columns, (long long)shape->rows);
        if (c->prec > 8 * (OPJ_UINT32)shape->bytes_allocated)
            return lam_fail(err, LAM_E_CORRUPT, "samples of %u bits do not fit in %d", c->prec,
                            8 * shape->bytes_allocated);
    }
    return LAM_OK;
}

/* As the header says, from the bits that the stream has. */
static uint32_t bits_of(OPJ_INT32 value, OPJ_UINT32 precision, bool is_signed)
{
    uint32_t bits = (uint32_t)value;
    if (!is_signed || precision < 1 || precision > 31)
        return bits;
    uint32_t sign = UINT32_C(1) << (precision - 1), mask = (sign << 1) - 1;
    return bits & sign ? bits | ~mask : bits & mask;
}

static void store_samples(const opj_image_t *image, const lam_j2k_shape *shape, unsigned char *out)
{
    size_t pixels = (size_t)(shape->rows * shape->columns), bytes = (size_t)shape->bytes_allocated;
    for (OPJ_UINT32 c = 0; c < image->numcomps; c++) {
        const OPJ_INT32 *from = image->comps[c].data;
        unsigned char *to = out + c * bytes;
        for (size_t i = 0; i < pixels; i++, to += bytes * image->numcomps) {
            uint32_t bits = bits_of(from[i], image->comps[c].prec, shape->is_signed);
            for (size_t b = 0; b < bytes; b++)
                to[b] = (unsigned char)(bits >> 8 * b);
        }
    }
}

lam_status lam_j2k_decode(const void *bytes, size_t length, const lam_j2k_shape *shape, void *out,
                          lam_error *err)
{
    source from = {.bytes = bytes, .length = length};
    LAM_AUTO(decoder_done) decoder d = {NULL, NULL, NULL};
    lam_status status = decoder_open(&d, &from, err);
    if (status != LAM_OK)
        return status;
    if (!opj_read_header(d.stream, d.codec, &d.image))
        return lam_fail(err, LAM_E_CORRUPT, "the header of the JPEG 2000 stream is damaged");
    status = check_image(d.image, shape, err);
    if (status != LAM_OK)
        return status;
    if (!opj_decode(d.codec, d.stream, d.image) || !opj_end_decompress(d.codec, d.stream))
        return lam_fail(err, LAM_E_CORRUPT, "the JPEG 2000 stream is damaged");
    for (OPJ_UINT32 i = 0; i < d.image->numcomps; i++)
        if (!d.image->comps[i].data)
            return lam_fail(err, LAM_E_CORRUPT, "the JPEG 2000 stream has a component without samples");
    store_samples(d.image, shape, out);
    return LAM_OK;
}
