/* Training: losses against their numerical derivative, the same bits whatever the
 * threads and wherever it was stopped, and that it learns. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/random.h"
#include "core/rnn/safetensors.h"
#include "core/rnn/train/augment.h"
#include "core/rnn/train/fit.h"
#include "core/rnn/train/loss.h"
#include "core/rnn/train/metrics.h"
#include "core/rnn/train/optimiser.h"

/* ---- losses ---- */

static void check_loss(const lam_loss *loss)
{
    enum { SLICES = 4, ROWS = 8, CLASSES = 3, COUNT = ROWS * CLASSES };
    static const uint8_t labels[ROWS] = {0, 1, 2, 1, 0, 0, 2, 1};
    float scores[COUNT], gradient[COUNT], other[COUNT], scratch[COUNT];
    lam_random random = lam_random_stream(9, 0, 0);
    for (int i = 0; i < COUNT; i++)
        scores[i] =
            loss->probabilities ? 0.1f + 0.8f * lam_random_uniform(&random) : 2 * lam_random_normal(&random);
    lam_loss_evaluate(loss, SLICES, ROWS, CLASSES, scores, labels, 1, gradient, scratch);
    for (int i = 0; i < COUNT; i++) {
        const float step = 1e-3f, start = scores[i];
        scores[i] = start + step;
        double up = lam_loss_evaluate(loss, SLICES, ROWS, CLASSES, scores, labels, 1, other, scratch);
        scores[i] = start - step;
        double down = lam_loss_evaluate(loss, SLICES, ROWS, CLASSES, scores, labels, 1, other, scratch);
        scores[i] = start;
        double numeric = (up - down) / (2 * (double)step);
        if (!(fabs(numeric - gradient[i]) <= 2e-3 * (0.1 + fabs(numeric))))
            fail_msg("loss %d: derivative %g, gradient %g", loss->terms[0].kind, numeric, gradient[i]);
    }
}

static void test_loss_gradients(void **state)
{
    (void)state;
    for (int kind = LAM_LOSS_CROSS_ENTROPY; kind <= LAM_LOSS_DICE_SLICES; kind++)
        for (int variant = 0; variant < 4; variant++) {
            lam_loss loss = {
                .count = 1, .terms = {{.kind = (lam_loss_kind)kind, .weight = 1.5, .gamma = 2, .smooth = 1}}};
            loss.probabilities = variant & 1;
            loss.weighted = variant & 2;
            loss.terms[0].label_smoothing = variant & 2 ? 0.1 : 0;
            for (int c = 0; c < 3; c++)
                loss.class_weights[c] = 0.5f + (float)c;
            check_loss(&loss);
        }
}

static void test_cross_entropy_is_its_definition(void **state)
{
    (void)state;
    lam_loss loss = {.count = 1, .terms = {{.kind = LAM_LOSS_CROSS_ENTROPY, .weight = 1}}};
    float scores[] = {0, 0, 1, 3}, gradient[4], scratch[4];
    static const uint8_t labels[] = {0, 1};
    double value = lam_loss_evaluate(&loss, 1, 2, 2, scores, labels, 1, gradient, scratch);
    assert_float_equal(value, (log(2) + log(1 + exp(-2))) / 2, 1e-6);
    assert_float_equal(gradient[0], -0.25, 1e-6);
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
    (void)state;
    lam_error err = {0};
    static const uint8_t a[] = {1, 1, 0, 0, 2, 2}, b[] = {1, 0, 0, 1, 2, 2};
    assert_float_equal(lam_metric_dice(a, b, 6, 1), 0.5, 1e-12);
    assert_float_equal(lam_metric_dice(a, b, 6, 2), 1, 1e-12);
    assert_float_equal(lam_metric_dice(a, b, 6, 3), 1, 1e-12);

    static const double scores[] = {0.1, 0.4, 0.35, 0.8, 0.4};
    static const uint8_t positive[] = {0, 0, 1, 1, 1};
    double auc;
    assert_ok(lam_metric_auc(scores, positive, 5, &auc, &err), err);
    assert_float_equal(auc, 4.5 / 6, 1e-12);

    uint8_t one[5 * 6 * 7] = {0}, two[5 * 6 * 7] = {0};
    int64_t size[3] = {5, 6, 7};
    double spacing[3] = {2, 1, 1}, distance;
    one[(1 * 6 + 2) * 7 + 3] = 1;
    two[(3 * 6 + 2) * 7 + 0] = 1;
    assert_ok(lam_metric_hd95(one, two, size, spacing, 1, &distance, &err), err);
    assert_float_equal(distance, 5, 1e-6); /* 2 slices of 2 mm, 3 voxels of 1 mm */
    assert_ok(lam_metric_hd95(one, two, size, spacing, 2, &distance, &err), err);
    assert_true(isnan(distance));

    lam_calibration calibration = {0};
    for (int i = 0; i < 10; i++)
        lam_calibration_add(&calibration, 0.9, i < 7);
    assert_float_equal(lam_calibration_error(&calibration), 0.2, 1e-9);
}

