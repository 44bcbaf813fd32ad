#include "daemon/dimse/chores.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"

enum { DRAIN_MS = 60 * 1000 }; /* for objects under way; laminad has a limit of its own, and kills */

typedef struct chore {
    struct chore *next;
    char *settings; /* NULL: drain */
} chore;

struct lam_scp_chores {
    lam_scp_reception *reception;
    lam_scp_sessions *sessions;
    void (*failed)(const lam_error *err);
    pthread_mutex_t lock; /* the list */
    pthread_cond_t added;
    chore *first, **last;
};

static chore *wait_for_chore(lam_scp_chores *chores)
{
    pthread_mutex_lock(&chores->lock);
    while (!chores->first)
        pthread_cond_wait(&chores->added, &chores->lock);
    chore *taken = chores->first;
    chores->first = taken->next;
    if (!chores->first)
        chores->last = &chores->first;
    pthread_mutex_unlock(&chores->lock);
    return taken;
}

static lam_status configure(lam_scp_chores *chores, const char *json, lam_error *err)
{
    lam_scp_settings *settings = NULL;
    lam_status status = lam_scp_settings_parse(json, strlen(json), &settings, err);
    if (status != LAM_OK)
        return status;
    lam_scp_reception_set(chores->reception, settings);
    lam_scp_settings_unref(settings);
    return LAM_OK;
}

static _Noreturn void drain(lam_scp_chores *chores)
{
    lam_scp_reception_stop(chores->reception);
    lam_scp_sessions_drain(chores->sessions);
    bool all = lam_scp_sessions_wait(chores->sessions, DRAIN_MS);
    _exit(all ? 0 : 1); /* everything acknowledged is laminad's; there is nothing to tidy */
}

static void *chores_main(void *argument)
{
    lam_scp_chores *chores = argument;
    lam_error err = {0};
    for (lam_status status = LAM_OK; status == LAM_OK;) {
        chore *taken = wait_for_chore(chores);
        if (!taken->settings)
            drain(chores);
        status = configure(chores, taken->settings, &err);
        free(taken->settings);
        free(taken);
    }
    chores->failed(&err);
    return NULL;
}

lam_status lam_scp_chores_start(lam_scp_reception *reception, lam_scp_sessions *sessions,
                                void (*failed)(const lam_error *err), lam_scp_chores **out, lam_error *err)
{
    lam_scp_chores *chores = calloc(1, sizeof *chores);
    if (!chores)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    *chores = (lam_scp_chores){.reception = reception, .sessions = sessions, .failed = failed};
    chores->last = &chores->first;
    pthread_mutex_init(&chores->lock, NULL);
    pthread_cond_init(&chores->added, NULL);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, chores_main, chores);
    if (error) {
        free(chores);
        return lam_fail_errno(err, error, "cannot start a thread for chores");
    }
    pthread_detach(thread);
    *out = chores; /* for the life of the process */
    return LAM_OK;
}

static lam_status add(lam_scp_chores *chores, const char *settings, lam_error *err)
{
    chore *added = calloc(1, sizeof *added);
    if (added && settings)
        added->settings = strdup(settings);
    if (!added || (settings && !added->settings)) {
        free(added);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    pthread_mutex_lock(&chores->lock);
    *chores->last = added;
    chores->last = &added->next;
    pthread_cond_signal(&chores->added);
    pthread_mutex_unlock(&chores->lock);
    return LAM_OK;
}

lam_status lam_scp_chores_configure(lam_scp_chores *chores, const char *json, lam_error *err)
{
    return add(chores, json, err);
}

lam_status lam_scp_chores_drain(lam_scp_chores *chores, lam_error *err)
{
    return add(chores, NULL, err);
}
