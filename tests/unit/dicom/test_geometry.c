/* Planes to grids, refusals, coordinates, turns and resampling. */
#include "dicom/geometry.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dicom/resample.h"

enum { COUNT = 6 };

/* A stack of 5 × 4 images, 2 mm apart, 1 × 0.5 mm pixels, filed in no order. */
static void make_planes(lam_plane planes[COUNT], const double row[3], const double column[3])
{
    static const int order[COUNT] = {3, 0, 5, 1, 4, 2};
    double normal[3] = {row[1] * column[2] - row[2] * column[1], row[2] * column[0] - row[0] * column[2],
                        row[0] * column[1] - row[1] * column[0]};
    for (int i = 0; i < COUNT; i++) {
        planes[i] = (lam_plane){.rows = 5, .columns = 4, .spacing_mm = {1, 0.5}};
        memcpy(planes[i].row, row, sizeof planes[i].row);
        memcpy(planes[i].column, column, sizeof planes[i].column);
        for (int k = 0; k < 3; k++)
            planes[i].position[k] = 10 * (k + 1) + 2 * order[i] * normal[k];
    }
}

static const double axial_row[3] = {1, 0, 0}, axial_column[3] = {0, 1, 0};
static const double sagittal_row[3] = {0, 1, 0}, sagittal_column[3] = {0, 0, -1};

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

/* One slice is as thick as it says. */
static void test_one_slice(void **state)
{
    (void)state;
    lam_plane planes[COUNT];
    lam_grid grid;
    size_t order[1] = {7};
    make_planes(planes, sagittal_row, sagittal_column);
    planes[0].thickness_mm = 3;
    assert_int_equal(lam_grid_from_planes(planes, 1, order, &grid, NULL), LAM_OK);
    assert_int_equal(order[0], 0);
    assert_int_equal(grid.size[0], 1);
    NEAR(grid.spacing_mm[0], 3);
    NEAR(lam_grid_voxel_ml(&grid), 3 * 1 * 0.5 / 1000);
}

/* Planes that lie at one place have its number, counted along the normal. */
static void test_places(void **state)
{
    (void)state;
    lam_plane planes[2 * COUNT];
    size_t place_of[2 * COUNT], places;
    make_planes(planes, axial_row, axial_column);
    make_planes(planes + COUNT, axial_row, axial_column);
    assert_int_equal(lam_grid_places(planes, 2 * COUNT, place_of, &places, NULL), LAM_OK);
    assert_int_equal(places, COUNT);
    for (size_t i = 0; i < 2 * COUNT; i++)
        NEAR(planes[i].position[2], 30 + 2 * (double)place_of[i]);
    planes[3].row[0] = 0;
    assert_int_equal(lam_grid_places(planes, 2 * COUNT, place_of, &places, NULL), LAM_E_INVALID);
}

static void test_a_stack(void **state)
{
    (void)state;
    lam_plane planes[COUNT];
    size_t order[COUNT];
    lam_grid grid;
    make_planes(planes, axial_row, axial_column);
    assert_int_equal(lam_grid_from_planes(planes, COUNT, order, &grid, NULL), LAM_OK);
    static const size_t expected[COUNT] = {1, 3, 5, 0, 4, 2};
    assert_memory_equal(order, expected, sizeof order);
    assert_true(grid.size[0] == 6 && grid.size[1] == 5 && grid.size[2] == 4);
    NEAR(grid.spacing_mm[0], 2);
    NEAR(lam_grid_voxel_ml(&grid), 0.001);
    double at[3], back[3];
    lam_grid_to_patient(&grid, (double[3]){2, 3, 1}, at);
    NEAR(at[0], 10.5);
    NEAR(at[1], 23);
    NEAR(at[2], 34);
    lam_grid_to_index(&grid, at, back);
    NEAR(back[0], 2);
    NEAR(back[1], 3);
    NEAR(back[2], 1);
}

static void refuse(const lam_plane planes[COUNT], size_t count, const char *words)
{
    size_t order[COUNT] = {9};
    lam_grid grid = {.size = {-1, -1, -1}};
    lam_error err;
    assert_int_equal(lam_grid_from_planes(planes, count, order, &grid, &err), LAM_E_INVALID);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    assert_true(grid.size[0] == -1 && order[0] == 9);
}

static void test_refusals(void **state)
{
    (void)state;
    lam_plane good[COUNT], bad[COUNT];
    make_planes(good, axial_row, axial_column);
    refuse(good, 0, "no images");
    refuse(good, 1, "1 image, and it does not say how thick");
#define REFUSE(change, words)                                                                                \
    do {                                                                                                     \
        memcpy(bad, good, sizeof bad);                                                                       \
        change;                                                                                              \
        refuse(bad, COUNT, words);                                                                           \
    } while (0)
    REFUSE(bad[2].rows = 6, "different sizes: 5×4 and 6×4");
    REFUSE(bad[2].spacing_mm[0] = 1.1, "different pixel spacings");
    REFUSE(bad[2].position[2] += 2, "1 slice is missing");
    REFUSE(bad[2].position[2] += 6, "3 slices are missing");
    REFUSE(bad[2].position[2] += 1, "not evenly spaced");
    REFUSE(bad[2].position[2] = bad[1].position[2], "same place");
    REFUSE(memcpy(bad[2].row, sagittal_row, sizeof bad[2].row);
           memcpy(bad[2].column, sagittal_column, sizeof bad[2].column), "90.0 degrees");
    REFUSE(for (int i = 0; i < COUNT; i++) bad[i].position[0] += 0.3 * bad[i].position[2],
           "shifted sideways by 0.60");
    REFUSE(bad[0].position[0] += 0.9, "slice 4 of 6 is 0.90 mm beside the line");
    REFUSE(bad[0].row[0] = 0.5, "unit vectors");
    REFUSE(bad[2].row[0] = NAN, "unit vectors");
    REFUSE(bad[2].position[1] = INFINITY, "unit vectors");
    REFUSE(bad[2].spacing_mm[1] = 0, "PixelSpacing");
    REFUSE(bad[2].spacing_mm[1] = NAN, "PixelSpacing");
}