/* Distances by the transform are those of trying every pair. */
static void test_measures_of_two_classes(void **state)
{
    (void)state;
    const lam_confusion c = {.true_positive = 6,
                             .false_positive = 2,
                             .true_negative = 30,
                             .false_negative = 3},
                        none = {0};
    assert_float_equal(lam_metric_sensitivity(&c), 6.0 / 9, 1e-12);
    assert_float_equal(lam_metric_specificity(&c), 30.0 / 32, 1e-12);
    assert_float_equal(lam_metric_f1(&c), 12.0 / 17, 1e-12);
    assert_float_equal(lam_metric_f1(&none), 0, 0);
}

static void test_hd95_is_exhaustive_search(void **state)
{
    (void)state;
    enum { Z = 6, Y = 7, X = 8, COUNT = Z * Y * X };
    int64_t size[3] = {Z, Y, X};
    double spacing[3] = {1.5, 0.7, 1.1}, distance;
    uint8_t maps[2][COUNT] = {{0}};
    lam_error err = {0};
    lam_random random = lam_random_stream(4, 0, 0);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < COUNT; i++)
            maps[m][i] = lam_random_uniform(&random) < 0.05f;
    assert_ok(lam_metric_hd95(maps[0], maps[1], size, spacing, 1, &distance, &err), err);
    double worst = 0;
    for (int m = 0; m < 2; m++) {
        double nearest[COUNT];
        int found = 0;
        for (int i = 0; i < COUNT; i++) {
            double best = INFINITY;
            for (int j = 0; j < COUNT && maps[m][i]; j++) {
                double dz = (i / (Y * X) - j / (Y * X)) * spacing[0],
                       dy = (i / X % Y - j / X % Y) * spacing[1];
                double dx = (i % X - j % X) * spacing[2], d = sqrt(dz * dz + dy * dy + dx * dx);
                best = maps[1 - m][j] && d < best ? d : best;
            }
            if (maps[m][i])
                nearest[found++] = best;
        }
        for (int i = 0; i < found; i++)
            for (int j = i + 1; j < found; j++)
                if (nearest[j] < nearest[i]) {
                    double t = nearest[i];
                    nearest[i] = nearest[j];
                    nearest[j] = t;
                }
        double at = 0.95 * (found - 1);
        int low = (int)at;
        double value = nearest[low] + (low + 1 < found ? (at - low) * (nearest[low + 1] - nearest[low]) : 0);
        worst = value > worst ? value : worst;
    }
    assert_float_equal(distance, worst, 1e-5); /* sparse single voxels are all surface */
}

/* ---- augmentation ---- */

