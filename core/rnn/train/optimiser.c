#include "core/rnn/train/optimiser.h"

#include <math.h>

double lam_schedule_rate(const lam_schedule *schedule, double rate, int64_t step, int64_t steps,
                         int64_t steps_an_epoch)
{
    double done = (double)(step - 1) / (double)(steps > 0 ? steps : 1), factor = 1;
    if (schedule->kind == LAM_SCHEDULE_COSINE)
        factor = schedule->floor + (1 - schedule->floor) * 0.5 * (1 + cos(M_PI * fmin(done, 1)));
    else if (schedule->kind == LAM_SCHEDULE_STEP) {
        int64_t falls = (step - 1) / steps_an_epoch / schedule->every;
        factor = pow(schedule->factor, (double)falls);
    }
    if (step < schedule->warm_up)
        factor *= (double)step / (double)schedule->warm_up;
    return rate * factor;
}

double lam_optimiser_clip(const lam_network *network, float *gradient, double norm)
{
    double sum = 0;
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        for (int64_t j = 0; j < parameter->count && parameter->trainable; j++)
            sum += (double)gradient[parameter->offset + j] * gradient[parameter->offset + j];
    }
    double had = sqrt(sum);
    if (norm > 0 && had > norm) {
        float factor = (float)(norm / had);
        for (int64_t i = 0; i < lam_network_parameter_floats(network); i++)
            gradient[i] *= factor;
    }
    return had;
}

static void step_sgd(const lam_optimiser *o, double rate, double decay, int64_t step, int64_t n,
                     const float *g, float *m, float *p)
{
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + (float)decay * p[i];
        m[i] = step == 1 ? d : (float)o->momentum * m[i] + d;
        p[i] -= (float)rate * m[i];
    }
}

/* Kingma, Ba 2015; decay as in Loshchilov, Hutter 2019. The operations and their order are PyTorch's. */
static void step_adam(const lam_optimiser *o, double rate, double decay, int64_t step, int64_t n,
                      const float *g, float *m, float *v, float *p)
{
    bool decoupled = o->kind == LAM_OPTIMISER_ADAMW;
    float b1 = (float)o->beta1, b2 = (float)o->beta2, epsilon = (float)o->epsilon;
    float keep = decoupled ? (float)(1 - rate * decay) : 1, coupled = decoupled ? 0 : (float)decay;
    float size = (float)(rate / (1 - pow(o->beta1, (double)step)));
    float root = (float)sqrt(1 - pow(o->beta2, (double)step));
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + coupled * p[i];
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        p[i] = p[i] * keep - size * (m[i] / (sqrtf(v[i]) / root + epsilon));
    }
}

void lam_optimiser_step(const lam_optimiser *optimiser, const lam_network *network, double rate, int64_t step,
                        const float *gradient, float *first, float *second, float *parameters)
{
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        int64_t at = parameter->offset;
        double decay = parameter->decay ? optimiser->decay : 0;
        if (!parameter->trainable)
            continue;
        if (optimiser->kind == LAM_OPTIMISER_SGD)
            step_sgd(optimiser, rate, decay, step, parameter->count, gradient + at, first + at,
                     parameters + at);
        else
            step_adam(optimiser, rate, decay, step, parameter->count, gradient + at, first + at, second + at,
                      parameters + at);
    }
}

void lam_optimiser_move_statistics(const lam_network *network, int64_t shards, const float *gradient,
                                   float *parameters)
{
    float rate = 0.1f / (float)shards;
    for (size_t i = 0; i < lam_network_parameter_count(network); i++) {
        const lam_parameter *parameter = lam_network_parameter(network, i);
        for (int64_t j = 0; j < parameter->count && parameter->statistic; j++)
            parameters[parameter->offset + j] += rate * gradient[parameter->offset + j];
    }
}

void lam_optimiser_average(const lam_network *network, double decay, int64_t step, const float *parameters,
                           float *average)
{
    double early = (double)step / ((double)step + 20);
    float rate = (float)(1 - (early < decay ? early : decay));
    for (int64_t i = 0; i < lam_network_parameter_floats(network); i++)
        average[i] += rate * (parameters[i] - average[i]);
}
