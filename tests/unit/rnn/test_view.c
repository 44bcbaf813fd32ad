/* Views of a case: what a turn and a mirror image move is put back where it was. */
#include "tests/unit/unit.h"

#include <math.h>

#include "core/rnn/view.h"

enum { SLICES = 2, ROWS = 30, COLUMNS = 26, CHANNELS = 2, VOXELS = SLICES * ROWS * COLUMNS };

static float volume[VOXELS * CHANNELS], input[SLICES * 24 * 24 * CHANNELS];
static const int64_t size[3] = {SLICES, ROWS, COLUMNS};
/* The middle 21 × 18 voxels, in the middle of zeros: neither of both lies even. */
static const lam_frame frame = {{0, 4, 4}, {SLICES, 21, 18}, {0, 1, 3}, {SLICES, 24, 24}};

/* A ramp, which interpolation keeps exactly. */
static double ramp(int64_t z, double y, double x, int64_t channel)
{
    return (double)z * 100 + y * 3 - x * 2 + (double)channel * (x + 1);
}

static float *at(float *data, const int64_t of[3], int64_t z, int64_t y, int64_t x)
{
    return data + ((z * of[1] + y) * of[2] + x) * CHANNELS;
}

static void draw_ramp(void)
{
    for (int64_t z = 0; z < SLICES; z++)
        for (int64_t y = 0; y < ROWS; y++)
            for (int64_t x = 0; x < COLUMNS; x++)
                for (int64_t k = 0; k < CHANNELS; k++)
                    at(volume, size, z, y, x)[k] = (float)ramp(z, (double)y, (double)x, k);
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-3))
        fail_msg("%g where %g was expected", a, b);
}

/* Checks the voxels within a radius of the middle of the part that is taken. */
static void check_there_and_back(const lam_view *view, double radius)
{
    float row[COLUMNS * CHANNELS];
    lam_view_fill(view, &frame, size, CHANNELS, volume, input);
    for (int64_t z = 0; z < SLICES; z++)
        for (int64_t y = 0; y < frame.taken[1]; y++) {
            lam_view_read(view, &frame, CHANNELS, input, z, y, row);
            for (int64_t x = 0; x < frame.taken[2]; x++)
                if (hypot((double)y - 10, (double)x - 8.5) < radius)
                    for (int64_t k = 0; k < CHANNELS; k++)
                        assert_near(row[x * CHANNELS + k], ramp(z, (double)y + 4, (double)x + 4, k));
        }
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const double degrees[] = {0, 35, -35, 90, 180, -117};
    draw_ramp();
    for (size_t i = 0; i < sizeof degrees / sizeof degrees[0]; i++)
        for (int flips = 0; flips < 8; flips++) {
            lam_view view = {{flips & 1, flips & 2, flips & 4}, degrees[i] * M_PI / 180};
            check_there_and_back(&view, degrees[i] == 0 ? 100 : 7);
        }
}

/* A quarter turn takes what lies below the middle (y+) to its right (x+), and shows what lies around the
 * part. */
static void test_a_quarter_turn(void **state)
{
    (void)state;
    lam_view view = {.turn = M_PI / 2};
    draw_ramp();
    lam_view_fill(&view, &frame, size, CHANNELS, volume, input);
    for (int64_t y = 0; y < 21; y++)
        for (int64_t x = 0; x < 18; x++) {
            double from_y = 14 - ((double)x - 8.5), from_x = fmin(fmax(12.5 + ((double)y - 10), 0), 25);
            assert_near(at(input, frame.size, 1, y + 1, x + 3)[0], ramp(1, from_y, from_x, 0));
        }
    for (int64_t y = 0; y < 24; y++)
        assert_true(at(input, frame.size, 1, y, 2)[0] == 0 && at(input, frame.size, 1, y, 21)[0] == 0);
}

static void test_every_combination_once(void **state)
{
    (void)state;
    lam_manifest manifest = {
        .average_flips = {true, false, true}, .average_turns = {-35, 35}, .average_turn_count = 2};
    assert_int_equal(lam_view_count(&manifest), 12);
    int seen[12] = {0};
    for (size_t i = 0; i < 12; i++) {
        lam_view view = lam_view_at(&manifest, i);
        int turn = view.turn > 0 ? 2 : view.turn < 0 ? 1 : 0;
        assert_false(view.flip[1]);
        seen[turn * 4 + view.flip[0] * 2 + view.flip[2]]++;
    }
    for (int i = 0; i < 12; i++)
        assert_int_equal(seen[i], 1);
    lam_view first = lam_view_at(&manifest, 0);
    assert_true(first.turn == 0 && !first.flip[0] && !first.flip[2]);
    manifest = (lam_manifest){0};
    assert_int_equal(lam_view_count(&manifest), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_a_quarter_turn),
        cmocka_unit_test(test_every_combination_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
