#include "core/rnn/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/gate_features.h"
#include "core/rnn/prepare.h"

enum {
    LEAST_CASES = 20,
    FOLDS = 5,
    EDGE_VALUES = 200000, /* about so many voxels of the training set decide on the bins */
};

#define LEAST_PIVOT 1e-4
#define FARTHEST                                                                                             \
    8.0 /* deviations that a single number counts at most: one outlier must not hide the others */
/* A number that does not vary in the training set counts as varying a hundredth. */
#define LEAST_DEVIATION 0.01
#define LEAST_SIZE      0.1

struct lam_gate {
    int axes;
    size_t features;
    float edges[LAM_GATE_EDGES];
    float mean[LAM_GATE_FEATURES], scale[LAM_GATE_FEATURES];
    float factor[LAM_GATE_FEATURES * LAM_GATE_FEATURES]; /* [features, features]: the lower triangle L of the
                                                            covariance L·Lᵀ of the scaled numbers */
};

void lam_gate_free(lam_gate *gate)
{
    free(gate);
}

/* ---- the part that the network sees ---- */

/* The mean over channels of the part that the frame takes. */
static void take_part(const lam_frame *frame, const lam_gate_case *from, int64_t channels, float *out)
{
    for (int64_t z = 0; z < frame->taken[0]; z++)
        for (int64_t y = 0; y < frame->taken[1]; y++) {
            int64_t line = (z + frame->from[0]) * from->size[1] + y + frame->from[1];
            const float *in = from->prepared + (line * from->size[2] + frame->from[2]) * channels;
            for (int64_t x = 0; x < frame->taken[2]; x++, in += channels) {
                float sum = 0;
                for (int64_t c = 0; c < channels; c++)
                    sum += in[c];
                *out++ = sum / (float)channels;
            }
        }
}

/* What is judged at once: a volume, or one of its slices. */
typedef struct view {
    float *values;          /* of all that the frame takes */
    int64_t size[3], count; /* of one, and how many there are */
} view;

static lam_status open_view(const lam_model_preprocessing *preprocessing, int axes, int64_t channels,
                            const lam_gate_case *from, view *out, lam_error *err)
{
    lam_frame frame = lam_prepare_frame(preprocessing, from->size);
    int64_t voxels = frame.taken[0] * frame.taken[1] * frame.taken[2];
    for (int i = 0; i < 3; i++)
        if (frame.taken[i] > LAM_GATE_SIDE)
            return lam_fail(err, LAM_E_LIMIT, "a gate judges images of at most %d voxels a side, not %lld",
                            LAM_GATE_SIDE, (long long)frame.taken[i]);
    view v = {.values = malloc((size_t)voxels * sizeof(float)), .count = 1};
    if (!v.values)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    take_part(&frame, from, channels, v.values);
    memcpy(v.size, frame.taken, sizeof v.size);
    for (int i = 0; i < 3 - axes; i++) {
        v.count *= v.size[i];
        v.size[i] = 1;
    }
    *out = v;
    return LAM_OK;
}

/* ---- learning ---- */

static int by_value(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* Edges of bins with equal shares of all voxels, from a sample of them at equal distances. */
static lam_status choose_edges(const view *views, size_t count, float edges[LAM_GATE_EDGES], lam_error *err)
{
    int64_t voxels = 0, used = 0, position = 0;
    for (size_t i = 0; i < count; i++)
        voxels += views[i].size[0] * views[i].size[1] * views[i].size[2] * views[i].count;
    int64_t step = voxels / EDGE_VALUES + 1;
    lam_autofree float *values = malloc((size_t)(voxels / step + 1) * sizeof *values);
    if (!values)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        int64_t of_view = views[i].size[0] * views[i].size[1] * views[i].size[2] * views[i].count;
        for (; position < of_view; position += step)
            values[used++] = views[i].values[position];
        position -= of_view;
    }
    qsort(values, (size_t)used, sizeof *values, by_value);
    for (int e = 0; e < LAM_GATE_EDGES; e++)
        edges[e] = values[used * (e + 1) / LAM_GATE_BINS];
    return LAM_OK;
}

