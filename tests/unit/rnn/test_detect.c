/* Boxes, the reading of a detector's head, selection, joining over slices; the head's loss with its gradient;
 * the measures. Expected values are worked out by hand. */
#include <math.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/rnn/detect.h"
#include "core/rnn/random.h"
#include "core/rnn/train/detection_loss.h"
#include "core/rnn/train/detection_metrics.h"
#include "tests/unit/unit.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

/* ---- boxes ---- */

static void test_iou(void **state)
{
    lam_rect a = {0, 0, 4, 2}, b = {2, 0, 4, 2}, far = {10, 0, 4, 2}, empty = {0};
    (void)state;
    assert_near(lam_rect_iou(&a, &a), 1, 0);
    assert_near(lam_rect_iou(&a, &b), 4.0 / 12, 1e-12);
    assert_near(lam_rect_iou(&a, &far), 0, 0);
    assert_near(lam_rect_iou(&empty, &empty), 0, 0);
    assert_near(lam_rect_giou(&a, &b, NULL), 4.0 / 12, 1e-12); /* the hull holds nothing else */
    assert_near(lam_rect_giou(&a, &far, NULL), -(28.0 - 16) / 28, 1e-12);
    lam_rect clipped = lam_rect_clip(&(lam_rect){-2, 1, 4, 9}, 8, 6);
    assert_near(clipped.x, 0, 0);
    assert_near(clipped.width, 2, 0);
    assert_near(clipped.height, 5, 0);
}

/* Derivatives by the sides against differences, for boxes that overlap, contain and lie apart. */
static void test_giou_gradient(void **state)
{
    static const lam_rect boxes[] = {
        {1, 2, 5, 4}, {3, 3, 9, 9}, {4.25f, 4.5f, 2.5f, 3.25f}, {20, 1, 3, 3.5f}, {2.5f, 1.5f, 1, 9}};
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(boxes); i++)
        for (size_t j = 0; j < LAM_COUNT(boxes); j++) {
            double gradient[4];
            if (i == j)
                continue;
            lam_rect_giou(&boxes[i], &boxes[j], gradient);
            for (int k = 0; k < 4; k++) {
                double value[2], step = 1.0 / 256;
                for (int sign = 0; sign < 2; sign++) {
                    double side[4] = {boxes[i].x, boxes[i].y, boxes[i].x + boxes[i].width,
                                      boxes[i].y + boxes[i].height};
                    side[k] += sign ? step : -step;
                    lam_rect moved = {(float)side[0], (float)side[1], (float)(side[2] - side[0]),
                                      (float)(side[3] - side[1])};
                    value[sign] = lam_rect_giou(&moved, &boxes[j], NULL);
                }
                double low = gradient[k] - 0.01, high = gradient[k] + 0.01;
                double slope = (value[1] - value[0]) / (2 * step);
                assert_true(slope >= low && slope <= high);
            }
        }
}

/* ---- the head ---- */

static const lam_head head = {
    .rows = 4, .columns = 6, .classes = 2, .stride = 8, .typical_size = 16, .temperature = 1};
enum { CHANNELS = LAM_HEAD_CLASSES + 2, CELLS = 24 };

static void test_read(void **state)
{
    float scores[CELLS * CHANNELS] = {0};
    lam_detected d[CELLS];
    float *s = scores + (1 * 6 + 2) * CHANNELS;
    (void)state;
    s[LAM_HEAD_OBJECT] = 2;
    s[LAM_HEAD_X] = 0.25f;
    s[LAM_HEAD_WIDTH] = logf(2);
    s[LAM_HEAD_HEIGHT] = 100; /* held */
    s[LAM_HEAD_CLASSES + 1] = 1;
    lam_detect_read(&head, scores, false, d);
    assert_near(d[8].box.width, 32, 1e-4);
    assert_near(d[8].box.x + 16, (2.75) * 8, 1e-4);
    assert_near(d[8].box.height, 16 * exp(3), 1e-3);
    assert_near(d[8].score, sqrt(0.5 / (1 + exp(-2))), 1e-6);
    assert_int_equal(d[8].label, 1);
    assert_near(d[8].classes[1], 1 / (1 + exp(-1)), 1e-6);
    lam_detect_read(&head, scores, true, d);
    assert_near(d[8].box.x + 16, 48 - 2.75 * 8, 1e-4);
}

