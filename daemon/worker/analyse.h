/* One job of the worker: inputs in, network, result objects out. Knows the messages of a job; what is in the
 * objects is the business of dicom/, what is in the network that of core/rnn. */
#ifndef LAMINA_DAEMON_WORKER_ANALYSE_H
#define LAMINA_DAEMON_WORKER_ANALYSE_H

#include <stdbool.h>

#include "core/base/buffer.h"
#include "core/base/status.h"
#include "daemon/ipc/ipc.h"
#include "daemon/worker/models.h"

typedef struct lam_analysis lam_analysis;

/* Whether trying the same input again cannot help. */
bool lam_worker_is_permanent(lam_status status);

/* From ANALYZE_BEGIN. Fails only for lack of memory or a message that breaks the protocol; a bundle that does
 * not load is kept as the job's failure. */
lam_status lam_analysis_create(lam_models *models, lam_ipc_message *begin, lam_analysis **out,
                               lam_error *err);
void lam_analysis_free(lam_analysis *analysis);

/* From ANALYZE_INPUT: reads each file. What is wrong with one is kept as the job's failure. */
void lam_analysis_add(lam_analysis *analysis, lam_ipc_message *input);

/* From ANALYZE_RUN: sends PROGRESS to `socket`, writes the outputs, appends the payload of DONE to `result`.
 * Errors, also those kept from before: LAM_E_INVALID, LAM_E_UNSUPPORTED, LAM_E_CORRUPT, LAM_E_LIMIT for
 * inputs that cannot be analysed (the reason is for people), others for circumstances. */
lam_status lam_analysis_run(lam_analysis *analysis, int socket, lam_ipc_message *run, lam_buffer *result,
                            lam_error *err);

#endif
