#include "core/rnn/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, LARGE_BYTES = 2 * HUGE_PAGE };

static int larger_first(const void *a, const void *b)
{
    const lam_arena_item *x = *(lam_arena_item *const *)a, *y = *(lam_arena_item *const *)b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int lower_first(const void *a, const void *b)
{
    const lam_arena_item *x = *(lam_arena_item *const *)a, *y = *(lam_arena_item *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t round_up(size_t size)
{
    return (size + LAM_ARENA_ALIGNMENT - 1) / LAM_ARENA_ALIGNMENT * LAM_ARENA_ALIGNMENT;
}

/* The lowest gap among `placed` items (any order) that are alive together with `item`. `busy` is scratch. */
static size_t find_gap(const lam_arena_item *item, lam_arena_item *const *placed, size_t count,
                       lam_arena_item **busy)
{
    size_t alive = 0, offset = 0;
    for (size_t i = 0; i < count; i++)
        if (placed[i]->first <= item->last && item->first <= placed[i]->last)
            busy[alive++] = placed[i];
    qsort(busy, alive, sizeof busy[0], lower_first);
    for (size_t i = 0; i < alive; i++) {
        if (busy[i]->offset >= offset + item->size)
            break;
        size_t end = busy[i]->offset + round_up(busy[i]->size);
        if (end > offset)
            offset = end;
    }
    return offset;
}

lam_status lam_arena_place(lam_arena_item *items, size_t count, size_t maximum, size_t *total, lam_error *err)
{
    lam_arena_item **order = calloc(2 * count + 1, sizeof *order);
    if (!order)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    size_t used = 0, top = 0;
    for (size_t i = 0; i < count; i++)
        if (items[i].size)
            order[used++] = &items[i];
    if (used)
        qsort(order, used, sizeof order[0], larger_first);
    lam_status status = LAM_OK;
    for (size_t i = 0; i < used && status == LAM_OK; i++) {
        order[i]->offset = find_gap(order[i], order, i, order + count);
        size_t end = order[i]->offset + round_up(order[i]->size);
        if (order[i]->size > maximum || end > maximum)
            status = lam_fail(err, LAM_E_LIMIT,
                              "the network needs more than %zu MiB for an input of this size", maximum >> 20);
        if (end > top)
            top = end;
    }
    free(order);
    if (status == LAM_OK)
        *total = top;
    return status;
}

void *lam_arena_allocate(size_t bytes)
{
    size_t alignment = bytes >= LARGE_BYTES ? HUGE_PAGE : LAM_ARENA_ALIGNMENT;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void *block = aligned_alloc(alignment, bytes);
    if (block && alignment == HUGE_PAGE)
        (void)madvise(block, bytes, MADV_HUGEPAGE); /* a wish: without it all is only slower */
    return block;
}
