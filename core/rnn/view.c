/* Mirror images and turns of a case on the way into the network, and out of it (view.h). */
#include "core/rnn/view.h"

#include <math.h>
#include <string.h>

enum { Z, Y, X };

static size_t flip_count(const lam_manifest *manifest)
{
    size_t flips = 1;
    for (int i = 0; i < 3; i++)
        flips *= manifest->average_flips[i] ? 2 : 1;
    return flips;
}

size_t lam_view_count(const lam_manifest *manifest)
{
    return (1 + manifest->average_turn_count) * flip_count(manifest);
}

lam_view lam_view_at(const lam_manifest *manifest, size_t number)
{
    size_t flips = flip_count(manifest), bits = number % flips, turn = number / flips;
    lam_view view = {.turn = turn ? manifest->average_turns[turn - 1] * M_PI / 180 : 0};
    for (int axis = 0; axis < 3; axis++) {
        if (!manifest->average_flips[axis])
            continue;
        view.flip[axis] = bits & 1;
        bits >>= 1;
    }
    return view;
}

/* ---- mirror images ---- */

/* Mirrors [runs, count, width] along its middle axis, in place: the first of a run changes places with the
 * last, and so on. */
static void mirror_runs(float *data, int64_t runs, int64_t count, int64_t width)
{
    for (float *run = data, *end = data + runs * count * width; run < end; run += count * width)
        for (int64_t i = 0; i < count / 2; i++) {
            float *a = run + i * width, *b = run + (count - 1 - i) * width;
            for (int64_t k = 0; k < width; k++) {
                float t = a[k];
                a[k] = b[k];
                b[k] = t;
            }
        }
}

/* Mirrors [size…, channels] along an axis, in place. */
static void mirror(float *data, const int64_t size[3], int64_t channels, int axis)
{
    int64_t runs = 1, width = channels;
    for (int before = 0; before < axis; before++)
        runs *= size[before];
    for (int after = axis + 1; after < 3; after++)
        width *= size[after];
    mirror_runs(data, runs, size[axis], width);
}

/* ---- turns ---- */

/* A point of a plane [size…, channels], interpolated between the four around it; outside, the border's. */
static void sample(const float *plane, const int64_t size[3], int64_t channels, double y, double x,
                   float *out)
{
    y = fmin(fmax(y, 0), (double)(size[Y] - 1));
    x = fmin(fmax(x, 0), (double)(size[X] - 1));
    int64_t top = (int64_t)y, left = (int64_t)x;
    int64_t bottom = top + 1 < size[Y] ? top + 1 : top, right = left + 1 < size[X] ? left + 1 : left;
    float down = (float)(y - (double)top), along = (float)(x - (double)left);
    const float *a = plane + (top * size[X] + left) * channels,
                *b = plane + (top * size[X] + right) * channels;
    const float *c = plane + (bottom * size[X] + left) * channels;
    const float *d = plane + (bottom * size[X] + right) * channels;
    for (int64_t k = 0; k < channels; k++) {
        float above = a[k] + along * (b[k] - a[k]), below = c[k] + along * (d[k] - c[k]);
        out[k] = above + down * (below - above);
    }
}

/* The middle of the part that is taken, whose first voxel is at `from`. */
static double middle(const lam_frame *frame, const int64_t from[3], int axis)
{
    return (double)from[axis] + (double)(frame->taken[axis] - 1) / 2;
}

static void fill_turned(double turn, const lam_frame *frame, const int64_t size[3], int64_t channels,
                        const float *volume, float *input)
{
    double c = cos(turn), s = sin(turn);
    const int64_t *to = frame->before;
    memset(input, 0, (size_t)(frame->size[Z] * frame->size[Y] * frame->size[X] * channels) * sizeof *input);
    for (int64_t z = 0; z < frame->taken[Z]; z++) {
        const float *plane = volume + (z + frame->from[Z]) * size[Y] * size[X] * channels;
        for (int64_t y = 0; y < frame->taken[Y]; y++)
            for (int64_t x = 0; x < frame->taken[X]; x++) {
                double down = (double)y - (double)(frame->taken[Y] - 1) / 2;
                double along = (double)x - (double)(frame->taken[X] - 1) / 2;
                int64_t at = ((z + to[Z]) * frame->size[Y] + y + to[Y]) * frame->size[X] + x + to[X];
                sample(plane, size, channels, middle(frame, frame->from, Y) + c * down - s * along,
                       middle(frame, frame->from, X) + s * down + c * along, input + at * channels);
            }
    }
}

void lam_view_fill(const lam_view *view, const lam_frame *frame, const int64_t size[3], int64_t channels,
                   const float *volume, float *input)
{
    if (view->turn != 0)
        fill_turned(view->turn, frame, size, channels, volume, input);
    else
        lam_prepare_pad(frame, size, channels, volume, input);
    for (int axis = 0; axis < 3; axis++)
        if (view->flip[axis])
            mirror(input, frame->size, channels, axis);
}

/* ---- and back ---- */

static int64_t mirrored(int64_t at, int64_t size, bool flip)
{
    return flip ? size - 1 - at : at;
}

static double mirrored_point(double at, int64_t size, bool flip)
{
    return flip ? (double)(size - 1) - at : at;
}

static void read_turned(const lam_view *view, const lam_frame *frame, int64_t channels, const float *plane,
                        int64_t y, float *row)
{
    const int64_t *size = frame->size;
    double c = cos(view->turn), s = sin(view->turn);
    double down = (double)y - (double)(frame->taken[Y] - 1) / 2;
    for (int64_t x = 0; x < frame->taken[X]; x++) {
        double along = (double)x - (double)(frame->taken[X] - 1) / 2;
        double from_y = middle(frame, frame->before, Y) + c * down + s * along;
        double from_x = middle(frame, frame->before, X) - s * down + c * along;
        sample(plane, size, channels, mirrored_point(from_y, size[Y], view->flip[Y]),
               mirrored_point(from_x, size[X], view->flip[X]), row + x * channels);
    }
}

void lam_view_read(const lam_view *view, const lam_frame *frame, int64_t channels, const float *scores,
                   int64_t z, int64_t y, float *row)
{
    const int64_t *size = frame->size, *before = frame->before;
    const float *plane =
        scores + mirrored(z + before[Z], size[Z], view->flip[Z]) * size[Y] * size[X] * channels;
    if (view->turn != 0) {
        read_turned(view, frame, channels, plane, y, row);
        return;
    }
    const float *line = plane + mirrored(y + before[Y], size[Y], view->flip[Y]) * size[X] * channels;
    for (int64_t x = 0; x < frame->taken[X]; x++)
        memcpy(row + x * channels, line + mirrored(x + before[X], size[X], view->flip[X]) * channels,
               (size_t)channels * sizeof *row);
}