static void test_augmentation(void **state)
{
    (void)state;
    enum { Z = 5, Y = 6, X = 7, COUNT = Z * Y * X };
    int64_t size[3] = {Z, Y, X};
    float image[COUNT], out[COUNT], again[COUNT], scratch[COUNT];
    uint8_t labels[COUNT], labels_out[COUNT], labels_again[COUNT];
    for (int i = 0; i < COUNT; i++) {
        image[i] = (float)i;
        labels[i] = i % 3 == 0;
    }
    lam_sample sample = {.size = {Z, Y, X}, .prepared = image, .truth = {.map = labels}};
    const lam_augmented first = {out, labels_out, NULL, scratch},
                        second = {again, labels_again, NULL, scratch};
    lam_model_preprocessing pre = {.pad_multiple = {1, 1, 1}};
    lam_frame frame = lam_prepare_frame(&pre, size);
    lam_augmentation none = {0};
    lam_augment(&none, lam_random_stream(1, 2, 3), &sample, 1, &frame, &first);
    assert_memory_equal(out, image, sizeof image);
    assert_memory_equal(labels_out, labels, sizeof labels);

    /* A flip alone shows the source or its mirror image, exactly. */
    lam_augmentation flip = {.flip = {false, false, true}, .spatial = true};
    int mirrored = 0;
    for (uint64_t n = 0; n < 16; n++) {
        lam_augment(&flip, lam_random_stream(1, n, 0), &sample, 1, &frame, &first);
        bool is_mirror = out[0] != image[0];
        mirrored += is_mirror;
        for (int i = 0; i < COUNT; i++)
            assert_float_equal(out[i], image[is_mirror ? i - i % X + X - 1 - i % X : i], 1e-3);
    }
    assert_in_range(mirrored, 3, 13);

    lam_augmentation all = {.rotate_degrees = {20, 20, 20},
                            .scale_log = {0.2, 0.2, 0.2},
                            .stretch_log = {0.1, 0.1, 0.1},
                            .shift = {2, 2, 2},
                            .jitter_probability = 1,
                            .jitter_voxels = 1,
                            .elastic_probability = 1,
                            .elastic_voxels = {1, 1, 1},
                            .elastic_grid = {3, 4, 5},
                            .bias_probability = 1,
                            .bias_log = 0.2,
                            .bias_grid = {2, 3, 3},
                            .gain_log = 0.2,
                            .offset = 0.2,
                            .gamma_probability = 1,
                            .gamma_log = 0.3,
                            .noise_probability = 1,
                            .noise_deviation = 0.1,
                            .blur_probability = 1,
                            .blur = {true, true, true},
                            .spatial = true};
    lam_augment(&all, lam_random_stream(1, 2, 3), &sample, 1, &frame, &first);
    lam_augment(&all, lam_random_stream(1, 2, 3), &sample, 1, &frame, &second);
    assert_memory_equal(out, again, sizeof out);
    assert_memory_equal(labels_out, labels_again, sizeof labels_out);
    lam_augment(&all, lam_random_stream(1, 2, 4), &sample, 1, &frame, &second);
    assert_memory_not_equal(out, again, sizeof out);
    for (int i = 0; i < COUNT; i++)
        assert_true(isfinite(out[i]));

    /* Bending and blur in the plane alone keep a slice's values to itself. */
    lam_augmentation plane = {.elastic_probability = 1,
                              .elastic_voxels = {0, 1, 1},
                              .elastic_grid = {2, 4, 5},
                              .blur_probability = 1,
                              .blur = {false, false, true},
                              .spatial = true};
    for (int i = 0; i < COUNT; i++)
        image[i] = (float)(i / (Y * X));
    lam_augment(&plane, lam_random_stream(1, 2, 3), &sample, 1, &frame, &first);
    for (int i = 0; i < COUNT; i++)
        if (i % X > 0 && i % X < X - 1)
            assert_float_equal(out[i], image[i], 1e-4);
}

/* A box goes where its pixels go. */
static void test_augmentation_moves_boxes(void **state)
{
    (void)state;
    enum { SIDE = 64, COUNT = SIDE * SIDE };
    static float image[COUNT], out[COUNT], scratch[COUNT];
    lam_sample_box box = {.x = 35, .y = 23, .width = 10, .height = 6, .label = 2}, moved;
    for (int i = 0; i < COUNT; i++)
        image[i] = fabs(i % SIDE + 0.5 - 35) < 5 && fabs(i / SIDE + 0.5 - 23) < 3;
    lam_sample sample = {
        .size = {1, SIDE, SIDE}, .prepared = image, .truth = {.boxes = &box, .box_count = 1}};
    const lam_augmented drawn = {out, NULL, &moved, scratch};
    lam_model_preprocessing pre = {.pad_multiple = {1, 1, 1}, .crop = {0, 56, 48}};
    lam_frame frame = lam_prepare_frame(&pre, sample.size);
    lam_augmentation a = {.rotate_degrees = {30, 0, 0},
                          .scale_log = {0, 0.2, 0.2},
                          .shift = {0, 3, 3},
                          .flip = {false, false, true},
                          .spatial = true};
    for (uint64_t n = 0; n < 8; n++) {
        lam_augment(&a, lam_random_stream(3, n, 0), &sample, 1, &frame, &drawn);
        double sum = 0, x = 0, y = 0;
        for (int i = 0; i < 56 * 48; i++) {
            sum += out[i];
            x += out[i] * (i % 48 + 0.5);
            y += out[i] * (floor(i / 48.0) + 0.5);
        }
        assert_float_equal(moved.x, x / sum, 0.2);
        assert_float_equal(moved.y, y / sum, 0.2);
        assert_int_equal(moved.label, 2);
        assert_true(moved.width * moved.height > 0.7 * sum && moved.width * moved.height < 1.7 * sum);
    }
}

