/* Where arrays of known size and lifetime lie in one block of memory, so that those never alive together
 * share it. Internal to core/rnn. */
#ifndef LAMINA_RNN_ARENA_H
#define LAMINA_RNN_ARENA_H

#include <stddef.h>

#include "core/base/status.h"

enum { LAM_ARENA_ALIGNMENT = 64 };

/* One array: alive from step `first` to step `last`, both included. Size 0 takes no place. */
typedef struct lam_arena_item {
    size_t size;
    int first, last;
    size_t offset; /* the answer */
} lam_arena_item;

/* Gives every item an offset, a multiple of LAM_ARENA_ALIGNMENT; larger items choose first, each takes the
 * lowest place that is free during its life. `*total` is the size of the block. LAM_E_LIMIT above `maximum`
 * bytes. */
lam_status lam_arena_place(lam_arena_item *items, size_t count, size_t maximum, size_t *total,
                           lam_error *err);

/* Memory for a block, aligned to LAM_ARENA_ALIGNMENT at least, for free(); NULL: none. A large one lies on
 * huge pages where the kernel gives them on request: sweeps along the outer axes of a volume visit as many
 * pages as lines. */
void *lam_arena_allocate(size_t bytes);

#endif
