/* Where frames and values lie: native ones, packed bits, fragments with and without offset tables. */
#include "dicom/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "dicom/value.h"

#define SHORT(tag, value) tag "US\x02\0" value
#define SHAPE(frames, bits)                                                                                  \
    SHORT("\x28\0\x02\0", "\x01\0")                                                                          \
    "\x28\0\x08\0IS\x02\0" frames " " SHORT("\x28\0\x10\0", "\x02\0") SHORT("\x28\0\x11\0", "\x03\0")        \
        SHORT("\x28\0\x00\x01", bits "\0")
#define ITEM(length) "\xfe\xff\x00\xe0" length "\0\0\0"
#define FRAGMENTS    "\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
#define END          "\xfe\xff\xdd\xe0\0\0\0\0"

static lam_part10 file_of(const char *bytes, size_t length, bool encapsulated)
{
    return (lam_part10){.data = (const unsigned char *)bytes,
                        .length = length,
                        .syntax = {.explicit_vr = true, .encapsulated = encapsulated}};
}

#define READ(text, encapsulated, status)                                                                     \
    lam_part10 file = file_of(text, sizeof(text) - 1, encapsulated);                                         \
    LAM_AUTO(lam_layout_done) lam_layout layout = {.tag = 0};                                                \
    assert_int_equal(lam_layout_read(&file, &layout, NULL), status)

static void native_frames_follow_each_other(void **state)
{
    (void)state;
    READ(SHAPE("2", "\x08") "\xe0\x7f\x10\0OB\0\0\x0c\0\0\0abcdefghijkl", false, LAM_OK);
    assert_int_equal(layout.frames, 2);
    assert_int_equal(layout.frame_bits, 48);
    assert_int_equal(layout.length, 12);
    assert_memory_equal(file.data + layout.offset, "abcdefghijkl", 12);
    assert_false(layout.encapsulated);
}

static void bits_are_packed_without_gaps(void **state)
{
    (void)state;
    READ(SHAPE("2", "\x01") "\xe0\x7f\x10\0OB\0\0\x02\0\0\0ab", false, LAM_OK);
    assert_int_equal(layout.frame_bits, 6);
}

static void pixels_that_are_cut_short_are_refused(void **state)
{
    (void)state;
    READ(SHAPE("3", "\x08") "\xe0\x7f\x10\0OB\0\0\x0c\0\0\0abcdefghijkl", false, LAM_E_CORRUPT);
}

static void an_object_without_pixels_is_no_image(void **state)
{
    (void)state;
    READ(SHAPE("1", "\x08"), false, LAM_E_UNSUPPORTED);
}

static void expect_frame(const lam_part10 *file, const lam_layout *layout, int64_t frame, const char *joined)
{
    size_t count;
    const lam_fragment *fragments = lam_layout_frame(layout, frame, &count);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(file->data + fragments[i].offset, joined, fragments[i].length);
        joined += fragments[i].length;
    }
    assert_string_equal(joined, "");
}

static void a_fragment_a_frame_needs_no_table(void **state)
{
    (void)state;
    READ(SHAPE("2", "\x08") FRAGMENTS ITEM("\0") ITEM("\x02") "ab" ITEM("\x04") "cdef" END, true, LAM_OK);
    assert_true(layout.encapsulated);
    expect_frame(&file, &layout, 0, "ab");
    expect_frame(&file, &layout, 1, "cdef");
}

static void one_frame_has_all_fragments(void **state)
{
    (void)state;
    READ(SHAPE("1", "\x08") FRAGMENTS ITEM("\0") ITEM("\x02") "ab" ITEM("\x04") "cdef" END, true, LAM_OK);
    expect_frame(&file, &layout, 0, "abcdef");
}

static void the_table_says_where_frames_begin(void **state)
{
    (void)state;
    READ(SHAPE("2", "\x08") FRAGMENTS ITEM("\x08") "\0\0\0\0\x0a\0\0\0" ITEM("\x02") "ab" ITEM(
             "\x02") "cd" ITEM("\x02") "ef" END,
         true, LAM_OK);
    expect_frame(&file, &layout, 0, "ab");
    expect_frame(&file, &layout, 1, "cdef");
}

static void a_table_that_points_nowhere_is_refused(void **state)
{
    (void)state;
    READ(SHAPE("2", "\x08") FRAGMENTS ITEM("\x08") "\0\0\0\0\xff\0\0\0" ITEM("\x02") "ab" ITEM(
             "\x02") "cd" ITEM("\x02") "ef" END,
         true, LAM_E_CORRUPT);
}

static void values_are_found_by_path(void **state)
{
    (void)state;
    static const char bytes[] =
        "\x08\0\x60\0CS\x02\0MR"
        "\x08\0\x99\x11SQ\0\0\xff\xff\xff\xff" ITEM("\x0a") "\x08\0\x50\x11UI\x02\0"
                                                            "1." ITEM("\x0a") "\x08\0\x50\x11UI\x02\0"
                                                                              "2." END;
    static const struct {
        const char *path, *value;
        lam_status status;
    } cases[] = {
        {"00080060", "MR", LAM_OK},
        {"00081199/0/00081150", "1.", LAM_OK},
        {"00081199/1/00081150", "2.", LAM_OK},
        {"00081199/2/00081150", NULL, LAM_E_NOT_FOUND},
        {"00081150", NULL, LAM_E_NOT_FOUND}, /* only within the sequence */
        {"00100010", NULL, LAM_E_NOT_FOUND},
        {"", NULL, LAM_E_INVALID},
        {"0008006", NULL, LAM_E_INVALID},
        {"00081199/0", NULL, LAM_E_INVALID},
        {"00081199/-1/00081150", NULL, LAM_E_INVALID},
        {"00081199/0/00081150/", NULL, LAM_E_INVALID},
    };
    lam_part10 file = file_of(bytes, sizeof bytes - 1, false);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_bytes value = {NULL, 0};
        assert_int_equal(lam_value_find(&file, cases[i].path, &value, NULL), cases[i].status);
        if (cases[i].value) {
            assert_int_equal(value.length, 2);
            assert_memory_equal(value.data, cases[i].value, 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_frames_follow_each_other),
        cmocka_unit_test(bits_are_packed_without_gaps),
        cmocka_unit_test(pixels_that_are_cut_short_are_refused),
        cmocka_unit_test(an_object_without_pixels_is_no_image),
        cmocka_unit_test(a_fragment_a_frame_needs_no_table),
        cmocka_unit_test(one_frame_has_all_fragments),
        cmocka_unit_test(the_table_says_where_frames_begin),
        cmocka_unit_test(a_table_that_points_nowhere_is_refused),
        cmocka_unit_test(values_are_found_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
