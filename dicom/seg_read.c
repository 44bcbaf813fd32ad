#include "dicom/seg_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/groups.h"
#include "dicom/tag.h"

/* What rounding in headers may do, and no more. */
static const double parallel = 1e-3;  /* of the cosine of an angle */
static const double same_size = 5e-3; /* of pixel spacing, relative */
static const double same_place = 0.1; /* of a voxel */

int64_t lam_seg_read_segment(lam_frames *s, int64_t index)
{
    lam_dataset *identification = lam_groups_item(s->header, LAM_TAG_SEGMENT_IDS, (size_t)index);
    int64_t number = 0;
    if (identification)
        lam_dataset_integer(identification, LAM_TAG_REFERENCED_SEGMENT, 0, &number);
    return number;
}

static bool is_type(lam_frames *s, const char *type)
{
    return lam_dataset_is(s->header, LAM_TAG_SEGMENTATION_TYPE, type);
}

void lam_seg_read_values(lam_frames *s, const unsigned char *bytes, uint8_t *out)
{
    int64_t most = 255;
    size_t count = (size_t)(s->layout.rows * s->layout.columns), width = (size_t)s->layout.bits_allocated / 8;
    bool map = is_type(s, "LABELMAP"), fractional = is_type(s, "FRACTIONAL");
    lam_dataset_integer(s->header, LAM_TAG_MAXIMUM_FRACTIONAL, 0, &most);
    for (size_t i = 0; i < count; i++)
        if (width == 0)
            out[i] = bytes[i / 8] >> i % 8 & 1;
        else if (map)
            out[i] = bytes[i * width];
        else
            out[i] = fractional ? bytes[i] && 2 * bytes[i] >= most : bytes[i] != 0;
}

/* ---- segments ---- */

static lam_code read_code(lam_dataset *parent, lam_tag sequence)
{
    lam_dataset *item = parent ? lam_dataset_item(parent, sequence, 0) : NULL;
    if (!item)
        return (lam_code){NULL, NULL, NULL};
    return (lam_code){lam_dataset_text(item, LAM_TAG_CODE_VALUE, NULL),
                      lam_dataset_text(item, LAM_TAG_CODING_SCHEME, ""),
                      lam_dataset_text(item, LAM_TAG_CODE_MEANING, "")};
}

bool lam_seg_read_description(lam_frames *s, size_t index, lam_drawn_segment *out)
{
    lam_dataset *item = lam_dataset_item(s->header, LAM_TAG_SEGMENTS, index);
    if (!item)
        return false;
    *out = (lam_drawn_segment){
        .label = lam_dataset_text(item, LAM_TAG_SEGMENT_LABEL, ""),
        .type = read_code(item, LAM_TAG_PROPERTY_TYPE),
        .type_modifier =
            read_code(lam_dataset_item(item, LAM_TAG_PROPERTY_TYPE, 0), LAM_TAG_PROPERTY_MODIFIER),
        .anatomy = read_code(item, LAM_TAG_ANATOMIC_REGION),
        .anatomy_modifier =
            read_code(lam_dataset_item(item, LAM_TAG_ANATOMIC_REGION, 0), LAM_TAG_ANATOMIC_MODIFIER),
    };
    lam_dataset_integer(item, LAM_TAG_SEGMENT_NUMBER, 0, &out->number);
    return true;
}

/* ---- where frames lie ---- */

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static lam_status check_directions(lam_frames *s, int64_t index, const lam_grid *grid, lam_error *err)
{
    double directions[6], spacing[2];
    lam_dataset *orientation = lam_groups_item(s->header, LAM_TAG_PLANE_ORIENTATIONS, (size_t)index);
    lam_dataset *measures = lam_groups_item(s->header, LAM_TAG_PIXEL_MEASURES, (size_t)index);
    if (!orientation || !lam_dataset_numbers(orientation, LAM_TAG_ORIENTATION, directions, 6) || !measures ||
        !lam_dataset_numbers(measures, LAM_TAG_PIXEL_SPACING, spacing, 2))
        return lam_fail(err, LAM_E_INVALID,
                        "frame %lld has no ImageOrientationPatient (0020,0037) or PixelSpacing (0028,0030)",
                        (long long)index + 1);
    if (!(dot(directions, grid->axis[2]) > 1 - parallel) ||
        !(dot(directions + 3, grid->axis[1]) > 1 - parallel))
        return lam_fail(err, LAM_E_INVALID,
                        "frame %lld was drawn in another orientation than the images have",
                        (long long)index + 1);
    for (int i = 0; i < 2; i++)
        if (!(fabs(spacing[i] - grid->spacing_mm[1 + i]) <= same_size * grid->spacing_mm[1 + i]))
            return lam_fail(err, LAM_E_INVALID,
                            "frame %lld has pixels of %g×%g mm, the images have %g×%g mm; save it on the "
                            "images' own grid",
                            (long long)index + 1, spacing[0], spacing[1], grid->spacing_mm[1],
                            grid->spacing_mm[2]);
    return LAM_OK;
}

