#include "core/rnn/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/rnn/bundle.h"
#include "core/rnn/prepare.h"
#include "core/rnn/random.h"
#include "core/rnn/train/augment.h"
#include "core/rnn/train/optimiser.h"
#include "core/rnn/train/task.h"

/* Names of random streams. */
enum { STREAM_ORDER = 1, STREAM_AUGMENT, STREAM_DROPOUT, STREAM_CROP };

/* One thread's workspace. */
struct worker {
    lam_session *session;
    lam_augmented drawn;   /* of one sample; room for the largest */
    uint8_t *maps;         /* of a shard's samples, padded, each of the largest size */
    lam_sample_box *boxes; /* of a shard's samples */
    float *loss_scratch;   /* the largest result of a sample */
};

struct shard {
    float *gradient;
    double loss;
    lam_status status;
    lam_error error;
};

struct lam_trainer {
    const lam_manifest *manifest;
    const lam_network *network;
    const lam_task_kind *kind;
    void *criterion;
    const lam_samples *dataset;
    int64_t image_channels; /* of the samples; the network's input may have more */
    size_t most_boxes;      /* of a sample */
    lam_recipe recipe;
    lam_weights *weights;
    lam_weights *average; /* NULL: the recipe has none */
    lam_pool *pool;
    uint64_t seed;
    float *first, *second; /* moments of the optimiser */
    struct worker *workers;
    struct shard *shards; /* of a batch */
    int64_t shard_count;
    uint32_t *order; /* of the epoch's samples */
    double *losses;
    int64_t epoch, step; /* done */
    int64_t steps_an_epoch;

    int64_t batch_begin, batch_size; /* of the running step, in `order` */
};

/* ---- making ---- */

static void free_worker(struct worker *worker)
{
    lam_session_free(worker->session);
    free(worker->drawn.image);
    free(worker->drawn.map);
    free(worker->drawn.boxes);
    free(worker->drawn.scratch);
    free(worker->maps);
    free(worker->boxes);
    free(worker->loss_scratch);
}

void lam_trainer_free(lam_trainer *trainer)
{
    if (!trainer)
        return;
    for (size_t i = 0; trainer->workers && i < lam_pool_threads(trainer->pool); i++)
        free_worker(&trainer->workers[i]);
    for (int64_t i = 0; trainer->shards && i < trainer->shard_count; i++)
        free(trainer->shards[i].gradient);
    free(trainer->workers);
    free(trainer->shards);
    free(trainer->order);
    free(trainer->losses);
    free(trainer->first);
    free(trainer->second);
    lam_weights_free(trainer->average);
    if (trainer->criterion)
        trainer->kind->criterion_free(trainer->criterion);
    free(trainer);
}

/* The largest part of a sample that is ever taken, padded. */
static size_t most_voxels(const lam_trainer *trainer)
{
    const lam_augmentation *a = &trainer->recipe.augmentation;
    const lam_model_preprocessing *pre = &trainer->manifest->preprocessing;
    size_t most = 1;
    for (size_t i = 0; i < lam_samples_count(trainer->dataset); i++)
        for (int c = 0; c < (a->crop_count ? a->crop_count : 1); c++) {
            const int64_t *crop = a->crop_count ? a->crops[c] : pre->crop;
            lam_frame frame = lam_prepare_frame_cropped(pre, lam_samples_at(trainer->dataset, i)->size, crop);
            size_t voxels = (size_t)(frame.size[0] * frame.size[1] * frame.size[2]);
            most = voxels > most ? voxels : most;
        }
    return most;
}

