/* Pictures of frames: windows and inversion against the formulas of PS3.3 C.11.2, and what a viewport shows.
 */
#include "dicom/render.h"

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

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/file_meta.h"
#include "dicom/overlay_plane.h"

enum { ROWS = 4, COLUMNS = 8, PIXELS = ROWS * COLUMNS };

#define SHORT(tag, value)   tag "US\x02\0" value
#define DOUBLE_2_52         "\0\0\0\0\0\0\x30\x43"
#define DOUBLE_2_MINUS_2_34 "\x00\x00\xf0\xff\xff\xff\x0f\xc2"

static int prepare(void **state)
{
    (void)state;
    lam_dicom_prepare();
    return 0;
}

/* An image of 8 bits with the pixels 0, 8, 16 … */
static void open_image(const char *photometric, lam_frames *out)
{
    static const char shape[] = SHORT("\x28\0\x10\0", "\x04\0") SHORT("\x28\0\x11\0", "\x08\0")
        SHORT("\x28\0\x00\x01", "\x08\0") SHORT("\x28\0\x01\x01", "\x08\0") SHORT("\x28\0\x02\x01", "\x07\0")
            SHORT("\x28\0\x03\x01", "\0\0") "\xe0\x7f\x10\0OB\0\0\x20\0\0\0";
    lam_file_meta meta = {"1.1", "1.2", LAM_TS_EXPLICIT_LITTLE};
    uint8_t head[LAM_FILE_META_MAX_BYTES], pixels[PIXELS];
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_error err = {LAM_OK, ""};
    for (size_t i = 0; i < PIXELS; i++)
        pixels[i] = (uint8_t)(8 * i);
    assert_int_equal(lam_io_write_all(file, head, lam_file_meta_write(&meta, head), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, SHORT("\x28\0\x02\0", "\x01\0") "\x28\0\x04\0CS\x0c\0", 18, NULL),
                     LAM_OK);
    assert_int_equal(lam_io_write_all(file, photometric, 12, NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, shape, sizeof shape - 1, NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, pixels, sizeof pixels, NULL), LAM_OK);
    if (lam_frames_open(file, out, &err) != LAM_OK)
        fail_msg("%s", err.message);
}

static double clamp(double y)
{
    return y <= 0 ? 0 : y >= 1 ? 1 : y;
}

static double shown(const lam_window *w, double x)
{
    switch (w->function) {
    case LAM_VOI_SIGMOID:
        return 1 / (1 + exp(-4 * (x - w->centre) / w->width));
    case LAM_VOI_LINEAR:
        return clamp((x - (w->centre - 0.5)) / (w->width - 1) + 0.5);
    default:
        return clamp((x - w->centre) / w->width + 0.5);
    }
}

static void windows_are_those_of_the_standard(void **state)
{
    (void)state;
    static const lam_window windows[] = {{128, 256, LAM_VOI_LINEAR},
                                         {100, 50, LAM_VOI_LINEAR},
                                         {100, 50, LAM_VOI_LINEAR_EXACT},
                                         {90, 120, LAM_VOI_SIGMOID}};
    static const char *const photometrics[] = {"MONOCHROME2 ", "MONOCHROME1 "};
    for (size_t p = 0; p < LAM_COUNT(photometrics); p++) {
        LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
        open_image(photometrics[p], &frames);
        for (size_t i = 0; i < LAM_COUNT(windows); i++) {
            LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
            assert_int_equal(lam_render_frame(&frames, 0, &windows[i], &canvas, NULL), LAM_OK);
            assert_int_equal(canvas.width, COLUMNS);
            assert_int_equal(canvas.height, ROWS);
            for (size_t k = 0; k < PIXELS; k++) {
                double y = shown(&windows[i], 8.0 * (double)k);
                assert_true(fabs(canvas.rgb[3 * k] - 255 * (p ? 1 - y : y)) <= 0.51);
            }
        }
    }
}

static void without_a_window_the_range_is_shown(void **state)
{
    (void)state;
    LAM_AUTO(lam_frames_close) lam_frames frames = {.header = NULL};
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0, 0, NULL};
    open_image("MONOCHROME2 ", &frames);
    assert_int_equal(lam_render_frame(&frames, 0, NULL, &canvas, NULL), LAM_OK);
    assert_int_equal(canvas.rgb[0], 0);
    assert_int_equal(canvas.rgb[3 * (PIXELS - 1)], 255);
}

