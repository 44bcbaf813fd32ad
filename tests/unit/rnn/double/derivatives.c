/* Every layer kind, cell and loss: its gradient against the numerical derivative of its own forward pass,
 * both in double precision (double.h), where a wrong term of any size shows. The networks are the golden
 * cases of tests/golden/rnn/make_layers.py: sizes of one, odd tails, initial states, sequences that end
 * early. That float32 gives the same numbers is test_layers.c's to say. */
#include "tests/unit/rnn/double/double.h"

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/rnn/logistic.h"
#include "core/rnn/network.h"
#include "core/rnn/random.h"
#include "core/rnn/train/detection_loss.h"
#include "core/rnn/train/loss.h"

#define GOLDEN "tests/golden/rnn/layers.safetensors"

/* Central differences over ±STEP and ±2·STEP leave STEP⁴ of the fifth derivative and 1e-16 / STEP of
 * rounding; the step is small, so that kinks (relu, maximum) and their neighbours stay apart. */
#define STEP 2e-5

enum { PROBES = 160 }; /* elements of an array that are looked at: all of a small one, some of a large one */

/* Largest difference allowed, relative to the largest derivative of the array; the same for every op. */
#define TOLERANCE 1e-8

typedef double evaluate(void *context);

static double derivative(evaluate *value, void *context, double *at)
{
    static const double where[] = {1, -1, 2, -2}, weight[] = {8, -8, -1, 1};
    double start = *at, sum = 0;
    for (int i = 0; i < 4; i++) {
        *at = start + where[i] * STEP;
        sum += weight[i] * value(context);
    }
    *at = start;
    return sum / (12 * STEP);
}

static double worst_of_all; /* relative to what is allowed */

/* gradient [count] against derivatives of `value` by data [count]. */
static void check_derivatives(const char *name, const char *what, evaluate *value, void *context,
                              double *data, const double *gradient, size_t count)
{
    double largest = 1e-2, worst = 0;
    size_t step = count / PROBES + 1;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(gradient[i]));
    for (size_t i = 0; i < count; i += step) {
        double difference = fabs(derivative(value, context, data + i) - gradient[i]);
        if (!(difference <= worst)) /* NaN too */
            worst = difference;
    }
    if (!(worst <= TOLERANCE * largest))
        fail_msg("%s: the gradient of %s is wrong by %g of %g", name, what, worst, largest);
    worst_of_all = fmax(worst_of_all, worst / (TOLERANCE * largest));
}

/* ---- layers ---- */

typedef struct subject {
    const char *name;
    lam_json *json;
    lam_network *network;
    lam_weights *weights;
    lam_session *session;
    double *input, *d_output, *gradient;
    size_t inputs, outputs;
    uint32_t lengths[8];
} subject;

static double *widened(const lam_safetensors *golden, const char *name, const char *part, size_t *count,
                       lam_shape *shape)
{
    char key[256];
    snprintf(key, sizeof key, "%s/%s", name, part);
    const lam_tensor *tensor = lam_safetensors_find(golden, key);
    *count = tensor ? tensor->bytes / sizeof(lam_single) : 0;
    double *values = calloc(*count + 1, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < *count; i++)
        values[i] = ((const lam_single *)tensor->data)[i];
    if (tensor && shape)
        *shape = tensor->shape;
    return values;
}

static void take_parameters(subject *s, const lam_safetensors *golden)
{
    for (size_t i = 0; i < lam_network_parameter_count(s->network); i++) {
        const lam_parameter *parameter = lam_network_parameter(s->network, i);
        char part[160];
        size_t count;
        snprintf(part, sizeof part, "p/%s", parameter->name);
        double *values = widened(golden, s->name, part, &count, NULL);
        assert_int_equal(count, parameter->count);
        memcpy(lam_weights_data(s->weights) + parameter->offset, values, count * sizeof *values);
        free(values);
    }
    lam_weights_refresh(s->weights);
}