/* What the edge cuts off a box is not part of it, and of which too little is left is no object: alike for a
 * box that moved out of the image and for one that lies across the edge of a crop. */
static void test_boxes_at_the_edge(void **state)
{
    (void)state;
    enum { SIDE = 32, TAKEN = 16, EDGE = (SIDE - TAKEN) / 2, COUNT = SIDE * SIDE };
    static const struct {
        float x, width, seen; /* the box; what the part shows of its width */
    } cases[] = {{EDGE + 8, 8, 8}, {EDGE + 2, 8, 6}, {EDGE, 8, 4}, {EDGE - 2, 8, 2},
                 {EDGE - 3, 8, 0}, {EDGE - 6, 8, 0}, {2, 2, 0},    {EDGE + 15, 4, 3}};
    static float image[COUNT], out[COUNT], scratch[COUNT];
    lam_sample_box boxes[LAM_COUNT(cases)], drawn[LAM_COUNT(cases)];
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        boxes[i] = (lam_sample_box){cases[i].x, SIDE / 2, cases[i].width, 6, (int)i};
    lam_sample sample = {
        .size = {1, SIDE, SIDE}, .prepared = image, .truth = {.boxes = boxes, .box_count = LAM_COUNT(boxes)}};
    lam_model_preprocessing pre = {.pad_multiple = {1, 1, 1}, .crop = {0, TAKEN, TAKEN}};
    lam_frame frame = lam_prepare_frame(&pre, sample.size);
    const lam_augmented to = {out, NULL, drawn, scratch};
    lam_augmentation still = {0};
    size_t count = lam_augment(&still, lam_random_stream(1, 2, 3), &sample, 1, &frame, &to), at = 0;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        if (cases[i].seen == 0)
            continue;
        assert_true(at < count);
        assert_int_equal(drawn[at].label, i);
        assert_float_equal(drawn[at].width, cases[i].seen, 1e-5);
        assert_float_equal(drawn[at].height, 6, 1e-5);
        bool at_left = cases[i].x - cases[i].width / 2 < EDGE, at_right = cases[i].x > EDGE + 8;
        float middle = at_left ? cases[i].seen / 2 : at_right ? TAKEN - cases[i].seen / 2 : TAKEN / 2;
        assert_float_equal(drawn[at].x, middle, 1e-5);
        at++;
    }
    assert_int_equal(count, at);

    /* Whatever the draw: a box is inside, and never smaller than what may be cut of it. */
    lam_augmentation far = {.shift = {0, 14, 14}, .spatial = true};
    size_t gone = 0;
    for (uint64_t n = 0; n < 64; n++) {
        count = lam_augment(&far, lam_random_stream(3, n, 0), &sample, 1, &frame, &to);
        gone += count < LAM_COUNT(boxes);
        for (size_t i = 0; i < count; i++) {
            assert_true(drawn[i].x - drawn[i].width / 2 >= -1e-4 &&
                        drawn[i].x + drawn[i].width / 2 <= TAKEN + 1e-4);
            assert_true(drawn[i].width * drawn[i].height >=
                        (float)LAM_LEAST_VISIBLE * 6 * cases[drawn[i].label].width - 1e-3);
        }
    }
    assert_true(gone > 0);
}

/* ---- schedules ---- */

static void test_schedules(void **state)
{
    (void)state;
    lam_schedule cosine = {.kind = LAM_SCHEDULE_COSINE, .warm_up = 10, .floor = 0.1};
    assert_float_equal(lam_schedule_rate(&cosine, 1, 1, 101, 10), 0.1, 1e-3);
    assert_float_equal(lam_schedule_rate(&cosine, 1, 51, 100, 10), 0.55, 1e-9);
    assert_float_equal(lam_schedule_rate(&cosine, 1, 101, 100, 10), 0.1, 1e-9);
    lam_schedule step = {.kind = LAM_SCHEDULE_STEP, .every = 2, .factor = 0.5};
    assert_float_equal(lam_schedule_rate(&step, 1, 20, 100, 10), 1, 1e-9);
    assert_float_equal(lam_schedule_rate(&step, 1, 21, 100, 10), 0.5, 1e-9);
}

