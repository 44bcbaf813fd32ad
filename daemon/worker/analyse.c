#include "daemon/worker/analyse.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "daemon/ipc/messages.h"
#include "daemon/worker/find.h"
#include "daemon/worker/hook.h"
#include "daemon/worker/outputs.h"
#include "daemon/worker/progress.h"
#include "dicom/series.h"

struct lam_analysis {
    lam_json *begin; /* the payload of ANALYZE_BEGIN; text below is borrowed from it */
    lam_algorithm algorithm;
    lam_device device;
    const char *series_uid, *input_set;
    const lam_jv *roles; /* of a model that reads several series: those that the inputs may be of */
    const char *notice;  /* NULL: the usual one */
    const char *replaces_series, *replaces_sop; /* the report that this job's replaces; NULL: none */
    int64_t inputs;
    const lam_bundle *bundle; /* the cache's */
    lam_predictor *predictor;
    lam_series *series;
    lam_error failure; /* the first; answered to RUN */
};

bool lam_worker_is_permanent(lam_status status)
{
    return status == LAM_E_INVALID || status == LAM_E_UNSUPPORTED || status == LAM_E_CORRUPT ||
           status == LAM_E_LIMIT;
}

/* ---- BEGIN ---- */

static lam_status read_begin(lam_analysis *a, const lam_ipc_message *message, lam_error *err)
{
    lam_status status = lam_json_parse(message->payload, message->length, &a->begin, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(a->begin), *model = lam_jv_get(root, "model"),
                 *device = lam_jv_get(root, "device");
    const struct {
        const lam_jv *object;
        const char *key;
        const char **out;
    } texts[] = {
        {model, "name", &a->algorithm.name},
        {model, "version", &a->algorithm.version},
        {model, "weights_sha256", &a->algorithm.weights_sha256},
        {device, "manufacturer", &a->device.manufacturer},
        {device, "model_name", &a->device.model_name},
        {device, "serial", &a->device.serial},
        {device, "software", &a->device.software},
        {root, "series_uid", &a->series_uid},
        {root, "input_set", &a->input_set},
    };
    for (size_t i = 0; i < LAM_COUNT(texts) && status == LAM_OK; i++)
        status = lam_jv_need_text(texts[i].object, texts[i].key, texts[i].out, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(root, "inputs", 1, LAM_SERIES_MAX_SLICES, &a->inputs, err);
    a->roles = lam_jv_get(root, "series");
    a->notice = lam_jv_text(lam_jv_get(root, "notice"), NULL);
    const lam_jv *replaces = lam_jv_get(root, "replaces");
    a->replaces_series = lam_jv_text(lam_jv_get(replaces, "series_uid"), NULL);
    a->replaces_sop = lam_jv_text(lam_jv_get(replaces, "sop_uid"), NULL);
    if (!a->replaces_series)
        a->replaces_sop = NULL;
    if (status == LAM_OK && message->fd_count != 2 && message->fd_count != 3)
        status = lam_fail(err, LAM_E_PEER, "ANALYZE_BEGIN came with %zu descriptors instead of two or three",
                          message->fd_count);
    return status;
}

lam_status lam_analysis_create(lam_models *models, lam_ipc_message *begin, lam_analysis **out, lam_error *err)
{
    lam_analysis *a = calloc(1, sizeof *a);
    if (!a)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = read_begin(a, begin, err);
    if (status == LAM_OK)
        status = lam_series_create(&a->series, err);
    if (status != LAM_OK) {
        lam_analysis_free(a);
        return status;
    }
    const int fds[3] = {begin->fds[0], begin->fds[1], begin->fd_count > 2 ? begin->fds[2] : -1};
    if (lam_models_get(models, a->algorithm.name, a->algorithm.version, a->algorithm.weights_sha256, fds,
                       &a->bundle, &a->predictor, &a->failure) == LAM_OK) {
        a->algorithm.title = lam_bundle_manifest(a->bundle)->title;
        a->algorithm.seg_form = lam_bundle_manifest(a->bundle)->seg_form;
    }
    *out = a;
    return LAM_OK;
}

void lam_analysis_free(lam_analysis *analysis)
{
    if (!analysis)
        return;
    lam_series_free(analysis->series);
    lam_json_free(analysis->begin);
    free(analysis);
}

/* ---- INPUT ---- */

static bool is_expected(const lam_analysis *a, const char *series_uid)
{
    bool expected = strcmp(series_uid, a->series_uid) == 0;
    for (size_t i = 0; i < lam_jv_count(a->roles); i++)
        expected |=
            strcmp(series_uid, lam_jv_text(lam_jv_get(lam_jv_at(a->roles, i), "series_uid"), "")) == 0;
    return expected;
}

static lam_status add_one(lam_analysis *a, int fd, lam_error *err)
{
    lam_status status = lam_series_add(a->series, fd, err);
    if (status != LAM_OK) {
        lam_error_prefix(err, "image %zu of %lld", lam_series_objects(a->series) + 1, (long long)a->inputs);
        return status;
    }
    lam_dataset *object = lam_series_object(a->series, lam_series_objects(a->series) - 1);
    lam_worker_hook(lam_dataset_text(object, LAM_TAG_PATIENT_ID, NULL), false);
    lam_worker_hook(lam_dataset_text(object, LAM_TAG_SERIES_DESCRIPTION, NULL), false);
    if (!is_expected(a, lam_dataset_text(object, LAM_TAG_SERIES, "")))
        return lam_fail(err, LAM_E_INVALID, "an image is of another series than the job");
    return LAM_OK;
}

void lam_analysis_add(lam_analysis *analysis, lam_ipc_message *input)
{
    for (size_t i = 0; i < input->fd_count && analysis->failure.status == LAM_OK; i++)
        add_one(analysis, input->fds[i], &analysis->failure);
}

/* ---- RUN ---- */

enum { SPREAD_SAMPLES = 20 }; /* passes with dropout of each member, for the spread of a classification */

typedef struct listener {
    int socket;
    uint32_t request;
} listener;

/* A lost sign of life is not worth failing for; a lost laminad ends the process soon enough. */
static void tell(void *context, lam_stage stage, size_t done, size_t total)
{
    const listener *to = context;
    LAM_AUTO(lam_buffer_done) lam_buffer payload;
    lam_buffer_init(&payload, 256);
    lam_json_writer w = lam_json_write_to(&payload);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "stage", lam_stage_name(stage));
    lam_jw_integer(&w, "done", (int64_t)done);
    lam_jw_integer(&w, "total", (int64_t)total);
    lam_jw_end(&w);
    lam_ipc_send(to->socket, LAM_MESSAGE_PROGRESS, to->request, lam_buffer_text(&payload), NULL, 0, NULL);
}

static lam_status write_done(lam_analysis *a, const lam_found *found, const lam_jv *outputs, const int *fds,
                             lam_progress *progress, lam_buffer *out, lam_error *err)
{
    const lam_result result = {.series = a->series,
                               .input_set = a->input_set,
                               .device = a->device,
                               .algorithm = a->algorithm,
                               .findings = found->findings,
                               .voxels = found->voxels,
                               .notice = a->notice,
                               .choices = lam_profile_choose(LAM_PROFILE_STRICT),
                               .predecessor = {a->replaces_series, a->replaces_sop},
                               .made_ms = lam_clock_wall_ms()};
    lam_json_writer w = lam_json_write_to(out);
    lam_progress_enter(progress, LAM_STAGE_WRITE);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "task", lam_task_name(lam_bundle_manifest(a->bundle)->task));
    lam_findings_write(&found->findings, a->series, &w);
    lam_gate_write(&found->gate, &w);
    if (*found->unexplained.message)
        lam_jw_text(&w, "unexplained", found->unexplained.message);
    lam_status status = lam_outputs_write(&result, outputs, fds, &w, err);
    if (status != LAM_OK)
        return status;
    lam_progress_finish(progress);
    lam_progress_write(progress, &w);
    lam_jw_end(&w);
    return LAM_OK;
}