static void set_up(subject *s, const lam_safetensors *golden, const char *name)
{
    lam_error err = {0};
    lam_shape shape;
    size_t count;
    const char *text = lam_safetensors_metadata(golden, name);
    *s = (subject){.name = name};
    if (lam_json_parse(text, strlen(text), &s->json, &err) ||
        lam_network_create(lam_json_root(s->json), &s->network, &err) ||
        lam_weights_create(s->network, 1, &s->weights, &err) ||
        lam_session_create(s->weights, LAM_MODE_TRAIN, NULL, &s->session, &err))
        fail_msg("%s: %s", name, err.message);
    take_parameters(s, golden);
    s->input = widened(golden, name, "input", &s->inputs, &shape);
    s->d_output = widened(golden, name, "d_output", &s->outputs, NULL);
    if (lam_session_plan(s->session, &shape, &err))
        fail_msg("%s: %s", name, err.message);
    double *lengths = widened(golden, name, "lengths", &count, NULL);
    for (size_t i = 0; i < count; i++)
        s->lengths[i] = (uint32_t)lengths[i];
    if (count > 0)
        lam_session_set_lengths(s->session, s->lengths);
    free(lengths);
    s->gradient = calloc((size_t)lam_network_parameter_floats(s->network) + 1, sizeof *s->gradient);
    assert_non_null(s->gradient);
}

static void tear_down(subject *s)
{
    free(s->gradient);
    free(s->d_output);
    free(s->input);
    lam_session_free(s->session);
    lam_weights_free(s->weights);
    lam_network_free(s->network);
    lam_json_free(s->json);
}

/* Σ d_output · output: its derivatives are what backward gives for that d_output. */
static double network_value(void *context)
{
    subject *s = context;
    double sum = 0;
    lam_weights_refresh(s->weights);
    memcpy(lam_session_input(s->session), s->input, s->inputs * sizeof *s->input);
    lam_session_forward(s->session, 7);
    for (size_t i = 0; i < s->outputs; i++)
        sum += s->d_output[i] * lam_session_output(s->session)[i];
    return sum;
}

static void check_network(subject *s)
{
    double *d_input = malloc(s->inputs * sizeof *d_input);
    assert_non_null(d_input);
    network_value(s);
    memcpy(lam_session_output_gradient(s->session), s->d_output, s->outputs * sizeof *s->d_output);
    lam_session_backward(s->session, s->gradient, true);
    memcpy(d_input, lam_session_input_gradient(s->session), s->inputs * sizeof *d_input);
    check_derivatives(s->name, "the input", network_value, s, s->input, d_input, s->inputs);
    for (size_t i = 0; i < lam_network_parameter_count(s->network); i++) {
        const lam_parameter *parameter = lam_network_parameter(s->network, i);
        if (!parameter->statistic) /* moved otherwise than by descent */
            check_derivatives(s->name, parameter->name, network_value, s,
                              lam_weights_data(s->weights) + parameter->offset,
                              s->gradient + parameter->offset, (size_t)parameter->count);
    }
    free(d_input);
}

static void test_layers(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_safetensors *golden;
    if (lam_safetensors_open(GOLDEN, &golden, &err))
        fail_msg("%s (run from the repository root)", err.message);
    const lam_jv *cases = lam_safetensors_all_metadata(golden);
    assert_true(lam_jv_count(cases) > 100);
    for (size_t i = 0; i < lam_jv_count(cases); i++) {
        subject s;
        set_up(&s, golden, lam_jv_key_at(cases, i));
        check_network(&s);
        tear_down(&s);
    }
    lam_safetensors_free(golden);
}

