/* Segmentations that others made, read into the grid of a series: forms, cut-out frames, overlap, and grids
 * that are not the images' own. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dicom/seg_read.h"
#include "dicom/tag.h"
#include "dicom/transfer_syntax.h"

enum { ROWS = 2, COLUMNS = 3, AREA = ROWS * COLUMNS, SLICES = 3, HEIGHT = 4, WIDTH = 5 };

static const lam_grid grid = {
    {SLICES, HEIGHT, WIDTH}, {2, 1, 1}, {{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}, {-10, -20, 30}};

/* Frames of 2×3 pixels, 8 bits each, whose first pixel is voxel [z, y, x]. */
struct frame {
    double z, y, x;
    int segment; /* 0: a label map's */
    uint8_t pixels[AREA];
};

struct object {
    const char *type;
    double pixel_mm;
    double row[6];
    int highest; /* segment number */
};

static const struct object plain = {"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 3};

static void describe(const struct object *object, lam_dataset *d, size_t frames)
{
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {{LAM_TAG_SAMPLES, 1},
                   {LAM_TAG_ROWS, ROWS},
                   {LAM_TAG_COLUMNS, COLUMNS},
                   {LAM_TAG_FRAMES, (double)frames},
                   {LAM_TAG_BITS_ALLOCATED, 8},
                   {LAM_TAG_BITS_STORED, 8},
                   {LAM_TAG_HIGH_BIT, 7},
                   {LAM_TAG_PIXEL_SIGN, 0},
                   {LAM_TAG_MAXIMUM_FRACTIONAL, 100}};
    lam_dataset_set_text(d, LAM_TAG_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.66.4");
    lam_dataset_set_text(d, LAM_TAG_SOP_INSTANCE, "2.25.1");
    lam_dataset_set_text(d, LAM_TAG_PHOTOMETRIC, "MONOCHROME2");
    lam_dataset_set_text(d, LAM_TAG_SEGMENTATION_TYPE, object->type);
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(d, numbers[i].tag, numbers[i].number);
    lam_dataset *segment = lam_dataset_add(d, LAM_TAG_SEGMENTS);
    lam_dataset_set_number(segment, LAM_TAG_SEGMENT_NUMBER, object->highest);
    lam_dataset_set_text(segment, LAM_TAG_SEGMENT_LABEL, "Thing");
    lam_dataset *shared = lam_dataset_add(d, LAM_TAG_SHARED_GROUPS);
    lam_dataset_set_numbers(lam_dataset_add(shared, LAM_TAG_PLANE_ORIENTATIONS), LAM_TAG_ORIENTATION,
                            object->row, 6);
    const double spacing[2] = {object->pixel_mm, object->pixel_mm};
    lam_dataset_set_numbers(lam_dataset_add(shared, LAM_TAG_PIXEL_MEASURES), LAM_TAG_PIXEL_SPACING, spacing,
                            2);
}

static void open_object(const struct object *object, const struct frame *frames, size_t count,
                        lam_frames *out)
{
    LAM_AUTO_PTR(lam_dataset) *d = NULL;
    uint8_t pixels[4 * AREA];
    lam_error err = {0};
    lam_autoclose int fd = memfd_create("seg", MFD_CLOEXEC);
    assert_ok(lam_dataset_create(&d, &err), err);
    describe(object, d, count);
    for (size_t i = 0; i < count; i++) {
        const struct frame *f = &frames[i];
        lam_dataset *group = lam_dataset_add(d, LAM_TAG_FRAME_GROUPS);
        const double index[3] = {f->z, f->y, f->x};
        double position[3];
        lam_grid_to_patient(&grid, index, position);
        lam_dataset_set_numbers(lam_dataset_add(group, LAM_TAG_PLANE_POSITIONS), LAM_TAG_POSITION, position,
                                3);
        if (f->segment)
            lam_dataset_set_number(lam_dataset_add(group, LAM_TAG_SEGMENT_IDS), LAM_TAG_REFERENCED_SEGMENT,
                                   f->segment);
        memcpy(pixels + i * AREA, f->pixels, AREA);
    }
    lam_dataset_set_bytes(d, LAM_TAG_PIXELS, pixels, count * AREA);
    assert_ok(lam_dataset_write(d, fd, LAM_TS_EXPLICIT_LITTLE, &err), err);
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    assert_ok(lam_frames_open(fd, out, &err), err);
}

static lam_status read_map(const struct object *object, const struct frame *frames, size_t count,
                           uint8_t labels[SLICES][HEIGHT][WIDTH], int64_t *overlap, lam_error *err)
{
    static const uint8_t values[256] = {0, 7, 0, 9};
    lam_frames seg;
    memset(labels, 0, SLICES * HEIGHT * WIDTH);
    *overlap = 0;
    open_object(object, frames, count, &seg);
    lam_status status = lam_seg_read_map(&seg, &grid, values, &labels[0][0][0], overlap, err);
    lam_frames_close(&seg);
    return status;
}

static void test_label_maps_by_number(void **state)
{
    (void)state;
    static const struct frame frames[] = {{2, 0, 0, 0, {1, 2, 3, 0, 0, 1}}};
    uint8_t labels[SLICES][HEIGHT][WIDTH];
    int64_t overlap;
    lam_error err = {0};
    assert_ok(read_map(&plain, frames, 1, labels, &overlap, &err), err);
    assert_int_equal(labels[2][0][0], 7);
    assert_int_equal(labels[2][0][1], 0); /* nobody wants number 2 */
    assert_int_equal(labels[2][0][2], 9);
    assert_int_equal(labels[2][1][2], 7);
    assert_int_equal(labels[1][0][0], 0);
    assert_int_equal(overlap, 0);
}

static void test_cut_out_frames_keep_their_place(void **state)
{
    (void)state;
    static const struct frame frames[] = {{1, 3, 4, 0, {1, 1, 1, 1, 1, 1}},
                                          {0, -1, -1, 0, {1, 1, 1, 1, 3, 3}}};
    uint8_t labels[SLICES][HEIGHT][WIDTH];
    int64_t overlap, marked = 0;
    lam_error err = {0};
    assert_ok(read_map(&plain, frames, 2, labels, &overlap, &err), err);
    for (int i = 0; i < SLICES * HEIGHT * WIDTH; i++)
        marked += (&labels[0][0][0])[i] != 0;
    assert_int_equal(marked, 3);
    assert_int_equal(labels[1][3][4], 7);
    assert_int_equal(labels[0][0][0], 9);
    assert_int_equal(labels[0][0][1], 9);
}

static void test_the_greater_value_wins_in_any_order(void **state)
{
    (void)state;
    static const struct frame frames[] = {
        {0, 0, 0, 3, {1, 1, 0, 0, 0, 0}}, {0, 0, 0, 1, {0, 1, 1, 0, 0, 0}}, {0, 0, 0, 3, {0, 0, 1, 0, 0, 0}}};
    static const struct object binary = {"BINARY", 1, {1, 0, 0, 0, 1, 0}, 3};
    uint8_t labels[SLICES][HEIGHT][WIDTH];
    int64_t overlap;
    lam_error err = {0};
    assert_ok(read_map(&binary, frames, 3, labels, &overlap, &err), err);
    for (int x = 0; x < COLUMNS; x++)
        assert_int_equal(labels[0][0][x], 9);
    assert_int_equal(overlap, 2);
}

static void test_fractions_from_half_on(void **state)
{
    (void)state;
    static const struct frame frames[] = {{0, 0, 0, 1, {0, 1, 49, 50, 51, 100}}};
    static const struct object fractional = {"FRACTIONAL", 1, {1, 0, 0, 0, 1, 0}, 1};
    uint8_t labels[SLICES][HEIGHT][WIDTH];
    int64_t overlap;
    lam_error err = {0};
    assert_ok(read_map(&fractional, frames, 1, labels, &overlap, &err), err);
    for (int x = 0; x < COLUMNS; x++) {
        assert_int_equal(labels[0][0][x], 0);
        assert_int_equal(labels[0][1][x], 7);
    }
}

static void test_other_grids_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct object object;
        struct frame frame;
        const char *reason;
    } cases[] = {
        {{"LABELMAP", 2, {1, 0, 0, 0, 1, 0}, 1}, {0, 0, 0, 0, {1}}, "own grid"},
        {{"LABELMAP", 1, {-1, 0, 0, 0, 1, 0}, 1}, {0, 0, 0, 0, {1}}, "orientation"},
        {{"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 1}, {0.5, 0, 0, 0, {1}}, "between"},
        {{"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 1}, {0, 0.5, 0, 0, {1}}, "between"},
        {{"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 1}, {SLICES, 0, 0, 0, {1}}, "none of the images"},
        {{"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 1}, {-1, 0, 0, 0, {1}}, "none of the images"},
        {{"LABELMAP", 1, {1, 0, 0, 0, 1, 0}, 256}, {0, 0, 0, 0, {1}}, "above 255"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        uint8_t labels[SLICES][HEIGHT][WIDTH];
        int64_t overlap;
        lam_error err = {0};
        assert_int_not_equal(read_map(&cases[i].object, &cases[i].frame, 1, labels, &overlap, &err), LAM_OK);
        assert_non_null(strstr(err.message, cases[i].reason));
    }
}

static void test_descriptions_without_codes(void **state)
{
    (void)state;
    static const struct frame frame = {0, 0, 0, 0, {1}};
    lam_drawn_segment segment;
    lam_frames seg;
    open_object(&plain, &frame, 1, &seg);
    assert_true(lam_seg_read_description(&seg, 0, &segment));
    assert_int_equal(segment.number, 3);
    assert_string_equal(segment.label, "Thing");
    assert_null(segment.type.value);
    assert_null(segment.type_modifier.value);
    assert_null(segment.anatomy_modifier.value);
    assert_false(lam_seg_read_description(&seg, 1, &segment));
    lam_frames_close(&seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label_maps_by_number),
        cmocka_unit_test(test_cut_out_frames_keep_their_place),
        cmocka_unit_test(test_the_greater_value_wins_in_any_order),
        cmocka_unit_test(test_fractions_from_half_on),
        cmocka_unit_test(test_other_grids_are_refused),
        cmocka_unit_test(test_descriptions_without_codes),
    };
    lam_dicom_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
