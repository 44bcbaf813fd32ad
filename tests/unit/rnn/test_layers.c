/* Every layer kind, forward and backward, against stored results of PyTorch in double precision
 * (tests/golden/rnn/make_layers.py, which holds those gradients against numerical derivatives in double
 * precision, to 1e-6), and against numerical derivatives of its own forward pass; on every instruction set.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/network.h"
#include "core/rnn/random.h"
#include "tests/unit/rnn/kernels/every_isa.h"

#define GOLDEN "tests/golden/rnn/layers.safetensors"

/* Largest difference allowed, relative to the largest value of the array. */
#define FORWARD_TOLERANCE  1e-5
#define BACKWARD_TOLERANCE 3e-5
#define NUMERIC_TOLERANCE  5e-3

struct subject {
    const char *name;
    lam_json *json;
    lam_network *network;
    lam_weights *weights;
    lam_session *session;
    float *gradient;
    uint32_t lengths[8];
};

static lam_safetensors *golden;

static const lam_tensor *stored(const char *name, const char *part, const char *parameter)
{
    char key[256];
    snprintf(key, sizeof key, "%s/%s%s", name, part, parameter);
    const lam_tensor *tensor = lam_safetensors_find(golden, key);
    if (!tensor)
        fail_msg("%s holds no %s", GOLDEN, key);
    return tensor;
}

/* For cases of sequences that end early. */
static void set_lengths(struct subject *s, lam_session *session)
{
    char key[128];
    snprintf(key, sizeof key, "%s/lengths", s->name);
    const lam_tensor *lengths = lam_safetensors_find(golden, key);
    if (!lengths)
        return;
    for (int64_t i = 0; i < lengths->shape.dim[0]; i++)
        s->lengths[i] = (uint32_t)((const float *)lengths->data)[i];
    lam_session_set_lengths(session, s->lengths);
}

static void set_up(struct subject *s, const char *name, lam_pool *pool)
{
    lam_error err = {0};
    const char *text = lam_safetensors_metadata(golden, name);
    *s = (struct subject){.name = name};
    assert_ok(lam_json_parse(text, strlen(text), &s->json, &err), err);
    if (lam_network_create(lam_json_root(s->json), &s->network, &err))
        fail_msg("%s: %s", name, err.message);
    assert_ok(lam_weights_create(s->network, 1, &s->weights, &err), err);
    for (size_t i = 0; i < lam_network_parameter_count(s->network); i++) {
        const lam_parameter *parameter = lam_network_parameter(s->network, i);
        const lam_tensor *tensor = stored(name, "p/", parameter->name);
        if (!lam_shape_equal(&tensor->shape, &parameter->shape))
            fail_msg("%s: %s has another shape", name, parameter->name);
        memcpy(lam_weights_data(s->weights) + parameter->offset, tensor->data, tensor->bytes);
    }
    lam_weights_refresh(s->weights);
    assert_ok(lam_session_create(s->weights, LAM_MODE_TRAIN, pool, &s->session, &err), err);
    if (lam_session_plan(s->session, &stored(name, "input", "")->shape, &err))
        fail_msg("%s: %s", name, err.message);
    set_lengths(s, s->session);
    s->gradient = calloc((size_t)lam_network_parameter_floats(s->network) + 1, sizeof(float));
}

static void tear_down(struct subject *s)
{
    free(s->gradient);
    lam_session_free(s->session);
    lam_weights_free(s->weights);
    lam_network_free(s->network);
    lam_json_free(s->json);
}

static void set_input(struct subject *s)
{
    const lam_tensor *input = stored(s->name, "input", "");
    memcpy(lam_session_input(s->session), input->data, input->bytes);
}

static void run_both(struct subject *s)
{
    const lam_tensor *d_output = stored(s->name, "d_output", "");
    set_input(s);
    lam_session_forward(s->session, 7);
    memcpy(lam_session_output_gradient(s->session), d_output->data, d_output->bytes);
    lam_session_backward(s->session, s->gradient, true);
}

static void compare(const char *name, const char *what, const float *have, const lam_tensor *want,
                    double tolerance)
{
    const float *expected = want->data;
    size_t count = want->bytes / sizeof(float);
    double largest = 1e-3, worst = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)have[i] - expected[i]);
        if (!(difference <= worst)) /* NaN too */
            worst = difference;
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: %s differs by %g of %g", name, what, worst, largest);
}