/* A network of which no golden file is needed: `text` on random input of this shape. */
static void check_text(const char *name, const char *text, lam_shape shape)
{
    subject s = {.name = name};
    lam_error err = {0};
    if (lam_json_parse(text, strlen(text), &s.json, &err) ||
        lam_network_create(lam_json_root(s.json), &s.network, &err) ||
        lam_weights_create(s.network, 5, &s.weights, &err) ||
        lam_session_create(s.weights, LAM_MODE_TRAIN, NULL, &s.session, &err) ||
        lam_session_plan(s.session, &shape, &err))
        fail_msg("%s: %s", name, err.message);
    s.inputs = (size_t)lam_shape_count(&shape);
    s.outputs = (size_t)lam_shape_count(lam_session_output_shape(s.session));
    s.input = malloc(s.inputs * sizeof *s.input);
    s.d_output = malloc(s.outputs * sizeof *s.d_output);
    s.gradient = calloc((size_t)lam_network_parameter_floats(s.network) + 1, sizeof *s.gradient);
    assert_true(s.input && s.d_output && s.gradient);
    lam_random random = lam_random_stream(11, 0, 0);
    for (size_t i = 0; i < s.inputs; i++)
        s.input[i] = lam_random_normal(&random);
    for (size_t i = 0; i < s.outputs; i++)
        s.d_output[i] = lam_random_normal(&random);
    check_network(&s);
    tear_down(&s);
}

#define SEQUENCE "{\"input\": {\"axes\": [\"t\"], \"channels\": 3}, \"layers\": ["

/* What is random is the same in every pass of one key. */
static void test_dropout(void **state)
{
    (void)state;
    static const lam_shape shape = {3, {2, 7, 3}};
    check_text("dropout",
               SEQUENCE "{\"name\": \"a\", \"kind\": \"dense\", \"units\": 5}, "
                        "{\"name\": \"b\", \"kind\": \"dropout\", \"rate\": 0.4}]}",
               shape);
    check_text("dropout of channels",
               SEQUENCE "{\"name\": \"a\", \"kind\": \"dense\", \"units\": 5}, {\"name\": \"b\", \"kind\": "
                        "\"dropout\", \"rate\": 0.4, \"whole_channels\": true}]}",
               shape);
    static const char *const cells[] = {"elman", "lstm", "gru"};
    for (size_t i = 0; i < 3; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 SEQUENCE "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"%s\", \"units\": 5, "
                          "\"recurrent_dropout\": 0.3}]}",
                 cells[i]);
        check_text(cells[i], text, shape);
    }
}

/* Backward that runs forward again from states kept every few steps. */
static void test_checkpoints(void **state)
{
    (void)state;
    static const char *const cells[] = {"elman", "lstm", "gru", "light"};
    for (size_t i = 0; i < 4; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 SEQUENCE "{\"name\": \"a\", \"kind\": \"sweep\", \"cell\": \"%s\", \"units\": 5, "
                          "\"directions\": [\"t+\", \"t-\"], \"checkpoint\": 4}]}",
                 cells[i]);
        check_text(cells[i], text, (lam_shape){3, {2, 15, 3}});
    }
}

/* ---- losses ---- */

enum { SLICES = 4, ROWS = 8, CLASSES = 3, SCORES = ROWS * CLASSES };

typedef struct score_case {
    const lam_loss *loss;
    double scores[SCORES];
} score_case;

static double loss_of(score_case *at, double *gradient)
{
    static const uint8_t labels[ROWS] = {0, 1, 2, 1, 0, 0, 2, 1};
    double scratch[SCORES];
    return lam_loss_evaluate(at->loss, SLICES, ROWS, CLASSES, at->scores, labels, 1, gradient, scratch);
}

static double loss_value(void *at)
{
    double unused[SCORES];
    return loss_of(at, unused);
}

