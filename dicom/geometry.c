#include "dicom/geometry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

/* What real headers have by rounding, and no more. */
static const double parallel_tolerance = 2e-3; /* sine of an angle: about 0.1 degrees */
static const double unit_tolerance = 1e-2;     /* of the length of a direction vector, and of a right angle */
static const double size_tolerance = 1e-3;     /* of pixel spacing, relative */
static const double distance_tolerance = 0.05; /* of the distance between slices, relative */
static const double aside_tolerance = 0.5;     /* of a pixel, sideways, of a slice among its neighbours */
static const double position_tolerance_mm = 0.01;

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

static double length_of(const double a[3])
{
    return sqrt(dot(a, a));
}

static void normalise(double a[3])
{
    double length = length_of(a);
    for (int i = 0; i < 3; i++)
        a[i] /= length;
}

/* Angle between two unit vectors in degrees; keeps its precision near 0. */
static double angle_between(const double a[3], const double b[3])
{
    double c[3];
    cross(a, b, c);
    return atan2(length_of(c), dot(a, b)) * 180 / M_PI;
}

static lam_status check_plane(const lam_plane *plane, lam_error *err)
{
    double row = length_of(plane->row), column = length_of(plane->column);
    double skew = dot(plane->row, plane->column);
    bool finite = isfinite(length_of(plane->position)) && isfinite(row) && isfinite(column);
    if (!finite || !(fabs(row - 1) < unit_tolerance) || !(fabs(column - 1) < unit_tolerance) ||
        !(fabs(skew) < unit_tolerance))
        return lam_fail(
            err, LAM_E_INVALID,
            "ImageOrientationPatient is not two perpendicular unit vectors (lengths %.4f and %.4f, "
            "product %.4f)",
            row, column, skew);
    if (!(plane->spacing_mm[0] > 0) || !(plane->spacing_mm[1] > 0) || !isfinite(plane->spacing_mm[0]) ||
        !isfinite(plane->spacing_mm[1]))
        return lam_fail(err, LAM_E_INVALID, "PixelSpacing %g\\%g is not two lengths above zero",
                        plane->spacing_mm[0], plane->spacing_mm[1]);
    return LAM_OK;
}

static bool differs(double a, double b, double relative)
{
    return !(fabs(a - b) <= relative * fmax(fabs(a), fabs(b)));
}

static lam_status check_alike(const lam_plane *a, const lam_plane *b, lam_error *err)
{
    double angle = fmax(angle_between(a->row, b->row), angle_between(a->column, b->column));
    if (!(angle * M_PI / 180 < parallel_tolerance))
        return lam_fail(err, LAM_E_INVALID,
                        "the images are turned against each other by up to %.1f degrees, so they are not one "
                        "stack of slices (a localizer?)",
                        angle);
    if (a->rows != b->rows || a->columns != b->columns)
        return lam_fail(err, LAM_E_INVALID,
                        "the images have different sizes: %lld×%lld and %lld×%lld (rows×columns)",
                        (long long)a->rows, (long long)a->columns, (long long)b->rows, (long long)b->columns);
    if (differs(a->spacing_mm[0], b->spacing_mm[0], size_tolerance) ||
        differs(a->spacing_mm[1], b->spacing_mm[1], size_tolerance))
        return lam_fail(err, LAM_E_INVALID, "the images have different pixel spacings: %g\\%g and %g\\%g mm",
                        a->spacing_mm[0], a->spacing_mm[1], b->spacing_mm[0], b->spacing_mm[1]);
    return LAM_OK;
}

typedef struct place {
    double distance; /* along the normal */
    size_t index;
} place;

static int by_distance(const void *a, const void *b)
{
    const place *p = a, *q = b;
    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static lam_status median_step(const place *places, size_t count, double *out, lam_error *err)
{
    lam_autofree double *steps = calloc(count, sizeof *steps);
    if (!steps)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i + 1 < count; i++)
        steps[i] = places[i + 1].distance - places[i].distance;
    qsort(steps, count - 1, sizeof *steps, by_value);
    *out = steps[(count - 1) / 2];
    return LAM_OK;
}