static void each_case(void (*check)(struct subject *s))
{
    const lam_jv *cases = lam_safetensors_all_metadata(golden);
    for (size_t i = 0; i < lam_jv_count(cases); i++) {
        struct subject s;
        set_up(&s, lam_jv_key_at(cases, i), NULL);
        check(&s);
        tear_down(&s);
    }
}

static void check_forward(struct subject *s)
{
    lam_session *session;
    lam_error err = {0};
    set_input(s);
    lam_session_forward(s->session, 7);
    const lam_tensor *output = stored(s->name, "output", "");
    assert_true(lam_shape_equal(lam_session_output_shape(s->session), &output->shape));
    compare(s->name, "output", lam_session_output(s->session), output, FORWARD_TOLERANCE);

    assert_ok(lam_session_create(s->weights, LAM_MODE_INFER, NULL, &session, &err), err);
    assert_ok(lam_session_plan(session, &stored(s->name, "input", "")->shape, &err), err);
    set_lengths(s, session);
    memcpy(lam_session_input(session), stored(s->name, "input", "")->data,
           stored(s->name, "input", "")->bytes);
    lam_session_run(session);
    char key[128];
    snprintf(key, sizeof key, "%s/inference", s->name);
    const lam_tensor *inference = lam_safetensors_find(golden, key);
    compare(s->name, "output of inference", lam_session_output(session), inference ? inference : output,
            FORWARD_TOLERANCE);
    lam_session_free(session);
}

static void test_forward_is_pytorchs(void **state)
{
    (void)state;
    each_case(check_forward);
}

static void check_backward(struct subject *s)
{
    run_both(s);
    compare(s->name, "gradient of the input", lam_session_input_gradient(s->session),
            stored(s->name, "d_input", ""), BACKWARD_TOLERANCE);
    for (size_t i = 0; i < lam_network_parameter_count(s->network); i++) {
        const lam_parameter *parameter = lam_network_parameter(s->network, i);
        compare(s->name, parameter->name, s->gradient + parameter->offset,
                stored(s->name, "g/", parameter->name), BACKWARD_TOLERANCE);
    }
}

static void test_backward_is_pytorchs(void **state)
{
    (void)state;
    each_case(check_backward);
}

/* A second pass adds to the gradient: twice the first. */
static void check_accumulates(struct subject *s)
{
    int64_t floats = lam_network_parameter_floats(s->network);
    run_both(s);
    float *once = malloc((size_t)floats * sizeof(float) + 1);
    memcpy(once, s->gradient, (size_t)floats * sizeof(float));
    run_both(s);
    for (int64_t i = 0; i < floats; i++)
        if (!(fabs((double)s->gradient[i] - 2.0 * once[i]) <= 1e-5 * (1 + fabs((double)once[i]))))
            fail_msg("%s: the gradient is not added to", s->name);
    free(once);
}

static void test_gradients_accumulate(void **state)
{
    (void)state;
    each_case(check_accumulates);
}

static double loss(struct subject *s)
{
    const float *weight = stored(s->name, "d_output", "")->data;
    lam_session_forward(s->session, 7);
    const float *output = lam_session_output(s->session);
    double sum = 0;
    for (int64_t i = 0; i < lam_shape_count(lam_session_output_shape(s->session)); i++)
        sum += (double)weight[i] * output[i];
    return sum;
}

/* Moves all parameters along one random direction: (L(p + e·v) - L(p - e·v)) / 2e is the gradient's part
 * along v. */
static void check_numerically(struct subject *s)
{
    const double step = 1e-2;
    int64_t floats = lam_network_parameter_floats(s->network);
    /* A kink inside the step is no error, and running statistics have no derivative. */
    if (floats == 0 || strstr(s->name, "relu") || strstr(s->name, "batch_norm"))
        return;
    run_both(s);
    float *data = lam_weights_data(s->weights), *start = malloc((size_t)floats * sizeof(float));
    float *direction = malloc((size_t)floats * sizeof(float));
    lam_random random = lam_random_stream(3, 0, 0);
    double along = 0, norm = 0, values[2];
    memcpy(start, data, (size_t)floats * sizeof(float));
    for (int64_t i = 0; i < floats; i++) {
        direction[i] = lam_random_normal(&random) / sqrtf((float)floats);
        along += (double)direction[i] * s->gradient[i];
        norm += (double)s->gradient[i] * s->gradient[i];
    }
    set_input(s);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < floats; i++)
            data[i] = start[i] + (float)(side ? -step : step) * direction[i];
        lam_weights_refresh(s->weights);
        values[side] = loss(s);
    }
    double numeric = (values[0] - values[1]) / (2 * step);
    if (!(fabs(numeric - along) <= NUMERIC_TOLERANCE * (1 + sqrt(norm))))
        fail_msg("%s: numerical derivative %g, gradient %g", s->name, numeric, along);
    free(start);
    free(direction);
}

