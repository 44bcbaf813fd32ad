/* Whole networks: the textbook network's training step through the trainer as `lamina train` runs it (loss,
 * backward, Adam, drawing of batches), for ../shared/bench/train_torch.py's shapes; and the shipped
 * hippocampus network on real volumes, a training step (one volume, all augmentation) and the segmentation of
 * a volume. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"
#include "core/rnn/train/trainer.h"
#include "tests/bench/engine/bench.h"

enum { BATCH = 32, STEPS_AN_EPOCH = 8, SAMPLES = BATCH * STEPS_AN_EPOCH, UNITS = 64, CLASSES = 10 };

#define HIPPOCAMPUS "models/hippocampus/1.1.0"
#define VOLUMES     "../shared/data/hippocampus/val.safetensors"

/* Where `times` are of `runs` things, those of one. */
static void divide(bench_times *times, double runs)
{
    for (int r = 0; r < BENCH_ROUNDS; r++)
        times->us[r] /= runs;
}

static lam_status run_epoch(void *context, lam_error *err)
{
    lam_epoch epoch;
    return lam_trainer_run_epoch(context, NULL, NULL, &epoch, err);
}

/* Of an epoch of a fresh trainer on `samples`, so many a step. */
static bench_times time_epochs(const lam_manifest *manifest, const lam_network *network,
                               const lam_samples *samples, int64_t batch, lam_pool *pool)
{
    lam_error err;
    lam_recipe recipe;
    lam_weights *weights;
    lam_trainer *trainer;
    bench_need(lam_recipe_parse(manifest, &recipe, &err), &err);
    recipe.batch = recipe.shard = batch;
    bench_need(lam_weights_create(network, 1, &weights, &err), &err);
    bench_need(lam_trainer_create(manifest, &recipe, samples, weights, pool, 1, &trainer, &err), &err);
    bench_times times = bench_time(run_epoch, trainer, 0.1);
    lam_trainer_free(trainer);
    lam_weights_free(weights);
    return times;
}

/* ---- textbook ---- */

#define CODE "{\"scheme\": \"99TEST\", \"value\": \"1\", \"meaning\": \"Test\"}"

static lam_manifest *textbook_manifest(const char *cell, int channels)
{
    lam_buffer text;
    lam_error err;
    lam_manifest *manifest;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_buffer_printf(
        &text,
        "{\"schema\": 1, \"name\": \"textbook\", \"version\": \"1\", \"task\": \"segmentation\",\n"
        " \"network\": {\"input\": {\"axes\": [\"t\"], \"channels\": %d}, \"layers\": [\n"
        "  {\"name\": \"rnn\", \"kind\": \"sweep\", \"cell\": \"%s\", \"units\": %d},\n"
        "  {\"name\": \"hidden\", \"kind\": \"dense\", \"units\": %d, \"activation\": \"relu\"},\n"
        "  {\"name\": \"head\", \"kind\": \"dense\", \"units\": %d, \"activation\": \"softmax\"}]},\n"
        " \"training\": {\"epochs\": 1000000, \"batch\": %d,\n"
        "  \"optimiser\": {\"kind\": \"adam\", \"rate\": 0.001}, \"loss\": [{\"kind\": "
        "\"cross_entropy\"}]},\n"
        " \"outputs\": {\"segments\": [",
        channels, cell, UNITS, UNITS, CLASSES, BATCH);
    for (int c = 1; c < CLASSES; c++)
        lam_buffer_printf(&text,
                          "%s{\"number\": %d, \"name\": \"c%d\", \"label\": \"C\", \"category\": " CODE
                          ", \"type\": " CODE "}",
                          c > 1 ? ", " : "", c, c);
    lam_buffer_printf(&text, "]}}");
    bench_need(lam_manifest_parse(lam_buffer_text(&text), text.length, &manifest, &err), &err);
    lam_buffer_done(&text);
    return manifest;
}