static lam_status check_inputs(const lam_analysis *a, lam_error *err)
{
    if (a->failure.status != LAM_OK)
        return lam_fail(err, a->failure.status, "%s", a->failure.message);
    if ((int64_t)lam_series_objects(a->series) != a->inputs)
        return lam_fail(err, LAM_E_STATE, "%zu of %lld images came", lam_series_objects(a->series),
                        (long long)a->inputs);
    return LAM_OK;
}

/* Whether objects of this kind, in whatever profile, are among the outputs. */
static bool is_wanted(const lam_jv *outputs, const char *kind)
{
    for (size_t i = 0; i < lam_jv_count(outputs); i++)
        if (strncmp(lam_jv_text(lam_jv_at(outputs, i), ""), kind, strlen(kind)) == 0)
            return true;
    return false;
}

lam_status lam_analysis_run(lam_analysis *analysis, int socket, lam_ipc_message *run, lam_buffer *result,
                            lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    LAM_AUTO(lam_found_done) lam_found found = {.voxels = NULL};
    listener to = {socket, run->request};
    lam_progress progress = {.tell = tell, .context = &to};
    lam_status status = check_inputs(analysis, err);
    if (status == LAM_OK)
        status = lam_json_parse(run->payload, run->length, &document, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *outputs = lam_jv_get(lam_json_root(document), "outputs");
    if (lam_jv_count(outputs) != run->fd_count)
        return lam_fail(err, LAM_E_PEER, "%zu outputs came with %zu descriptors", lam_jv_count(outputs),
                        run->fd_count);
    const lam_jv *how = lam_json_root(document);
    lam_find_options options = {
        .explain = is_wanted(outputs, "PM"),
        .probabilities = lam_outputs_want(outputs, analysis->algorithm.seg_form, LAM_SEG_PROBABILITY),
        .method = LAM_EXPLAIN_INTEGRATED,
        .samples = SPREAD_SAMPLES};
    if (!lam_gate_mode_find(lam_jv_text(lam_jv_get(how, "gate"), "flag"), &options.gate) ||
        !lam_explain_method_find(lam_jv_text(lam_jv_get(how, "explain"), "integrated"), &options.method))
        return lam_fail(err, LAM_E_PEER, "ANALYZE_RUN asks for a gate or an explanation that is not known");
    status = lam_find_arrange(analysis->series, lam_bundle_manifest(analysis->bundle), err);
    if (status == LAM_OK)
        status = lam_find(analysis->series, analysis->bundle, analysis->predictor, &options, &progress,
                          &found, err);
    if (status == LAM_OK)
        status = write_done(analysis, &found, outputs, run->fds, &progress, result, err);
    return status;
}
