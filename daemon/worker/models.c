#include "daemon/worker/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/sha256.h"

enum { MOST = 4 }; /* loaded at once; the one used longest ago makes room */

typedef struct entry {
    lam_bundle *bundle;
    lam_predictor *predictor;
    uint64_t used;
} entry;

struct lam_models {
    entry entries[MOST];
    uint64_t clock;
};

lam_status lam_models_create(lam_models **out, lam_error *err)
{
    lam_models *models = calloc(1, sizeof *models);
    if (!models)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    *out = models;
    return LAM_OK;
}

static void entry_done(entry *e)
{
    lam_predictor_free(e->predictor);
    lam_bundle_free(e->bundle);
    *e = (entry){.bundle = NULL};
}

void lam_models_free(lam_models *models)
{
    if (!models)
        return;
    for (size_t i = 0; i < MOST; i++)
        entry_done(&models->entries[i]);
    free(models);
}

static bool is_the_one(const lam_bundle *bundle, const char *name, const char *version, const char *sha256)
{
    const lam_manifest *manifest = lam_bundle_manifest(bundle);
    return strcmp(manifest->name, name) == 0 && strcmp(manifest->version, version) == 0 &&
           strcmp(lam_bundle_weights_sha256(bundle), sha256) == 0;
}

static lam_status load(entry *into, const char *name, const char *version, const char *sha256,
                       const int fds[3], lam_error *err)
{
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    lam_predictor *predictor = NULL;
    lam_status status = lam_bundle_load(fds[0], fds[1], fds[2], &bundle, err);
    if (status != LAM_OK)
        return status;
    if (!is_the_one(bundle, name, version, sha256))
        return lam_fail(err, LAM_E_CORRUPT, "the bundle's files are %s %s, not %s %s with weights %.12s",
                        lam_bundle_manifest(bundle)->name, lam_bundle_manifest(bundle)->version, name,
                        version, sha256);
    status = lam_predictor_create(bundle, NULL, &predictor, err);
    if (status != LAM_OK)
        return status;
    entry_done(into);
    *into = (entry){.bundle = LAM_TAKE_PTR(bundle), .predictor = predictor};
    return LAM_OK;
}

lam_status lam_models_get(lam_models *models, const char *name, const char *version,
                          const char *weights_sha256, const int fds[3], const lam_bundle **bundle,
                          lam_predictor **predictor, lam_error *err)
{
    entry *found = NULL, *oldest = &models->entries[0];
    for (size_t i = 0; i < MOST; i++) {
        entry *e = &models->entries[i];
        if (e->bundle && is_the_one(e->bundle, name, version, weights_sha256))
            found = e;
        if (e->used < oldest->used)
            oldest = e;
    }
    if (!found) {
        lam_status status = load(oldest, name, version, weights_sha256, fds, err);
        if (status != LAM_OK)
            return status;
        found = oldest;
    }
    found->used = ++models->clock;
    *bundle = found->bundle;
    *predictor = found->predictor;
    return LAM_OK;
}
