/* JPEG 2000 frames, encoded here by OpenJPEG: alone, and as the frames of an image that is analysed. */
#include "dicom/j2k.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <openjpeg-2.5/openjpeg.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/file_meta.h"
#include "dicom/frames.h"
#include "dicom/image.h"

enum { ROWS = 12, COLUMNS = 20, PIXELS = ROWS * COLUMNS };

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

/* ---- encoding ---- */

static OPJ_SIZE_T take(void *bytes, OPJ_SIZE_T length, void *context)
{
    return lam_buffer_append(context, bytes, length) == LAM_OK ? length : (OPJ_SIZE_T)-1;
}

/* 12 bit pixels of frame `frame`, from -2048 or 0 on. */
static int pixel_of(size_t frame, size_t i, bool is_signed)
{
    int value = (int)((i * 97 + frame * 1031) % 4096);
    return is_signed ? value - 2048 : value;
}

static void encode(size_t frame, bool is_signed, lam_buffer *out)
{
    opj_image_cmptparm_t component = {
        .dx = 1, .dy = 1, .w = COLUMNS, .h = ROWS, .prec = 12, .sgnd = is_signed};
    opj_image_t *image = opj_image_create(1, &component, OPJ_CLRSPC_GRAY);
    image->x1 = COLUMNS;
    image->y1 = ROWS;
    for (size_t i = 0; i < PIXELS; i++)
        image->comps[0].data[i] = pixel_of(frame, i, is_signed);
    opj_cparameters_t parameters;
    opj_set_default_encoder_parameters(&parameters);
    parameters.numresolution = 2;
    parameters.tcp_numlayers = 1;
    parameters.cp_disto_alloc = 1;
    opj_codec_t *codec = opj_create_compress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_default_create(OPJ_FALSE);
    opj_stream_set_user_data(stream, out, NULL);
    opj_stream_set_write_function(stream, take);
    assert_true(opj_setup_encoder(codec, &parameters, image));
    assert_true(opj_start_compress(codec, image, stream) && opj_encode(codec, stream) &&
                opj_end_compress(codec, stream));
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
}

/* ---- alone ---- */

static void streams_are_decoded(void **state)
{
    (void)state;
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        LAM_AUTO(lam_buffer_done) lam_buffer stream;
        lam_buffer_init(&stream, 1 << 20);
        encode(1, is_signed, &stream);
        int16_t out[PIXELS];
        lam_error err = {LAM_OK, ""};
        const lam_j2k_shape shape = {ROWS, COLUMNS, 1, 2, is_signed};
        assert_int_equal(lam_j2k_decode(stream.data, stream.length, &shape, out, &err), LAM_OK);
        for (size_t i = 0; i < PIXELS; i++)
            assert_int_equal(out[i], pixel_of(1, i, is_signed));
    }
}

/* Made by OpenJPH: tests/golden/make_htj2k.js. */
static void high_throughput_streams_are_decoded(void **state)
{
    (void)state;
    enum { HEIGHT = 37, WIDTH = 29 };
    static const char *const names[] = {"unsigned", "signed"};
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        char path[64];
        snprintf(path, sizeof path, "tests/golden/dicom/htj2k_%s.j2c", names[is_signed]);
        LAM_AUTO(lam_buffer_done) lam_buffer stream;
        lam_buffer_init(&stream, 1 << 20);
        int16_t out[HEIGHT * WIDTH];
        lam_error err = {LAM_OK, ""};
        assert_int_equal(lam_io_read_file(path, &stream, &err), LAM_OK);
        const lam_j2k_shape shape = {HEIGHT, WIDTH, 1, 2, is_signed};
        assert_int_equal(lam_j2k_decode(stream.data, stream.length, &shape, out, &err), LAM_OK);
        for (int i = 0; i < HEIGHT * WIDTH; i++) {
            int value = i * 1237 % 4096 + (i % WIDTH > i / WIDTH ? 20000 : 0) - (is_signed ? 12000 : 0);
            assert_int_equal(out[i], value);
        }
        for (size_t cut = 1; cut < stream.length; cut += 97) /* damaged or partly decoded, never a crash */
            lam_j2k_decode(stream.data, stream.length - cut, &shape, out, NULL);
    }
}

static void other_shapes_and_damage_are_refused(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer stream;
    lam_buffer_init(&stream, 1 << 20);
    encode(0, false, &stream);
    static const lam_j2k_shape shapes[] = {{ROWS + 1, COLUMNS, 1, 2, false},
                                           {ROWS, COLUMNS - 1, 1, 2, false},
                                           {ROWS, COLUMNS, 3, 2, false},
                                           {ROWS, COLUMNS, 1, 1, false}};
    int16_t out[4 * PIXELS] = {0};
    for (size_t i = 0; i < LAM_COUNT(shapes); i++)
        assert_int_equal(lam_j2k_decode(stream.data, stream.length, &shapes[i], out, NULL), LAM_E_CORRUPT);
    const lam_j2k_shape long_words = {ROWS, COLUMNS, 1, 8, false};
    assert_int_equal(lam_j2k_decode(stream.data, stream.length, &long_words, out, NULL), LAM_E_UNSUPPORTED);
    const lam_j2k_shape right = {ROWS, COLUMNS, 1, 2, false};
    for (size_t length = 0; length < 60; length++)
        assert_int_equal(lam_j2k_decode(stream.data, length, &right, out, NULL), LAM_E_CORRUPT);
}