/* ---- whole trainings ---- */

static const char model[] =
    "{\"schema\": 1, \"name\": \"blobs\", \"version\": \"1\", \"task\": \"segmentation\","
    "\"preprocessing\": {\"pad_multiple\": 2},"
    "\"network\": {\"input\": {\"axes\": [\"z\", \"y\", \"x\"], \"channels\": 1}, \"layers\": ["
    "{\"name\": \"stem\", \"kind\": \"conv\", \"channels\": 8, \"kernel\": 4, \"stride\": 2, \"padding\": 1},"
    "{\"name\": \"sweep\", \"kind\": \"sweep\", \"cell\": \"gru\", \"units\": 4, \"directions\": [\"z+\", "
    "\"y-\", \"x+\"]},"
    "{\"name\": \"head\", \"kind\": \"dense\", \"units\": 16},"
    "{\"name\": \"logits\", \"kind\": \"depth_to_space\", \"factor\": 2}]},"
    "\"outputs\": {\"segments\": [{\"number\": 1, \"name\": \"blob\", \"label\": \"Blob\","
    "\"category\": {\"scheme\": \"SCT\", \"value\": \"49755003\", \"meaning\": \"Morphologically Abnormal "
    "Structure\"},"
    "\"type\": {\"scheme\": \"SCT\", \"value\": \"4147007\", \"meaning\": \"Mass\"}}]},"
    "\"training\": {\"epochs\": 20, \"batch\": 3, \"optimiser\": {\"kind\": \"adamw\", \"rate\": 0.02},"
    "\"schedule\": {\"kind\": \"cosine\", \"warm_up\": 4}, \"loss\": [{\"kind\": \"cross_entropy\"}, "
    "{\"kind\": \"dice\"}],"
    "\"clip_norm\": 1, \"average\": 0.9, \"augmentation\": {\"rotate_degrees\": 10, \"flip\": [\"x\"],"
    "\"noise\": {\"probability\": 0.5, \"deviation\": 0.1}}, \"validate_every\": 2, \"fit_temperature\": "
    "true}}";

/* Bright balls in noise. */
static void write_set(const char *path, uint64_t seed, int cases)
{
    enum { SIDE = 10, COUNT = SIDE * SIDE * SIDE };
    lam_tensor tensors[64];
    static char names[64][16];
    static float images[32][COUNT];
    static uint8_t labels[32][COUNT];
    for (int n = 0; n < cases; n++) {
        lam_random random = lam_random_stream(seed, (uint64_t)n, 0);
        float centre[3];
        for (int i = 0; i < 3; i++)
            centre[i] = 2.5f + 4 * lam_random_uniform(&random);
        for (int i = 0; i < COUNT; i++) {
            float z = (float)(i / 100) - centre[0], y = (float)(i / 10 % 10) - centre[1],
                  x = (float)(i % 10) - centre[2];
            labels[n][i] = z * z + y * y + x * x < 5;
            images[n][i] = 2 * (float)labels[n][i] + 0.5f * lam_random_normal(&random);
        }
        snprintf(names[2 * n], sizeof names[0], "%d.image", n);
        snprintf(names[2 * n + 1], sizeof names[0], "%d.label", n);
        lam_shape shape = {3, {SIDE, SIDE, SIDE}};
        tensors[2 * n] = (lam_tensor){names[2 * n], LAM_DTYPE_F32, shape, images[n], sizeof images[n]};
        tensors[2 * n + 1] = (lam_tensor){names[2 * n + 1], LAM_DTYPE_U8, shape, labels[n], sizeof labels[n]};
    }
    lam_error err = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_ok(lam_safetensors_write(fd, tensors, (size_t)cases * 2, NULL, 0, &err), err);
    close(fd);
}

static char folder[] = "/tmp/lamina-train-XXXXXX";
static char train_set[64], validation_set[64];

