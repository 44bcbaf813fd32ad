/* Connected components of a label map: removing what is too small or not the largest. Internal to core/rnn.
 */
#ifndef LAMINA_RNN_COMPONENTS_H
#define LAMINA_RNN_COMPONENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* Sets to 0 every 26-connected component of `label` in [z, y, x] that has fewer than `minimum` voxels and,
 * with `largest`, all but the largest (the first in memory order among equals). LAM_E_NO_MEMORY. */
lam_status lam_components_clean(uint8_t *labels, const int64_t size[3], uint8_t label, bool largest,
                                int64_t minimum, lam_error *err);

#endif
