/* What stands between files and scores: slices put together into stacks, parts that keep patients together,
 * ensembles, mirror images, confidence intervals, the card. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"
#include "core/rnn/random.h"
#include "core/rnn/safetensors.h"
#include "core/rnn/train/card.h"
#include "core/rnn/train/fit.h"

enum { PATIENTS = 6, PHASES = 2, SLICES = 3, SIDE = 16, AREA = SIDE * SIDE };

static const char model[] =
    "{\"schema\": 1, \"name\": \"discs\", \"version\": \"1\", \"task\": \"segmentation\","
    "\"preprocessing\": {\"crop\": [0, 12, 12], \"intensity\": {\"z_score\": \"all\"}, \"pad_multiple\": [1, "
    "4, 4]},"
    "\"network\": {\"input\": {\"axes\": [\"z\", \"y\", \"x\"], \"channels\": 1}, \"layers\": ["
    "{\"name\": \"stem\", \"kind\": \"conv\", \"channels\": 8, \"kernel\": [1, 4, 4], \"stride\": [1, 2, 2], "
    "\"padding\": [0, 1, 1]},"
    "{\"name\": \"sweep\", \"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 4, \"directions\": [\"z+\", "
    "\"y-\", \"x+\"]},"
    "{\"name\": \"up\", \"kind\": \"conv_transpose\", \"channels\": 2, \"kernel\": [1, 2, 2], \"stride\": "
    "[1, 2, "
    "2]}]},"
    "\"postprocessing\": {\"members\": 2, \"average_flips\": [\"x\"]},"
    "\"outputs\": {\"segments\": [{\"number\": 1, \"name\": \"disc\", \"label\": \"Disc\","
    "\"category\": {\"scheme\": \"SCT\", \"value\": \"49755003\", \"meaning\": \"Morphologically Abnormal "
    "Structure\"},"
    "\"type\": {\"scheme\": \"SCT\", \"value\": \"4147007\", \"meaning\": \"Mass\"}}]},"
    "\"card\": {\"intended\": [\"Tests of stacks.\"], \"limits\": [\"Knows discs only.\"]},"
    "\"training\": {\"epochs\": 12, \"batch\": 2, \"optimiser\": {\"rate\": 0.02},"
    "\"loss\": [{\"kind\": \"cross_entropy\"}, {\"kind\": \"dice_slices\"}], \"cross_validate\": true,"
    "\"augmentation\": {\"shift\": [0, 1, 1], \"crops\": [[0, 12, 12], [0, 16, 16]]},"
    "\"stacks\": {\"pattern\": \"^(P[0-9]+)-([0-9]+)$\", \"phases\": 20}, \"validate_every\": 4,"
    "\"fit_temperature\": true}}";

static char folder[] = "/tmp/lamina-tasks-XXXXXX";
static char data_path[64], bundle_path[64];

/* Slices in a disorder that the names undo: patient p, phase 4 or 19, slices 2, 3, 4. */
static void write_slices(void)
{
    static uint8_t images[PATIENTS * PHASES * SLICES][AREA], labels[PATIENTS * PHASES * SLICES][AREA];
    static char names[2 * PATIENTS * PHASES * SLICES][24];
    static lam_tensor tensors[2 * PATIENTS * PHASES * SLICES];
    int count = PATIENTS * PHASES * SLICES;
    for (int i = 0; i < count; i++) {
        int n = i * 7 % count, patient = n % PATIENTS, phase = n / PATIENTS % PHASES;
        int slice = n / PATIENTS / PHASES + 2, number = slice * 20 + (phase ? 19 : 4) + 1;
        double radius = phase ? 4.5 : 2.5 + 0.2 * patient;
        lam_random random = lam_random_stream(3, (uint64_t)n, 0);
        for (int k = 0; k < AREA; k++) {
            double y = k / SIDE - 7.5, x = k % SIDE - 7.5; /* NOLINT(bugprone-integer-division): a row */
            labels[i][k] = y * y + x * x < radius * radius;
            images[i][k] = (uint8_t)(100 + 50 * labels[i][k] + slice * 10 + lam_random_below(&random, 30));
        }
        snprintf(names[2 * i], sizeof names[0], "P%02d-%04d.image", patient, number);
        snprintf(names[2 * i + 1], sizeof names[0], "P%02d-%04d.label", patient, number);
        lam_shape shape = {2, {SIDE, SIDE}};
        tensors[2 * i] = (lam_tensor){names[2 * i], LAM_DTYPE_U8, shape, images[i], AREA};
        tensors[2 * i + 1] = (lam_tensor){names[2 * i + 1], LAM_DTYPE_U8, shape, labels[i], AREA};
    }
    lam_error err = {0};
    int fd = open(data_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_ok(lam_safetensors_write(fd, tensors, (size_t)count * 2, NULL, 0, &err), err);
    close(fd);
}

struct set {
    lam_manifest *manifest;
    lam_network *network;
    lam_samples *samples;
};

static void open_set(struct set *set)
{
    lam_error err = {0};
    const char *paths[] = {data_path};
    assert_ok(lam_manifest_parse(model, strlen(model), &set->manifest, &err), err);
    assert_ok(lam_network_create(set->manifest->network, &set->network, &err), err);
    assert_ok(lam_samples_load(set->manifest, set->network, paths, 1, &set->samples, &err), err);
}

static void close_set(struct set *set)
{
    lam_samples_free(set->samples);
    lam_network_free(set->network);
    lam_manifest_free(set->manifest);
}

static void test_slices_become_stacks(void **state)
{
    (void)state;
    struct set set;
    open_set(&set);
    assert_int_equal(lam_samples_count(set.samples), PATIENTS * PHASES);
    assert_int_equal(lam_samples_groups(set.samples), PATIENTS);
    for (size_t i = 0; i < lam_samples_count(set.samples); i++) {
        const lam_sample *sample = lam_samples_at(set.samples, i);
        assert_int_equal(sample->size[0], SLICES);
        assert_int_equal(sample->size[1], SIDE);
        assert_int_equal(sample->group, i / PHASES);
        assert_int_equal(sample->phase, i % PHASES ? 19 : 4);
        for (int z = 0; z < SLICES; z++)
            assert_in_range((int)sample->raw[z * AREA], 100 + (z + 2) * 10, 100 + (z + 2) * 10 + 29);
        assert_int_equal(sample->truth.map[7 * SIDE + 7], 1);
    }
    close_set(&set);
}

static void test_parts_keep_patients_together(void **state)
{
    (void)state;
    struct set set;
    lam_error err = {0};
    open_set(&set);
    for (int fold = 0; fold < 3; fold++) {
        lam_samples *part, *others;
        assert_ok(lam_samples_fold(set.samples, fold, 3, false, &part, &err), err);
        assert_ok(lam_samples_fold(set.samples, fold, 3, true, &others, &err), err);
        assert_int_equal(lam_samples_count(part), 4);
        assert_int_equal(lam_samples_count(others), 8);
        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < 8; k++)
                assert_true(lam_samples_at(part, i)->group != lam_samples_at(others, k)->group);
        lam_samples_free(part);
        lam_samples_free(others);
    }
    lam_samples *none;
    assert_fails(lam_samples_fold(set.samples, 0, PATIENTS + 1, false, &none, &err), LAM_E_INVALID, err);
    close_set(&set);
}

