/* The installed model bundles as laminad sees them: manifests, cards and hashes for routing and for showing.
 * The network is built and checked by the worker that runs it. A set of models is immutable; a reload makes
 * another. */
#ifndef LAMINA_DAEMON_MODELS_H
#define LAMINA_DAEMON_MODELS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/rnn/manifest.h"
#include "daemon/laminad/selection.h"

typedef struct lam_model {
    lam_manifest *manifest;
    char weights_sha256[65]; /* of the file as it is */
    int directory_fd;
    char *card; /* card.md, or NULL */
    lam_selection *selector;
    lam_selection *roles[LAM_MANIFEST_MAX_ROLES];
    bool newest; /* of its name: the one that new jobs use */
} lam_model;

typedef struct lam_models lam_models;

/* Hears of a bundle that is left out. */
typedef void lam_model_refused(void *context, const char *name, const char *version, const lam_error *why);

/* Reads models_dir/NAME/VERSION. A bundle that cannot be read is left out, and `refused` told of it; a
 * missing folder gives an empty set. The set has one reference. */
lam_status lam_models_load(const char *models_dir, lam_model_refused *refused, void *context,
                           lam_models **out, lam_error *err);

/* Writes it to the log: a lam_model_refused. */
void lam_models_log(void *context, const char *name, const char *version, const lam_error *why);
lam_models *lam_models_ref(lam_models *models);
void lam_models_unref(lam_models *models);

size_t lam_models_count(const lam_models *models);
const lam_model *lam_models_at(const lam_models *models, size_t index);
/* The newest version when `version` is NULL; NULL when there is none. */
const lam_model *lam_models_find(const lam_models *models, const char *name, const char *version);

/* A file of the bundle, open for reading. */
lam_status lam_model_open_file(const lam_model *model, const char *name, int *fd, lam_error *err);

/* Whether the model's own selector wants a series, with the conditions of `role` (index; the number of
 * roles for a series that is read by itself) beside it, and why or why not. `ruled`: whatever the selector
 * says, but for the role. */
bool lam_model_wants(const lam_model *model, size_t role, const lam_series_facts *facts, bool ruled,
                     char reason[LAM_RULE_REASON]);

#endif
