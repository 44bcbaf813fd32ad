/* What a session plans: memory that does not grow where it need not, and a clear refusal of what does not
 * fit. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/rnn/network.h"

enum { BATCH = 32, CHANNELS = 16, UNITS = 64, SLACK = 256 << 10 };

struct subject {
    lam_json *json;
    lam_network *network;
    lam_weights *weights;
    lam_session *session;
};

static void set_up(struct subject *s, const char *options, lam_mode mode)
{
    char text[512];
    lam_error err = {0};
    snprintf(text, sizeof text,
             "{\"input\": {\"axes\": [\"t\"], \"channels\": %d}, \"layers\": [{\"name\": \"s\", \"kind\": "
             "\"sweep\", \"units\": %d, %s}]}",
             CHANNELS, UNITS, options);
    assert_ok(lam_json_parse(text, strlen(text), &s->json, &err), err);
    assert_ok(lam_network_create(lam_json_root(s->json), &s->network, &err), err);
    assert_ok(lam_weights_create(s->network, 1, &s->weights, &err), err);
    assert_ok(lam_session_create(s->weights, mode, NULL, &s->session, &err), err);
}

static void tear_down(struct subject *s)
{
    lam_session_free(s->session);
    lam_weights_free(s->weights);
    lam_network_free(s->network);
    lam_json_free(s->json);
}

static lam_status plan(struct subject *s, int64_t steps, lam_error *err)
{
    lam_shape shape = {3, {BATCH, steps, CHANNELS}};
    return lam_session_plan(s->session, &shape, err);
}

static size_t planned(const char *options, lam_mode mode, int64_t steps)
{
    struct subject s;
    lam_error err = {0};
    set_up(&s, options, mode);
    assert_ok(plan(&s, steps, &err), err);
    size_t bytes = lam_session_bytes(s.session);
    tear_down(&s);
    return bytes;
}

static const struct {
    const char *options;
    size_t kept; /* vectors of units that training keeps of a step */
} cells[] = {
    {"\"cell\": \"lstm\", \"return\": \"last\"", 6},
    {"\"cell\": \"gru\", \"return\": \"last\"", 5},
    {"\"cell\": \"elman\", \"return\": \"last\"", 2},
    {"\"cell\": \"light\", \"return\": \"last\"", 3},
};

/* Beside its input an inference session needs the same for any length of the sequence: one state. */
static void test_inference_keeps_one_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cells); i++)
        for (int64_t steps = 10; steps <= 10000; steps *= 10) {
            size_t input = (size_t)steps * BATCH * CHANNELS * sizeof(float);
            assert_true(planned(cells[i].options, LAM_MODE_INFER, steps) <= input + SLACK);
        }
}

/* Training: input, its gradient, and what the cell keeps (rows are padded by up to 16 floats); no gate and no
 * gradient of a gate a second time. Sums of the weights' gradients do not grow with the sequence. */
static void test_training_keeps_nothing_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cells); i++) {
        size_t step = BATCH * sizeof(float) * (2 * CHANNELS + cells[i].kept * UNITS + 16);
        size_t grown =
            planned(cells[i].options, LAM_MODE_TRAIN, 1000) - planned(cells[i].options, LAM_MODE_TRAIN, 500);
        assert_true(grown <= 500 * step + SLACK);
    }
}

/* A long sequence does not cost its gates: beside input and its gradient a state every 32 steps, and the
 * gates of 32 steps of one block of lines; whoever has the memory may say `checkpoint` 0. */
static void test_long_training_keeps_states_only(void **state)
{
    enum { STEPS = 4096, STRETCH = 32 };
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cells); i++) {
        char plain[128];
        snprintf(plain, sizeof plain, "%s, \"checkpoint\": 0", cells[i].options);
        size_t input = (size_t)2 * STEPS * BATCH * CHANNELS * sizeof(float);
        size_t states = (size_t)2 * STEPS / STRETCH * BATCH * UNITS * sizeof(float);
        size_t gates = STRETCH * BATCH * (cells[i].kept * UNITS + 16) * sizeof(float);
        size_t kept = planned(cells[i].options, LAM_MODE_TRAIN, STEPS);
        assert_true(kept <= input + states + gates + 4 * SLACK);
        assert_true(kept * 2 < planned(plain, LAM_MODE_TRAIN, STEPS));
    }
}

/* ---- checkpoints through a whole layer ---- */

enum { LINES_A = 5, LINES_B = 7, LINES_C = 6, WIDE = 3, PASSES = 2 * LINES_A * LINES_B * LINES_C };

/* Output, gradient of the input, gradients of the parameters of one pass over a volume. */
struct pass {
    float *output, *d_input, *gradient;
    size_t outputs, floats;
};

