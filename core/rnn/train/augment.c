/* Geometry in voxels about the middle of the part that is taken: the voxel at offset c of the result shows
 * what lies at middle + M·c + shift + elastic(c) + jitter(slice) of the source, M = rotation × stretch ×
 * flip. */
#include "core/rnn/train/augment.h"

#include <math.h>
#include <string.h>

enum { Z, Y, X, MAX_GRID = LAM_MAX_ELASTIC_GRID, MAX_JITTER = 512 };

/* A smooth field over the result: values at the nodes of a grid, whose outermost lie on the corner voxels. */
struct field {
    int64_t nodes[3];
    int values; /* a node */
    float node[3 * MAX_GRID * MAX_GRID * MAX_GRID];
};

struct deformation {
    double matrix[3][3]; /* z, y, x */
    double centre[3];    /* of the source, shift included */
    double middle[3];    /* of the result */
    bool elastic;
    struct field bend;
    float jitter[MAX_JITTER][2]; /* y, x of each slice */
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

static void draw_field(lam_random *random, const int64_t nodes[3], int values, const double *deviations,
                       struct field *out)
{
    memcpy(out->nodes, nodes, sizeof out->nodes);
    out->values = values;
    for (int64_t i = 0; i < nodes[Z] * nodes[Y] * nodes[X] * values; i++)
        out->node[i] = (float)deviations[i % values] * lam_random_normal(random);
}

static void draw_matrix(const lam_augmentation *a, lam_random *random, const int64_t size[3],
                        struct deformation *out)
{
    double matrix[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, stretch[3][3] = {{0}};
    double common = uniform(random, 1);
    for (int axis = 0; axis < 3; axis++) {
        double turn = uniform(random, a->rotate_degrees[axis] * M_PI / 180);
        double single = uniform(random, a->stretch_log[axis]), move = uniform(random, a->shift[axis]);
        bool flat = size[axis] == 1, mirror = lam_random_uniform(random) < 0.5f && a->flip[axis];
        if (size[(axis + 1) % 3] > 1 && size[(axis + 2) % 3] > 1 && turn != 0)
            rotate(matrix, axis, turn);
        out->centre[axis] += flat ? 0 : move;
        stretch[axis][axis] = flat ? 1 : exp(common * a->scale_log[axis] + single) * (mirror ? -1 : 1);
    }
    multiply(matrix, (const double(*)[3])stretch);
    memcpy(out->matrix, matrix, sizeof matrix);
}

static void draw_deformation(const lam_augmentation *a, lam_random *random, const int64_t size[3],
                             const lam_frame *frame, struct deformation *out)
{
    for (int i = 0; i < 3; i++) {
        out->middle[i] = (double)(frame->taken[i] - 1) / 2;
        out->centre[i] = (double)frame->from[i] + out->middle[i];
    }
    draw_matrix(a, random, size, out);
    out->elastic = lam_random_uniform(random) < a->elastic_probability;
    if (out->elastic)
        draw_field(random, a->elastic_grid, 3, a->elastic_voxels, &out->bend);
    bool jitters = lam_random_uniform(random) < a->jitter_probability;
    for (int64_t z = 0; z < frame->taken[Z] && z < MAX_JITTER; z++)
        for (int i = 0; i < 2; i++)
            out->jitter[z][i] = jitters ? (float)a->jitter_voxels * lam_random_normal(random) : 0;
}

/* ---- moving ---- */

/* The field's values at a voxel of the result: trilinear. */
static void read_field(const struct field *field, const int64_t size[3], const int64_t at[3], float *out)
{
    int64_t low[3];
    float part[3];
    for (int i = 0; i < 3; i++) {
        float last = (float)(field->nodes[i] - 1);
        float position = size[i] > 1 ? (float)at[i] * last / (float)(size[i] - 1) : 0;
        low[i] = (int64_t)position < field->nodes[i] - 2 ? (int64_t)position : field->nodes[i] - 2;
        part[i] = position - (float)low[i];
    }
    for (int i = 0; i < field->values; i++)
        out[i] = 0;
    for (int corner = 0; corner < 8; corner++) {
        int dz = corner >> 2, dy = corner >> 1 & 1, dx = corner & 1;
        float weight =
            (dz ? part[Z] : 1 - part[Z]) * (dy ? part[Y] : 1 - part[Y]) * (dx ? part[X] : 1 - part[X]);
        int64_t index = ((low[Z] + dz) * field->nodes[Y] + low[Y] + dy) * field->nodes[X] + low[X] + dx;
        for (int i = 0; i < field->values; i++)
            out[i] += weight * field->node[index * field->values + i];
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

static void deform(const struct deformation *d, const lam_sample *sample, const lam_frame *frame,
                   const lam_augmented *out)
{
    int64_t v[3], index = 0;
    const int64_t *taken = frame->taken, *size = sample->size;
    float by[3] = {0};
    for (v[Z] = 0; v[Z] < taken[Z]; v[Z]++)
        for (v[Y] = 0; v[Y] < taken[Y]; v[Y]++)
            for (v[X] = 0; v[X] < taken[X]; v[X]++, index++) {
                float at[3];
                if (d->elastic)
                    read_field(&d->bend, taken, v, by);
                for (int i = 0; i < 3; i++)
                    at[i] = (float)d->centre[i] + (size[i] > 1 ? by[i] : 0) +
                            (float)d->matrix[i][Z] * ((float)v[Z] - (float)d->middle[Z]) +
                            (float)d->matrix[i][Y] * ((float)v[Y] - (float)d->middle[Y]) +
                            (float)d->matrix[i][X] * ((float)v[X] - (float)d->middle[X]);
                at[Y] += v[Z] < MAX_JITTER ? d->jitter[v[Z]][0] : 0;
                at[X] += v[Z] < MAX_JITTER ? d->jitter[v[Z]][1] : 0;
                out->image[index] = sample_image(sample->prepared, size, at);
                if (sample->truth.map)
                    out->map[index] = sample_label(sample->truth.map, size, at);
            }
}

static float cut(double value, int64_t high)
{
    return (float)(value < 0 ? 0 : value > (double)high ? (double)high : value);
}

/* What the part of `size` shows of a box that it may cut; false where that is too little to be an object. */
static bool cut_box(const lam_sample_box *box, const int64_t size[3], lam_sample_box *out)
{
    float left = cut(box->x - box->width / 2, size[X]), right = cut(box->x + box->width / 2, size[X]);
    float top = cut(box->y - box->height / 2, size[Y]), bottom = cut(box->y + box->height / 2, size[Y]);
    *out = (lam_sample_box){(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, box->label};
    return (double)out->width * out->height >= LAM_LEAST_VISIBLE * box->width * box->height;
}

/* From the source into the result: the inverse of the matrix in the plane, which boxes lie in. Gives the
 * number of those that can be seen. */
static size_t move_boxes(const struct deformation *d, const lam_sample *sample, const lam_frame *frame,
                         lam_sample_box *out)
{
    double a = d->matrix[Y][Y], b = d->matrix[Y][X], c = d->matrix[X][Y], e = d->matrix[X][X];
    double determinant = a * e - b * c, inverse[2][2];
    size_t count = 0;
    inverse[0][0] = e / determinant;
    inverse[0][1] = -b / determinant;
    inverse[1][0] = -c / determinant;
    inverse[1][1] = a / determinant;
    for (size_t i = 0; i < sample->truth.box_count; i++) {
        const lam_sample_box *box = &sample->truth.boxes[i];
        double y = box->y - 0.5 - d->centre[Y], x = box->x - 0.5 - d->centre[X];
        lam_sample_box moved = {
            .x = (float)(inverse[1][0] * y + inverse[1][1] * x + d->middle[X] + 0.5),
            .y = (float)(inverse[0][0] * y + inverse[0][1] * x + d->middle[Y] + 0.5),
            .width = (float)hypot(inverse[1][0] * box->height, inverse[1][1] * box->width),
            .height = (float)hypot(inverse[0][0] * box->height, inverse[0][1] * box->width),
            .label = box->label};
        count += cut_box(&moved, frame->taken, &out[count]);
    }
    return count;
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

static void blur(const bool along[3], const int64_t size[3], float *image, float *scratch)
{
    for (int axis = 0; axis < 3; axis++) {
        if (size[axis] == 1 || !along[axis])
            continue;
        blur_axis(size, axis, image, scratch);
        memcpy(image, scratch, (size_t)(size[Z] * size[Y] * size[X]) * sizeof *image);
    }
}

/* Multiplies by exp of a smooth field, as uneven coils do. */
static void apply_bias(const struct field *field, const int64_t size[3], float *image)
{
    int64_t v[3], index = 0;
    for (v[Z] = 0; v[Z] < size[Z]; v[Z]++)
        for (v[Y] = 0; v[Y] < size[Y]; v[Y]++)
            for (v[X] = 0; v[X] < size[X]; v[X]++) {
                float log;
                read_field(field, size, v, &log);
                image[index++] *= expf(log);
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
    bool uneven = lam_random_uniform(random) < a->bias_probability;
    float deviation = (float)a->noise_deviation * lam_random_uniform(random);
    if (uneven) {
        struct field field;
        draw_field(random, a->bias_grid, 1, &a->bias_log, &field);
        apply_bias(&field, size, image);
    }
    for (int64_t i = 0; i < count && (gain != 1 || offset != 0); i++)
        image[i] = image[i] * gain + offset;
    if (bends)
        bend(image, count, power);
    for (int64_t i = 0; i < count && noisy; i++)
        image[i] += deviation * lam_random_normal(random);
    if (blurs)
        blur(a->blur, size, image, scratch);
}

/* The part that is taken, as it is. */
static void copy_part(const lam_sample *sample, int64_t channels, const lam_frame *frame,
                      const lam_augmented *out)
{
    lam_frame bare = *frame;
    memset(bare.before, 0, sizeof bare.before);
    memcpy(bare.size, bare.taken, sizeof bare.size);
    lam_prepare_pad(&bare, sample->size, channels, sample->prepared, out->image);
    if (sample->truth.map)
        lam_prepare_pad_map(&bare, sample->size, sample->truth.map, out->map);
}

size_t lam_augment(const lam_augmentation *augmentation, lam_random random, const lam_sample *sample,
                   int64_t channels, const lam_frame *frame, const lam_augmented *out)
{
    struct deformation deformation = {.matrix = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
    const int64_t flat[3] = {1, 1, frame->taken[Z] * frame->taken[Y] * frame->taken[X] * channels};
    if (augmentation->spatial) {
        draw_deformation(augmentation, &random, sample->size, frame, &deformation);
        deform(&deformation, sample, frame, out);
    } else {
        for (int i = 0; i < 3; i++)
            deformation.centre[i] = (double)frame->from[i];
        copy_part(sample, channels, frame, out);
    }
    change_intensities(augmentation, &random, channels == 1 ? frame->taken : flat, out->image, out->scratch);
    return move_boxes(&deformation, sample, frame, out->boxes);
}