static lam_status make_worker(const lam_trainer *trainer, size_t voxels, struct worker *worker,
                              lam_error *err)
{
    size_t values = voxels * (size_t)trainer->image_channels, boxes = trainer->most_boxes + 1;
    lam_status status = lam_session_create(trainer->weights, LAM_MODE_TRAIN, NULL, &worker->session, err);
    if (status)
        return status;
    worker->drawn.image = malloc(values * sizeof(float));
    worker->drawn.scratch = malloc(values * sizeof(float));
    worker->drawn.map = malloc(values);
    worker->drawn.boxes = malloc(boxes * sizeof(lam_sample_box));
    worker->maps = malloc(voxels * (size_t)trainer->recipe.shard);
    worker->boxes = malloc(boxes * (size_t)trainer->recipe.shard * sizeof(lam_sample_box));
    worker->loss_scratch =
        malloc(voxels * (size_t)lam_network_output_channels(trainer->network) * sizeof(float));
    bool complete = worker->drawn.image && worker->drawn.scratch && worker->drawn.map &&
                    worker->drawn.boxes && worker->maps && worker->boxes && worker->loss_scratch;
    return complete ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

static lam_status make_workers(lam_trainer *trainer, lam_error *err)
{
    size_t threads = lam_pool_threads(trainer->pool), voxels = most_voxels(trainer);
    for (size_t i = 0; i < lam_samples_count(trainer->dataset); i++) {
        size_t boxes = lam_samples_at(trainer->dataset, i)->truth.box_count;
        trainer->most_boxes = boxes > trainer->most_boxes ? boxes : trainer->most_boxes;
    }
    trainer->workers = calloc(threads, sizeof *trainer->workers);
    if (!trainer->workers)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < threads; i++) {
        lam_status status = make_worker(trainer, voxels, &trainer->workers[i], err);
        if (status)
            return status;
    }
    return LAM_OK;
}

static lam_status make_buffers(lam_trainer *trainer, lam_error *err)
{
    size_t floats = (size_t)lam_network_parameter_floats(trainer->network) + 1;
    size_t samples = lam_samples_count(trainer->dataset);
    trainer->shard_count = (trainer->recipe.batch + trainer->recipe.shard - 1) / trainer->recipe.shard;
    trainer->shards = calloc((size_t)trainer->shard_count, sizeof *trainer->shards);
    trainer->order = malloc(samples * sizeof *trainer->order);
    trainer->losses = calloc((size_t)trainer->steps_an_epoch, sizeof *trainer->losses);
    trainer->first = calloc(floats, sizeof(float));
    trainer->second = calloc(floats, sizeof(float));
    bool complete = trainer->shards && trainer->order && trainer->losses && trainer->first && trainer->second;
    for (int64_t i = 0; complete && i < trainer->shard_count; i++)
        complete = (trainer->shards[i].gradient = malloc(floats * sizeof(float))) != NULL;
    if (!complete)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (trainer->recipe.average <= 0)
        return LAM_OK;
    lam_status status = lam_weights_create(trainer->network, 0, &trainer->average, err);
    if (status == LAM_OK)
        memcpy(lam_weights_data(trainer->average), lam_weights_view(trainer->weights),
               (floats - 1) * sizeof(float));
    return status;
}

static lam_status check_samples(const lam_trainer *trainer, lam_error *err)
{
    const lam_sample *first = lam_samples_at(trainer->dataset, 0);
    if (trainer->image_channels > 1 &&
        (trainer->recipe.augmentation.spatial || trainer->recipe.augmentation.blur_probability > 0))
        return lam_fail(err, LAM_E_UNSUPPORTED, "`augmentation`: deforming works on one channel");
    for (size_t i = 1; i < lam_samples_count(trainer->dataset) && trainer->recipe.shard > 1; i++)
        if (memcmp(lam_samples_at(trainer->dataset, i)->size, first->size, sizeof first->size) != 0)
            return lam_fail(err, LAM_E_INVALID,
                            "`shard` above 1 needs samples of one size; %s differs from %s",
                            lam_samples_at(trainer->dataset, i)->id, first->id);
    return LAM_OK;
}

