#include "core/rnn/generation.h"

#include <math.h>
#include <string.h>

#include "core/rnn/logistic.h"

enum { PIXEL, INSIDE, PLACE, WAVES = 5, BLOCK = 8 };

int64_t lam_generation_channels(int axes, int64_t classes)
{
    return PLACE + (1 + WAVES) * axes + classes;
}

lam_status lam_generation_check(const lam_network *network, int64_t classes, int *components, lam_error *err)
{
    int64_t channels = lam_network_output_channels(network);
    int64_t needed = lam_generation_channels(lam_network_axes(network), classes);
    if (channels % 3 != 0 || channels > 3 * LAM_LOGISTIC_MAX_COMPONENTS ||
        lam_network_input_channels(network) != needed)
        return lam_fail(
            err, LAM_E_INVALID,
            "`network`: a generator has %lld input channels and gives three a component, of at most %d",
            (long long)needed, LAM_LOGISTIC_MAX_COMPONENTS);
    *components = (int)channels / 3;
    return LAM_OK;
}

static float position(int64_t at, int64_t size)
{
    return size > 1 ? 2 * (float)at / (float)(size - 1) - 1 : 0;
}

/* Cosine and sine of the periods 8 and 4, and the cosine of 2, whose sine is 0. */
static void set_waves(int64_t at, float *out)
{
    for (int wave = 0; wave < WAVES; wave++) {
        double angle = (double)((at % BLOCK) << (wave / 2)) * 2 * M_PI / BLOCK;
        out[wave] = (float)(wave % 2 ? sin(angle) : cos(angle));
    }
}

void lam_generation_fill(const int64_t size[3], int axes, int64_t classes, int label, const float *levels,
                         float *input)
{
    int64_t channels = lam_generation_channels(axes, classes), count = size[0] * size[1] * size[2];
    for (int64_t i = 0; i < count; i++, input += channels) {
        int64_t at[3] = {i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]};
        float *place = input + PLACE;
        memset(input, 0, (size_t)channels * sizeof *input);
        input[PIXEL] = levels ? levels[i] / 127.5f - 1 : 0;
        input[INSIDE] = 1;
        for (int a = 3 - axes; a < 3; a++, place += 1 + WAVES) {
            place[0] = position(at[a], size[a]);
            set_waves(at[a], place + 1);
        }
        if (label >= 0 && label < classes)
            place[label] = 1;
    }
}