static lam_detected detection(float x, float score, int64_t slice)
{
    return (lam_detected){
        .box = {x, 0, 10, 10}, .score = score, .classes = {0.25f, 0.75f}, .label = 1, .slice = slice};
}

static void test_select(void **state)
{
    lam_selection selection = {.minimum_score = 0.1, .overlap = 0.3, .vote = 0.6, .maximum = 10};
    lam_detected list[] = {detection(40, 0.5f, 0), detection(0, 0.9f, 0),   detection(1, 0.9f, 0),
                           detection(5, 0.3f, 0),  detection(90, 0.05f, 0), detection(70, NAN, 0)};
    (void)state;
    size_t count = lam_detect_select(&selection, 1, list, LAM_COUNT(list));
    assert_int_equal(count, 2);
    assert_near(list[0].score, 0.9, 1e-6);
    double weight = 9.0 / 11; /* the second's IoU with the first */
    assert_near(list[0].box.x, weight / (1 + weight), 1e-5);
    assert_near(list[0].box.width, 10, 1e-4);
    assert_near(list[0].classes[1], 0.75, 1e-6);
    assert_near(list[1].box.x, 40, 1e-5);
    selection.maximum = 1;
    lam_detected two[] = {detection(0, 0.9f, 0), detection(40, 0.8f, 0)};
    assert_int_equal(lam_detect_select(&selection, 2, two, 2), 1);
    assert_near(two[0].score, 0.45, 1e-6); /* one view of two saw it */
    assert_int_equal(lam_detect_select(&selection, 1, two, 0), 0);
}

static void test_join(void **state)
{
    /* One object in slices 3, 4 and 6, another beside it in 4, a third far away in slice 20. */
    lam_detected list[] = {detection(2, 0.5f, 4), detection(0, 0.6f, 3),  detection(50, 0.9f, 4),
                           detection(3, 0.8f, 6), detection(3, 0.1f, 20), detection(4, 0.4f, 6)};
    size_t owner[6], found;
    lam_joined findings[6];
    lam_error err;
    (void)state;
    assert_ok(lam_detect_join(list, 6, 0.3, 1, owner, findings, &found, &err), err);
    assert_int_equal(found, 4);
    assert_int_equal(findings[0].best, 2);
    const lam_joined *object = &findings[1];
    assert_int_equal(object->first_slice, 3);
    assert_int_equal(object->last_slice, 6);
    assert_int_equal(object->slices, 3);
    assert_int_equal(object->best, 3);
    assert_near(object->box.x, 0, 0);
    assert_near(object->box.width, 13, 0);
    assert_near(object->classes[1], 0.75, 1e-6);
    assert_int_equal(object->label, 1);
    assert_true(owner[0] == 1 && owner[1] == 1 && owner[3] == 1 && owner[2] == 0);
    assert_int_not_equal(owner[4], 1);
    assert_int_not_equal(owner[5], 1); /* a finding has one box a slice */
    assert_ok(lam_detect_join(list, 6, 0.3, 0, owner, findings, &found, &err), err);
    assert_int_equal(found, 5);
    assert_ok(lam_detect_join(list, 0, 0.3, 0, owner, findings, &found, &err), err);
    assert_int_equal(found, 0);
}

/* ---- loss ---- */

static void fill(float *scores, uint64_t key)
{
    lam_random random = lam_random_stream(key, 0, 0);
    for (int i = 0; i < CELLS * CHANNELS; i++)
        scores[i] = 0.7f * lam_random_normal(&random);
}

static void check_gradient(const lam_detection_loss *loss, const lam_true_box *boxes, size_t count)
{
    float scores[CELLS * CHANNELS], gradient[CELLS * CHANNELS], unused[CELLS * CHANNELS];
    fill(scores, 7);
    lam_detection_loss_evaluate(loss, &head, scores, boxes, count, 2, gradient);
    for (int i = 0; i < CELLS * CHANNELS; i++) {
        float at = scores[i], step = 1.0f / 512;
        scores[i] = at + step;
        double above = lam_detection_loss_evaluate(loss, &head, scores, boxes, count, 1, unused);
        scores[i] = at - step;
        double below = lam_detection_loss_evaluate(loss, &head, scores, boxes, count, 1, unused);
        scores[i] = at;
        double slope = (above - below) / (2 * (double)step);
        assert_true(fabs(2 * slope - gradient[i]) <= 2e-3 + 5e-3 * fabs(slope));
    }
}

