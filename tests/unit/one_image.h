/* The smallest series that can be analysed: one image of 8 bits, for tests that change one thing of it. */
#ifndef LAMINA_TESTS_ONE_IMAGE_H
#define LAMINA_TESTS_ONE_IMAGE_H

#include <sys/mman.h>
#include <unistd.h>

#include "dicom/series.h"
#include "dicom/transfer_syntax.h"
#include "tests/unit/unit.h"

/* side × side pixels of 0 without a place; the caller's. */
static inline lam_dataset *one_image(int side)
{
    static const struct {
        lam_tag tag;
        const char *text;
    } texts[] = {{LAM_TAG_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.4"},
                 {LAM_TAG_SOP_INSTANCE, "1.2.3"},
                 {LAM_TAG_STUDY, "1.2"},
                 {LAM_TAG_SERIES, "1.2.1"},
                 {LAM_TAG_PHOTOMETRIC, "MONOCHROME2"}};
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {{LAM_TAG_SAMPLES, 1},        {LAM_TAG_ROWS, (double)side}, {LAM_TAG_COLUMNS, (double)side},
                   {LAM_TAG_BITS_ALLOCATED, 8}, {LAM_TAG_BITS_STORED, 8},     {LAM_TAG_HIGH_BIT, 7},
                   {LAM_TAG_PIXEL_SIGN, 0}};
    lam_dataset *image = NULL;
    assert_int_equal(lam_dataset_create(&image, NULL), LAM_OK);
    for (size_t i = 0; i < LAM_COUNT(texts); i++)
        lam_dataset_set_text(image, texts[i].tag, texts[i].text);
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(image, numbers[i].tag, numbers[i].number);
    assert_non_null(lam_dataset_make_bytes(image, LAM_TAG_PIXELS, (size_t)side * (size_t)side));
    return image;
}

/* Puts it at the origin of the patient, on axes of its own, in cubes of that side. */
static inline void place_image(lam_dataset *image, double spacing_mm)
{
    lam_dataset_set_text(image, LAM_TAG_POSITION, "0\\0\\0");
    lam_dataset_set_text(image, LAM_TAG_ORIENTATION, "1\\0\\0\\0\\1\\0");
    lam_dataset_set_number(image, LAM_TAG_SLICE_THICKNESS, spacing_mm);
    const double spacing[2] = {spacing_mm, spacing_mm};
    lam_dataset_set_numbers(image, LAM_TAG_PIXEL_SPACING, spacing, 2);
}

/* Writes it, reads it and arranges it; `*out` is the caller's, also when it cannot be arranged. */
static inline lam_status arrange_one(lam_dataset *image, lam_series **out, lam_error *err)
{
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    assert_ok(lam_dataset_write(image, file, LAM_TS_EXPLICIT_LITTLE, err), *err);
    assert_ok(lam_series_create(out, err), *err);
    assert_ok(lam_series_add(*out, file, err), *err);
    return lam_series_arrange(*out, err);
}

#endif