static lam_status train(lam_scores *scores, bool resume, lam_error *err)
{
    const char *data[] = {data_path};
    char file[80];
    lam_fit_settings settings = {
        .bundle = bundle_path, .data = data, .data_count = 1, .seed = 5, .threads = 2, .resume = resume};
    snprintf(file, sizeof file, "%s/model.json", bundle_path);
    if (lam_io_make_directories(bundle_path, 0700, err))
        return err->status;
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(model, out);
    fclose(out);
    return lam_fit(&settings, NULL, NULL, scores, err);
}

static void test_ensemble(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    lam_bundle *bundle;
    size_t count;
    assert_ok(train(&scores, false, &err), err);
    assert_true(lam_scores_get(&scores, "dice_mean") > 0.8);
    assert_true(lam_scores_get(&scores, "dice_slice") > 0.8);
    assert_true(lam_scores_get(&scores, "dice_least") <= lam_scores_get(&scores, "dice_mean"));
    assert_true(lam_scores_get(&scores, "ef_error") < 25);
    assert_ok(lam_bundle_load_path(bundle_path, &bundle, &err), err);
    const lam_weights *const *members = lam_bundle_members(bundle, &count);
    assert_int_equal(count, 2);
    assert_memory_not_equal(lam_weights_view(members[0]), lam_weights_view(members[1]), 64);
    lam_bundle_free(bundle);
}

/* The mirror image of a case gives the mirror image of its result, to the last bit but those of a sum. */
static void test_mirror_images(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_bundle *bundle;
    lam_predictor *predictor;
    static float image[SLICES * AREA], turned[SLICES * AREA];
    lam_segmentation a = {0}, b = {0};
    lam_random random = lam_random_stream(8, 0, 0);
    for (int i = 0; i < SLICES * AREA; i++)
        image[i] = lam_random_uniform(&random);
    for (int i = 0; i < SLICES * AREA; i++)
        turned[i - i % SIDE + SIDE - 1 - i % SIDE] = image[i];
    assert_ok(lam_bundle_load_path(bundle_path, &bundle, &err), err);
    assert_ok(lam_predictor_create(bundle, NULL, &predictor, &err), err);
    lam_volume one = {image, {SLICES, SIDE, SIDE}, {1, 1, 1}},
               two = {turned, {SLICES, SIDE, SIDE}, {1, 1, 1}};
    assert_ok(lam_predict_segment(predictor, &one, &a, &err), err);
    assert_ok(lam_predict_segment(predictor, &two, &b, &err), err);
    for (int i = 0; i < SLICES * AREA; i++) {
        const float *p = a.probabilities + i * 2,
                    *q = b.probabilities + (i - i % SIDE + SIDE - 1 - i % SIDE) * 2;
        assert_float_equal(p[0], q[0], 1e-5);
        assert_float_equal(p[0] + p[1], 1, 1e-5);
    }
    assert_float_equal(a.probabilities[0], 1, 0); /* outside the middle: background */
    lam_segmentation_done(&a);
    lam_segmentation_done(&b);
    lam_predictor_free(predictor);
    lam_bundle_free(bundle);
}

