#include "core/rnn/generation.h"

#include <string.h>

enum { PIXEL, INSIDE, POSITION };

int64_t lam_generation_channels(int axes, int64_t classes)
{
    return POSITION + axes + classes;
}

static float position(int64_t at, int64_t size)
{
    return size > 1 ? 2 * (float)at / (float)(size - 1) - 1 : 0;
}

void lam_generation_fill(const int64_t size[3], int axes, int64_t classes, int label, const float *levels,
                         float *input)
{
    int64_t channels = lam_generation_channels(axes, classes), count = size[0] * size[1] * size[2];
    for (int64_t i = 0; i < count; i++, input += channels) {
        int64_t at[3] = {i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]};
        memset(input, 0, (size_t)channels * sizeof *input);
        input[PIXEL] = levels ? levels[i] / 127.5f - 1 : 0;
        input[INSIDE] = 1;
        for (int a = 0; a < axes; a++)
            input[POSITION + a] = position(at[3 - axes + a], size[3 - axes + a]);
        if (label >= 0 && label < classes)
            input[POSITION + axes + label] = 1;
    }
}