/* A canvas whose red is the column and whose green is the row. */
static lam_canvas gradient(void)
{
    lam_canvas c = {0, 0, NULL};
    assert_int_equal(lam_canvas_init(&c, COLUMNS, ROWS, NULL), LAM_OK);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++)
            lam_canvas_set(&c, x, y, (const uint8_t[3]){(uint8_t)x, (uint8_t)y, 0});
    return c;
}

static void viewports_cut_scale_and_mirror(void **state)
{
    (void)state;
    static const struct {
        lam_viewport viewport;
        int width, height;
        uint8_t first[2], last[2]; /* column and row */
    } cases[] = {
        {{.width = 0}, 8, 4, {0, 0}, {7, 3}},
        {{.has_region = true, .x = 2, .y = 1, .region_width = 3, .region_height = 2}, 3, 2, {2, 1}, {4, 2}},
        {{.has_region = true, .region_width = -8, .region_height = 4}, 8, 4, {7, 0}, {0, 3}},
        {{.has_region = true, .region_width = 8, .region_height = -4}, 8, 4, {0, 3}, {7, 0}},
        {{.width = 16, .height = 100}, 16, 8, {0, 0}, {7, 3}},
        {{.width = 4, .height = 4}, 4, 2, {1, 1}, {7, 3}}, /* means of 0 and 1, of 6 and 7, rounded */
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(lam_canvas_done) lam_canvas c = gradient();
        assert_int_equal(lam_render_fit(&c, &cases[i].viewport, NULL), LAM_OK);
        assert_int_equal(c.width, cases[i].width);
        assert_int_equal(c.height, cases[i].height);
        const uint8_t *last = c.rgb + 3 * (c.width * c.height - 1);
        assert_memory_equal(c.rgb, cases[i].first, 2);
        assert_memory_equal(last, cases[i].last, 2);
    }
}

static void regions_outside_are_refused(void **state)
{
    (void)state;
    static const double regions[][4] = {
        {0, 0, 9, 4}, {-1, 0, 2, 2}, {7, 3, 2, 1}, {0, 0, 0.5, 1}, {NAN, 0, 1, 1}};
    for (size_t i = 0; i < LAM_COUNT(regions); i++) {
        LAM_AUTO(lam_canvas_done) lam_canvas c = gradient();
        const double *r = regions[i];
        const lam_viewport v = {
            .has_region = true, .x = r[0], .y = r[1], .region_width = r[2], .region_height = r[3]};
        assert_int_equal(lam_render_fit(&c, &v, NULL), LAM_E_INVALID);
        assert_int_equal(c.width, COLUMNS);
    }
}

/* The origin of its frames makes this the plane's frame 2^34, which begins 2^64 bits further on. */
static void overlay_planes_stay_in_their_bits(void **state)
{
    (void)state;
    static const char plane[] = SHORT("\0\x60\x10\0", "\0\x80")
        SHORT("\0\x60\x11\0", "\0\x80") "\0\x60\x15\0FD\x08\0" DOUBLE_2_52
                                        "\0\x60\x51\0FD\x08\0" DOUBLE_2_MINUS_2_34
                                        "\0\x60\0\x30OW\0\0\x04\0\0\0"
                                        "\xff\xff\xff\xff";
    lam_file_meta meta = {"1.1", "1.2", LAM_TS_EXPLICIT_LITTLE};
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    LAM_AUTO(lam_canvas_done) lam_canvas c = gradient(), before = gradient();
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    int64_t frames = 0;
    assert_int_equal(lam_io_write_all(file, head, lam_file_meta_write(&meta, head), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, plane, sizeof plane - 1, NULL), LAM_OK);
    assert_int_equal(lam_dataset_read(file, LAM_DATASET_WHOLE, &object, NULL), LAM_OK);
    assert_true(lam_dataset_integer(object, LAM_TAG(0x6000, 0x0015), 0, &frames));
    assert_true(frames == INT64_C(1) << 52);
    lam_overlay_planes_draw(object, 0, &c);
    assert_memory_equal(c.rgb, before.rgb, 3 * PIXELS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_those_of_the_standard),
        cmocka_unit_test(without_a_window_the_range_is_shown),
        cmocka_unit_test(viewports_cut_scale_and_mirror),
        cmocka_unit_test(regions_outside_are_refused),
        cmocka_unit_test(overlay_planes_stay_in_their_bits),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