/* ---- in an object ---- */

#define SHORT(tag, value) tag "US\x02\0" value

static void append(lam_buffer *out, const void *bytes, size_t length)
{
    assert_int_equal(lam_buffer_append(out, bytes, length), LAM_OK);
}

static void append_item(lam_buffer *out, const void *bytes, uint32_t length)
{
    uint32_t even = length + length % 2;
    append(out, "\xfe\xff\x00\xe0", 4);
    append(out, &even, 4);
    append(out, bytes, length);
    append(out, "\0", length % 2);
}

/* An image of three frames, each in two fragments where there is an offset table. */
static int make_object(bool offsets)
{
    static const char header[] =
        "\x08\0\x16\0UI\x04\0"
        "1.1\0"
        "\x08\0\x18\0UI\x04\0"
        "1.2\0" SHORT("\x28\0\x02\0",
                      "\x01\0") "\x28\0\x04\0"
                                "CS\x0c\0MONOCHROME2 "
                                "\x28\0\x08\0IS\x02\0"
                                "3 " SHORT("\x28\0\x10\0", "\x0c\0") SHORT("\x28\0\x11\0", "\x14\0")
                                    SHORT("\x28\0\x00\x01", "\x10\0") SHORT("\x28\0\x01\x01", "\x0c\0")
                                        SHORT("\x28\0\x02\x01", "\x0b\0")
                                            SHORT("\x28\0\x03\x01",
                                                  "\x00\0") "\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff";
    LAM_AUTO(lam_buffer_done) lam_buffer body, fragments;
    lam_buffer_init(&body, 1 << 20);
    lam_buffer_init(&fragments, 1 << 20);
    uint32_t table[3];
    for (size_t frame = 0; frame < 3; frame++) {
        LAM_AUTO(lam_buffer_done) lam_buffer stream;
        lam_buffer_init(&stream, 1 << 20);
        encode(frame, false, &stream);
        table[frame] = (uint32_t)fragments.length;
        uint32_t first = offsets ? 40 : 0;
        if (offsets)
            append_item(&fragments, stream.data, first);
        append_item(&fragments, stream.data + first, (uint32_t)stream.length - first);
    }
    append(&body, header, sizeof header - 1);
    append_item(&body, table, offsets ? sizeof table : 0);
    append(&body, fragments.data, fragments.length);
    append(&body, "\xfe\xff\xdd\xe0\0\0\0\0", 8);
    lam_file_meta meta = {"1.1", "1.2", "1.2.840.10008.1.2.4.90"};
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    int file = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(lam_io_write_all(file, head, lam_file_meta_write(&meta, head), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, body.data, body.length, NULL), LAM_OK);
    return file;
}

static void frames_of_an_object_are_decoded(void **state)
{
    (void)state;
    for (int offsets = 0; offsets < 2; offsets++) {
        lam_autoclose int file = make_object(offsets);
        LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
        lam_error err = {LAM_OK, ""};
        assert_int_equal(lam_frames_open(file, &frames, &err), LAM_OK);
        assert_int_equal(frames.layout.frames, 3);
        assert_int_equal(frames.layout.fragment_count, offsets ? 6 : 3);
        assert_int_equal(lam_image_check(&frames, &err), LAM_OK);
        for (int frame = 2; frame >= 0; frame--) {
            uint16_t pixels[PIXELS];
            float values[PIXELS];
            char photometric[17];
            assert_int_equal(lam_frames_decode(&frames, frame, true, pixels, photometric, &err), LAM_OK);
            assert_int_equal(lam_image_frame(&frames, frame, (lam_rescale){2, -5}, values, &err), LAM_OK);
            for (size_t i = 0; i < PIXELS; i++) {
                assert_int_equal(pixels[i], pixel_of((size_t)frame, i, false));
                assert_true(fabs((double)values[i] - (2.0 * pixels[i] - 5)) < 1e-6);
            }
        }
        float values[PIXELS];
        assert_int_equal(lam_image_frame(&frames, 3, (lam_rescale){1, 0}, values, &err), LAM_E_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_decoded),
        cmocka_unit_test(high_throughput_streams_are_decoded),
        cmocka_unit_test(other_shapes_and_damage_are_refused),
        cmocka_unit_test(frames_of_an_object_are_decoded),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