lam_status lam_trainer_create(const lam_manifest *manifest, const lam_recipe *recipe,
                              const lam_samples *dataset, lam_weights *weights, lam_pool *pool, uint64_t seed,
                              lam_trainer **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_trainer) *trainer = calloc(1, sizeof *trainer);
    lam_status status;
    if (!trainer)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    trainer->manifest = manifest;
    trainer->network = lam_weights_network(weights);
    trainer->dataset = dataset;
    trainer->recipe = *recipe;
    trainer->weights = weights;
    trainer->pool = pool;
    trainer->seed = seed;
    trainer->steps_an_epoch = ((int64_t)lam_samples_count(dataset) + recipe->batch - 1) / recipe->batch;
    if ((status = lam_task_kind_of(manifest, &trainer->kind, err)) ||
        (status = trainer->kind->criterion_create(manifest, trainer->network, &trainer->criterion, err)))
        return status;
    trainer->image_channels = trainer->kind->image_channels
                                  ? trainer->kind->image_channels(manifest, trainer->network)
                                  : lam_network_input_channels(trainer->network);
    if ((status = check_samples(trainer, err)) || (status = make_workers(trainer, err)) ||
        (status = make_buffers(trainer, err)))
        return status;
    *out = LAM_TAKE_PTR(trainer);
    return LAM_OK;
}

/* ---- one shard of a step ---- */

static lam_random stream(const lam_trainer *trainer, int purpose, int64_t number)
{
    uint64_t key = lam_random_mix(trainer->seed, (uint64_t)purpose);
    return lam_random_stream(key, (uint64_t)trainer->epoch, (uint64_t)number);
}

/* The part of the shard's samples that is taken: the manifest's crop or one of the recipe's. */
static lam_frame shard_frame(const lam_trainer *trainer, uint32_t first)
{
    const lam_augmentation *a = &trainer->recipe.augmentation;
    const lam_model_preprocessing *pre = &trainer->manifest->preprocessing;
    const int64_t *size = lam_samples_at(trainer->dataset, first)->size;
    if (a->crop_count == 0)
        return lam_prepare_frame(pre, size);
    lam_random random = stream(trainer, STREAM_CROP, first);
    return lam_prepare_frame_cropped(pre, size, a->crops[lam_random_below(&random, (uint32_t)a->crop_count)]);
}

/* The frame of an image that is just the part that was taken. */
static lam_frame inner_frame(const lam_frame *frame)
{
    lam_frame inner = *frame;
    memset(inner.from, 0, sizeof inner.from);
    return inner;
}

/* Draws one sample into its place in the input, and what is true of it, in the input's positions. `map` and
 * `boxes` are memory for it. */
static lam_truth fill_sample(const lam_trainer *trainer, struct worker *worker, uint32_t number,
                             const lam_frame *frame, float *input, uint8_t *map, lam_sample_box *boxes)
{
    const lam_sample *sample = lam_samples_at(trainer->dataset, number);
    lam_frame inner = inner_frame(frame);
    lam_truth truth = {.label = sample->truth.label, .boxes = boxes};
    truth.box_count = lam_augment(&trainer->recipe.augmentation, stream(trainer, STREAM_AUGMENT, number),
                                  sample, trainer->image_channels, frame, &worker->drawn);
    if (sample->truth.map) {
        lam_prepare_pad_map(&inner, inner.taken, worker->drawn.map, map);
        truth.map = map;
    }
    for (size_t i = 0; i < truth.box_count; i++) {
        boxes[i] = worker->drawn.boxes[i];
        boxes[i].y += (float)frame->before[1];
        boxes[i].x += (float)frame->before[2];
    }
    if (trainer->kind->fill)
        trainer->kind->fill(trainer->manifest, &inner, &truth, worker->drawn.image, input);
    else
        lam_prepare_pad(&inner, inner.taken, trainer->image_channels, worker->drawn.image, input);
    return truth;
}

