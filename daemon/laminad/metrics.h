/* What laminad counts, for /metrics and `lamina status`: one table of counters, added to from any thread. No
 * identifiers of patients, studies or peers in names or labels (promise 9). */
#ifndef LAMINA_DAEMON_METRICS_H
#define LAMINA_DAEMON_METRICS_H

#include <stdint.h>

#include "core/base/buffer.h"

typedef enum lam_counter {
    LAM_COUNT_STORED_DIMSE,
    LAM_COUNT_STORED_HTTP,
    LAM_COUNT_DUPLICATES,
    LAM_COUNT_REFUSED,
    LAM_COUNT_QUARANTINED,
    LAM_COUNT_STORED_BYTES,
    LAM_COUNT_COMMITS,
    LAM_COUNT_ASSOCIATIONS,
    LAM_COUNT_ASSOCIATIONS_REJECTED,
    LAM_COUNT_JOBS_DONE,
    LAM_COUNT_JOBS_FAILED,
    LAM_COUNT_ATTEMPTS_LOST,
    LAM_COUNT_CHILD_ENDS,
    LAM_COUNTERS
} lam_counter;

void lam_metrics_add(lam_counter counter, int64_t amount);

/* All counters in Prometheus' text format. */
void lam_metrics_write(lam_buffer *out);

#endif