/* The voxel [z, y, x] of the grid that the frame's first pixel is; y and x may be outside. */
static lam_status locate(lam_frames *s, int64_t index, const lam_grid *grid, int64_t at[3], lam_error *err)
{
    double position[3], place[3];
    lam_dataset *item = lam_groups_item(s->header, LAM_TAG_PLANE_POSITIONS, (size_t)index);
    if (!item || !lam_dataset_numbers(item, LAM_TAG_POSITION, position, 3))
        return lam_fail(err, LAM_E_INVALID, "frame %lld has no ImagePositionPatient (0020,0032)",
                        (long long)index + 1);
    lam_grid_to_index(grid, position, place);
    for (int i = 0; i < 3; i++)
        if (!(fabs(place[i]) < 1e6) || fabs(place[i] - round(place[i])) > same_place)
            return lam_fail(err, LAM_E_INVALID, "frame %lld lies between the images' voxels",
                            (long long)index + 1);
    for (int i = 0; i < 3; i++)
        at[i] = llround(place[i]);
    if (at[0] < 0 || at[0] >= grid->size[0])
        return lam_fail(err, LAM_E_INVALID, "frame %lld lies on none of the images", (long long)index + 1);
    return check_directions(s, index, grid, err);
}

/* ---- the map ---- */

typedef struct mark {
    const lam_grid *grid;
    const uint8_t *values; /* of the frame's pixels: what they become */
    uint8_t *labels;
    int64_t *overlap;
} mark;

static void put(const mark *m, const int64_t at[3], const uint8_t *pixels, int64_t rows, int64_t columns)
{
    const int64_t *size = m->grid->size;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column++) {
            int64_t y = at[1] + row, x = at[2] + column;
            uint8_t value = m->values[pixels[row * columns + column]];
            if (value == 0 || y < 0 || y >= size[1] || x < 0 || x >= size[2])
                continue;
            uint8_t *label = &m->labels[(at[0] * size[1] + y) * size[2] + x];
            *m->overlap += *label && *label != value;
            *label = value > *label ? value : *label;
        }
}

lam_status lam_seg_read_map(lam_frames *s, const lam_grid *grid, const uint8_t values[256], uint8_t *labels,
                            int64_t *overlap, lam_error *err)
{
    const lam_layout *l = &s->layout;
    bool map = is_type(s, "LABELMAP");
    size_t size = 0;
    lam_drawn_segment segment;
    for (size_t i = 0; lam_seg_read_description(s, i, &segment); i++)
        if (segment.number > 255)
            return lam_fail(err, LAM_E_LIMIT, "segments with numbers above 255 are not read");
    lam_status status = lam_frames_size(s, &size, err);
    if (status != LAM_OK)
        return status;
    lam_autofree unsigned char *bytes = calloc(1, size + 8);
    lam_autofree uint8_t *pixels = calloc((size_t)l->rows, (size_t)l->columns);
    if (!bytes || !pixels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a segmentation");
    for (int64_t i = 0; i < l->frames && status == LAM_OK; i++) {
        char photometric[17];
        int64_t at[3], number = lam_seg_read_segment(s, i);
        const uint8_t one[256] = {[1] = number > 0 && number < 256 ? values[number] : 0};
        const mark m = {grid, map ? values : one, labels, overlap};
        status = locate(s, i, grid, at, err);
        if (status == LAM_OK)
            status = lam_frames_decode(s, i, true, bytes, photometric, err);
        if (status != LAM_OK)
            return status;
        lam_seg_read_values(s, bytes, pixels);
        put(&m, at, pixels, l->rows, l->columns);
    }
    return status;
}