/* Equal steps along the normal: no two images at one place, none missing. */
static lam_status check_steps(const place *places, size_t count, double step, lam_error *err)
{
    for (size_t i = 0; i + 1 < count; i++) {
        double from = places[i].distance, to = places[i + 1].distance, here = to - from;
        if (here < position_tolerance_mm)
            return lam_fail(err, LAM_E_INVALID,
                            "two images lie at the same place, %.2f mm along the normal: repeated slices, or "
                            "several phases or echoes in one series (%zu images)",
                            from, count);
        if (fabs(here - step) <= distance_tolerance * step + position_tolerance_mm)
            continue;
        double missing = step > position_tolerance_mm ? here / step - 1 : 0;
        if (missing > 0.5 && fabs(missing - round(missing)) < 0.2)
            return lam_fail(err, LAM_E_INVALID,
                            "%.0f slice%s missing: between %.2f and %.2f mm along the normal lie %.2f mm, "
                            "elsewhere %.2f mm (%zu images)",
                            round(missing), round(missing) > 1 ? "s are" : " is", from, to, here, step,
                            count);
        return lam_fail(
            err, LAM_E_INVALID,
            "the slices are not evenly spaced: %.2f mm between %.2f and %.2f mm along the normal, "
            "elsewhere %.2f mm (%zu images)",
            here, from, to, step, count);
    }
    return LAM_OK;
}

/* The way from the first to the last slice that is not along the normal, a slice. */
static void lean_of(const lam_plane *planes, const place *places, size_t count, const double normal[3],
                    double out[3])
{
    const double *first = planes[places[0].index].position, *last = planes[places[count - 1].index].position;
    double along = places[count - 1].distance - places[0].distance;
    for (int i = 0; i < 3; i++)
        out[i] = (last[i] - first[i] - along * normal[i]) / (double)(count - 1);
}

/* First pixels must lie on one line, which must be the normal: else the patient moved, or the stack is
 * sheared. */
static lam_status check_line(const lam_plane *planes, const place *places, size_t count,
                             const double normal[3], double step, lam_error *err)
{
    const lam_plane *first = &planes[places[0].index];
    double lean[3], worst = 0;
    size_t at = 0;
    lean_of(planes, places, count, normal, lean);
    for (size_t i = 1; i < count; i++) {
        double along = places[i].distance - places[0].distance, off[3];
        for (int k = 0; k < 3; k++)
            off[k] = planes[places[i].index].position[k] - first->position[k] - along * normal[k] -
                     (double)i * lean[k];
        if (length_of(off) > worst) {
            worst = length_of(off);
            at = i;
        }
    }
    if (worst > aside_tolerance * fmin(first->spacing_mm[0], first->spacing_mm[1]) + position_tolerance_mm)
        return lam_fail(err, LAM_E_INVALID,
                        "the slices do not lie behind each other: slice %zu of %zu is %.2f mm beside the "
                        "line from the first to the last, so they are not one stack",
                        at + 1, count, worst);
    double shift = length_of(lean);
    if (shift > distance_tolerance * step + position_tolerance_mm)
        return lam_fail(
            err, LAM_E_INVALID,
            "each slice is shifted sideways by %.2f mm against the one before (gantry tilt), which a "
            "regular volume cannot hold",
            shift);
    return LAM_OK;
}

/* A stack of one slice is as thick as the slice. */
static lam_status single_step(const lam_plane *plane, double *step, lam_error *err)
{
    if (!(plane->thickness_mm > 0) || !isfinite(plane->thickness_mm))
        return lam_fail(err, LAM_E_INVALID,
                        "the series has 1 image, and it does not say how thick it is (SliceThickness)");
    *step = plane->thickness_mm;
    return LAM_OK;
}