static void test_losses(void **state)
{
    (void)state;
    static const char *const names[] = {"cross-entropy", "binary cross-entropy", "focal", "Dice",
                                        "Dice of slices"};
    for (int kind = LAM_LOSS_CROSS_ENTROPY; kind <= LAM_LOSS_DICE_SLICES; kind++) {
        for (int variant = 0; variant < 8; variant++) {
            lam_loss loss = {.count = 1,
                             .terms = {{.kind = (lam_loss_kind)kind,
                                        .weight = 1.5,
                                        .gamma = 2,
                                        .smooth = 1,
                                        .label_smoothing = variant & 4 ? 0.1 : 0}},
                             .probabilities = variant & 1,
                             .weighted = variant & 2,
                             .class_weights = {0.5, 1.5, 2.5}};
            score_case at = {.loss = &loss};
            double gradient[SCORES];
            lam_random random = lam_random_stream(9, 0, 0);
            for (int i = 0; i < SCORES; i++)
                at.scores[i] = loss.probabilities ? 0.1 + 0.8 * lam_random_uniform(&random)
                                                  : 2 * lam_random_normal(&random);
            loss_of(&at, gradient);
            check_derivatives(names[kind], "the scores", loss_value, &at, at.scores, gradient, SCORES);
        }
    }
}

static const lam_head head = {
    .rows = 4, .columns = 6, .classes = 2, .stride = 8, .typical_size = 16, .temperature = 1};
enum { HEAD_SCORES = 4 * 6 * (LAM_HEAD_CLASSES + 2) };

typedef struct head_case {
    const lam_detection_loss *loss;
    size_t boxes;
    double scores[HEAD_SCORES];
} head_case;

static double head_loss(head_case *at, double *gradient)
{
    static const lam_true_box boxes[] = {{{10, 6, 13, 9}, 1}, {{33, 17, 15, 15}, 0}};
    return lam_detection_loss_evaluate(at->loss, &head, at->scores, boxes, at->boxes, 1, gradient);
}

static double head_value(void *at)
{
    double unused[HEAD_SCORES];
    return head_loss(at, unused);
}

/* But for `quality`, whose target moves with the box while its gradient does not (test_detect.c). */
static void test_detection_losses(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        lam_detection_loss loss;
    } terms[] = {{"focal loss of centres", {.object = 1}},
                 {"GIoU", {.overlap = 2}},
                 {"smooth L1", {.smooth = 0.5}},
                 {"classes of boxes", {.classes = 1, .label_smoothing = 0.05}},
                 {"detection", {1, 2, 0.5, 0, 1, 0.05}}};
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        for (size_t boxes = 0; boxes <= 2; boxes++) {
            head_case at = {.loss = &terms[i].loss, .boxes = boxes};
            double gradient[HEAD_SCORES];
            lam_random random = lam_random_stream(7, 0, 0);
            for (int k = 0; k < HEAD_SCORES; k++)
                at.scores[k] = 0.7 * lam_random_normal(&random);
            head_loss(&at, gradient);
            check_derivatives(terms[i].name, "the scores", head_value, &at, at.scores, gradient, HEAD_SCORES);
        }
    }
}

enum { COMPONENTS = 3 };

typedef struct pixel_case {
    int level;
    double scores[3 * COMPONENTS];
} pixel_case;

static double pixel_value(void *context)
{
    pixel_case *at = context;
    return lam_logistic_nll(COMPONENTS, at->scores, at->level, 1, NULL);
}

/* Negative log-likelihood, also of the first and the last level, whose bins have no end. */
static void test_likelihood(void **state)
{
    (void)state;
    static const int levels[] = {0, 1, 100, 254, 255};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        pixel_case at = {.level = levels[i]};
        double gradient[3 * COMPONENTS];
        lam_random random = lam_random_stream(3, i, 0);
        for (int k = 0; k < 3 * COMPONENTS; k++)
            at.scores[k] = 0.5 * lam_random_normal(&random);
        lam_logistic_nll(COMPONENTS, at.scores, at.level, 1, gradient);
        check_derivatives("likelihood", "the scores", pixel_value, &at, at.scores, gradient, 3 * COMPONENTS);
    }
}

/* ---- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),           cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_checkpoints),      cmocka_unit_test(test_losses),
        cmocka_unit_test(test_detection_losses), cmocka_unit_test(test_likelihood),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("largest difference: %.2g of what is allowed\n", worst_of_all);
    return failed;
}