static void test_intervals_and_card(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    lam_bundle *bundle;
    lam_evaluation *evaluation;
    lam_buffer card;
    size_t count;
    struct set set;
    open_set(&set);
    assert_ok(lam_bundle_load_path(bundle_path, &bundle, &err), err);
    const lam_weights *const *members = lam_bundle_members(bundle, &count);
    assert_ok(lam_evaluation_create(lam_bundle_manifest(bundle), true, false, &evaluation, &err), err);
    assert_ok(lam_evaluation_add(evaluation, members, count, set.samples, NULL, &err), err);
    assert_ok(lam_evaluation_scores(evaluation, 200, &scores, &err), err);
    for (size_t i = 0; i < scores.count; i++) {
        const lam_score *score = &scores.items[i];
        bool least = strcmp(score->name, "dice_least") == 0; /* not smooth: its own lower end */
        if (!(score->low <= score->value + 1e-6 || least) || !(score->value <= score->high + 1e-6))
            fail_msg("%s: %g is not in %g … %g", score->name, score->value, score->low, score->high);
    }
    lam_buffer_init(&card, 1 << 20);
    assert_ok(lam_card_write(bundle, evaluation, &scores, "the test's own set", 2, &card, &err), err);
    const char *text = lam_buffer_text(&card);
    char line[200];
    snprintf(line, sizeof line, "Weights SHA-256: %s\n", lam_bundle_weights_sha256(bundle));
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "](failure-2.png)"));
    assert_null(strstr(text, "](failure-3.png)"));
    snprintf(line, sizeof line, "| dice_mean | %.4f | ", lam_scores_get(&scores, "dice_mean"));
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "Knows discs only."));
    assert_non_null(strstr(text, "## Where it fails"));
    lam_buffer_done(&card);
    lam_evaluation_free(evaluation);
    lam_bundle_free(bundle);
    close_set(&set);
}

/* A card that names a hash names that of the weights beside it, and the metrics of model.json. */
/* What the card shows lies beside it. */
static void check_pictures(const char *directory, const char *text)
{
    for (const char *link = strstr(text, "]("); link; link = strstr(link + 1, "](")) {
        char path[300];
        int length = (int)strcspn(link + 2, ")");
        snprintf(path, sizeof path, "%s/%.*s", directory, length < 80 ? length : 80, link + 2);
        if (!strstr(path, "://") && access(path, R_OK) != 0)
            fail_msg("%s is not there", path);
    }
}

static void check_card(const char directory[200])
{
    lam_error err = {0};
    lam_bundle *bundle;
    lam_buffer card;
    char path[256];
    lam_buffer_init(&card, 1 << 20);
    snprintf(path, sizeof path, "%s/" LAM_BUNDLE_CARD, directory);
    assert_ok(lam_bundle_load_path(directory, &bundle, &err), err);
    assert_ok(lam_io_read_file(path, &card, &err), err);
    const char *text = lam_buffer_text(&card), *hash = strstr(text, "Weights SHA-256: ");
    check_pictures(directory, text);
    if (hash) {
        const lam_model_provenance *p = &lam_bundle_manifest(bundle)->provenance;
        assert_memory_equal(hash + strlen("Weights SHA-256: "), lam_bundle_weights_sha256(bundle), 64);
        for (size_t i = 0; i < p->metric_count; i++) {
            char line[200];
            snprintf(line, sizeof line, "| %s | %.4f |\n", p->metrics[i].name, p->metrics[i].value);
            if (!strstr(text, line))
                fail_msg("%s lacks %s", path, line);
        }
    }
    lam_buffer_done(&card);
    lam_bundle_free(bundle);
}

static void test_shipped_cards(void **state)
{
    (void)state;
    FILE *found = popen("ls -d models/*/*/model.json", "r");
    char line[200];
    assert_non_null(found);
    while (fgets(line, sizeof line, found)) {
        *strrchr(line, '/') = '\0';
        check_card(line);
    }
    pclose(found);
}

static int make_data(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(data_path, sizeof data_path, "%s/data.safetensors", folder);
    snprintf(bundle_path, sizeof bundle_path, "%s/discs", folder);
    write_slices();
    return 0;
}

static int remove_data(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_become_stacks),
        cmocka_unit_test(test_parts_keep_patients_together),
        cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_mirror_images),
        cmocka_unit_test(test_intervals_and_card),
        cmocka_unit_test(test_shipped_cards),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
