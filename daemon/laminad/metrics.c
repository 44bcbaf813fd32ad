#include "daemon/laminad/metrics.h"

#include <stdatomic.h>

static const struct {
    const char *name, *labels, *help; /* a NULL help continues the metric above */
} table[LAM_COUNTERS] = {
    [LAM_COUNT_STORED_DIMSE] = {"lamina_stored_total", "{by=\"dimse\"}", "Objects stored and acknowledged."},
    [LAM_COUNT_STORED_HTTP] = {"lamina_stored_total", "{by=\"http\"}", NULL},
    [LAM_COUNT_DUPLICATES] = {"lamina_duplicates_total", "",
                              "Objects that were stored already with the same bytes."},
    [LAM_COUNT_REFUSED] = {"lamina_refused_total", "", "Objects refused with a failure status."},
    [LAM_COUNT_QUARANTINED] = {"lamina_quarantined_total", "",
                               "Refused objects that were kept in the quarantine."},
    [LAM_COUNT_STORED_BYTES] = {"lamina_stored_bytes_total", "", "Bytes of the objects stored."},
    [LAM_COUNT_COMMITS] = {"lamina_commits_total", "", "Transactions that stored objects."},
    [LAM_COUNT_ASSOCIATIONS] = {"lamina_associations_total", "", "DICOM associations accepted."},
    [LAM_COUNT_ASSOCIATIONS_REJECTED] = {"lamina_associations_rejected_total", "",
                                         "DICOM associations rejected."},
    [LAM_COUNT_JOBS_DONE] = {"lamina_jobs_total", "{outcome=\"done\"}", "Jobs that ended."},
    [LAM_COUNT_JOBS_FAILED] = {"lamina_jobs_total", "{outcome=\"failed\"}", NULL},
    [LAM_COUNT_ATTEMPTS_LOST] = {"lamina_attempts_lost_total", "",
                                 "Attempts of jobs that were lost or failed."},
    [LAM_COUNT_CHILD_ENDS] = {"lamina_child_ends_total", "", "Child processes that ended unasked."},
};

static _Atomic int64_t values[LAM_COUNTERS];

void lam_metrics_add(lam_counter counter, int64_t amount)
{
    atomic_fetch_add_explicit(&values[counter], amount, memory_order_relaxed);
}

void lam_metrics_write(lam_buffer *out)
{
    for (int i = 0; i < LAM_COUNTERS; i++) {
        if (table[i].help)
            lam_buffer_printf(out, "# HELP %s %s\n# TYPE %s counter\n", table[i].name, table[i].help,
                              table[i].name);
        lam_buffer_printf(out, "%s%s %lld\n", table[i].name, table[i].labels,
                          (long long)atomic_load_explicit(&values[i], memory_order_relaxed));
    }
}
