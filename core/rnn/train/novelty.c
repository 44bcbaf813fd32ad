#include "core/rnn/train/novelty.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/generate.h"
#include "core/rnn/prepare.h"

#define DRAWING_SEED 1

/* Images of one size, as levels. */
struct images {
    uint8_t *levels; /* [count, box] */
    int64_t count;
};

struct search {
    const struct images *from, *among;
    int64_t pixels;
    float *distance; /* by image of `from` */
};

static int64_t box_pixels(const int64_t box[3])
{
    return box[0] * box[1] * box[2];
}

/* The largest box that all images have in their middle. */
static void shrink(const int64_t size[3], int64_t box[3])
{
    for (int i = 0; i < 3; i++)
        box[i] = size[i] < box[i] ? size[i] : box[i];
}

static void shrink_to_all(const lam_samples *samples, int64_t box[3])
{
    for (size_t i = 0; i < lam_samples_count(samples); i++)
        shrink(lam_samples_at(samples, i)->size, box);
}

static int64_t source_of(const int64_t size[3], const int64_t box[3], int64_t pixel)
{
    int64_t z = pixel / (box[1] * box[2]) + (size[0] - box[0]) / 2;
    int64_t y = pixel / box[2] % box[1] + (size[1] - box[1]) / 2;
    return (z * size[1] + y) * size[2] + pixel % box[2] + (size[2] - box[2]) / 2;
}

static lam_status allocate(int64_t count, const int64_t box[3], struct images *out, lam_error *err)
{
    out->count = count;
    out->levels = malloc((size_t)(count * box_pixels(box)) + 1);
    return out->levels ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status take_samples(const lam_samples *samples, const int64_t box[3], struct images *out,
                               lam_error *err)
{
    int64_t pixels = box_pixels(box), count = (int64_t)lam_samples_count(samples);
    lam_status status = allocate(count, box, out, err);
    for (int64_t i = 0; i < count * pixels && status == LAM_OK; i++) {
        const lam_sample *sample = lam_samples_at(samples, (size_t)(i / pixels));
        float level = sample->prepared[source_of(sample->size, box, i % pixels)];
        out->levels[i] = (uint8_t)fminf(fmaxf(roundf(level), 0), 255);
    }
    return status;
}

static lam_status draw_images(const lam_bundle *bundle, const lam_drawing *drawing, const int64_t box[3],
                              int64_t count, lam_pool *pool, struct images *out, lam_error *err)
{
    int64_t pixels = box_pixels(box), whole = box_pixels(drawing->size);
    lam_autofree uint8_t *drawn = malloc((size_t)(count * whole) + 1);
    lam_status status = drawn ? allocate(count, box, out, err) : LAM_E_NO_MEMORY;
    if (!drawn)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (status || (status = lam_generate(bundle, drawing, 0, count, pool, drawn, err)))
        return status;
    for (int64_t i = 0; i < count * pixels; i++)
        out->levels[i] = drawn[i / pixels * whole + source_of(drawing->size, box, i % pixels)];
    return LAM_OK;
}

static void find_nearest(void *context, size_t index, size_t worker)
{
    const struct search *search = context;
    const uint8_t *image = search->from->levels + (int64_t)index * search->pixels;
    int64_t least = INT64_MAX;
    (void)worker;
    for (int64_t i = 0; i < search->among->count; i++) {
        const uint8_t *other = search->among->levels + i * search->pixels;
        int64_t sum = 0;
        for (int64_t p = 0; p < search->pixels && sum < least; p++)
            sum += (image[p] - other[p]) * (image[p] - other[p]);
        least = sum < least ? sum : least;
    }
    search->distance[index] = (float)sqrt((double)least / (double)search->pixels);
}

static lam_status add_distances(const struct images *from, const struct images *among, const int64_t box[3],
                                lam_pool *pool, const char *name, lam_scores *scores, lam_error *err)
{
    lam_autofree float *distance = malloc((size_t)(from->count + 1) * sizeof *distance);
    if (!distance)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    struct search search = {from, among, box_pixels(box), distance};
    lam_pool_run(pool, (size_t)from->count, find_nearest, &search);
    lam_scores_add(scores, lam_prepare_percentile(distance, from->count, 0), name, "least");
    lam_scores_add(scores, lam_prepare_percentile(distance, from->count, 50), name, "median");
    return LAM_OK;
}

lam_status lam_novelty_measure(const lam_bundle *bundle, const lam_samples *training, const lam_samples *held,
                               lam_pool *pool, lam_scores *scores, lam_error *err)
{
    const lam_model_drawing *usual = &lam_bundle_manifest(bundle)->drawing;
    lam_drawing drawing = {.label = -1, .seed = DRAWING_SEED, .temperature = usual->temperature};
    struct images known = {NULL, 0}, real = {NULL, 0}, drawn = {NULL, 0};
    int64_t box[3];
    memcpy(drawing.size, usual->size[0] ? usual->size : lam_samples_at(held, 0)->size, sizeof drawing.size);
    memcpy(box, drawing.size, sizeof box);
    shrink_to_all(training, box);
    shrink_to_all(held, box);
    lam_status status = take_samples(training, box, &known, err);
    if (status == LAM_OK)
        status = take_samples(held, box, &real, err);
    if (status == LAM_OK)
        status = draw_images(bundle, &drawing, box, real.count, pool, &drawn, err);
    if (status == LAM_OK)
        status = add_distances(&drawn, &known, box, pool, "nearest_drawn", scores, err);
    if (status == LAM_OK)
        status = add_distances(&real, &known, box, pool, "nearest_held", scores, err);
    free(known.levels);
    free(real.levels);
    free(drawn.levels);
    return status;
}
