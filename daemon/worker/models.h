/* The bundles this process has loaded, by the hash of their weights, so that a worker loads each once. */
#ifndef LAMINA_DAEMON_WORKER_MODELS_H
#define LAMINA_DAEMON_WORKER_MODELS_H

#include "core/base/status.h"
#include "core/rnn/bundle.h"
#include "core/rnn/predict.h"

typedef struct lam_models lam_models;

lam_status lam_models_create(lam_models **out, lam_error *err);
void lam_models_free(lam_models *models);

/* The bundle with this name, version and hash of weights, from the descriptors of manifest, weights and gate
 * (-1: none) when it is not loaded yet, and a predictor for it; both stay the cache's. Errors: those of
 * lam_bundle_load; LAM_E_CORRUPT when the files are not what was asked for. */
lam_status lam_models_get(lam_models *models, const char *name, const char *version,
                          const char *weights_sha256, const int fds[3], const lam_bundle **bundle,
                          lam_predictor **predictor, lam_error *err);

#endif
