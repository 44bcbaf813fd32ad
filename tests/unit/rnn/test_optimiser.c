/* Steps of descent against the formulas of torch.optim (SGD, Adam, AdamW), evaluated here in double
 * precision; what is frozen stays; clipping, averaging and running statistics. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/random.h"
#include "core/rnn/train/optimiser.h"

enum { STEPS = 50, MOST = 256 };

static lam_json *json;
static lam_network *network;
static size_t floats;

static int open_network(void **state)
{
    static const char text[] = "{\"input\": {\"axes\": [\"t\"], \"channels\": 3}, \"layers\": ["
                               "{\"name\": \"first\", \"kind\": \"dense\", \"units\": 5},"
                               "{\"name\": \"held\", \"kind\": \"dense\", \"units\": 4, \"frozen\": true},"
                               "{\"name\": \"norm\", \"kind\": \"batch_norm\"},"
                               "{\"name\": \"last\", \"kind\": \"dense\", \"units\": 2}]}";
    lam_error err = {0};
    (void)state;
    assert_ok(lam_json_parse(text, strlen(text), &json, &err), err);
    assert_ok(lam_network_create(lam_json_root(json), &network, &err), err);
    floats = (size_t)lam_network_parameter_floats(network);
    assert_true(floats <= MOST);
    return 0;
}

static int close_network(void **state)
{
    (void)state;
    lam_network_free(network);
    lam_json_free(json);
    return 0;
}

static void draw(uint64_t key, float *values)
{
    lam_random random = lam_random_stream(5, key, 0);
    for (size_t i = 0; i < MOST; i++)
        values[i] = lam_random_normal(&random);
}

/* One value's step as torch.optim documents it; m and v are its state. */
static double reference(const lam_optimiser *o, double decay, int step, double g, double *m, double *v,
                        double p)
{
    if (o->kind == LAM_OPTIMISER_SGD) {
        g += decay * p;
        *m = step == 1 ? g : o->momentum * *m + g;
        return p - o->rate * *m;
    }
    if (o->kind == LAM_OPTIMISER_ADAMW)
        p -= o->rate * decay * p;
    else
        g += decay * p;
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *v = o->beta2 * *v + (1 - o->beta2) * g * g;
    double first = *m / (1 - pow(o->beta1, step)), second = *v / (1 - pow(o->beta2, step));
    return p - o->rate * first / (sqrt(second) + o->epsilon);
}

static void check_steps(const lam_optimiser *o)
{
    float start[MOST], parameters[MOST], gradient[MOST], first[MOST] = {0}, second[MOST] = {0};
    double want[MOST], m[MOST] = {0}, v[MOST] = {0};
    draw(0, start);
    memcpy(parameters, start, sizeof start);
    for (size_t i = 0; i < MOST; i++)
        want[i] = start[i];
    for (int step = 1; step <= STEPS; step++) {
        draw((uint64_t)step, gradient);
        lam_optimiser_step(o, network, o->rate, step, gradient, first, second, parameters);
        for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
            const lam_parameter *parameter = lam_network_parameter(network, i);
            double decay = parameter->decay ? o->decay : 0;
            for (int64_t at = parameter->offset; at < parameter->offset + parameter->count; at++)
                if (parameter->trainable)
                    want[at] = reference(o, decay, step, gradient[at], &m[at], &v[at], want[at]);
        }
    }
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        for (int64_t at = parameter->offset; at < parameter->offset + parameter->count; at++) {
            if (!(fabs(parameters[at] - want[at]) <= 1e-5 * (1 + fabs(want[at]))))
                fail_msg("optimiser %d, %s: %.9g instead of %.9g", o->kind, parameter->name, parameters[at],
                         want[at]);
            if (!parameter->trainable)
                assert_memory_equal(&parameters[at], &start[at], sizeof(float));
        }
    }
}

static void test_steps_are_pytorchs(void **state)
{
    (void)state;
    static const lam_optimiser optimisers[] = {
        {.kind = LAM_OPTIMISER_SGD, .rate = 0.05},
        {.kind = LAM_OPTIMISER_SGD, .rate = 0.01, .momentum = 0.9, .decay = 0.1},
        {.kind = LAM_OPTIMISER_ADAM, .rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
        {.kind = LAM_OPTIMISER_ADAM,
         .rate = 0.02,
         .beta1 = 0.8,
         .beta2 = 0.99,
         .epsilon = 1e-6,
         .decay = 0.1},
        {.kind = LAM_OPTIMISER_ADAMW,
         .rate = 0.02,
         .beta1 = 0.9,
         .beta2 = 0.999,
         .epsilon = 1e-8,
         .decay = 0.5},
    };
    for (size_t i = 0; i < LAM_COUNT(optimisers); i++)
        check_steps(&optimisers[i]);
}

/* The norm of what is trained alone counts; a smaller one is left as it is. */
static void test_clipping(void **state)
{
    (void)state;
    float gradient[MOST], before[MOST];
    double sum = 0, after = 0;
    draw(3, gradient);
    memcpy(before, gradient, sizeof before);
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        for (int64_t j = 0; j < parameter->count && parameter->trainable; j++)
            sum += (double)before[parameter->offset + j] * before[parameter->offset + j];
    }
    assert_float_equal(lam_optimiser_clip(network, gradient, 0), sqrt(sum), 1e-6);
    assert_float_equal(lam_optimiser_clip(network, gradient, 1000), sqrt(sum), 1e-6);
    assert_memory_equal(gradient, before, sizeof before);
    lam_optimiser_clip(network, gradient, 0.5);
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        for (int64_t j = 0; j < parameter->count && parameter->trainable; j++)
            after += (double)gradient[parameter->offset + j] * gradient[parameter->offset + j];
    }
    assert_float_equal(sqrt(after), 0.5, 1e-6);
}

static void test_averaging(void **state)
{
    (void)state;
    float parameters[MOST], average[MOST];
    double want[MOST];
    draw(0, average);
    for (size_t i = 0; i < floats; i++)
        want[i] = average[i];
    for (int step = 1; step <= 300; step++) {
        double decay = fmin(0.9, step / (step + 20.0));
        draw((uint64_t)step, parameters);
        lam_optimiser_average(network, 0.9, step, parameters, average);
        for (size_t i = 0; i < floats; i++)
            want[i] = decay * want[i] + (1 - decay) * parameters[i];
    }
    for (size_t i = 0; i < floats; i++)
        assert_true(fabs(average[i] - want[i]) <= 1e-5);
}

/* A tenth of the way, with the mean of the shards; nothing else moves. */
static void test_running_statistics(void **state)
{
    (void)state;
    float gradient[MOST], parameters[MOST], start[MOST];
    size_t statistics = 0;
    draw(1, gradient);
    draw(2, start);
    memcpy(parameters, start, sizeof start);
    lam_optimiser_move_statistics(network, 4, gradient, parameters);
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        statistics += parameter->statistic;
        for (int64_t at = parameter->offset; at < parameter->offset + parameter->count; at++)
            assert_true(fabs(parameters[at] - start[at] - (parameter->statistic ? gradient[at] / 40 : 0)) <=
                        1e-6);
    }
    assert_int_equal(statistics, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_pytorchs),
        cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_averaging),
        cmocka_unit_test(test_running_statistics),
    };
    return cmocka_run_group_tests(tests, open_network, close_network);
}