static void test_loss_gradient(void **state)
{
    static const lam_true_box boxes[] = {{{10, 6, 13, 9}, 1}, {{33, 17, 15, 15}, 0}};
    static const lam_detection_loss terms[] = {{.object = 1},
                                               {.overlap = 2},
                                               {.smooth = 0.5},
                                               {.classes = 1, .label_smoothing = 0.05},
                                               {1, 2, 0.5, 0, 1, 0.05}};
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(terms); i++)
        for (size_t count = 0; count <= 2; count++)
            check_gradient(&terms[i], boxes, count);
}

/* The fit's target is the overlap of the predicted box, which it does not move. */
static void test_quality(void **state)
{
    const lam_true_box box = {{12, 4, 16, 16}, 0};
    const lam_detection_loss loss = {.quality = 1};
    float scores[CELLS * CHANNELS] = {0}, gradient[CELLS * CHANNELS];
    (void)state;
    double value = lam_detection_loss_evaluate(&loss, &head, scores, &box, 1, 1, gradient);
    assert_near(value, log(2), 1e-6);
    int64_t centre = (1 * 6 + 2) * CHANNELS; /* predicts {12, 4, 16, 16}: IoU 1 */
    assert_near(gradient[centre + LAM_HEAD_QUALITY], -0.5 / 9, 1e-6);
    for (int i = 0; i < LAM_HEAD_QUALITY; i++)
        assert_near(gradient[centre + i], 0, 0);
}

static void test_smooth_l1(void **state)
{
    double slope;
    (void)state;
    assert_near(lam_smooth_l1(0.1, 0.2, &slope), 0.025, 1e-12);
    assert_near(slope, 0.5, 1e-12);
    assert_near(lam_smooth_l1(-3, 0.2, &slope), 2.9, 1e-12);
    assert_near(slope, -1, 0);
}

/* ---- measures ---- */

static void test_measures(void **state)
{
    static const lam_marked_box truth[] = {
        {1, {0, 0, 10, 10}, 0}, {0, {0, 0, 10, 10}, 0}, {1, {40, 0, 10, 10}, 0}};
    /* In order of scores: right, wrong, right (double of the first: wrong), right. */
    static const lam_marked_box found[] = {{1, {41, 0, 10, 10}, 0.3},
                                           {0, {1, 0, 10, 10}, 0.9},
                                           {1, {80, 0, 10, 10}, 0.8},
                                           {0, {0, 0, 10, 10}, 0.5}};
    unsigned char hit[4];
    double value, rates[] = {0, 0.5, 1}, sensitivity[3];
    lam_error err;
    (void)state;
    assert_ok(lam_metric_match(found, 4, truth, 3, 0.5, hit, &err), err);
    assert_true(hit[0] && hit[1] && !hit[2] && !hit[3]);
    assert_ok(lam_metric_average_precision(found, 4, truth, 3, 0.5, &value, &err), err);
    assert_near(value, (1 + 0.5) / 3, 1e-12);
    assert_ok(lam_metric_average_precision(found, 0, truth, 3, 0.5, &value, &err), err);
    assert_near(value, 0, 0);
    assert_ok(lam_metric_average_precision(found, 4, truth, 0, 0.5, &value, &err), err);
    assert_true(isnan(value));
    assert_ok(lam_metric_froc(found, 4, truth, 3, 2, 0.5, rates, 3, sensitivity, &err), err);
    assert_near(sensitivity[0], 1.0 / 3, 1e-12);
    assert_near(sensitivity[1], 1.0 / 3, 1e-12);
    assert_near(sensitivity[2], 2.0 / 3, 1e-12);
    lam_marked_box bad = {0, {0, 0, 1, 1}, NAN};
    assert_fails(lam_metric_average_precision(&bad, 1, truth, 3, 0.5, &value, &err), LAM_E_INVALID, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iou),      cmocka_unit_test(test_giou_gradient),
        cmocka_unit_test(test_read),     cmocka_unit_test(test_select),
        cmocka_unit_test(test_join),     cmocka_unit_test(test_loss_gradient),
        cmocka_unit_test(test_quality),  cmocka_unit_test(test_smooth_l1),
        cmocka_unit_test(test_measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
