/* `lamina model check DIR`: loads a bundle, which checks all of it, and says what it is. */
#ifndef LAMINA_CLI_MODEL_CHECK_H
#define LAMINA_CLI_MODEL_CHECK_H

#include <stdbool.h>

#include "core/base/status.h"

/* Manifest, network, weights, gate and their hashes; prints what is in the bundle. Errors: those of
 * lam_bundle_load. */
lam_status lam_model_check(const char *directory, bool json, lam_error *err);

#endif
