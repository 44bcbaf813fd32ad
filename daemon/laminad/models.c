#include "daemon/laminad/models.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/text.h"
#include "core/rnn/bundle.h"

enum { MAX_MODELS = 256, MAX_CARD = 1 << 20 };
static const size_t max_weights = (size_t)1 << 31;

struct lam_models {
    _Atomic int references;
    size_t count;
    lam_model list[MAX_MODELS];
};

static void model_done(lam_model *model)
{
    lam_manifest_free(model->manifest);
    lam_selection_free(model->selector);
    for (size_t i = 0; i < LAM_COUNT(model->roles); i++)
        lam_selection_free(model->roles[i]);
    if (model->directory_fd >= 0)
        close(model->directory_fd);
    free(model->card);
}

lam_status lam_model_open_file(const lam_model *model, const char *name, int *fd, lam_error *err)
{
    int opened = openat(model->directory_fd, name, O_RDONLY | O_CLOEXEC);
    if (opened < 0)
        return lam_fail_errno(err, errno, "cannot open %s", name);
    *fd = opened;
    return LAM_OK;
}

/* `expected`: what model.json states, or "". Results name the weights by their hash, and a damaged file
 * should be noticed before a job is lost over it. */
static lam_status hash_file(const lam_model *model, const char *name, const char *expected,
                            char text[LAM_SHA256_TEXT], lam_error *err)
{
    lam_autoclose int fd = -1;
    const void *bytes = NULL;
    size_t length = 0;
    lam_status status = lam_model_open_file(model, name, &fd, err);
    if (status == LAM_OK)
        status = lam_io_map(fd, max_weights, &bytes, &length, err);
    if (status != LAM_OK)
        return status;
    lam_sha256_text(bytes, length, text);
    lam_io_unmap(bytes, length);
    if (*expected && strcmp(expected, text) != 0)
        return lam_fail(err, LAM_E_CORRUPT, "%s: its SHA-256 %s is not the %s that %s states", name, text,
                        expected, LAM_BUNDLE_MANIFEST);
    return LAM_OK;
}

static lam_status hash_files(lam_model *model, lam_error *err)
{
    const lam_manifest *manifest = model->manifest;
    char gate[LAM_SHA256_TEXT];
    lam_status status =
        hash_file(model, LAM_BUNDLE_WEIGHTS, manifest->provenance.weights_sha256, model->weights_sha256, err);
    if (status == LAM_OK && *manifest->gate.sha256)
        status = hash_file(model, LAM_BUNDLE_GATE, manifest->gate.sha256, gate, err);
    return status;
}

static lam_status make_selections(lam_model *model, lam_error *err)
{
    const lam_manifest *manifest = model->manifest;
    lam_status status = lam_selection_create(&manifest->selector, &model->selector, err);
    for (size_t i = 0; status == LAM_OK && i < manifest->role_count; i++)
        status = lam_selection_create(&manifest->roles[i].selector, &model->roles[i], err);
    return status;
}

static lam_status read_text(const lam_model *model, const char *name, lam_buffer *text, lam_error *err)
{
    lam_autoclose int fd = -1;
    lam_status status = lam_model_open_file(model, name, &fd, err);
    return status == LAM_OK ? lam_io_read_to_end(fd, text, err) : status;
}

static lam_status read_manifest(lam_model *model, lam_error *err)
{
    lam_buffer text;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_status status = read_text(model, LAM_BUNDLE_MANIFEST, &text, err);
    if (status == LAM_OK)
        status = lam_manifest_parse(lam_buffer_text(&text), text.length, &model->manifest, err);
    lam_buffer_done(&text);
    return status;
}

static void read_card(lam_model *model)
{
    lam_buffer text;
    lam_buffer_init(&text, MAX_CARD);
    if (read_text(model, LAM_BUNDLE_CARD, &text, NULL) == LAM_OK)
        model->card = lam_buffer_take(&text);
    lam_buffer_done(&text);
}

/* Takes the directory. */
static lam_status load_bundle(int directory_fd, const char *name, const char *version, lam_model *out,
                              lam_error *err)
{
    lam_model model = {.directory_fd = directory_fd};
    lam_status status = read_manifest(&model, err);
    if (status == LAM_OK &&
        (strcmp(model.manifest->name, name) != 0 || strcmp(model.manifest->version, version) != 0))
        status = lam_fail(err, LAM_E_INVALID, "model.json says %s %s: the folder must be %s/%s",
                          model.manifest->name, model.manifest->version, model.manifest->name,
                          model.manifest->version);
    if (status == LAM_OK)
        status = hash_files(&model, err);
    if (status == LAM_OK)
        status = make_selections(&model, err);
    if (status != LAM_OK) {
        model_done(&model);
        return status;
    }
    read_card(&model);
    *out = model;
    return LAM_OK;
}

