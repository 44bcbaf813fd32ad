/* Data sets written and read again, the kept failure, copies, and the bits of a segmentation. */
#include "dicom/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dicom/seg.h"
#include "dicom/transfer_syntax.h"

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

static lam_dataset *make(void)
{
    lam_dataset *ds = NULL;
    assert_int_equal(lam_dataset_create(&ds, NULL), LAM_OK);
    lam_dataset_set_text(ds, LAM_TAG_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.4");
    lam_dataset_set_text(ds, LAM_TAG_SOP_INSTANCE, "1.2.3");
    return ds;
}

static lam_dataset *written_and_read(lam_dataset *ds, const char *transfer_syntax, lam_dataset_extent extent)
{
    int file = memfd_create("test", MFD_CLOEXEC);
    lam_dataset *again = NULL;
    lam_error err = {LAM_OK, ""};
    if (lam_dataset_write(ds, file, transfer_syntax, &err) != LAM_OK ||
        lam_dataset_read(file, extent, &again, &err) != LAM_OK)
        fail_msg("%s", err.message);
    close(file);
    assert_string_equal(lam_dataset_transfer_syntax(again), transfer_syntax);
    return again;
}

static void test_values(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *ds = make();
    const double numbers[3] = {-97.169817923123, 1e-7, 1.0 / 3};
    lam_dataset_set_numbers(ds, LAM_TAG_POSITION, numbers, 3);
    lam_dataset_set_number(ds, LAM_TAG_ROWS, 51);
    lam_dataset_set_empty(ds, LAM_TAG_PATIENT_ID);
    lam_dataset *item = lam_dataset_add(lam_dataset_add(ds, LAM_TAG_SEGMENTS), LAM_TAG_PROPERTY_TYPE);
    lam_dataset_set_text(item, LAM_TAG_CODE_VALUE, "5366008");
    lam_dataset_add(ds, LAM_TAG_SEGMENTS);
    assert_int_equal(lam_dataset_status(ds, NULL), LAM_OK);

    static const char *const syntaxes[] = {LAM_TS_EXPLICIT_LITTLE, LAM_TS_IMPLICIT_LITTLE,
                                           LAM_TS_EXPLICIT_BIG};
    for (size_t i = 0; i < LAM_COUNT(syntaxes); i++) {
        LAM_AUTO_PTR(lam_dataset) *again = written_and_read(ds, syntaxes[i], LAM_DATASET_HEADER);
        double read[3];
        int64_t rows = 0;
        assert_true(lam_dataset_numbers(again, LAM_TAG_POSITION, read, 3));
        for (int k = 0; k < 3; k++)
            assert_true(fabs(read[k] - numbers[k]) <= 1e-10 * fabs(numbers[k]));
        assert_true(lam_dataset_integer(again, LAM_TAG_ROWS, 0, &rows) && rows == 51);
        assert_int_equal(lam_dataset_items(again, LAM_TAG_SEGMENTS), 2);
        lam_dataset *type =
            lam_dataset_item(lam_dataset_item(again, LAM_TAG_SEGMENTS, 0), LAM_TAG_PROPERTY_TYPE, 0);
        assert_string_equal(lam_dataset_text(type, LAM_TAG_CODE_VALUE, ""), "5366008");
        assert_null(lam_dataset_item(again, LAM_TAG_SEGMENTS, 2));
        assert_false(lam_dataset_has(again, LAM_TAG_PATIENT_ID));
        assert_null(lam_dataset_text(again, LAM_TAG_PATIENT_ID, NULL));
        assert_false(lam_dataset_number(again, LAM_TAG_POSITION, 3, read));
        assert_false(lam_dataset_numbers(again, LAM_TAG_POSITION, read, 4));
        assert_null(lam_dataset_text(again, LAM_TAG_ROWS, NULL));
    }
}

static void test_copies_are_text(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *from = make(), *to = make();
    lam_dataset_set_text(from, LAM_TAG_POSITION, "-097.1698179231\\+0.10\\2.046187e-010");
    assert_true(lam_dataset_copy(to, from, LAM_TAG_POSITION));
    assert_false(lam_dataset_copy(to, from, LAM_TAG_ORIENTATION));
    assert_string_equal(lam_dataset_text(to, LAM_TAG_POSITION, ""), "-097.1698179231\\+0.10\\2.046187e-010");
}

static void test_the_first_failure_is_kept(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_dataset) *ds = make();
    lam_error err;
    lam_dataset_set_number(ds, LAM_TAG_POSITION, NAN);
    lam_dataset_set_number(ds, LAM_TAG_PATIENT_ID, 1);
    lam_dataset_set_text(lam_dataset_add(ds, LAM_TAG_SEGMENTS), LAM_TAG_SEGMENT_LABEL, "fine");
    assert_int_not_equal(lam_dataset_status(ds, &err), LAM_OK);
    assert_non_null(strstr(err.message, "(0020,0032)"));
    assert_int_not_equal(lam_dataset_write(ds, STDERR_FILENO, LAM_TS_EXPLICIT_LITTLE, NULL), LAM_OK);
}

/* A disk that is full is not the object's fault: who writes it may try again. */
static void test_what_the_disk_refuses(void **state)
{
    (void)state;
    enum { ROOM = 4096, PIXELS = 1 << 20 };
    LAM_AUTO_PTR(lam_dataset) *ds = make();
    lam_dataset_set_number(ds, LAM_TAG_BITS_ALLOCATED, 8);
    assert_non_null(lam_dataset_make_bytes(ds, LAM_TAG_PIXELS, PIXELS));
    int file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(file, ROOM), 0);
    assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), 0);
    lam_error err = {LAM_OK, ""};
    assert_int_equal(lam_dataset_write(ds, file, LAM_TS_EXPLICIT_LITTLE, &err), LAM_E_DENIED);
    assert_non_null(strstr(err.message, strerror(EPERM)));
    close(file);
}

/* Lengths have 32 bits. */
static void test_values_that_no_attribute_holds(void **state)
{
    (void)state;
    static const float one = 1;
    LAM_AUTO_PTR(lam_dataset) *bytes = make(), *floats = make();
    assert_null(lam_dataset_make_bytes(bytes, LAM_TAG_PIXELS, (size_t)UINT32_MAX + 1 + 16));
    assert_int_equal(lam_dataset_status(bytes, NULL), LAM_E_LIMIT);
    lam_dataset_set_floats(floats, LAM_TAG_FLOAT_PIXELS, &one, ((size_t)UINT32_MAX + 1) / sizeof one + 1);
    assert_int_equal(lam_dataset_status(floats, NULL), LAM_E_LIMIT);
}

/* Frames follow each other bit by bit (PS3.5 8.2), lowest bit first. */
static void test_packing(void **state)
{
    (void)state;
    static const uint8_t labels[3][5] = {{1, 0, 2, 1, 1}, {0, 0, 1, 2, 1}, {1, 1, 1, 1, 2}};
    uint8_t bits[2] = {0};
    for (int frame = 0; frame < 3; frame++)
        lam_seg_pack(labels[frame], 5, 1, bits, (uint64_t)frame * 5);
    /* 10011 00101 11110, from the lowest bit on */
    assert_int_equal(bits[0], 0x99);
    assert_int_equal(bits[1], 0x3e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_copies_are_text),
        cmocka_unit_test(test_the_first_failure_is_kept),
        cmocka_unit_test(test_what_the_disk_refuses),
        cmocka_unit_test(test_values_that_no_attribute_holds),
        cmocka_unit_test(test_packing),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
