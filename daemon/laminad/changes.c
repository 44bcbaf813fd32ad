#include "daemon/laminad/changes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

struct lam_changes {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    lam_change kept[LAM_CHANGES_KEPT]; /* in the order of their sequence */
    size_t count;
    int64_t last;      /* sequence given last */
    int64_t forgotten; /* the largest one that made room */
    bool ended;
};

lam_changes *lam_changes_create(void)
{
    lam_changes *changes = calloc(1, sizeof *changes);
    if (!changes)
        return NULL;
    lam_clock_condition_init(&changes->more);
    pthread_mutex_init(&changes->mutex, NULL);
    return changes;
}

void lam_changes_free(lam_changes *changes)
{
    if (!changes)
        return;
    pthread_cond_destroy(&changes->more);
    pthread_mutex_destroy(&changes->mutex);
    free(changes);
}

static void drop(lam_changes *changes, size_t index)
{
    changes->count--;
    memmove(&changes->kept[index], &changes->kept[index + 1],
            (changes->count - index) * sizeof changes->kept[0]);
}

/* The thing moves to the end; what changes often is found there at once. */
static void add(lam_changes *changes, const lam_change *change)
{
    size_t at = changes->count;
    while (at > 0 && (changes->kept[at - 1].id != change->id || changes->kept[at - 1].kind != change->kind))
        at--;
    if (at > 0) {
        drop(changes, at - 1);
    } else if (changes->count == LAM_CHANGES_KEPT) {
        changes->forgotten = changes->kept[0].sequence;
        drop(changes, 0);
    }
    changes->kept[changes->count] = *change;
    changes->kept[changes->count++].sequence = ++changes->last;
}

void lam_changes_publish(lam_changes *changes, const lam_change *list, size_t count, bool lost)
{
    pthread_mutex_lock(&changes->mutex);
    for (size_t i = 0; i < count; i++)
        add(changes, &list[i]);
    if (lost) {
        changes->forgotten = ++changes->last;
        changes->count = 0;
    }
    pthread_cond_broadcast(&changes->more);
    pthread_mutex_unlock(&changes->mutex);
}

int64_t lam_changes_now(lam_changes *changes)
{
    pthread_mutex_lock(&changes->mutex);
    int64_t last = changes->last;
    pthread_mutex_unlock(&changes->mutex);
    return last;
}

static size_t take(const lam_changes *changes, int64_t after, lam_change *out, size_t capacity)
{
    size_t from = changes->count;
    while (from > 0 && changes->kept[from - 1].sequence > after)
        from--;
    size_t count = changes->count - from < capacity ? changes->count - from : capacity;
    memcpy(out, &changes->kept[from], count * sizeof *out);
    return count;
}

lam_status lam_changes_read(lam_changes *changes, int64_t after, int64_t wait_ms, lam_change *out,
                            size_t capacity, size_t *count, lam_error *err)
{
    struct timespec deadline = lam_clock_after_ms(wait_ms);
    lam_status status = LAM_OK;
    pthread_mutex_lock(&changes->mutex);
    while (!changes->ended && changes->last == after &&
           pthread_cond_timedwait(&changes->more, &changes->mutex, &deadline) == 0)
        ;
    if (changes->ended)
        status = lam_fail(err, LAM_E_CANCELLED, "the daemon is stopping");
    else if (after < changes->forgotten || after > changes->last)
        status = lam_fail(err, LAM_E_LIMIT, "changes after that one are forgotten");
    else
        *count = take(changes, after, out, capacity);
    pthread_mutex_unlock(&changes->mutex);
    return status;
}

void lam_changes_end(lam_changes *changes)
{
    pthread_mutex_lock(&changes->mutex);
    changes->ended = true;
    pthread_cond_broadcast(&changes->more);
    pthread_mutex_unlock(&changes->mutex);
}
