#include "dicom/series.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/apart.h"
#include "dicom/groups.h"
#include "dicom/phases.h"
#include "dicom/tag.h"
#include "dicom/unplaced.h"

struct lam_series {
    lam_frames *objects;
    size_t object_count, object_room;
    lam_slice *slices; /* phase by phase */
    size_t slice_count, phases, phase;
    size_t *unread; /* slices of each object that have not been decoded */
    lam_grid grid;
    bool unplaced;
};

lam_status lam_series_create(lam_series **out, lam_error *err)
{
    lam_series *series = calloc(1, sizeof *series);
    if (!series)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    *out = series;
    return LAM_OK;
}

void lam_series_free(lam_series *series)
{
    if (!series)
        return;
    for (size_t i = 0; i < series->object_count; i++)
        lam_frames_close(&series->objects[i]);
    free(series->objects);
    free(series->slices);
    free(series->unread);
    free(series);
}

lam_status lam_series_add(lam_series *series, int fd, lam_error *err)
{
    if (series->object_count >= LAM_SERIES_MAX_SLICES)
        return lam_fail(err, LAM_E_LIMIT, "the series has more than %d images", LAM_SERIES_MAX_SLICES);
    if (series->object_count == series->object_room) {
        size_t room = series->object_room ? 2 * series->object_room : 64;
        lam_frames *grown = realloc(series->objects, room * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        series->objects = grown;
        series->object_room = room;
    }
    lam_status status = lam_frames_open(fd, &series->objects[series->object_count], err);
    if (status == LAM_OK)
        series->object_count++;
    return status;
}

size_t lam_series_objects(const lam_series *series)
{
    return series->object_count;
}

lam_dataset *lam_series_object(const lam_series *series, size_t index)
{
    return series->objects[index].header;
}

size_t lam_series_phases(const lam_series *series)
{
    return series->phases;
}

void lam_series_look_at(lam_series *series, size_t phase)
{
    series->phase = phase < series->phases ? phase : 0;
}

const lam_slice *lam_series_slices(const lam_series *series)
{
    return lam_series_slices_of(series, series->phase);
}

const lam_slice *lam_series_slices_of(const lam_series *series, size_t phase)
{
    return series->slices + (phase < series->phases ? phase : 0) * (size_t)series->grid.size[0];
}

bool lam_series_is_placed(const lam_series *series)
{
    return !series->unplaced;
}

const lam_grid *lam_series_grid(const lam_series *series)
{
    return &series->grid;
}

/* ---- arranging ---- */

/* What all objects share; only those of one stack need be of one series. Frame of reference: positions mean
 * nothing across two of them. */
static const struct {
    lam_tag tag;
    const char *name;
} shared[] = {
    {LAM_TAG_STUDY, "StudyInstanceUID"},
    {LAM_TAG_SERIES, "SeriesInstanceUID"},
    {LAM_TAG_FRAME_OF_REFERENCE, "FrameOfReferenceUID"},
    {LAM_TAG_PATIENT_ID, "PatientID"},
};

static lam_status check_shared(const lam_series *series, bool several, lam_error *err)
{
    for (size_t i = 0; i < LAM_COUNT(shared); i++) {
        if (several && shared[i].tag == LAM_TAG_SERIES)
            continue;
        const char *first = lam_dataset_text(lam_series_object(series, 0), shared[i].tag, "");
        for (size_t k = 1; k < series->object_count; k++)
            if (strcmp(first, lam_dataset_text(lam_series_object(series, k), shared[i].tag, "")) != 0)
                return lam_fail(err, LAM_E_INVALID,
                                "the images differ in %s (%04x,%04x), so they are not one volume",
                                shared[i].name, LAM_TAG_ARGS(shared[i].tag));
    }
    return LAM_OK;
}

/* Every stored value has at most 32 bits and must become a number of single precision. */
static lam_status read_rescale(lam_dataset *item, lam_rescale *out, lam_error *err)
{
    lam_rescale rescale = {.slope = 1, .intercept = 0};
    lam_dataset_number(item, LAM_TAG_SLOPE, 0, &rescale.slope);
    lam_dataset_number(item, LAM_TAG_INTERCEPT, 0, &rescale.intercept);
    double largest = fabs(rescale.slope) * 0x1p32 + fabs(rescale.intercept);
    if (!(largest <= (double)FLT_MAX) || rescale.slope == 0)
        return lam_fail(err, LAM_E_INVALID,
                        "RescaleSlope (0028,1053) %g and RescaleIntercept (0028,1052) %g make no values",
                        rescale.slope, rescale.intercept);
    *out = rescale;
    return LAM_OK;
}

static lam_status locate(lam_slice *slice, const lam_layout *image, lam_error *err)
{
    lam_dataset *object = slice->object;
    bool groups = slice->multi_frame;
    size_t frame = (size_t)slice->frame;
    slice->position_in = groups ? lam_groups_item(object, LAM_TAG_PLANE_POSITIONS, frame) : object;
    slice->orientation_in = groups ? lam_groups_item(object, LAM_TAG_PLANE_ORIENTATIONS, frame) : object;
    slice->measures_in = groups ? lam_groups_item(object, LAM_TAG_PIXEL_MEASURES, frame) : object;
    double orientation[6];
    lam_plane plane = {.rows = image->rows, .columns = image->columns};
    if (!slice->position_in || !lam_dataset_numbers(slice->position_in, LAM_TAG_POSITION, plane.position, 3))
        return lam_fail(err, LAM_E_INVALID,
                        "an image has no ImagePositionPatient (0020,0032), so its place is unknown");
    if (!slice->orientation_in ||
        !lam_dataset_numbers(slice->orientation_in, LAM_TAG_ORIENTATION, orientation, 6))
        return lam_fail(err, LAM_E_INVALID, "an image has no ImageOrientationPatient (0020,0037)");
    if (!slice->measures_in ||
        !lam_dataset_numbers(slice->measures_in, LAM_TAG_PIXEL_SPACING, plane.spacing_mm, 2))
        return lam_fail(err, LAM_E_INVALID, "an image has no PixelSpacing (0028,0030)");
    if (!lam_dataset_number(slice->measures_in, LAM_TAG_SLICE_SPACING, 0, &plane.thickness_mm))
        lam_dataset_number(slice->measures_in, LAM_TAG_SLICE_THICKNESS, 0, &plane.thickness_mm);
    memcpy(plane.row, orientation, sizeof plane.row);
    memcpy(plane.column, orientation + 3, sizeof plane.column);
    slice->plane = plane;
    lam_dataset *transform = groups ? lam_groups_item(object, LAM_TAG_VALUE_TRANSFORMS, frame) : object;
    return read_rescale(transform ? transform : object, &slice->rescale, err);
}

/* A slice that is nowhere: what is known of it is the image's. */
static lam_status describe_unplaced(lam_slice *slice, const lam_layout *image, lam_error *err)
{
    slice->position_in = slice->orientation_in = slice->measures_in = slice->object;
    slice->plane = (lam_plane){.rows = image->rows, .columns = image->columns};
    lam_unplaced_spacing(slice->object, slice->plane.spacing_mm);
    return read_rescale(slice->object, &slice->rescale, err);
}

static lam_status add_slices(lam_series *series, size_t object_index, lam_error *err)
{
    const lam_frames *frames = &series->objects[object_index];
    const lam_layout *image = &frames->layout;
    lam_dataset *object = frames->header;
    lam_status status = lam_image_check(frames, err);
    if (status != LAM_OK)
        return status;
    size_t groups = lam_dataset_items(object, LAM_TAG_FRAME_GROUPS);
    bool enhanced = groups > 0 || lam_dataset_items(object, LAM_TAG_SHARED_GROUPS) > 0;
    if (image->frames > 1 && !enhanced)
        return lam_fail(err, LAM_E_UNSUPPORTED,
                        "an image of %lld frames without functional groups does not say where they are",
                        (long long)image->frames);
    if (groups > 0 && groups != (size_t)image->frames) /* PS3.3 C.7.6.16: one for each */
        return lam_fail(
            err, LAM_E_INVALID,
            "an image has %lld frames and %zu Per-Frame Functional Groups (5200,9230), so it does "
            "not say where each frame is",
            (long long)image->frames, groups);
    if (series->slice_count + (size_t)image->frames > LAM_SERIES_MAX_SLICES)
        return lam_fail(err, LAM_E_LIMIT, "the series has more than %d slices", LAM_SERIES_MAX_SLICES);
    lam_slice *grown = realloc(series->slices, (series->slice_count + (size_t)image->frames) * sizeof *grown);
    if (!grown)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    series->slices = grown;
    for (int64_t frame = 0; frame < image->frames; frame++) {
        lam_slice slice = {
            .object = object, .object_index = object_index, .frame = frame, .multi_frame = enhanced};
        status = series->unplaced ? describe_unplaced(&slice, image, err) : locate(&slice, image, err);
        if (status != LAM_OK)
            return status;
        series->slices[series->slice_count++] = slice;
    }
    return LAM_OK;
}

/* The grid of the first `count` slices, which are then in its order. */
static lam_status sort_stack(lam_series *series, size_t count, lam_error *err)
{
    if (series->unplaced)
        return lam_unplaced_sort(series->slices, count, &series->grid, err);
    lam_autofree lam_plane *planes = calloc(count, sizeof *planes);
    lam_autofree size_t *order = calloc(count, sizeof *order);
    lam_autofree lam_slice *sorted = calloc(count, sizeof *sorted);
    lam_status status = planes && order && sorted ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        planes[i] = series->slices[i].plane;
    if (status == LAM_OK)
        status = lam_grid_from_planes(planes, count, order, &series->grid, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        sorted[i] = series->slices[order[i]];
    if (status == LAM_OK)
        memcpy(series->slices, sorted, count * sizeof *sorted);
    return status;
}

static lam_status sort_slices(lam_series *series, bool several, lam_error *err)
{
    lam_status status = LAM_OK;
    if (several)
        status = lam_phases_sort(series->slices, series->slice_count, &series->phases, err);
    if (status == LAM_OK)
        status = sort_stack(series, series->slice_count / series->phases, err);
    if (status == LAM_E_INVALID && !series->unplaced)
        lam_apart_explain(series->slices, series->slice_count, err);
    return status;
}

static lam_status count_unread(lam_series *series, lam_error *err)
{
    series->unread = calloc(series->object_count, sizeof *series->unread);
    if (!series->unread)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < series->slice_count; i++)
        series->unread[series->slices[i].object_index]++;
    return LAM_OK;
}

static lam_status arrange(lam_series *series, bool several, lam_error *err)
{
    series->phases = 1;
    if (series->object_count == 0)
        return lam_fail(err, LAM_E_INVALID, "the series has no images");
    series->unplaced = !several && lam_unplaced_are(series);
    lam_status status = check_shared(series, several, err);
    for (size_t i = 0; i < series->object_count && status == LAM_OK; i++)
        status = add_slices(series, i, err);
    if (status == LAM_OK)
        status = sort_slices(series, several, err);
    if (status == LAM_OK)
        status = count_unread(series, err);
    if (status != LAM_OK)
        return status;
    const int64_t *size = series->grid.size;
    if (size[0] * size[1] * size[2] > LAM_SERIES_MAX_VOXELS)
        return lam_fail(err, LAM_E_LIMIT, "a volume of %lld×%lld×%lld voxels is over the limit of %lld",
                        (long long)size[0], (long long)size[1], (long long)size[2],
                        (long long)LAM_SERIES_MAX_VOXELS);
    return LAM_OK;
}

lam_status lam_series_arrange(lam_series *series, lam_error *err)
{
    return arrange(series, false, err);
}

lam_status lam_series_arrange_phases(lam_series *series, lam_error *err)
{
    return arrange(series, true, err);
}

/* ---- pixels ---- */

/* What is padding instead of image gets the least value of the rest. */
static void fill_padding(float *voxels, size_t count)
{
    float least = INFINITY;
    for (size_t i = 0; i < count; i++)
        least = fminf(least, voxels[i]);
    for (size_t i = 0; i < count; i++)
        if (isnan(voxels[i]))
            voxels[i] = isfinite(least) ? least : 0;
}

lam_status lam_series_voxels(lam_series *series, float *out,
                             void (*tick)(void *context, size_t done, size_t total), void *context,
                             lam_error *err)
{
    const lam_slice *slices = lam_series_slices(series);
    size_t count = (size_t)series->grid.size[0];
    size_t voxels = (size_t)(series->grid.size[1] * series->grid.size[2]);
    for (size_t i = 0; i < count; i++) {
        const lam_slice *slice = &slices[i];
        lam_frames *frames = &series->objects[slice->object_index];
        lam_status status = lam_image_frame(frames, slice->frame, slice->rescale, out + i * voxels, err);
        if (status != LAM_OK) {
            lam_error_prefix(err, "slice %zu of %zu", i + 1, count);
            return status;
        }
        if (--series->unread[slice->object_index] == 0)
            lam_frames_forget(frames);
        if (tick)
            tick(context, i + 1, count);
    }
    fill_padding(out, count * voxels);
    return LAM_OK;
}
