#include "core/rnn/generate.h"

#include <assert.h>
#include <stdlib.h>

#include "core/rnn/causal.h"
#include "core/rnn/generation.h"
#include "core/rnn/logistic.h"

struct job {
    const lam_manifest *manifest;
    const lam_drawing *drawing;
    lam_causal **workers; /* one a thread */
    int64_t first, count, pixels, channels;
    int axes, components;
    uint8_t *levels;
};

int lam_generate_label(const lam_manifest *manifest, const lam_drawing *drawing, int64_t number)
{
    int64_t classes = (int64_t)manifest->class_count;
    return classes == 0 ? 0 : drawing->label >= 0 ? drawing->label : (int)(number % classes);
}

/* A batch of LAM_GENERATE_LANES images, of which the last may be more than is asked for. */
static void draw_batch(void *context, size_t batch, size_t worker)
{
    const struct job *job = context;
    lam_causal *causal = job->workers[worker];
    int64_t begin = (int64_t)batch * LAM_GENERATE_LANES, image = job->pixels * job->channels;
    float *input = lam_causal_input(causal);
    lam_causal_restart(causal);
    for (int64_t lane = 0; lane < LAM_GENERATE_LANES; lane++)
        lam_generation_fill(job->drawing->size, job->axes, (int64_t)job->manifest->class_count,
                            lam_generate_label(job->manifest, job->drawing, job->first + begin + lane), NULL,
                            input + lane * image);
    for (int64_t pixel = 0; pixel < job->pixels; pixel++) {
        const float *scores = lam_causal_step(causal);
        for (int64_t lane = 0; lane < LAM_GENERATE_LANES; lane++, scores += 3 * job->components) {
            uint64_t number = (uint64_t)(job->first + begin + lane);
            lam_random random = lam_random_stream(job->drawing->seed, number, (uint64_t)pixel);
            int level = lam_logistic_draw(job->components, scores, job->drawing->temperature, &random);
            input[lane * image + pixel * job->channels] = lam_logistic_position(level);
            if (begin + lane < job->count)
                job->levels[(begin + lane) * job->pixels + pixel] = (uint8_t)level;
        }
    }
}

static lam_status check(const lam_manifest *manifest, const lam_drawing *drawing, int axes, lam_error *err)
{
    const lam_model_preprocessing *pre = &manifest->preprocessing;
    if (manifest->task != LAM_TASK_GENERATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "%s is a model for %s; it does not draw", manifest->name,
                        lam_task_name(manifest->task));
    if (drawing->label >= (int)manifest->class_count && drawing->label > 0)
        return lam_fail(err, LAM_E_INVALID, "%s has %zu classes", manifest->name, manifest->class_count);
    for (int i = 0; i < 3; i++) {
        int64_t least = i < 3 - axes ? 1 : pre->minimum_size[i],
                most = i < 3 - axes ? 1 : pre->maximum_size[i];
        if (drawing->size[i] < least || drawing->size[i] > most)
            return lam_fail(err, LAM_E_LIMIT, "%s draws %lld to %lld along %c, not %lld", manifest->name,
                            (long long)least, (long long)most, "zyx"[i], (long long)drawing -> size[i]);
    }
    return LAM_OK;
}

static void free_workers(lam_causal **workers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        lam_causal_free(workers[i]);
    free(workers);
}

lam_status lam_generate(const lam_bundle *bundle, const lam_drawing *drawing, int64_t first, int64_t count,
                        lam_pool *pool, uint8_t *levels, lam_error *err)
{
    const lam_network *network = lam_bundle_network(bundle);
    struct job job = {.manifest = lam_bundle_manifest(bundle),
                      .drawing = drawing,
                      .first = first,
                      .count = count,
                      .axes = lam_network_axes(network),
                      .levels = levels};
    const int64_t *size = drawing->size;
    size_t threads = lam_pool_threads(pool);
    lam_status status;
    assert(first % LAM_GENERATE_LANES == 0);
    if ((status = check(job.manifest, drawing, job.axes, err)) ||
        (status = lam_generation_check(network, (int64_t)job.manifest->class_count, &job.components, err)))
        return status;
    job.pixels = size[0] * size[1] * size[2];
    job.channels = lam_network_input_channels(network);
    lam_shape shape = {.rank = job.axes + 2, .dim = {LAM_GENERATE_LANES}};
    for (int a = 0; a < job.axes; a++)
        shape.dim[1 + a] = size[3 - job.axes + a];
    shape.dim[1 + job.axes] = job.channels;
    job.workers = calloc(threads, sizeof *job.workers);
    if (!job.workers)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < threads && status == LAM_OK; i++)
        status = lam_causal_create(lam_bundle_weights(bundle), &shape, &job.workers[i], err);
    if (status == LAM_OK)
        lam_pool_run(pool, (size_t)((count + LAM_GENERATE_LANES - 1) / LAM_GENERATE_LANES), draw_batch, &job);
    free_workers(job.workers, threads);
    return status;
}
