/* What finding in one series and in the phases of several share. Internal to find.c and find_cycle.c. */
#ifndef LAMINA_DAEMON_WORKER_FIND_PARTS_H
#define LAMINA_DAEMON_WORKER_FIND_PARTS_H

#include "daemon/worker/find.h"
#include "daemon/worker/passage.h"

/* One series being looked at. */
typedef struct lam_search {
    lam_series *series;
    const lam_bundle *bundle;
    const lam_manifest *manifest;
    lam_predictor *predictor;
    const lam_find_options *options;
    lam_progress *progress;
    lam_passage passage;
    lam_found found;
} lam_search;

/* Fills `voxels`, of the series' grid, from the phase that is looked at, and prepares them as input. */
lam_status lam_search_read(lam_search *search, float *voxels, lam_error *err);
/* Holds what was read against the model's gate, once; as the options say an error when it is refused. */
lam_status lam_search_check(lam_search *search, lam_error *err);
/* Segments what was read: labels of the series' grid, and into `soft` (may be NULL) as many volumes of
 * probabilities (lam_segment.probabilities) as there are segments; the caller frees. */
lam_status lam_search_label(lam_search *search, uint8_t **out, uint8_t **soft, lam_error *err);
/* What the manifest says of a segment, with its volume. */
lam_segment lam_search_describe(const lam_search *search, const lam_model_segment *from, int64_t voxels);
/* counts[label] of a label map of the series' grid. */
void lam_search_count(const lam_search *search, const uint8_t *labels, int64_t counts[256]);

/* The segments where one of them is largest and where it is smallest, and the share that leaves. For series
 * of several phases and a manifest with a cycle. */
lam_status lam_find_cycle(lam_search *search, lam_error *err);

#endif
