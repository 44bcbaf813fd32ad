/* Deletion and insertion curves (explain.h). */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/explain.h"
#include "core/rnn/explain_case.h"
#include "core/rnn/random.h"

/* A voxel of the network's input and how important it is held. */
typedef struct ranked {
    float importance;
    int32_t at;
} ranked;

static int most_important_first(const void *a, const void *b)
{
    const ranked *left = a, *right = b;
    if (left->importance != right->importance)
        return left->importance < right->importance ? 1 : -1;
    return (left->at > right->at) - (left->at < right->at);
}

/* The voxels that the network sees of the volume, with what the map says of them. */
static size_t list_voxels(const lam_explain_case *c, const float *map, ranked *out)
{
    const lam_frame *f = &c->frame;
    size_t count = 0;
    for (int64_t z = 0; z < f->taken[0]; z++)
        for (int64_t y = 0; y < f->taken[1]; y++)
            for (int64_t x = 0; x < f->taken[2]; x++) {
                int64_t from = ((z + f->from[0]) * c->size[1] + y + f->from[1]) * c->size[2] + x + f->from[2];
                int64_t at =
                    ((z + f->before[0]) * f->size[1] + y + f->before[1]) * f->size[2] + x + f->before[2];
                out[count++] = (ranked){map[from], (int32_t)at};
            }
    return count;
}

/* The area under the probability while voxels are copied in this order from `from` into `image`, by the
 * trapezoid rule over equal shares. */
static double area(lam_explain_case *c, const lam_explain_rows *rows, const ranked *order, size_t count,
                   int points, const float *from, float *image)
{
    size_t moved = 0, width = (size_t)c->channels;
    lam_explain_case_run(c, image, 1, 0);
    double sum = lam_explain_case_probability(c, rows) / 2, last = 0;
    for (int p = 1; p <= points; p++) {
        for (size_t end = count * (size_t)p / (size_t)points; moved < end; moved++)
            memcpy(image + (size_t)order[moved].at * width, from + (size_t)order[moved].at * width,
                   width * sizeof *image);
        lam_explain_case_run(c, image, 1, 0);
        last = lam_explain_case_probability(c, rows);
        sum += last;
    }
    return (sum - last / 2) / points;
}

static lam_explain_areas both(lam_explain_case *c, const lam_explain_rows *rows, const ranked *order,
                              size_t count, int points, const float *empty, float *image)
{
    lam_explain_areas areas;
    size_t bytes = (size_t)c->inputs * sizeof *image;
    memcpy(image, c->input, bytes);
    areas.deletion = area(c, rows, order, count, points, empty, image);
    memcpy(image, empty, bytes);
    areas.insertion = area(c, rows, order, count, points, c->input, image);
    return areas;
}

static void shuffle(ranked *order, size_t count, uint64_t seed, uint64_t number)
{
    lam_random random = lam_random_stream(seed, number, 0);
    for (size_t i = 0; i < count; i++)
        order[i].importance = lam_random_uniform(&random);
}

lam_status lam_explain_curves(const lam_bundle *bundle, lam_pool *pool, const lam_volume *volume,
                              const float *map, int points, int orders, uint64_t seed,
                              lam_explain_areas *of_map, lam_explain_areas *of_chance, lam_error *err)
{
    LAM_AUTO(lam_explain_case_done) lam_explain_case c = {.session = NULL};
    LAM_AUTO(lam_explain_rows_done) lam_explain_rows rows = {.channel = NULL};
    lam_status status = lam_explain_case_begin(&c, bundle, pool, volume, err);
    if (status)
        return status;
    lam_session_behave(c.session, LAM_BEHAVE_INFERENCE);
    lam_explain_case_run(&c, c.input, 1, 0);
    if ((status = lam_explain_case_choose(&c, -1, &rows, err)))
        return status;
    if (rows.count == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing was found that could be asked about");
    lam_autofree float *images =
        calloc(2 * (size_t)c.inputs, sizeof *images); /* empty, and the one at work */
    lam_autofree ranked *order =
        calloc((size_t)(volume->size[0] * volume->size[1] * volume->size[2]), sizeof *order);
    if (!images || !order)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    size_t count = list_voxels(&c, map, order);
    qsort(order, count, sizeof *order, most_important_first);
    lam_explain_areas chance = {0, 0}, own = both(&c, &rows, order, count, points, images, images + c.inputs);
    for (int i = 0; i < orders; i++) {
        shuffle(order, count, seed, (uint64_t)i);
        qsort(order, count, sizeof *order, most_important_first);
        lam_explain_areas one = both(&c, &rows, order, count, points, images, images + c.inputs);
        chance.deletion += one.deletion / orders;
        chance.insertion += one.insertion / orders;
    }
    *of_map = own;
    *of_chance = chance;
    return LAM_OK;
}
