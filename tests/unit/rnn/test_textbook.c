/* The textbook network, LSTM(64) → Dense(64, relu) → Dense(classes, softmax) with Adam and cross-entropy,
 * trains along PyTorch's loss curve (tests/golden/rnn/make_textbook.py) from the same weights and batches. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rnn/safetensors.h"
#include "core/rnn/train/trainer.h"

#define GOLDEN "tests/golden/rnn/textbook.csv"

/* What the project promises: within a thousandth over the first 100 steps. */
#define TOLERANCE 1e-3

enum { SAMPLES = 320, STEPS = 12, FEATURES = 8, CLASSES = 3, GOLDEN_STEPS = 100 };

#define CODE "{\"scheme\": \"99TEST\", \"value\": \"1\", \"meaning\": \"Test\"}"

static const char model[] =
    "{\"schema\": 1, \"name\": \"textbook\", \"version\": \"1\", \"task\": \"segmentation\",\n"
    " \"network\": {\n"
    "  \"input\": {\"axes\": [\"t\"], \"channels\": 8},\n"
    "  \"layers\": [\n"
    "   {\"name\": \"lstm\", \"kind\": \"sweep\", \"cell\": \"lstm\", \"units\": 64},\n"
    "   {\"name\": \"hidden\", \"kind\": \"dense\", \"units\": 64, \"activation\": \"relu\"},\n"
    "   {\"name\": \"head\", \"kind\": \"dense\", \"units\": 3, \"activation\": \"softmax\"}]},\n"
    " \"outputs\": {\"segments\": [\n"
    "  {\"number\": 1, \"name\": \"one\", \"label\": \"One\", \"category\": " CODE ", \"type\": " CODE "},\n"
    "  {\"number\": 2, \"name\": \"two\", \"label\": \"Two\", \"category\": " CODE ", \"type\": " CODE
    "}]},\n"
    " \"training\": {\"epochs\": 10, \"batch\": 32, \"shard\": 32, \"shuffle\": false,\n"
    "  \"optimiser\": {\"kind\": \"adam\", \"rate\": 0.001}, \"loss\": [{\"kind\": \"cross_entropy\"}]}}";

static float hashed(uint64_t number)
{
    uint32_t bits = (uint32_t)(number * 2654435761u % (1ull << 32) / 256);
    return (float)((double)bits / (1 << 23) - 1);
}

static void write_data(char path[64])
{
    static float images[SAMPLES][STEPS][FEATURES];
    static uint8_t labels[SAMPLES][STEPS];
    static char names[2 * SAMPLES][16];
    static lam_tensor tensors[2 * SAMPLES];
    lam_error err = {0};
    for (int n = 0; n < SAMPLES; n++) {
        for (int t = 0; t < STEPS; t++) {
            labels[n][t] = (uint8_t)((n * 31 + t / 4) % CLASSES);
            for (int f = 0; f < FEATURES; f++)
                images[n][t][f] = (float)((double)hashed(((uint64_t)n * STEPS + (uint64_t)t) * FEATURES +
                                                         (uint64_t)f + 77) +
                                          (f % CLASSES == labels[n][t] ? 0.5 : 0));
        }
        snprintf(names[2 * n], sizeof names[0], "%d.image", n);
        snprintf(names[2 * n + 1], sizeof names[0], "%d.label", n);
        tensors[2 * n] =
            (lam_tensor){names[2 * n], LAM_DTYPE_F32, {2, {STEPS, FEATURES}}, images[n], sizeof images[n]};
        tensors[2 * n + 1] =
            (lam_tensor){names[2 * n + 1], LAM_DTYPE_U8, {1, {STEPS}}, labels[n], sizeof labels[n]};
    }
    strcpy(path, "/tmp/lamina-textbook-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_ok(lam_safetensors_write(fd, tensors, 2 * SAMPLES, NULL, 0, &err), err);
    close(fd);
}

static void set_weights(const lam_network *network, lam_weights *weights)
{
    for (size_t p = 0; p < lam_network_parameter_count(network); p++) {
        const lam_parameter *parameter = lam_network_parameter(network, p);
        for (int64_t i = 0; i < parameter->count; i++)
            lam_weights_data(weights)[parameter->offset + i] = hashed((uint64_t)i + p * 1000003) * 0.125f;
    }
    lam_weights_refresh(weights);
}

static void test_loss_curve_is_pytorchs(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_manifest *manifest;
    lam_network *network;
    lam_recipe recipe;
    lam_samples *dataset;
    lam_weights *weights;
    lam_trainer *trainer;
    char path[64];
    const char *paths[] = {path};
    write_data(path);
    assert_ok(lam_manifest_parse(model, strlen(model), &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_recipe_parse(manifest, &recipe, &err), err);
    assert_ok(lam_samples_load(manifest, network, paths, 1, &dataset, &err), err);
    unlink(path);
    assert_ok(lam_weights_create(network, 1, &weights, &err), err);
    set_weights(network, weights);
    assert_ok(lam_trainer_create(manifest, &recipe, dataset, weights, NULL, 1, &trainer, &err), err);
    FILE *golden = fopen(GOLDEN, "r");
    assert_non_null(golden);
    double worst = 0;
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        lam_epoch epoch;
        size_t count;
        double expected;
        if (step % 10 == 0)
            assert_ok(lam_trainer_run_epoch(trainer, NULL, NULL, &epoch, &err), err);
        double loss = lam_trainer_losses(trainer, &count)[step % 10];
        assert_int_equal(count, 10);
        char line[64];
        assert_non_null(fgets(line, sizeof line, golden));
        expected = strtod(line, NULL);
        double difference = fabs(loss - expected) / expected;
        worst = difference <= worst ? worst : difference;
        if (!(difference < TOLERANCE))
            fail_msg("step %d: loss %.9g, PyTorch %.9g", step + 1, loss, expected);
    }
    print_message("largest relative difference %.2g\n", worst);
    fclose(golden);
    lam_trainer_free(trainer);
    lam_weights_free(weights);
    lam_samples_free(dataset);
    lam_network_free(network);
    lam_manifest_free(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_curve_is_pytorchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