static int compare_models(const void *a, const void *b)
{
    const lam_manifest *left = ((const lam_model *)a)->manifest, *right = ((const lam_model *)b)->manifest;
    int by_name = strcmp(left->name, right->name);
    return by_name ? by_name : strverscmp(left->version, right->version);
}

typedef struct folder_walk {
    lam_models *models;
    lam_model_refused *refused;
    void *context;
    const char *name; /* of the model whose versions are walked; NULL at the top */
} folder_walk;

static void walk_folders(int directory_fd, folder_walk walk);

static void visit_folder(int directory_fd, const char *entry, folder_walk walk)
{
    int fd = openat(directory_fd, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!walk.name) {
        walk.name = entry;
        walk_folders(fd, walk);
        close(fd);
        return;
    }
    lam_models *models = walk.models;
    lam_error err = {0};
    if (models->count == MAX_MODELS || faccessat(fd, LAM_BUNDLE_MANIFEST, F_OK, 0) != 0)
        close(fd);
    else if (load_bundle(fd, walk.name, entry, &models->list[models->count], &err) == LAM_OK)
        models->count++;
    else
        walk.refused(walk.context, walk.name, entry, &err);
}

static void walk_folders(int directory_fd, folder_walk walk)
{
    int copy = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    for (const struct dirent *e; entries && (e = readdir(entries));)
        if (e->d_name[0] != '.')
            visit_folder(directory_fd, e->d_name, walk);
    if (entries)
        closedir(entries);
    else if (copy >= 0)
        close(copy);
}

void lam_models_log(void *context, const char *name, const char *version, const lam_error *why)
{
    (void)context;
    lam_log(LAM_LOG_ERROR, "model_refused", "model=%s version=%s reason=%s", LAM_QUOTE(name),
            LAM_QUOTE(version), LAM_QUOTE(why->message));
}

lam_status lam_models_load(const char *models_dir, lam_model_refused *refused, void *context,
                           lam_models **out, lam_error *err)
{
    lam_models *models = calloc(1, sizeof *models);
    if (!models)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    models->references = 1;
    lam_autoclose int fd = open(models_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        walk_folders(fd, (folder_walk){.models = models, .refused = refused, .context = context});
    qsort(models->list, models->count, sizeof models->list[0], compare_models);
    for (size_t i = 0; i < models->count; i++)
        models->list[i].newest = i + 1 == models->count || strcmp(models->list[i].manifest->name,
                                                                  models->list[i + 1].manifest->name) != 0;
    *out = models;
    return LAM_OK;
}

lam_models *lam_models_ref(lam_models *models)
{
    atomic_fetch_add(&models->references, 1);
    return models;
}

void lam_models_unref(lam_models *models)
{
    if (!models || atomic_fetch_sub(&models->references, 1) > 1)
        return;
    for (size_t i = 0; i < models->count; i++)
        model_done(&models->list[i]);
    free(models);
}

size_t lam_models_count(const lam_models *models)
{
    return models->count;
}

const lam_model *lam_models_at(const lam_models *models, size_t index)
{
    return index < models->count ? &models->list[index] : NULL;
}

const lam_model *lam_models_find(const lam_models *models, const char *name, const char *version)
{
    for (size_t i = 0; i < models->count; i++) {
        const lam_model *model = &models->list[i];
        bool right = version ? strcmp(model->manifest->version, version) == 0 : model->newest;
        if (right && strcmp(model->manifest->name, name) == 0)
            return model;
    }
    return NULL;
}

bool lam_model_wants(const lam_model *model, size_t role, const lam_series_facts *facts, bool ruled,
                     char reason[LAM_RULE_REASON])
{
    char special[LAM_RULE_REASON];
    if (model->manifest->task == LAM_TASK_GENERATION) {
        lam_text_copy(reason, LAM_RULE_REASON, "it draws images and takes none");
        return false;
    }
    if (!ruled && !lam_selection_wants(model->selector, facts, reason))
        return false;
    if (role >= model->manifest->role_count)
        return true;
    if (!lam_selection_wants(model->roles[role], facts, special)) {
        memcpy(reason, special, sizeof special);
        return false;
    }
    size_t used = ruled ? 0 : strlen(reason);
    used += lam_text_copy(reason + used, LAM_RULE_REASON - used, used ? ", " : "");
    lam_text_copy(reason + used, LAM_RULE_REASON - used, special);
    return true;
}