/* Descriptions of the cases, [count, features], of the first of a case's slices. */
static lam_status describe_cases(lam_gate *gate, const lam_model_preprocessing *preprocessing,
                                 int64_t channels, const lam_gate_case *cases, size_t count, double **out,
                                 lam_error *err)
{
    lam_autofree view *views = calloc(count, sizeof *views);
    lam_autofree double *rows = calloc(count * gate->features, sizeof *rows);
    lam_status status = views && rows ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        status = open_view(preprocessing, gate->axes, channels, &cases[i], &views[i], err);
    if (status == LAM_OK)
        status = choose_edges(views, count, gate->edges, err);
    for (size_t i = 0; status == LAM_OK && i < count; i++)
        lam_gate_describe_input(views[i].values, views[i].size, gate->axes, gate->edges,
                                rows + i * gate->features);
    for (size_t i = 0; views && i < count; i++)
        free(views[i].values);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(rows);
    return status;
}

static double scaled(const lam_gate *gate, const double *row, size_t f)
{
    double z = (row[f] - (double)gate->mean[f]) / (double)gate->scale[f];
    return z > FARTHEST ? FARTHEST : z < -FARTHEST ? -FARTHEST : z;
}

/* Rows [first, end) are left out. */
static void learn_scales(lam_gate *gate, const double *rows, size_t count, size_t first, size_t end)
{
    double used = (double)(count - (end - first));
    for (size_t f = 0; f < gate->features; f++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < count; i++)
            if (i < first || i >= end)
                sum += rows[i * gate->features + f];
        double mean = sum / used;
        for (size_t i = 0; i < count; i++)
            if (i < first || i >= end)
                squares += (rows[i * gate->features + f] - mean) * (rows[i * gate->features + f] - mean);
        gate->mean[f] = (float)mean;
        gate->scale[f] = (float)fmax(sqrt(squares / used), LEAST_DEVIATION * fmax(fabs(mean), LEAST_SIZE));
    }
}

/* The Cholesky factor in place of the lower triangle of a positive definite matrix. */
static void factorise(double *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = m[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= m[i * n + k] * m[j * n + k];
            m[i * n + j] = i == j ? sqrt(fmax(sum, LEAST_PIVOT)) : sum / m[j * n + j];
        }
}

/* The covariance is shrunk towards the identity as if as many cases as there are numbers had shown that: the
 * fewer the cases, the less is known of how the numbers go together. */
static lam_status learn(lam_gate *gate, const double *rows, size_t count, size_t first, size_t end,
                        lam_error *err)
{
    size_t n = gate->features;
    lam_autofree double *covariance = calloc(n * n, sizeof *covariance);
    if (!covariance)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    learn_scales(gate, rows, count, first, end);
    double part = 1 / (double)(count - (end - first) + n);
    for (size_t i = 0; i < count; i++) {
        double z[LAM_GATE_FEATURES];
        if (i >= first && i < end)
            continue;
        for (size_t f = 0; f < n; f++)
            z[f] = scaled(gate, rows + i * n, f);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b <= a; b++)
                covariance[a * n + b] += part * z[a] * z[b];
    }
    for (size_t f = 0; f < n; f++)
        covariance[f * n + f] += part * (double)n;
    factorise(covariance, n);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++)
            gate->factor[a * n + b] = b <= a ? (float)covariance[a * n + b] : 0;
    return LAM_OK;
}

/* The length of L⁻¹z, so that 1 is usual. */
static double distance(const lam_gate *gate, const double *row)
{
    double y[LAM_GATE_FEATURES], squares = 0;
    size_t n = gate->features;
    for (size_t i = 0; i < n; i++) {
        double sum = scaled(gate, row, i);
        for (size_t k = 0; k < i; k++)
            sum -= (double)gate->factor[i * n + k] * y[k];
        y[i] = sum / (double)gate->factor[i * n + i];
        squares += y[i] * y[i];
    }
    return sqrt(squares / (double)n);
}

