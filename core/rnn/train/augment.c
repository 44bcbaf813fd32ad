/* Geometry in voxels about the middle of the volume: the voxel at offset c of the result shows what lies at
 * middle + M·c + shift + elastic(c) of the source, M = rotation × stretch × flip. */
#include "core/rnn/train/augment.h"

#include <math.h>
#include <string.h>

enum { Z, Y, X, MAX_GRID = LAM_MAX_ELASTIC_GRID };

struct deformation {
    double matrix[3][3]; /* z, y, x */
    double shift[3];
    bool elastic;
    float grid[3 * MAX_GRID * MAX_GRID * MAX_GRID]; /* [z, y, x, 3] displacement in voxels */
    const int64_t *grid_size;
};

/* ---- drawing ---- */

static float uniform(lam_random *random, double bound)
{
    return (float)bound * (2 * lam_random_uniform(random) - 1);
}

static void multiply(double a[3][3], const double b[3][3])
{
    double c[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            c[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
    memcpy(a, c, sizeof c);
}

/* About `axis`: turns the other two. */
static void rotate(double matrix[3][3], int axis, double angle)
{
    double turn[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    int a = (axis + 1) % 3, b = (axis + 2) % 3;
    turn[a][a] = turn[b][b] = cos(angle);
    turn[a][b] = -sin(angle);
    turn[b][a] = sin(angle);
    multiply(matrix, turn);
}

static void draw_deformation(const lam_augmentation *a, lam_random *random, const int64_t size[3],
                             struct deformation *out)
{
    double matrix[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, stretch[3][3] = {{0}};
    double common = uniform(random, a->scale_log), angle = a->rotate_degrees * M_PI / 180;
    for (int axis = 0; axis < 3; axis++) {
        double turn = uniform(random, angle), single = uniform(random, a->stretch_log);
        double move = uniform(random, a->shift);
        bool flat = size[axis] == 1, mirror = lam_random_uniform(random) < 0.5f && a->flip[axis];
        if (size[(axis + 1) % 3] > 1 && size[(axis + 2) % 3] > 1)
            rotate(matrix, axis, turn);
        out->shift[axis] = flat ? 0 : move;
        stretch[axis][axis] = flat ? 1 : exp(common + single) * (mirror ? -1 : 1);
    }
    multiply(matrix, (const double(*)[3])stretch);
    memcpy(out->matrix, matrix, sizeof matrix);
    out->elastic = lam_random_uniform(random) < a->elastic_probability;
    out->grid_size = a->elastic_grid;
    int64_t nodes = out->elastic ? a->elastic_grid[Z] * a->elastic_grid[Y] * a->elastic_grid[X] : 0;
    for (int64_t i = 0; i < nodes * 3; i++)
        out->grid[i] = size[i % 3] == 1 ? 0 : (float)a->elastic_voxels * lam_random_normal(random);
}

/* ---- moving ---- */

/* Displacement at a voxel: trilinear between the grid's nodes, whose outermost lie on the corner voxels. */
static void displace(const struct deformation *d, const int64_t size[3], const int64_t at[3], float by[3])
{
    int64_t low[3];
    float part[3];
    for (int i = 0; i < 3; i++) {
        float position = size[i] > 1 ? (float)at[i] * (float)(d->grid_size[i] - 1) / (float)(size[i] - 1) : 0;
        low[i] = (int64_t)position < d->grid_size[i] - 2 ? (int64_t)position : d->grid_size[i] - 2;
        part[i] = position - (float)low[i];
    }
    by[Z] = by[Y] = by[X] = 0;
    for (int corner = 0; corner < 8; corner++) {
        int dz = corner >> 2, dy = corner >> 1 & 1, dx = corner & 1;
        float weight =
            (dz ? part[Z] : 1 - part[Z]) * (dy ? part[Y] : 1 - part[Y]) * (dx ? part[X] : 1 - part[X]);
        const float *node =
            d->grid + (((low[Z] + dz) * d->grid_size[Y] + low[Y] + dy) * d->grid_size[X] + low[X] + dx) * 3;
        for (int i = 0; i < 3; i++)
            by[i] += weight * node[i];
    }
}

static float clamp(float value, float high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

/* Trilinear; outside the volume the nearest border value. */
static float sample_image(const float *image, const int64_t size[3], const float at[3])
{
    int64_t low[3], high[3];
    float part[3];
    for (int i = 0; i < 3; i++) {
        float inside = clamp(at[i], (float)(size[i] - 1));
        low[i] = (int64_t)inside;
        high[i] = low[i] + 1 < size[i] ? low[i] + 1 : low[i];
        part[i] = inside - (float)low[i];
    }
    float planes[2];
    for (int z = 0; z < 2; z++) {
        const float *plane = image + (z ? high[Z] : low[Z]) * size[Y] * size[X];
        const float *a = plane + low[Y] * size[X], *b = plane + high[Y] * size[X];
        float top = a[low[X]] + part[X] * (a[high[X]] - a[low[X]]);
        float bottom = b[low[X]] + part[X] * (b[high[X]] - b[low[X]]);
        planes[z] = top + part[Y] * (bottom - top);
    }
    return planes[0] + part[Z] * (planes[1] - planes[0]);
}

/* The nearest voxel's; 0 outside. */
static uint8_t sample_label(const uint8_t *labels, const int64_t size[3], const float at[3])
{
    int64_t voxel[3];
    for (int i = 0; i < 3; i++) {
        voxel[i] = (int64_t)floorf(at[i] + 0.5f);
        if (voxel[i] < 0 || voxel[i] >= size[i])
            return 0;
    }
    return labels[(voxel[Z] * size[Y] + voxel[Y]) * size[X] + voxel[X]];
}

static void deform(const struct deformation *d, const int64_t size[3], const float *image,
                   const uint8_t *labels, float *image_out, uint8_t *labels_out)
{
    int64_t v[3], index = 0;
    float middle[3], by[3] = {0};
    for (int i = 0; i < 3; i++)
        middle[i] = (float)(size[i] - 1) / 2;
    for (v[Z] = 0; v[Z] < size[Z]; v[Z]++)
        for (v[Y] = 0; v[Y] < size[Y]; v[Y]++)
            for (v[X] = 0; v[X] < size[X]; v[X]++, index++) {
                float at[3];
                if (d->elastic)
                    displace(d, size, v, by);
                for (int i = 0; i < 3; i++)
                    at[i] = middle[i] + (float)d->shift[i] + by[i] +
                            (float)d->matrix[i][Z] * ((float)v[Z] - middle[Z]) +
                            (float)d->matrix[i][Y] * ((float)v[Y] - middle[Y]) +
                            (float)d->matrix[i][X] * ((float)v[X] - middle[X]);
                image_out[index] = sample_image(image, size, at);
                if (labels)
                    labels_out[index] = sample_label(labels, size, at);
            }
}

/* ---- intensities ---- */

static void bend(float *image, int64_t count, float power)
{
    float low = image[0], high = image[0];
    for (int64_t i = 1; i < count; i++) {
        low = image[i] < low ? image[i] : low;
        high = image[i] > high ? image[i] : high;
    }
    float range = high - low + 1e-6f;
    for (int64_t i = 0; i < count; i++)
        image[i] = powf((image[i] - low) / range, power) * (high - low) + low;
}

/* Mean of three along one axis; what lies outside is 0. */
static void blur_axis(const int64_t size[3], int axis, const float *in, float *out)
{
    int64_t stride = axis == X ? 1 : axis == Y ? size[X] : size[Y] * size[X];
    int64_t count = size[Z] * size[Y] * size[X];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i / stride % size[axis];
        float sum = in[i] + (at > 0 ? in[i - stride] : 0) + (at + 1 < size[axis] ? in[i + stride] : 0);
        out[i] = sum / 3;
    }
}

static void blur(const int64_t size[3], float *image, float *scratch)
{
    for (int axis = 0; axis < 3; axis++) {
        if (size[axis] == 1)
            continue;
        blur_axis(size, axis, image, scratch);
        memcpy(image, scratch, (size_t)(size[Z] * size[Y] * size[X]) * sizeof *image);
    }
}

static void change_intensities(const lam_augmentation *a, lam_random *random, const int64_t size[3],
                               float *image, float *scratch)
{
    int64_t count = size[Z] * size[Y] * size[X];
    float gain = expf((float)a->gain_log * lam_random_normal(random));
    float offset = (float)a->offset * lam_random_normal(random);
    float power = expf((float)a->gamma_log * lam_random_normal(random));
    bool bends = lam_random_uniform(random) < a->gamma_probability;
    bool blurs = lam_random_uniform(random) < a->blur_probability;
    bool noisy = lam_random_uniform(random) < a->noise_probability;
    float deviation = (float)a->noise_deviation * lam_random_uniform(random);
    for (int64_t i = 0; i < count; i++)
        image[i] = image[i] * gain + offset;
    if (bends)
        bend(image, count, power);
    for (int64_t i = 0; i < count && noisy; i++)
        image[i] += deviation * lam_random_normal(random);
    if (blurs)
        blur(size, image, scratch);
}

void lam_augment(const lam_augmentation *augmentation, lam_random random, const int64_t size[3],
                 const float *image, const uint8_t *labels, float *image_out, uint8_t *labels_out,
                 float *scratch)
{
    size_t count = (size_t)(size[Z] * size[Y] * size[X]);
    if (augmentation->spatial) {
        struct deformation deformation;
        draw_deformation(augmentation, &random, size, &deformation);
        deform(&deformation, size, image, labels, image_out, labels_out);
    } else {
        memcpy(image_out, image, count * sizeof *image);
        if (labels)
            memcpy(labels_out, labels, count);
    }
    change_intensities(augmentation, &random, size, image_out, scratch);
}
