/* What the server counts about itself, for /metrics. Internal to api/. */
#ifndef LAMINA_API_STATS_H
#define LAMINA_API_STATS_H

#include <stdint.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lam_route;
typedef struct lam_stats lam_stats;

/* NULL without memory. */
lam_stats *lam_stats_create(void);
void lam_stats_free(lam_stats *stats);

/* One request has ended. `route` NULL: none matched; `status` 0: it broke off before an answer. Thread-safe.
 */
void lam_stats_add(lam_stats *stats, const struct lam_route *route, unsigned status, int64_t microseconds,
                   int64_t received);

/* Prometheus text format. Routes that were not asked yet are left out. Thread-safe. */
void lam_stats_write(const lam_stats *stats, lam_buffer *out);

#ifdef __cplusplus
}
#endif
#endif
