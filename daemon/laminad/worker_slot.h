/* One worker process and the job it has: fed with descriptors as fast as it takes them, watched until it
 * answers or its time is up. Belongs to the scheduler's thread. */
#ifndef LAMINA_DAEMON_WORKER_SLOT_H
#define LAMINA_DAEMON_WORKER_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/ipc/ipc.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/jobs.h"
#include "daemon/laminad/models.h"
#include "daemon/laminad/publish.h"
#include "daemon/laminad/store.h"

enum { LAM_SLOT_OUTPUTS = 20, LAM_SLOT_OUTPUT_NAME = 48, LAM_SLOT_STAGE = 32, LAM_SLOT_KINDS = 32 };

typedef enum lam_slot_state {
    LAM_SLOT_IDLE,
    LAM_SLOT_FEEDING, /* the inputs are being sent */
    LAM_SLOT_RUNNING
} lam_slot_state;

typedef struct lam_worker_slot {
    lam_child child;
    lam_slot_state state;
    lam_job job;
    int64_t *inputs; /* file numbers */
    size_t input_count, inputs_sent;
    lam_output outputs[LAM_SLOT_OUTPUTS];
    size_t output_count; /* wanted of the job */
    char output_names[LAM_SLOT_OUTPUTS][LAM_SLOT_OUTPUT_NAME];
    const char *gate, *explain; /* as RUN says it */
    bool blocked;               /* its socket took no more */
    int64_t deadline_ms;        /* monotonic: killed then */
    int64_t renew_ms;           /* monotonic: when the lease is renewed */
    char stage[LAM_SLOT_STAGE];
    int64_t done, total;
} lam_worker_slot;

void lam_slot_init(lam_worker_slot *slot);

/* Gives the job and its inputs (taken) to the process, which must run. Sends the beginning; lam_slot_feed
 * sends the rest. Which objects are wanted: those that `config` switches on, in every profile that a peer
 * has. */
lam_status lam_slot_begin(lam_worker_slot *slot, const lam_job *job, const lam_model *model, int64_t *inputs,
                          size_t input_count, lam_store *store, const lam_config *config, lam_error *err);
/* Sends as many inputs as the socket takes, and then the word to run. */
lam_status lam_slot_feed(lam_worker_slot *slot, lam_store *store, lam_error *err);

/* The types of the objects that are switched on, by blanks: "SEG SR SC". */
void lam_slot_kinds(const lam_config_objects *objects, char text[LAM_SLOT_KINDS]);

/* Notes the stage that a PROGRESS message tells. */
void lam_slot_progress(lam_worker_slot *slot, const lam_ipc_message *message);

/* The job is settled: its outputs that were not published are removed, the slot is idle. */
void lam_slot_release(lam_worker_slot *slot, lam_store *store);

#endif