static void make_bundle(const char *name, char path[80])
{
    snprintf(path, 80, "%s/%s", folder, name);
    lam_error err = {0};
    assert_ok(lam_io_make_directories(path, 0700, &err), err);
    char file[96];
    snprintf(file, sizeof file, "%s/model.json", path);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(model, out);
    fclose(out);
}

static bool stop_in_epoch_six(void *context, const lam_fit_progress *progress)
{
    (void)context;
    return progress->epoch->epoch < 6 || progress->epoch->step < 5 * progress->epoch->steps_an_epoch + 2;
}

static lam_status train(const char *bundle, int threads, bool resume, lam_fit_report *report,
                        lam_scores *scores, lam_error *err)
{
    const char *data[] = {train_set}, *validation[] = {validation_set};
    lam_fit_settings settings = {.bundle = bundle,
                                 .data = data,
                                 .data_count = 1,
                                 .validation = validation,
                                 .validation_count = 1,
                                 .seed = 7,
                                 .threads = threads,
                                 .resume = resume};
    return lam_fit(&settings, report, NULL, scores, err);
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    lam_buffer left, right;
    char path[128];
    lam_error err = {0};
    lam_buffer_init(&left, 1 << 24);
    lam_buffer_init(&right, 1 << 24);
    snprintf(path, sizeof path, "%s/%s", a, name);
    assert_ok(lam_io_read_file(path, &left, &err), err);
    snprintf(path, sizeof path, "%s/%s", b, name);
    assert_ok(lam_io_read_file(path, &right, &err), err);
    assert_int_equal(left.length, right.length);
    assert_memory_equal(left.data, right.data, left.length);
    lam_buffer_done(&left);
    lam_buffer_done(&right);
}

static void test_training(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    char one[80], three[80], stopped[80];
    make_bundle("one", one);
    make_bundle("three", three);
    make_bundle("stopped", stopped);
    assert_ok(train(one, 1, false, NULL, &scores, &err), err);
    double dice = lam_scores_get(&scores, "dice_mean");
    if (!(dice > 0.75))
        fail_msg("Dice of the validation set is %g", dice);
    assert_true(lam_scores_get(&scores, "ece") < 0.2);
    double error = lam_scores_get(&scores, "volume_error_ml.blob"); /* of balls of some 0.04 ml */
    assert_true(error >= 0 && error < 0.02);

    /* The same bits whatever the number of threads. */
    assert_ok(train(three, 3, false, NULL, &scores, &err), err);
    assert_same_file(one, three, "weights.safetensors");
    assert_same_file(one, three, "curve.csv");

    /* And wherever it was stopped. */
    assert_fails(train(stopped, 2, false, stop_in_epoch_six, &scores, &err), LAM_E_CANCELLED, err);
    assert_ok(train(stopped, 1, true, NULL, &scores, &err), err);
    assert_same_file(one, stopped, "weights.safetensors");
    assert_same_file(one, stopped, "curve.csv");
    assert_same_file(one, stopped, "model.json");
    assert_float_equal(lam_scores_get(&scores, "dice_mean"), dice, 0);
}

/* A rate of zero: no validation is better than the first. */
static void test_patience_ends_training(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    char bundle[80], file[96], text[sizeof model + 32];
    make_bundle("patient", bundle);
    const char *rate = strstr(model, "0.02}");
    int before = (int)(rate - model);
    snprintf(text, sizeof text, "%.*s1e-30}, \"patience\": 3%s", before, model, rate + strlen("0.02}"));
    snprintf(file, sizeof file, "%s/model.json", bundle);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_ok(train(bundle, 1, false, NULL, &scores, &err), err);
    lam_buffer curve;
    lam_buffer_init(&curve, 1 << 20);
    snprintf(file, sizeof file, "%s/curve.csv", bundle);
    assert_ok(lam_io_read_file(file, &curve, &err), err);
    int lines = 0;
    for (size_t i = 0; i < curve.length; i++)
        lines += curve.data[i] == '\n';
    assert_int_equal(lines, 1 + 2 + 3 * 2); /* the heading, the first validation's epochs, three more */
    lam_buffer_done(&curve);
}

static bool die_in_epoch_six(void *context, const lam_fit_progress *progress)
{
    if (!stop_in_epoch_six(context, progress))
        kill(getpid(), SIGKILL);
    return true;
}