static void test_gradients_are_the_derivative(void **state)
{
    (void)state;
    each_case(check_numerically);
}

static void compare_bits(const char *name, const char *what, const float *one, const float *three,
                         size_t bytes)
{
    if (memcmp(one, three, bytes) != 0)
        fail_msg("%s: %s has other bits with three threads", name, what);
}

/* Outputs and gradients are the same bits for one thread and for three. */
static void test_threads_do_not_change_results(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_pool *pool;
    assert_ok(lam_pool_create(3, &pool, &err), err);
    const lam_jv *cases = lam_safetensors_all_metadata(golden);
    for (size_t i = 0; i < lam_jv_count(cases); i++) {
        struct subject one, three;
        const char *name = lam_jv_key_at(cases, i);
        set_up(&one, name, NULL);
        set_up(&three, name, pool);
        run_both(&one);
        run_both(&three);
        compare_bits(name, "output", lam_session_output(one.session), lam_session_output(three.session),
                     stored(name, "output", "")->bytes);
        compare_bits(name, "gradient of the input", lam_session_input_gradient(one.session),
                     lam_session_input_gradient(three.session), stored(name, "input", "")->bytes);
        compare_bits(name, "gradient", one.gradient, three.gradient,
                     (size_t)lam_network_parameter_floats(one.network) * sizeof(float));
        tear_down(&one);
        tear_down(&three);
    }
    lam_pool_free(pool);
}

/* Dropout keeps the mean, is another mask for another key, and passes gradients where it passed values. */
static void test_dropout(void **state)
{
    (void)state;
    static const char text[] = "{\"input\": {\"axes\": [\"t\"], \"channels\": 8}, \"layers\": ["
                               "{\"name\": \"drop\", \"kind\": \"dropout\", \"rate\": 0.25}]}";
    enum { COUNT = 4 * 500 * 8 };
    lam_error err = {0};
    lam_json *json;
    lam_network *network;
    lam_weights *weights;
    lam_session *session;
    lam_shape shape = {3, {4, 500, 8}};
    float first[COUNT];
    assert_ok(lam_json_parse(text, strlen(text), &json, &err), err);
    assert_ok(lam_network_create(lam_json_root(json), &network, &err), err);
    assert_ok(lam_weights_create(network, 1, &weights, &err), err);
    assert_ok(lam_session_create(weights, LAM_MODE_TRAIN, NULL, &session, &err), err);
    assert_ok(lam_session_plan(session, &shape, &err), err);
    for (int i = 0; i < COUNT; i++)
        lam_session_input(session)[i] = 1;
    lam_session_forward(session, 5);
    memcpy(first, lam_session_output(session), sizeof first);
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += first[i];
        lam_session_output_gradient(session)[i] = 1;
    }
    assert_float_equal(sum / COUNT, 1, 0.03);
    lam_session_backward(session, NULL, true);
    assert_memory_equal(lam_session_input_gradient(session), first, sizeof first);
    lam_session_forward(session, 6);
    assert_memory_not_equal(lam_session_output(session), first, sizeof first);
    lam_session_free(session);
    lam_weights_free(weights);
    lam_network_free(network);
    lam_json_free(json);
}

static int open_golden(void **state)
{
    lam_error err = {0};
    (void)state;
    if (lam_safetensors_open(GOLDEN, &golden, &err))
        fail_msg("%s (run from the repository root)", err.message);
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    lam_safetensors_free(golden);
    return 0;
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_is_pytorchs),
        cmocka_unit_test(test_backward_is_pytorchs),
        cmocka_unit_test(test_gradients_accumulate),
        cmocka_unit_test(test_gradients_are_the_derivative),
        cmocka_unit_test(test_threads_do_not_change_results),
        cmocka_unit_test(test_dropout),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

int main(void)
{
    return every_isa(run);
}
