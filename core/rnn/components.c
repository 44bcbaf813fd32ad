#include "core/rnn/components.h"

#include <stdlib.h>

#include "core/base/cleanup.h"

/* A flood fill with its queue kept: members of component after component, so that the queue is also the list
 * of them. */
struct fill {
    uint8_t *labels;
    const int64_t *size;
    uint8_t label;
    bool *seen;
    int64_t *queue;
    int64_t length;
};

static void visit(struct fill *fill, int64_t index)
{
    if (fill->labels[index] != fill->label || fill->seen[index])
        return;
    fill->seen[index] = true;
    fill->queue[fill->length++] = index;
}

static void visit_neighbours(struct fill *fill, int64_t index)
{
    int64_t at[3] = {index / (fill->size[1] * fill->size[2]), index / fill->size[2] % fill->size[1],
                     index % fill->size[2]};
    int64_t low[3], high[3];
    for (int i = 0; i < 3; i++) {
        low[i] = at[i] > 0 ? at[i] - 1 : 0;
        high[i] = at[i] + 1 < fill->size[i] ? at[i] + 1 : at[i];
    }
    for (int64_t z = low[0]; z <= high[0]; z++)
        for (int64_t y = low[1]; y <= high[1]; y++)
            for (int64_t x = low[2]; x <= high[2]; x++)
                visit(fill, (z * fill->size[1] + y) * fill->size[2] + x);
}

static void erase(struct fill *fill, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        fill->labels[fill->queue[i]] = 0;
}

lam_status lam_components_clean(uint8_t *labels, const int64_t size[3], uint8_t label, bool largest,
                                int64_t minimum, lam_error *err)
{
    int64_t count = size[0] * size[1] * size[2], best_begin = 0, best_end = 0;
    lam_autofree bool *seen = calloc((size_t)count, sizeof *seen);
    lam_autofree int64_t *queue = malloc((size_t)count * sizeof *queue);
    if (!seen || !queue)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    struct fill fill = {.labels = labels, .size = size, .label = label, .seen = seen, .queue = queue};
    for (int64_t start = 0; start < count; start++) {
        int64_t begin = fill.length;
        visit(&fill, start);
        for (int64_t head = begin; head < fill.length; head++)
            visit_neighbours(&fill, queue[head]);
        int64_t members = fill.length - begin;
        if (members == 0)
            continue;
        if (members < minimum || (largest && members <= best_end - best_begin)) {
            erase(&fill, begin, fill.length);
        } else if (largest) {
            erase(&fill, best_begin, best_end);
            best_begin = begin;
            best_end = fill.length;
        }
    }
    return LAM_OK;
}