/* Loss of sample k of the shard, and its part of the output's gradient. */
static double sample_loss(const lam_trainer *trainer, struct worker *worker, int64_t k,
                          const lam_frame *frame, const float *input, const lam_truth *truth)
{
    lam_shape shape = *lam_session_output_shape(worker->session);
    shape.dim[0] = 1;
    int64_t at = k * lam_shape_count(&shape);
    double share = 1.0 / (double)trainer->batch_size;
    lam_loss_case here = {.shape = &shape,
                          .scores = lam_session_output(worker->session) + at,
                          .frame = frame,
                          .input = input,
                          .truth = truth,
                          .scale = share,
                          .gradient = lam_session_output_gradient(worker->session) + at,
                          .scratch = worker->loss_scratch};
    return share * trainer->kind->criterion_run(trainer->criterion, &here);
}

static lam_status run_shard(lam_trainer *trainer, struct worker *worker, int64_t begin, int64_t count,
                            struct shard *shard, lam_error *err)
{
    const uint32_t *samples = trainer->order + trainer->batch_begin + begin;
    lam_frame frame = shard_frame(trainer, samples[0]);
    int64_t channels = lam_network_input_channels(trainer->network);
    int64_t voxels = frame.size[0] * frame.size[1] * frame.size[2];
    lam_shape shape = lam_prepare_shape(&frame, lam_network_axes(trainer->network), count, channels);
    lam_autofree lam_truth *truths = calloc((size_t)count, sizeof *truths);
    if (!truths)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = lam_bundle_plan(trainer->manifest, worker->session, &shape, err);
    if (status)
        return status;
    float *input = lam_session_input(worker->session);
    for (int64_t k = 0; k < count; k++)
        truths[k] = fill_sample(trainer, worker, samples[k], &frame, input + k * voxels * channels,
                                worker->maps + k * voxels, worker->boxes + k * (int64_t)trainer->most_boxes);
    lam_session_forward(worker->session,
                        lam_random_mix(lam_random_mix(trainer->seed, STREAM_DROPOUT),
                                       lam_random_mix((uint64_t)trainer->step, (uint64_t)begin)));
    for (int64_t k = 0; k < count; k++)
        shard->loss += sample_loss(trainer, worker, k, &frame, input + k * voxels * channels, &truths[k]);
    lam_session_backward(worker->session, shard->gradient, false);
    return LAM_OK;
}

static void shard_task(void *context, size_t index, size_t worker)
{
    lam_trainer *trainer = context;
    struct shard *shard = &trainer->shards[index];
    int64_t begin = (int64_t)index * trainer->recipe.shard, count = trainer->recipe.shard;
    shard->loss = 0;
    memset(shard->gradient, 0, (size_t)lam_network_parameter_floats(trainer->network) * sizeof(float));
    if (begin + count > trainer->batch_size)
        count = trainer->batch_size - begin;
    shard->status = run_shard(trainer, &trainer->workers[worker], begin, count, shard, &shard->error);
}

/* ---- steps ---- */