static int by_score(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Each fifth judged by the others. */
static lam_status cross_validate(lam_gate *gate, const double *rows, size_t count, double false_alarms,
                                 double *threshold, lam_error *err)
{
    lam_autofree float *scores = calloc(count, sizeof *scores);
    lam_status status = scores ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t fold = 0; status == LAM_OK && fold < FOLDS; fold++) {
        size_t first = fold * count / FOLDS, end = (fold + 1) * count / FOLDS;
        status = learn(gate, rows, count, first, end, err);
        for (size_t i = first; status == LAM_OK && i < end; i++)
            scores[i] = (float)distance(gate, rows + i * gate->features);
    }
    if (status != LAM_OK)
        return status;
    *threshold = (double)lam_prepare_percentile(scores, (int64_t)count, 100 * (1 - false_alarms));
    return LAM_OK;
}

/* A network of volumes may have learnt from slices: those are what its gate knows. */
static bool are_slices(const lam_gate_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].size[0] != 1)
            return false;
    return true;
}

lam_status lam_gate_fit(const lam_model_preprocessing *preprocessing, int axes, int64_t channels,
                        const lam_gate_case *cases, size_t count, double false_alarms, lam_gate **out,
                        double *threshold, lam_error *err)
{
    if (count < LEAST_CASES)
        return lam_fail(err, LAM_E_INVALID, "a gate is learnt from at least %d inputs, not %zu", LEAST_CASES,
                        count);
    if (!(false_alarms > 0 && false_alarms < 1) || axes < 2 || axes > 3)
        return lam_fail(err, LAM_E_INVALID,
                        "a gate needs a share of false alarms between 0 and 1, and images");
    LAM_AUTO_PTR(lam_gate) *gate = calloc(1, sizeof *gate);
    lam_autofree double *rows = NULL;
    double limit = 0;
    if (!gate)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    gate->axes = are_slices(cases, count) ? 2 : axes;
    gate->features = lam_gate_feature_count(gate->axes);
    lam_status status = describe_cases(gate, preprocessing, channels, cases, count, &rows, err);
    if (status == LAM_OK)
        status = cross_validate(gate, rows, count, false_alarms, &limit, err);
    if (status == LAM_OK)
        status = learn(gate, rows, count, 0, 0, err);
    if (status != LAM_OK)
        return status;
    *threshold = limit;
    *out = LAM_TAKE_PTR(gate);
    return LAM_OK;
}

/* ---- judging ---- */

lam_status lam_gate_score(const lam_gate *gate, const lam_model_preprocessing *preprocessing, int axes,
                          int64_t channels, const lam_gate_case *input, double *score, lam_error *err)
{
    view v = {.values = NULL};
    if (axes < gate->axes)
        return lam_fail(err, LAM_E_INVALID, "the gate is one for %d axes, the network has %d", gate->axes,
                        axes);
    lam_status status = open_view(preprocessing, gate->axes, channels, input, &v, err);
    if (status != LAM_OK)
        return status;
    lam_autofree double *scores = calloc((size_t)v.count, sizeof *scores);
    if (!scores)
        status = lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; status == LAM_OK && i < v.count; i++) {
        double row[LAM_GATE_FEATURES];
        lam_gate_describe_input(v.values + i * v.size[0] * v.size[1] * v.size[2], v.size, gate->axes,
                                gate->edges, row);
        scores[i] = distance(gate, row);
    }
    free(v.values);
    if (status != LAM_OK)
        return status;
    qsort(scores, (size_t)v.count, sizeof *scores, by_score);
    *score = scores[v.count / 4];
    return LAM_OK;
}

lam_status lam_gate_check(const lam_gate *gate, const lam_manifest *manifest, int axes, int64_t channels,
                          const float *voxels, const int64_t size[3], lam_gate_verdict *out, lam_error *err)
{
    size_t count = (size_t)(size[0] * size[1] * size[2] * channels);
    lam_autofree float *room = malloc(2 * count * sizeof *room);
    lam_gate_case input = {.prepared = room, .size = {size[0], size[1], size[2]}};
    lam_gate_verdict verdict = {.checked = true, .threshold = manifest->gate.threshold};
    if (!room)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_prepare_intensities(&manifest->preprocessing, size, channels, voxels, room + count, room);
    lam_status status =
        lam_gate_score(gate, &manifest->preprocessing, axes, channels, &input, &verdict.score, err);
    if (status != LAM_OK)
        return status;
    verdict.accepted = verdict.score <= verdict.threshold;
    *out = verdict;
    return LAM_OK;
}