/* Sequences of noise with noise for labels. */
static lam_samples *textbook_samples(const lam_manifest *manifest, const lam_network *network, int steps,
                                     int channels)
{
    char path[] = "/tmp/lamina-bench-XXXXXX";
    const char *const paths[] = {path};
    size_t positions = (size_t)SAMPLES * (size_t)steps, values = positions * (size_t)channels;
    float *images = malloc(values * sizeof *images);
    uint8_t *labels = malloc(positions);
    lam_samples *samples;
    lam_error err;
    int fd = mkstemp(path);
    if (!images || !labels || fd < 0) {
        perror("bench-engine");
        exit(1);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < values; i++) {
        state = state * 1664525u + 1013904223u;
        images[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
        labels[i / (size_t)channels] = (uint8_t)((state >> 8) % CLASSES);
    }
    lam_tensor tensors[] = {
        {"images", LAM_DTYPE_F32, {3, {SAMPLES, steps, channels}}, images, values * sizeof *images},
        {"labels", LAM_DTYPE_U8, {2, {SAMPLES, steps}}, labels, positions},
    };
    bench_need(lam_safetensors_write(fd, tensors, 2, NULL, 0, &err), &err);
    close(fd);
    lam_status status = lam_samples_load(manifest, network, paths, 1, &samples, &err);
    unlink(path);
    bench_need(status, &err);
    free(images);
    free(labels);
    return samples;
}

static void bench_textbook(const char *label, const char *cell, int size, lam_pool *pool, const char *filter)
{
    char name[64];
    lam_error err;
    lam_network *network;
    snprintf(name, sizeof name, "textbook-%s/%d,%d,%d,%d", label, size, BATCH, size, UNITS);
    if (!strstr(name, filter))
        return;
    lam_manifest *manifest = textbook_manifest(cell, size);
    bench_need(lam_network_create(manifest->network, &network, &err), &err);
    lam_samples *samples = textbook_samples(manifest, network, size, size);
    bench_times times = time_epochs(manifest, network, samples, BATCH, pool);
    divide(&times, STEPS_AN_EPOCH);
    bench_print(pool, name, &times, 0);
    lam_samples_free(samples);
    lam_network_free(network);
    lam_manifest_free(manifest);
}

/* ---- hippocampus ---- */

struct volumes {
    const lam_samples *samples;
    lam_predictor *predictor;
};

static lam_status segment_all(void *context, lam_error *err)
{
    const struct volumes *v = context;
    for (size_t i = 0; i < lam_samples_count(v->samples); i++) {
        const lam_sample *sample = lam_samples_at(v->samples, i);
        lam_volume volume = {sample->raw, {0}, {1, 1, 1}};
        lam_segmentation result;
        memcpy(volume.size, sample->size, sizeof volume.size);
        lam_status status = lam_predict_segment(v->predictor, &volume, &result, err);
        if (status)
            return status;
        lam_segmentation_done(&result);
    }
    return LAM_OK;
}

static void bench_hippocampus(lam_pool *pool, const char *filter)
{
    static const char *const names[] = {"hippocampus-step", "hippocampus-volume"}, *const paths[] = {VOLUMES};
    lam_error err;
    lam_bundle *bundle;
    lam_samples *all, *some;
    if (!strstr(names[0], filter) && !strstr(names[1], filter))
        return;
    if (access(VOLUMES, R_OK) != 0) {
        printf("# skipped: hippocampus, " VOLUMES " is absent\n");
        return;
    }
    bench_need(lam_bundle_load_path(HIPPOCAMPUS, &bundle, &err), &err);
    const lam_manifest *manifest = lam_bundle_manifest(bundle);
    const lam_network *network = lam_bundle_network(bundle);
    bench_need(lam_samples_load(manifest, network, paths, 1, &all, &err), &err);
    bench_need(lam_samples_fold(all, 0, 4, false, &some, &err), &err);
    double count = (double)lam_samples_count(some);
    if (strstr(names[0], filter)) {
        bench_times times = time_epochs(manifest, network, some, 1, pool);
        divide(&times, count);
        bench_print(pool, names[0], &times, 0);
    }
    if (strstr(names[1], filter)) {
        struct volumes volumes = {some, NULL};
        bench_need(lam_predictor_create(bundle, pool, &volumes.predictor, &err), &err);
        bench_times times = bench_time(segment_all, &volumes, 0.1);
        divide(&times, count);
        bench_print(pool, names[1], &times, 0);
        lam_predictor_free(volumes.predictor);
    }
    lam_samples_free(some);
    lam_samples_free(all);
    lam_bundle_free(bundle);
}

void bench_networks(lam_pool *pool, const char *filter)
{
    static const char *const cells[][2] = {{"LSTM", "lstm"}, {"GRU", "gru"}, {"RNN", "elman"}};
    static const int sizes[] = {28, 64, 128};
    for (size_t s = 0; s < 3; s++)
        for (size_t c = 0; c < 3; c++)
            bench_textbook(cells[c][0], cells[c][1], sizes[s], pool, filter);
    bench_hippocampus(pool, filter);
}