/* A process that is killed in the middle of an epoch loses nothing that the next one cannot make again. */
static void test_survives_kill(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    char whole[80], killed[80];
    make_bundle("whole", whole);
    make_bundle("killed", killed);
    assert_ok(train(whole, 1, false, NULL, &scores, &err), err);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(train(killed, 1, false, die_in_epoch_six, &scores, &err) == LAM_OK ? 0 : 1);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    assert_ok(train(killed, 2, true, NULL, &scores, &err), err);
    assert_same_file(whole, killed, "weights.safetensors");
    assert_same_file(whole, killed, "curve.csv");
}

/* Parameters that another bundle has are taken over, frozen ones stay as they were. */
static void test_fine_tuning(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    char first[80], second[80], file[96];
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    make_bundle("first", first);
    make_bundle("second", second);
    assert_ok(train(first, 1, false, NULL, &scores, &err), err);
    lam_buffer_init(&text, 1 << 16);
    for (const char *at = model; *at; at++) { /* the stem frozen, the head under another name */
        bool stem = strncmp(at, "\"name\": \"stem\"", 14) == 0, head = strncmp(at, "\"head\"", 6) == 0;
        lam_buffer_append_text(&text, stem   ? "\"frozen\": true, \"name\": \"stem\""
                                      : head ? "\"other\""
                                             : "");
        at += stem ? 14 : head ? 6 : 0;
        lam_buffer_append(&text, at, 1);
    }
    snprintf(file, sizeof file, "%s/model.json", second);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fwrite(text.data, 1, text.length, out);
    fclose(out);
    const char *data[] = {train_set};
    lam_fit_settings settings = {
        .bundle = second, .data = data, .data_count = 1, .init = first, .epochs = 2, .seed = 3, .threads = 1};
    assert_ok(lam_fit(&settings, NULL, NULL, &scores, &err), err);
    lam_safetensors *before, *after;
    char path[2][128];
    snprintf(path[0], sizeof path[0], "%s/weights.safetensors", first);
    snprintf(path[1], sizeof path[1], "%s/weights.safetensors", second);
    assert_ok(lam_safetensors_open(path[0], &before, &err), err);
    assert_ok(lam_safetensors_open(path[1], &after, &err), err);
    const lam_tensor *a = lam_safetensors_find(before, "stem.weight"),
                     *b = lam_safetensors_find(after, "stem.weight");
    assert_memory_equal(a->data, b->data, a->bytes);
    a = lam_safetensors_find(before, "sweep.weight_hh");
    b = lam_safetensors_find(after, "sweep.weight_hh");
    assert_memory_not_equal(a->data, b->data, a->bytes);
    assert_non_null(lam_safetensors_find(after, "other.weight"));
    lam_safetensors_free(before);
    lam_safetensors_free(after);
}

static void test_refuses_unfit_data(void **state)
{
    (void)state;
    static lam_scores scores;
    lam_error err = {0};
    char bundle[80];
    const char *data[] = {"tests/golden/rnn/layers.safetensors"}, *missing[] = {"/nonexistent.safetensors"};
    make_bundle("unfit", bundle);
    lam_fit_settings settings = {.bundle = bundle, .data = data, .data_count = 1};
    assert_fails(lam_fit(&settings, NULL, NULL, &scores, &err), LAM_E_INVALID, err);
    settings.data = missing;
    assert_fails(lam_fit(&settings, NULL, NULL, &scores, &err), LAM_E_NOT_FOUND, err);
}

static int make_data(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(train_set, sizeof train_set, "%s/train.safetensors", folder);
    snprintf(validation_set, sizeof validation_set, "%s/val.safetensors", folder);
    write_set(train_set, 1, 20);
    write_set(validation_set, 2, 6);
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
        cmocka_unit_test(test_loss_gradients),
        cmocka_unit_test(test_cross_entropy_is_its_definition),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_measures_of_two_classes),
        cmocka_unit_test(test_hd95_is_exhaustive_search),
        cmocka_unit_test(test_augmentation),
        cmocka_unit_test(test_augmentation_moves_boxes),
        cmocka_unit_test(test_boxes_at_the_edge),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_patience_ends_training),
        cmocka_unit_test(test_refuses_unfit_data),
        cmocka_unit_test(test_survives_kill),
        cmocka_unit_test(test_fine_tuning),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