static lam_status run_step(lam_trainer *trainer, double *loss, double *norm, double *rate, lam_error *err)
{
    const lam_recipe *recipe = &trainer->recipe;
    int64_t floats = lam_network_parameter_floats(trainer->network);
    int64_t shards = (trainer->batch_size + recipe->shard - 1) / recipe->shard;
    lam_pool_run(trainer->pool, (size_t)shards, shard_task, trainer);
    float *gradient = trainer->shards[0].gradient;
    *loss = 0;
    for (int64_t s = 0; s < shards; s++) {
        if (trainer->shards[s].status) {
            if (err)
                *err = trainer->shards[s].error;
            return trainer->shards[s].status;
        }
        *loss += trainer->shards[s].loss;
        for (int64_t i = 0; i < floats && s > 0; i++)
            gradient[i] += trainer->shards[s].gradient[i];
    }
    trainer->step++;
    lam_optimiser_move_statistics(trainer->network, shards, gradient, lam_weights_data(trainer->weights));
    *norm = lam_optimiser_clip(trainer->network, gradient, recipe->clip_norm);
    *rate = lam_schedule_rate(&recipe->schedule, recipe->optimiser.rate, trainer->step,
                              recipe->epochs * trainer->steps_an_epoch, trainer->steps_an_epoch);
    if (!isfinite(*loss) || !isfinite(*norm))
        return lam_fail(err, LAM_E_INVALID,
                        "the loss is no longer finite at step %lld; a lower `rate` or `clip_norm` may help",
                        (long long)trainer->step);
    lam_optimiser_step(&recipe->optimiser, trainer->network, *rate, trainer->step, gradient, trainer->first,
                       trainer->second, lam_weights_data(trainer->weights));
    lam_weights_refresh(trainer->weights);
    if (trainer->average)
        lam_optimiser_average(trainer->network, recipe->average, trainer->step,
                              lam_weights_view(trainer->weights), lam_weights_data(trainer->average));
    return LAM_OK;
}

static lam_epoch summarise(const lam_trainer *trainer, int64_t steps, double loss, double norm, double rate,
                           int64_t samples, int64_t since_us)
{
    double seconds = (double)(lam_clock_monotonic_us() - since_us) / 1e6;
    return (lam_epoch){.epoch = trainer->epoch + 1,
                       .step = trainer->step,
                       .steps_an_epoch = trainer->steps_an_epoch,
                       .loss = loss / (double)steps,
                       .norm = norm / (double)steps,
                       .rate = rate,
                       .samples_per_s = seconds > 0 ? (double)samples / seconds : 0};
}

lam_status lam_trainer_run_epoch(lam_trainer *trainer, lam_trainer_report *report, void *context,
                                 lam_epoch *out, lam_error *err)
{
    int64_t samples = (int64_t)lam_samples_count(trainer->dataset), start = lam_clock_monotonic_us();
    lam_random random = stream(trainer, STREAM_ORDER, 0);
    lam_epoch epoch = {0};
    double losses = 0, norms = 0;
    lam_random_permutation(&random, trainer->order, (uint32_t)samples);
    for (int64_t i = 0; i < samples && !trainer->recipe.shuffle; i++)
        trainer->order[i] = (uint32_t)i;
    for (int64_t i = 0; i < trainer->steps_an_epoch; i++) {
        double norm = 0, rate = 0;
        trainer->batch_begin = i * trainer->recipe.batch;
        trainer->batch_size = samples - trainer->batch_begin < trainer->recipe.batch
                                  ? samples - trainer->batch_begin
                                  : trainer->recipe.batch;
        lam_status status = run_step(trainer, &trainer->losses[i], &norm, &rate, err);
        if (status)
            return status;
        losses += trainer->losses[i];
        norms += norm;
        epoch =
            summarise(trainer, i + 1, losses, norms, rate, trainer->batch_begin + trainer->batch_size, start);
        if (report && !report(context, &epoch))
            return lam_fail(err, LAM_E_CANCELLED, "stopped");
    }
    trainer->epoch++;
    *out = epoch;
    return LAM_OK;
}

int64_t lam_trainer_epochs(const lam_trainer *trainer)
{
    return trainer->epoch;
}

int64_t lam_trainer_steps(const lam_trainer *trainer)
{
    return trainer->step;
}

const double *lam_trainer_losses(const lam_trainer *trainer, size_t *count)
{
    *count = (size_t)trainer->steps_an_epoch;
    return trainer->losses;
}

const lam_weights *lam_trainer_kept_weights(lam_trainer *trainer)
{
    if (!trainer->average)
        return trainer->weights;
    lam_weights_refresh(trainer->average);
    return trainer->average;
}

/* ---- checkpoints ---- */