const char *lam_gate_describe(const lam_gate_verdict *verdict, char text[LAM_GATE_TEXT])
{
    text[0] = '\0';
    if (verdict->checked && !verdict->accepted)
        snprintf(
            text, LAM_GATE_TEXT,
            "the images are unlike those the model was trained on (distance %.2f, at most %.2f is usual): "
            "the answer means nothing",
            verdict->score, verdict->threshold);
    return text;
}

/* ---- files ---- */

static lam_status read_tensor(const lam_safetensors *file, const char *name, size_t rows, size_t columns,
                              float *out, lam_error *err)
{
    const lam_tensor *t = lam_safetensors_find(file, name);
    lam_shape shape = {.rank = rows ? 2 : 1, .dim = {(int64_t)(rows ? rows : columns), (int64_t)columns}};
    if (!t || t->dtype != LAM_DTYPE_F32 || !lam_shape_equal(&t->shape, &shape))
        return lam_fail(err, LAM_E_INVALID, "gate: the tensor %s is missing or has another type or shape",
                        name);
    size_t count = (rows ? rows : 1) * columns;
    memcpy(out, t->data, count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(out[i]))
            return lam_fail(err, LAM_E_INVALID, "gate: %s has a value that is not a number", name);
    return LAM_OK;
}

lam_status lam_gate_load(const lam_safetensors *file, lam_gate **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_gate) *gate = calloc(1, sizeof *gate);
    const lam_tensor *mean = lam_safetensors_find(file, "mean");
    if (!gate)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int axes = 2; axes <= 3 && mean; axes++)
        if ((size_t)lam_shape_count(&mean->shape) == lam_gate_feature_count(axes))
            gate->axes = axes;
    if (!gate->axes)
        return lam_fail(err, LAM_E_INVALID, "gate: the tensor mean is missing or has another shape");
    size_t n = gate->features = lam_gate_feature_count(gate->axes);
    lam_status status;
    if ((status = read_tensor(file, "edges", 0, LAM_GATE_EDGES, gate->edges, err)) ||
        (status = read_tensor(file, "mean", 0, n, gate->mean, err)) ||
        (status = read_tensor(file, "scale", 0, n, gate->scale, err)) ||
        (status = read_tensor(file, "factor", n, n, gate->factor, err)))
        return status;
    for (size_t i = 0; i < n; i++)
        if (!(gate->scale[i] > 0) || !(gate->factor[i * n + i] > 0))
            return lam_fail(err, LAM_E_INVALID, "gate: scale and the diagonal of factor must be above 0");
    *out = LAM_TAKE_PTR(gate);
    return LAM_OK;
}

static lam_tensor tensor_of(const char *name, const float *data, size_t rows, size_t columns)
{
    return (lam_tensor){
        .name = name,
        .dtype = LAM_DTYPE_F32,
        .shape = {.rank = rows ? 2 : 1, .dim = {(int64_t)(rows ? rows : columns), (int64_t)columns}},
        .data = data,
        .bytes = (rows ? rows : 1) * columns * sizeof *data};
}

lam_status lam_gate_save(const lam_gate *gate, int fd, lam_error *err)
{
    size_t n = gate->features;
    const lam_tensor tensors[] = {
        tensor_of("edges", gate->edges, 0, LAM_GATE_EDGES),
        tensor_of("mean", gate->mean, 0, n),
        tensor_of("scale", gate->scale, 0, n),
        tensor_of("factor", gate->factor, n, n),
    };
    return lam_safetensors_write(fd, tensors, LAM_COUNT(tensors), NULL, 0, err);
}