static void fill_grid(const lam_plane *first, size_t count, const double normal[3], double step,
                      lam_grid *out)
{
    lam_grid grid = {.size = {(int64_t)count, first->rows, first->columns},
                     .spacing_mm = {step, first->spacing_mm[0], first->spacing_mm[1]}};
    memcpy(grid.axis[0], normal, sizeof grid.axis[0]);
    memcpy(grid.axis[1], first->column, sizeof grid.axis[1]);
    memcpy(grid.axis[2], first->row, sizeof grid.axis[2]);
    for (int i = 0; i < 3; i++)
        normalise(grid.axis[i]);
    memcpy(grid.origin, first->position, sizeof grid.origin);
    *out = grid;
}

static lam_status check_planes(const lam_plane *planes, size_t count, lam_error *err)
{
    if (count == 0)
        return lam_fail(err, LAM_E_INVALID, "the series has no images");
    for (size_t i = 0; i < count; i++) {
        lam_status status = check_plane(&planes[i], err);
        if (status == LAM_OK)
            status = check_alike(&planes[0], &planes[i], err);
        if (status != LAM_OK)
            return status;
    }
    return LAM_OK;
}

/* The planes by their distance along the common normal. */
static void sort_planes(const lam_plane *planes, size_t count, double normal[3], place *out)
{
    cross(planes[0].row, planes[0].column, normal);
    normalise(normal);
    for (size_t i = 0; i < count; i++)
        out[i] = (place){dot(planes[i].position, normal), i};
    qsort(out, count, sizeof *out, by_distance);
}

lam_status lam_grid_places(const lam_plane *planes, size_t count, size_t *place_of, size_t *places,
                           lam_error *err)
{
    double normal[3];
    size_t found = 0;
    lam_status status = check_planes(planes, count, err);
    if (status != LAM_OK)
        return status;
    lam_autofree place *sorted = calloc(count, sizeof *sorted);
    if (!sorted)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    sort_planes(planes, count, normal, sorted);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && sorted[i].distance - sorted[i - 1].distance >= position_tolerance_mm)
            found++;
        place_of[sorted[i].index] = found;
    }
    *places = found + 1;
    return LAM_OK;
}

lam_status lam_grid_from_planes(const lam_plane *planes, size_t count, size_t *order, lam_grid *out,
                                lam_error *err)
{
    double normal[3], step = 0;
    lam_status status = check_planes(planes, count, err);
    if (status != LAM_OK)
        return status;
    lam_autofree place *places = calloc(count, sizeof *places);
    if (!places)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    sort_planes(planes, count, normal, places);
    if (count == 1) {
        status = single_step(&planes[0], &step, err);
        if (status != LAM_OK)
            return status;
        order[0] = 0;
        fill_grid(&planes[0], 1, normal, step, out);
        return LAM_OK;
    }
    status = median_step(places, count, &step, err);
    if (status == LAM_OK)
        status = check_steps(places, count, step, err);
    if (status != LAM_OK)
        return status;
    const lam_plane *first = &planes[places[0].index];
    status = check_line(planes, places, count, normal, step, err);
    if (status != LAM_OK)
        return status;
    step = (places[count - 1].distance - places[0].distance) / (double)(count - 1);
    for (size_t i = 0; i < count; i++)
        order[i] = places[i].index;
    fill_grid(first, count, normal, step, out);
    return LAM_OK;
}

void lam_grid_to_patient(const lam_grid *grid, const double index[3], double patient[3])
{
    for (int i = 0; i < 3; i++) {
        patient[i] = grid->origin[i];
        for (int axis = 0; axis < 3; axis++)
            patient[i] += index[axis] * grid->spacing_mm[axis] * grid->axis[axis][i];
    }
}

void lam_grid_to_index(const lam_grid *grid, const double patient[3], double index[3])
{
    double from_origin[3];
    for (int i = 0; i < 3; i++)
        from_origin[i] = patient[i] - grid->origin[i];
    for (int axis = 0; axis < 3; axis++)
        index[axis] = dot(from_origin, grid->axis[axis]) / grid->spacing_mm[axis];
}

double lam_grid_voxel_ml(const lam_grid *grid)
{
    return grid->spacing_mm[0] * grid->spacing_mm[1] * grid->spacing_mm[2] / 1000;
}