static lam_tensor state_tensor(const lam_trainer *trainer, const char *name, const float *data)
{
    int64_t floats = lam_network_parameter_floats(trainer->network);
    return (lam_tensor){.name = name,
                        .dtype = LAM_DTYPE_F32,
                        .shape = {1, {floats}},
                        .data = data,
                        .bytes = (size_t)floats * sizeof(float)};
}

/* What must agree between the trainer that saved and the one that restores. */
static void describe(const lam_trainer *trainer, char text[160])
{
    snprintf(text, 160, "seed %llu, %lld parameters, %zu samples, batch %lld, shard %lld, epochs %lld",
             (unsigned long long)trainer->seed, (long long)lam_network_parameter_floats(trainer->network),
             lam_samples_count(trainer->dataset), (long long)trainer->recipe.batch,
             (long long)trainer->recipe.shard, (long long)trainer->recipe.epochs);
}

lam_status lam_trainer_save(const lam_trainer *trainer, int fd, const char *note, lam_error *err)
{
    char identity[160], epoch[24], step[24];
    lam_tensor tensors[4] = {
        state_tensor(trainer, "weights", lam_weights_view(trainer->weights)),
        state_tensor(trainer, "first", trainer->first),
        state_tensor(trainer, "second", trainer->second),
    };
    size_t count = 3;
    if (trainer->average)
        tensors[count++] = state_tensor(trainer, "average", lam_weights_view(trainer->average));
    describe(trainer, identity);
    snprintf(epoch, sizeof epoch, "%lld", (long long)trainer->epoch);
    snprintf(step, sizeof step, "%lld", (long long)trainer->step);
    const char *const metadata[][2] = {
        {"identity", identity}, {"epoch", epoch}, {"step", step}, {"note", note}};
    return lam_safetensors_write(fd, tensors, count, metadata, LAM_COUNT(metadata), err);
}

static lam_status restore_tensor(const lam_trainer *trainer, const lam_safetensors *file, const char *name,
                                 float *data, lam_error *err)
{
    const lam_tensor *tensor = lam_safetensors_find(file, name);
    size_t bytes = (size_t)lam_network_parameter_floats(trainer->network) * sizeof(float);
    if (!tensor || tensor->dtype != LAM_DTYPE_F32 || tensor->bytes != bytes)
        return lam_fail(err, LAM_E_CORRUPT, "the checkpoint's `%s` is missing or of another size", name);
    memcpy(data, tensor->data, bytes);
    return LAM_OK;
}

lam_status lam_trainer_restore(lam_trainer *trainer, int fd, char **note, lam_error *err)
{
    LAM_AUTO_PTR(lam_safetensors) *file = NULL;
    char identity[160];
    lam_status status = lam_safetensors_map(fd, &file, err);
    if (status)
        return status;
    const char *saved = lam_safetensors_metadata(file, "identity"),
               *epoch = lam_safetensors_metadata(file, "epoch");
    const char *step = lam_safetensors_metadata(file, "step"), *text = lam_safetensors_metadata(file, "note");
    if (!saved || !epoch || !step || !text)
        return lam_fail(err, LAM_E_CORRUPT, "this is not a checkpoint");
    describe(trainer, identity);
    if (strcmp(saved, identity) != 0)
        return lam_fail(err, LAM_E_STATE, "the checkpoint is of another training (%s), this one is (%s)",
                        saved, identity);
    if ((status = restore_tensor(trainer, file, "weights", lam_weights_data(trainer->weights), err)) ||
        (status = restore_tensor(trainer, file, "first", trainer->first, err)) ||
        (status = restore_tensor(trainer, file, "second", trainer->second, err)) ||
        (trainer->average &&
         (status = restore_tensor(trainer, file, "average", lam_weights_data(trainer->average), err))))
        return status;
    char *copy = strdup(text);
    if (!copy)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    trainer->epoch = strtoll(epoch, NULL, 10);
    trainer->step = strtoll(step, NULL, 10);
    lam_weights_refresh(trainer->weights);
    *note = copy;
    return LAM_OK;
}