static struct pass run_volume(int checkpoint)
{
    static const lam_shape shape = {5, {2, LINES_A, LINES_B, LINES_C, WIDE}};
    char text[512];
    lam_error err = {0};
    struct subject s;
    struct pass pass;
    snprintf(
        text, sizeof text,
        "{\"input\": {\"axes\": [\"z\", \"y\", \"x\"], \"channels\": %d}, \"layers\": [{\"name\": \"s\", "
        "\"kind\": \"sweep\", \"cell\": \"lstm\", \"units\": 9, \"recurrent_dropout\": 0.3, "
        "\"checkpoint\": %d, \"directions\": [\"z+\", \"y-\", \"x+\", \"x-\"]}]}",
        WIDE, checkpoint);
    assert_ok(lam_json_parse(text, strlen(text), &s.json, &err), err);
    assert_ok(lam_network_create(lam_json_root(s.json), &s.network, &err), err);
    assert_ok(lam_weights_create(s.network, 1, &s.weights, &err), err);
    assert_ok(lam_session_create(s.weights, LAM_MODE_TRAIN, NULL, &s.session, &err), err);
    assert_ok(lam_session_plan(s.session, &shape, &err), err);
    pass.outputs = (size_t)lam_shape_count(lam_session_output_shape(s.session));
    pass.floats = (size_t)lam_network_parameter_floats(s.network);
    pass.output = malloc(pass.outputs * sizeof(float));
    pass.d_input = malloc(PASSES * WIDE * sizeof(float));
    pass.gradient = calloc(pass.floats, sizeof(float));
    for (size_t i = 0; i < PASSES * WIDE; i++)
        lam_session_input(s.session)[i] = (float)(i * 37 % 101) / 50 - 1;
    lam_session_forward(s.session, 5);
    memcpy(pass.output, lam_session_output(s.session), pass.outputs * sizeof(float));
    for (size_t i = 0; i < pass.outputs; i++)
        lam_session_output_gradient(s.session)[i] = (float)(i * 53 % 89) / 44 - 1;
    lam_session_backward(s.session, pass.gradient, true);
    memcpy(pass.d_input, lam_session_input_gradient(s.session), PASSES * WIDE * sizeof(float));
    tear_down(&s);
    return pass;
}

static void pass_done(struct pass *pass)
{
    free(pass->output);
    free(pass->d_input);
    free(pass->gradient);
}

/* Axes of several lengths, dropout of states: the same bits, sums over steps the same but for rounding. */
static void test_checkpoints_change_nothing(void **state)
{
    (void)state;
    struct pass plain = run_volume(0);
    for (int checkpoint = 1; checkpoint < 9; checkpoint += 3) {
        struct pass kept = run_volume(checkpoint);
        assert_memory_equal(plain.output, kept.output, plain.outputs * sizeof(float));
        assert_memory_equal(plain.d_input, kept.d_input, PASSES * WIDE * sizeof(float));
        for (size_t i = 0; i < plain.floats; i++)
            assert_float_equal(plain.gradient[i], kept.gradient[i], 1e-5f * (1 + fabsf(plain.gradient[i])));
        pass_done(&kept);
    }
    pass_done(&plain);
}

static void test_too_large_is_refused(void **state)
{
    struct subject s;
    lam_error err = {0};
    (void)state;
    set_up(&s, cells[0].options, LAM_MODE_TRAIN);
    assert_int_equal(plan(&s, (int64_t)1 << 24, &err), LAM_E_LIMIT);
    assert_non_null(strstr(err.message, "MiB"));
    assert_int_equal(plan(&s, (int64_t)1 << 40, &err), LAM_E_LIMIT);
    assert_ok(plan(&s, 3, &err), err);
    tear_down(&s);
}

/* As in a worker, whose address space is limited: planning says so, and what fits still runs. */
static int plan_under_a_limit(void)
{
    struct subject s;
    lam_error err = {0};
    struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    set_up(&s, cells[0].options, LAM_MODE_TRAIN);
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 1;
    if (plan(&s, 500000, &err) != LAM_E_NO_MEMORY || !strstr(err.message, "MiB"))
        return 2;
    return plan(&s, 10, &err) == LAM_OK ? 0 : 3;
}

static void test_limits_of_the_process_are_respected(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they need the address space themselves */
#endif
    pid_t child = fork();
    if (child == 0)
        _exit(plan_under_a_limit());
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inference_keeps_one_state),
        cmocka_unit_test(test_training_keeps_nothing_twice),
        cmocka_unit_test(test_long_training_keeps_states_only),
        cmocka_unit_test(test_checkpoints_change_nothing),
        cmocka_unit_test(test_too_large_is_refused),
        cmocka_unit_test(test_limits_of_the_process_are_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
