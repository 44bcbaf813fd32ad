#include "dicom/contour.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

/* A slice of one segment, with a border of nothing around it. */
typedef struct mask {
    int64_t rows, columns;
    uint8_t *inside;  /* [rows, columns] */
    uint8_t *visited; /* the upper edge of a pixel has been walked along */
} mask;

static void mask_done(mask *m)
{
    free(m->inside);
    free(m->visited);
}

static bool is_inside(const mask *m, int64_t row, int64_t column)
{
    return row >= 0 && column >= 0 && row < m->rows && column < m->columns &&
           m->inside[row * m->columns + column];
}

static bool belongs(const lam_findings *f, const lam_segment *segment, size_t voxel)
{
    return segment->mask ? segment->mask[voxel] != 0 : f->labels && f->labels[voxel] == segment->number;
}

static lam_status mask_init(const lam_result *result, size_t index, size_t slice, mask *m, lam_error *err)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    size_t pixels = (size_t)(size[1] * size[2]);
    const lam_findings *f = &result->findings;
    *m = (mask){size[1], size[2], calloc(pixels, 1), calloc(pixels, 1)};
    if (!m->inside || !m->visited)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for an outline");
    for (size_t i = 0; i < pixels; i++)
        m->inside[i] = belongs(f, &f->segments[index], slice * pixels + i);
    return LAM_OK;
}

static lam_status add_point(lam_contours *c, size_t *room, int64_t row, int64_t column, lam_error *err)
{
    if (c->point_count == *room) {
        size_t more = *room ? 2 * *room : 256;
        double *grown = realloc(c->points, 2 * more * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for an outline");
        c->points = grown;
        *room = more;
    }
    c->points[2 * c->point_count] = (double)column;
    c->points[2 * c->point_count + 1] = (double)row;
    c->point_count++;
    return LAM_OK;
}

/* Walks along the edges with the inside on the right hand, from the upper left corner of a pixel whose upper
 * neighbour is outside, until it is back. At a corner where two pixels touch, each keeps to itself. Points
 * are set where the way turns. */
static lam_status walk(mask *m, int64_t row, int64_t column, lam_contours *c, size_t *room, lam_error *err)
{
    static const int64_t down[] = {0, 1, 0, -1}, right[] = {1, 0, -1, 0}; /* east, south, west, north */
    const int64_t start_row = row, start_column = column;
    int heading = 0;
    lam_status status = add_point(c, room, row, column, err);
    do {
        if (heading == 0)
            m->visited[row * m->columns + column] = 1;
        row += down[heading];
        column += right[heading];
        /* the pixels ahead, to the left and to the right of the way; corner (r, c) is the upper left one of
         * pixel (r, c) */
        int64_t left_row = row - (heading == 0 || heading == 3), left_column = column - (heading >= 2);
        int64_t right_row = row - (heading >= 2), right_column = column - (heading == 1 || heading == 2);
        int before = heading;
        if (!is_inside(m, right_row, right_column))
            heading = (heading + 1) % 4;
        else if (is_inside(m, left_row, left_column))
            heading = (heading + 3) % 4;
        if (heading != before && status == LAM_OK &&
            !(row == start_row && column == start_column && heading == 0))
            status = add_point(c, room, row, column, err);
    } while (status == LAM_OK && !(row == start_row && column == start_column && heading == 0));
    return status;
}

/* Closes the outline that began at point `first`, thinned out to `most` points. */
static lam_status close_outline(lam_contours *c, size_t first, size_t most, size_t *room, lam_error *err)
{
    size_t count = c->point_count - first;
    if (count + 1 > most) {
        for (size_t i = 0; i + 1 < most; i++)
            memmove(c->points + 2 * (first + i), c->points + 2 * (first + i * count / (most - 1)),
                    2 * sizeof *c->points);
        c->point_count = first + most - 1;
    }
    lam_status status =
        add_point(c, room, (int64_t)c->points[2 * first + 1], (int64_t)c->points[2 * first], err);
    lam_contour *grown = realloc(c->list, (c->count + 1) * sizeof *grown);
    if (status != LAM_OK || !grown)
        return grown ? (c->list = grown, status) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    c->list = grown;
    c->list[c->count] = (lam_contour){first, c->point_count - first};
    if (c->list[c->count].count > c->list[c->longest].count)
        c->longest = c->count;
    c->count++;
    return LAM_OK;
}

lam_status lam_contours_trace(const lam_result *result, size_t index, size_t slice, size_t most,
                              lam_contours *out, lam_error *err)
{
    LAM_AUTO(mask_done) mask m = {0, 0, NULL, NULL};
    LAM_AUTO(lam_contours_done) lam_contours c = {.points = NULL};
    size_t room = 0;
    lam_status status = mask_init(result, index, slice, &m, err);
    for (int64_t row = 0; status == LAM_OK && row < m.rows; row++)
        for (int64_t column = 0; status == LAM_OK && column < m.columns; column++) {
            if (!is_inside(&m, row, column) || is_inside(&m, row - 1, column) ||
                m.visited[row * m.columns + column])
                continue;
            size_t first = c.point_count;
            status = walk(&m, row, column, &c, &room, err);
            if (status == LAM_OK)
                status = close_outline(&c, first, most, &room, err);
        }
    if (status != LAM_OK)
        return status;
    *out = c;
    c = (lam_contours){.points = NULL};
    return LAM_OK;
}

void lam_contours_done(lam_contours *contours)
{
    free(contours->points);
    free(contours->list);
    *contours = (lam_contours){.points = NULL};
}

bool lam_contour_largest(const lam_result *result, size_t index, size_t *slice, size_t *pixels)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    size_t each = (size_t)(size[1] * size[2]), best = 0;
    const lam_findings *f = &result->findings;
    for (size_t z = 0; z < (size_t)size[0]; z++) {
        size_t here = 0;
        for (size_t i = 0; i < each; i++)
            here += belongs(f, &f->segments[index], z * each + i);
        if (here > best) {
            best = here;
            *slice = z;
        }
    }
    if (pixels)
        *pixels = best;
    return best > 0;
}

void lam_contour_to_patient(const lam_result *result, size_t slice, const double point[2], double patient[3])
{
    const double index[3] = {(double)slice, point[1] - 0.5, point[0] - 0.5};
    lam_grid_to_patient(lam_series_grid(result->series), index, patient);
}
