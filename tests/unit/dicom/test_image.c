/* Stored samples of native frames, and the values that an analysis sees of them. */
#include "dicom/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dicom/pixels.h"
#include "dicom/tag.h"
#include "dicom/transfer_syntax.h"
#include "tests/unit/one_image.h"

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

static lam_dataset *grey(int rows, int columns, int allocated, int stored, bool is_signed)
{
    lam_dataset *ds = one_image(1);
    const struct {
        lam_tag tag;
        int number;
    } numbers[] = {
        {LAM_TAG_ROWS, rows},          {LAM_TAG_COLUMNS, columns},     {LAM_TAG_BITS_ALLOCATED, allocated},
        {LAM_TAG_BITS_STORED, stored}, {LAM_TAG_HIGH_BIT, stored - 1}, {LAM_TAG_PIXEL_SIGN, is_signed}};
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(ds, numbers[i].tag, numbers[i].number);
    return ds;
}

/* As it is after writing in that transfer syntax. */
static void open_as(lam_dataset *ds, const char *transfer_syntax, lam_frames *out)
{
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_dataset_write(ds, file, transfer_syntax, &err), err);
    assert_ok(lam_frames_open(file, out, &err), err);
}

static void bits_above_those_stored_do_not_count(void **state)
{
    (void)state;
    static const uint16_t stored[6] = {0, 1, 0x0800, 0x0fff, 0xf001, 5};
    static const double upright[6] = {0, 1, -2048, -1, 1, 5};
    static const char *const syntaxes[] = {LAM_TS_EXPLICIT_LITTLE, LAM_TS_EXPLICIT_BIG,
                                           "1.2.840.10008.1.2.5"};
    for (size_t i = 0; i < LAM_COUNT(syntaxes); i++) {
        LAM_AUTO_PTR(lam_dataset) *ds = grey(2, 3, 16, 12, true);
        LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
        float values[6];
        lam_error err = {LAM_OK, ""};
        lam_dataset_set_text(ds, LAM_TAG_PHOTOMETRIC, "MONOCHROME1");
        lam_dataset_set_bytes(ds, LAM_TAG_PIXELS, stored, sizeof stored);
        open_as(ds, syntaxes[i], &frames);
        assert_ok(lam_image_check(&frames, &err), err);
        assert_ok(lam_image_frame(&frames, 0, (lam_rescale){2, 10}, values, &err), err);
        for (int k = 0; k < 6; k++) /* mirrored in -2048 … 2047, then rescaled */
            assert_true(fabs((double)values[k] - ((-1 - upright[k]) * 2 + 10)) < 1e-6);
        assert_int_equal(lam_image_frame(&frames, 1, (lam_rescale){1, 0}, values, &err), LAM_E_NOT_FOUND);
    }
}

static void all_bits_of_long_words_count(void **state)
{
    (void)state;
    static const uint64_t stored[2] = {5, UINT64_MAX - 6};
    for (int is_signed = 0; is_signed <= 1; is_signed++) {
        LAM_AUTO_PTR(lam_dataset) *ds = grey(1, 2, 64, 64, is_signed);
        LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
        LAM_AUTO(lam_pixels_done) lam_pixels pixels = {.bytes = NULL};
        lam_dataset_set_bytes(ds, LAM_TAG_PIXELS, stored, sizeof stored);
        open_as(ds, LAM_TS_EXPLICIT_LITTLE, &frames);
        assert_int_equal(lam_pixels_read(&frames, 0, &pixels, NULL), LAM_OK);
        assert_true(lam_pixels_value(&pixels, 0) == 5);
        assert_true(lam_pixels_value(&pixels, 1) == (is_signed ? -7 : ldexp(1, 64)));
    }
}

/* Big endian bytes lie in pairs, and a pair may begin in the frame before. */
static void frames_of_odd_size_are_found(void **state)
{
    (void)state;
    static const char *const syntaxes[] = {LAM_TS_EXPLICIT_LITTLE, LAM_TS_EXPLICIT_BIG};
    for (size_t i = 0; i < LAM_COUNT(syntaxes); i++)
        for (int frames_count = 2; frames_count <= 4; frames_count++) {
            LAM_AUTO_PTR(lam_dataset) *ds = grey(3, 3, 8, 8, false);
            LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
            uint8_t bytes[36] = {0};
            for (int k = 0; k < 9 * frames_count; k++)
                bytes[k] = (uint8_t)(k + 1);
            lam_dataset_set_number(ds, LAM_TAG_FRAMES, frames_count);
            lam_dataset_set_bytes(ds, LAM_TAG_PIXELS, bytes, (size_t)(9 * frames_count + 1) / 2 * 2);
            open_as(ds, syntaxes[i], &frames);
            for (int frame = 0; frame < frames_count; frame++) {
                LAM_AUTO(lam_pixels_done) lam_pixels pixels = {.bytes = NULL};
                assert_int_equal(lam_pixels_read(&frames, frame, &pixels, NULL), LAM_OK);
                for (size_t k = 0; k < 9; k++)
                    assert_true(lam_pixels_value(&pixels, k) == 9 * frame + (int)k + 1);
            }
        }
}

/* Some say which stored value is no image with the wrong sign. */
static void padding_is_no_value(void **state)
{
    (void)state;
    static const int16_t stored[4] = {-2000, -1999, 7, 100};
    static const struct {
        const char *padding, *limit;
        int padded;
    } cases[] = {{"-2000", NULL, 1}, {"-2000", "-1999", 2}, {"-1999", "-2000", 2}, {"3000", NULL, 0}};
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_dataset) *ds = grey(2, 2, 16, 16, true);
        LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
        float values[4];
        lam_dataset_set_bytes(ds, LAM_TAG_PIXELS, stored, sizeof stored);
        lam_dataset_set_number(ds, LAM_TAG_PADDING, (double)(uint16_t)atoi(cases[i].padding));
        if (cases[i].limit)
            lam_dataset_set_number(ds, LAM_TAG_PADDING_LIMIT, (double)(uint16_t)atoi(cases[i].limit));
        open_as(ds, LAM_TS_EXPLICIT_LITTLE, &frames);
        assert_int_equal(lam_image_frame(&frames, 0, (lam_rescale){1, 0}, values, NULL), LAM_OK);
        for (int k = 0; k < 4; k++)
            assert_true(k < cases[i].padded ? isnan(values[k]) : values[k] == (float)stored[k]);
    }
}

static void no_number_of_frames_is_one(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *ds = one_image(4);
    LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
    lam_dataset_set_empty(ds, LAM_TAG_FRAMES);
    open_as(ds, LAM_TS_EXPLICIT_LITTLE, &frames);
    assert_int_equal(frames.layout.frames, 1);
    lam_frames_close(&frames);
    lam_dataset_set_text(ds, LAM_TAG_FRAMES, "0");
    open_as(ds, LAM_TS_EXPLICIT_LITTLE, &frames);
    assert_int_equal(frames.layout.frames, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_above_those_stored_do_not_count),
        cmocka_unit_test(all_bits_of_long_words_count),
        cmocka_unit_test(frames_of_odd_size_are_found),
        cmocka_unit_test(padding_is_no_value),
        cmocka_unit_test(no_number_of_frames_is_one),
    };
    return cmocka_run_group_tests_name("image", tests, prepare, NULL);
}
