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
#include "core/rnn/train/loss.h"
#include "core/rnn/train/optimiser.h"

/* Names of random streams. */
enum { STREAM_ORDER = 1, STREAM_AUGMENT, STREAM_DROPOUT };

/* One thread's workspace. */
struct worker {
    lam_session *session;
    float *image, *scratch; /* the largest sample */
    uint8_t *map;
    uint8_t *padded_maps; /* of a shard's samples, each of the largest size */
    float *probabilities; /* loss scratch: largest output of a sample */
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
    const lam_samples *dataset;
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
    free(worker->image);
    free(worker->scratch);
    free(worker->map);
    free(worker->padded_maps);
    free(worker->probabilities);
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
    free(trainer);
}

/* The largest sample, padded, in values of the input and in positions times classes of the result. */
static size_t largest_input(const lam_trainer *trainer, size_t *scores)
{
    size_t most = 1, classes = (size_t)lam_network_output_channels(trainer->network);
    for (size_t i = 0; i < lam_samples_count(trainer->dataset); i++) {
        lam_padding padding =
            lam_prepare_padding(&trainer->manifest->preprocessing, lam_samples_at(trainer->dataset, i)->size);
        size_t voxels = (size_t)(padding.size[0] * padding.size[1] * padding.size[2]);
        most = voxels > most ? voxels : most;
    }
    *scores = most * classes;
    return most * (size_t)lam_network_input_channels(trainer->network);
}

static lam_status make_workers(lam_trainer *trainer, lam_error *err)
{
    size_t threads = lam_pool_threads(trainer->pool), scores, values = largest_input(trainer, &scores);
    trainer->workers = calloc(threads, sizeof *trainer->workers);
    for (size_t i = 0; trainer->workers && i < threads; i++) {
        struct worker *worker = &trainer->workers[i];
        lam_status status = lam_session_create(trainer->weights, LAM_MODE_TRAIN, NULL, &worker->session, err);
        if (status)
            return status;
        worker->image = malloc(values * sizeof(float));
        worker->scratch = malloc(values * sizeof(float));
        worker->map = malloc(values);
        worker->padded_maps = malloc(values * (size_t)trainer->recipe.shard);
        worker->probabilities = malloc(scores * sizeof(float));
        if (!worker->image || !worker->scratch || !worker->map || !worker->padded_maps ||
            !worker->probabilities)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    return trainer->workers ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
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
    if (lam_network_output_channels(trainer->network) > 256)
        return lam_fail(err, LAM_E_LIMIT, "networks of more than 256 classes cannot be trained");
    if (lam_network_input_channels(trainer->network) > 1 &&
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
    trainer->recipe.loss.probabilities = lam_network_gives_probabilities(trainer->network);
    trainer->weights = weights;
    trainer->pool = pool;
    trainer->seed = seed;
    trainer->steps_an_epoch = ((int64_t)lam_samples_count(dataset) + recipe->batch - 1) / recipe->batch;
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

static void pad_map(const lam_padding *padding, const int64_t size[3], const uint8_t *map, uint8_t *out)
{
    memset(out, 0, (size_t)(padding->size[0] * padding->size[1] * padding->size[2]));
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++)
            memcpy(out +
                       ((z + padding->before[0]) * padding->size[1] + y + padding->before[1]) *
                           padding->size[2] +
                       padding->before[2],
                   map + (z * size[1] + y) * size[2], (size_t)size[2]);
}

/* The label map of sample k of the shard. */
static uint8_t *shard_map(const struct worker *worker, const lam_padding *padding, int64_t k)
{
    return worker->padded_maps + k * padding->size[0] * padding->size[1] * padding->size[2];
}

/* Draws one sample into its place in the input, and its label map. */
static void fill_sample(const lam_trainer *trainer, struct worker *worker, uint32_t number,
                        const lam_padding *padding, float *input, uint8_t *map)
{
    const lam_sample *sample = lam_samples_at(trainer->dataset, number);
    int64_t channels = lam_network_input_channels(trainer->network);
    int64_t values = sample->size[0] * sample->size[1] * sample->size[2] * channels;
    int64_t flat[3] = {1, 1, values};
    bool volume = channels == 1;
    lam_augment(&trainer->recipe.augmentation, stream(trainer, STREAM_AUGMENT, number),
                volume ? sample->size : flat, sample->prepared, sample->map, worker->image, worker->map,
                worker->scratch);
    lam_prepare_pad(padding, sample->size, channels, worker->image, input);
    if (sample->map)
        pad_map(padding, sample->size, worker->map, map);
}

/* Loss of sample k of the shard, and its part of the output's gradient. */
static double sample_loss(const lam_trainer *trainer, struct worker *worker, uint32_t number, int64_t k,
                          const uint8_t *map)
{
    const lam_shape *shape = lam_session_output_shape(worker->session);
    const lam_sample *sample = lam_samples_at(trainer->dataset, number);
    int classes = (int)shape->dim[shape->rank - 1];
    int64_t rows = 1;
    for (int i = 1; i < shape->rank - 1; i++)
        rows *= shape->dim[i];
    size_t at = (size_t)(k * rows * classes);
    uint8_t label = (uint8_t)sample->label;
    double share = 1.0 / (double)trainer->batch_size;
    return share * lam_loss_evaluate(&trainer->recipe.loss, rows, classes,
                                     lam_session_output(worker->session) + at, sample->map ? map : &label,
                                     share, lam_session_output_gradient(worker->session) + at,
                                     worker->probabilities);
}

static lam_status run_shard(lam_trainer *trainer, struct worker *worker, int64_t begin, int64_t count,
                            struct shard *shard, lam_error *err)
{
    const uint32_t *samples = trainer->order + trainer->batch_begin + begin;
    lam_padding padding = lam_prepare_padding(&trainer->manifest->preprocessing,
                                              lam_samples_at(trainer->dataset, samples[0])->size);
    int64_t channels = lam_network_input_channels(trainer->network);
    lam_shape shape = lam_prepare_shape(&padding, lam_network_axes(trainer->network), count, channels);
    lam_status status = lam_bundle_plan(trainer->manifest, worker->session, &shape, err);
    if (status)
        return status;
    int64_t values = padding.size[0] * padding.size[1] * padding.size[2] * channels;
    for (int64_t k = 0; k < count; k++)
        fill_sample(trainer, worker, samples[k], &padding, lam_session_input(worker->session) + k * values,
                    shard_map(worker, &padding, k));
    lam_session_forward(worker->session,
                        lam_random_mix(lam_random_mix(trainer->seed, STREAM_DROPOUT),
                                       lam_random_mix((uint64_t)trainer->step, (uint64_t)begin)));
    for (int64_t k = 0; k < count; k++)
        shard->loss += sample_loss(trainer, worker, samples[k], k, shard_map(worker, &padding, k));
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
        double norm, rate;
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