/* ---- turning ---- */

static const struct {
    char letter;
    int dimension; /* of patient coordinates */
    double sign;
} directions[] = {{'L', 0, 1}, {'R', 0, -1}, {'P', 1, 1}, {'A', 1, -1}, {'S', 2, 1}, {'I', 2, -1}};

static bool direction_of(char letter, int *dimension, double *sign)
{
    for (size_t i = 0; i < LAM_COUNT(directions); i++)
        if (directions[i].letter == letter) {
            *dimension = directions[i].dimension;
            *sign = directions[i].sign;
            return true;
        }
    return false;
}

/* All six ways to give three source axes to three patient dimensions; the one whose axes point best wins, so
 * that an oblique grid never uses one axis twice. */
static void best_assignment(const lam_grid *grid, const int dimension[3], int from[3])
{
    static const int ways[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double best = -1;
    for (int w = 0; w < 6; w++) {
        double sum = 0;
        for (int i = 0; i < 3; i++)
            sum += fabs(grid->axis[ways[w][i]][dimension[i]]);
        if (sum > best + 1e-9) {
            best = sum;
            memcpy(from, ways[w], sizeof ways[w]);
        }
    }
}

lam_status lam_turn_to(const lam_grid *grid, const char *letters, lam_turn *out, lam_error *err)
{
    lam_turn turn = {.from = {0, 1, 2}};
    if (*letters) {
        int dimension[3] = {0};
        double sign[3] = {0};
        bool named[3] = {false};
        for (int i = 0; i < 3; i++) { /* letters are x, y, z; memory is z, y, x */
            if (strlen(letters) != 3 || !direction_of(letters[2 - i], &dimension[i], &sign[i]) ||
                named[dimension[i]])
                return lam_fail(err, LAM_E_INVALID, "\"%.8s\" does not name three patient directions",
                                letters);
            named[dimension[i]] = true;
        }
        best_assignment(grid, dimension, turn.from);
        for (int i = 0; i < 3; i++)
            turn.flip[i] = grid->axis[turn.from[i]][dimension[i]] * sign[i] < 0;
    }
    *out = turn;
    return LAM_OK;
}

void lam_turn_shape(const lam_turn *turn, const lam_grid *grid, int64_t size[3], double spacing_mm[3])
{
    for (int i = 0; i < 3; i++) {
        size[i] = grid->size[turn->from[i]];
        spacing_mm[i] = grid->spacing_mm[turn->from[i]];
    }
}

/* Where the turned array's voxel [0, 0, 0] is in the source, and how far a step along each turned axis goes.
 */
static int64_t strides(const lam_turn *turn, const int64_t size[3], int64_t turned_size[3], int64_t stride[3])
{
    const int64_t source_stride[3] = {size[1] * size[2], size[2], 1};
    int64_t start = 0;
    for (int i = 0; i < 3; i++) {
        int axis = turn->from[i];
        turned_size[i] = size[axis];
        stride[i] = turn->flip[i] ? -source_stride[axis] : source_stride[axis];
        if (turn->flip[i])
            start += (size[axis] - 1) * source_stride[axis];
    }
    return start;
}

void lam_turn_floats(const lam_turn *turn, const int64_t size[3], const float *source, float *turned)
{
    int64_t n[3], stride[3];
    int64_t start = strides(turn, size, n, stride);
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++)
                *turned++ = source[start + z * stride[0] + y * stride[1] + x * stride[2]];
}

void lam_turn_labels_back(const lam_turn *turn, const int64_t size[3], const uint8_t *turned, uint8_t *source)
{
    int64_t n[3], stride[3];
    int64_t start = strides(turn, size, n, stride);
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++)
                source[start + z * stride[0] + y * stride[1] + x * stride[2]] = *turned++;
}

void lam_turn_floats_back(const lam_turn *turn, const int64_t size[3], const float *turned, float *source)
{
    int64_t n[3], stride[3];
    int64_t start = strides(turn, size, n, stride);
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++)
                source[start + z * stride[0] + y * stride[1] + x * stride[2]] = *turned++;
}