/* Rounding in real headers is no reason to refuse. */
static void test_rounded_positions(void **state)
{
    (void)state;
    lam_plane planes[COUNT];
    size_t order[COUNT];
    lam_grid grid;
    make_planes(planes, axial_row, axial_column);
    for (int i = 0; i < COUNT; i++) {
        planes[i].position[2] += i % 2 ? 0.04 : -0.04;
        planes[i].row[1] = i % 2 ? 1e-4 : -1e-4;
    }
    assert_int_equal(lam_grid_from_planes(planes, COUNT, order, &grid, NULL), LAM_OK);
}

static void place_of(const lam_grid *grid, int voxel, double at[3])
{
    const int slice = voxel / 20, row = voxel / 4 % 5, column = voxel % 4;
    lam_grid_to_patient(grid, (double[3]){slice, row, column}, at);
}

/* A voxel is found again at the same place in the patient after any turn. */
static void check_turn(const double row[3], const double column[3], const char *letters)
{
    static const double sign[2] = {1, -1};
    lam_plane planes[COUNT];
    size_t order[COUNT];
    lam_grid grid;
    lam_turn turn;
    make_planes(planes, row, column);
    assert_int_equal(lam_grid_from_planes(planes, COUNT, order, &grid, NULL), LAM_OK);
    assert_int_equal(lam_turn_to(&grid, letters, &turn, NULL), LAM_OK);
    int64_t size[3];
    double spacing[3];
    lam_turn_shape(&turn, &grid, size, spacing);
    float source[COUNT * 5 * 4], turned[COUNT * 5 * 4];
    uint8_t labels[COUNT * 5 * 4], back[COUNT * 5 * 4];
    for (int i = 0; i < COUNT * 5 * 4; i++)
        source[i] = (float)i;
    lam_turn_floats(&turn, grid.size, source, turned);
    for (int axis = 0; axis < 3; axis++) { /* each step along a turned axis goes the way its letter says */
        static const char names[3][2] = {{'L', 'R'}, {'P', 'A'}, {'S', 'I'}};
        int64_t step[3] = {axis == 0, axis == 1, axis == 2};
        int first = (int)turned[0], second = (int)turned[(step[0] * size[1] + step[1]) * size[2] + step[2]];
        double a[3], b[3];
        place_of(&grid, first, a);
        place_of(&grid, second, b);
        for (int k = 0; k < 3; k++)
            for (int way = 0; way < 2; way++)
                if (names[k][way] == letters[2 - axis])
                    assert_true((b[k] - a[k]) * sign[way] > 0.7 * spacing[axis]);
    }
    for (int i = 0; i < COUNT * 5 * 4; i++)
        labels[i] = (uint8_t)turned[i];
    lam_turn_labels_back(&turn, grid.size, labels, back);
    for (int i = 0; i < COUNT * 5 * 4; i++)
        assert_int_equal(back[i], i);
}

static void test_turns(void **state)
{
    (void)state;
    const double tilt = 0.6, c = cos(tilt), s = sin(tilt);
    static const char *const letters[] = {"RAS", "LPS", "LAS", "SRA", "IPL"};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        check_turn(axial_row, axial_column, letters[i]);
        check_turn(sagittal_row, sagittal_column, letters[i]);
        check_turn((double[3]){c, 0, -s}, axial_column, letters[i]);
    }
    lam_grid grid = {.size = {1, 1, 1}};
    lam_turn turn;
    static const char *const wrong[] = {"RA", "RAX", "RLS", "RASS"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(lam_turn_to(&grid, wrong[i], &turn, NULL), LAM_E_INVALID);
}

static void test_resampling(void **state)
{
    (void)state;
    const int64_t size[3] = {3, 4, 6}, twice[3] = {6, 8, 12}, half[3] = {2, 2, 3};
    float in[72], up[576], down[12], same[72];
    uint8_t labels[72], fine[576], again[72];
    int64_t shape[3];
    lam_resample_shape(size, (double[3]){2, 1, 1}, (double[3]){1, 0.5, 0.5}, shape);
    assert_memory_equal(shape, twice, sizeof shape);
    for (int i = 0; i < 72; i++) {
        in[i] = (float)(i % 6); /* a ramp along x */
        labels[i] = i % 6 < 2 ? 0 : i % 6 < 4 ? 1 : 7;
    }
    assert_int_equal(lam_resample_floats(in, size, same, size, NULL), LAM_OK);
    for (int i = 0; i < 72; i++)
        assert_true(fabsf(same[i] - in[i]) < 1e-6f);
    assert_int_equal(lam_resample_floats(in, size, up, twice, NULL), LAM_OK);
    for (int x = 1; x < 11; x++) /* linear between centres */
        assert_true(fabs((double)up[x] - ((x + 0.5) / 2 - 0.5)) < 1e-5);
    assert_int_equal(lam_resample_floats(in, size, down, half, NULL), LAM_OK);
    assert_true(fabsf(down[1] - 2.5f) < 1e-5f);
    assert_int_equal(lam_resample_labels(labels, size, fine, twice, NULL), LAM_OK);
    assert_int_equal(lam_resample_labels(fine, twice, again, size, NULL), LAM_OK);
    assert_memory_equal(again, labels, sizeof labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_a_stack),
        cmocka_unit_test(test_one_slice),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_rounded_positions),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_resampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
