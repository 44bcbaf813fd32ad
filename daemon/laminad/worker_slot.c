#include "daemon/laminad/worker_slot.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/rnn/bundle.h"
#include "daemon/ipc/messages.h"

enum { FILES_PER_MESSAGE = 16 }; /* few, so that descriptors in flight stay bounded */

/* Every kind of object there is. */
static const struct {
    const char *name;
    bool always;
    size_t switched_by; /* offset of a bool in lam_config_objects */
} kinds[] = {
    {"SEG", true, 0},
    {"SR", true, 0},
    {"SC", false, offsetof(lam_config_objects, secondary_captures)},
    {"PR", false, offsetof(lam_config_objects, presentation_states)},
    {"KO", false, offsetof(lam_config_objects, key_objects)},
    {"PM", false, offsetof(lam_config_objects, parametric_maps)},
};

static const char *const gates[] = {
    [LAM_INPUT_FLAG] = "flag", [LAM_INPUT_REFUSE] = "refuse", [LAM_INPUT_IGNORE] = "ignore"};
static const char *const methods[] = {[LAM_MAPS_INTEGRATED] = "integrated",
                                      [LAM_MAPS_GRADIENT] = "gradient",
                                      [LAM_MAPS_ATTENTION] = "attention"};

static bool is_switched_on(const lam_config_objects *objects, size_t kind)
{
    return kinds[kind].always || *(const bool *)((const char *)objects + kinds[kind].switched_by);
}

/* The study itself wants the strict profile, each peer its own. */
static bool is_wanted(const lam_config *config, size_t kind, int profile)
{
    bool wanted = profile == LAM_PROFILE_STRICT && is_switched_on(&config->objects, kind);
    for (size_t i = 0; i < config->peer_count; i++) {
        const lam_config_peer *peer = &config->peers[i];
        wanted |= peer->deliver == LAM_DELIVER_RESULTS && (int)peer->profile == profile &&
                  is_switched_on(&peer->objects, kind);
    }
    return wanted;
}

void lam_slot_kinds(const lam_config_objects *objects, char text[LAM_SLOT_KINDS])
{
    text[0] = '\0';
    for (size_t i = 0; i < LAM_COUNT(kinds); i++)
        if (is_switched_on(objects, i)) {
            strcat(text, text[0] ? " " : "");
            strcat(text, kinds[i].name);
        }
}

static void add_output(lam_worker_slot *slot, const lam_config *config, const char *kind, int profile)
{
    static const char *const forms[] = {"", "+binary", "+occupancy", "+probability", "+labelmap"};
    char *name = slot->output_names[slot->output_count];
    snprintf(name, LAM_SLOT_OUTPUT_NAME, "%s@%s%s%s", kind, lam_profile_name((lam_profile)profile),
             forms[config->segmentation], config->compress_segmentations ? "+rle" : "");
    slot->outputs[slot->output_count++].kind = name;
}

/* The names of the outputs that this job is asked for. */
static void choose_outputs(lam_worker_slot *slot, const lam_config *config)
{
    bool maps = false;
    slot->output_count = 0;
    for (int profile = 0; profile < LAM_PROFILE_COUNT; profile++)
        for (size_t i = 0; i < LAM_COUNT(kinds); i++)
            if (is_wanted(config, i, profile)) {
                add_output(slot, config, kinds[i].name, profile);
                maps |= kinds[i].switched_by == offsetof(lam_config_objects, parametric_maps);
            }
    slot->outputs[slot->output_count++].kind = "montage";
    if (maps)
        slot->outputs[slot->output_count++].kind = "heat";
}

void lam_slot_init(lam_worker_slot *slot)
{
    *slot = (lam_worker_slot){.state = LAM_SLOT_IDLE};
    lam_child_init(&slot->child, "lamina-worker");
    for (int i = 0; i < LAM_SLOT_OUTPUTS; i++)
        slot->outputs[i] = (lam_output){.fd = -1};
}

void lam_slot_release(lam_worker_slot *slot, lam_store *store)
{
    for (int i = 0; i < LAM_SLOT_OUTPUTS; i++) {
        if (slot->outputs[i].fd < 0)
            continue;
        close(slot->outputs[i].fd);
        lam_spool_remove(store, slot->outputs[i].name);
        slot->outputs[i].fd = -1;
    }
    free(slot->inputs);
    slot->inputs = NULL;
    slot->input_count = slot->inputs_sent = 0;
    slot->state = LAM_SLOT_IDLE;
    slot->stage[0] = '\0';
    slot->done = slot->total = 0;
    slot->blocked = false;
}

/* Which series come one after the other, where there are several. */
static void write_series(const lam_job *job, lam_json_writer *w)
{
    if (job->input_count < 2)
        return;
    lam_jw_array(w, "series");
    for (size_t i = 0; i < job->input_count; i++) {
        lam_jw_object(w, NULL);
        lam_jw_text(w, "role", job->inputs[i].role);
        lam_jw_text(w, "series_uid", job->inputs[i].series_uid);
        lam_jw_integer(w, "inputs", job->inputs[i].instances);
        lam_jw_end(w);
    }
    lam_jw_end(w);
}

static void write_begin(lam_buffer *text, const lam_worker_slot *slot, const lam_config *config)
{
    const lam_job *job = &slot->job;
    lam_json_writer w = lam_json_write_to(text);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "job", job->id);
    lam_jw_object(&w, "model");
    lam_jw_text(&w, "name", job->model);
    lam_jw_text(&w, "version", job->version);
    lam_jw_text(&w, "weights_sha256", job->weights_sha256);
    lam_jw_end(&w);
    lam_jw_text(&w, "study_uid", job->study_uid);
    lam_jw_text(&w, "series_uid", job->series_uid);
    lam_jw_integer(&w, "inputs", (int64_t)slot->input_count);
    write_series(job, &w);
    lam_jw_text(&w, "input_set", job->input_set);
    lam_jw_object(&w, "device");
    lam_jw_text(&w, "manufacturer", "Lamina");
    lam_jw_text(&w, "model_name", job->model);
    lam_jw_text(&w, "serial", job->weights_sha256);
    lam_jw_text(&w, "software", LAMINA_VERSION);
    lam_jw_end(&w);
    lam_jw_text(&w, "notice", config->notice);
    if (job->replaces_sop[0]) {
        lam_jw_object(&w, "replaces");
        lam_jw_text(&w, "series_uid", job->replaces_series);
        lam_jw_text(&w, "sop_uid", job->replaces_sop);
        lam_jw_end(&w);
    }
    lam_jw_end(&w);
}

static uint32_t request_of(const lam_worker_slot *slot)
{
    return (uint32_t)slot->job.id;
}

static lam_status send_begin(lam_worker_slot *slot, const lam_model *model, const lam_config *config,
                             lam_error *err)
{
    lam_autoclose int manifest = -1;
    lam_autoclose int weights = -1;
    lam_autoclose int gate = -1;
    bool gated = *model->manifest->gate.sha256;
    lam_status status = lam_model_open_file(model, LAM_BUNDLE_MANIFEST, &manifest, err);
    if (status == LAM_OK)
        status = lam_model_open_file(model, LAM_BUNDLE_WEIGHTS, &weights, err);
    if (status == LAM_OK && gated)
        status = lam_model_open_file(model, LAM_BUNDLE_GATE, &gate, err);
    if (status != LAM_OK)
        return status;
    lam_buffer text;
    lam_buffer_init(&text, 16384);
    write_begin(&text, slot, config);
    const int fds[3] = {manifest, weights, gate};
    status = lam_ipc_send(slot->child.socket, LAM_MESSAGE_ANALYZE_BEGIN, request_of(slot),
                          lam_buffer_text(&text), fds, gated ? 3 : 2, err);
    lam_buffer_done(&text);
    return status;
}

lam_status lam_slot_begin(lam_worker_slot *slot, const lam_job *job, const lam_model *model, int64_t *inputs,
                          size_t input_count, lam_store *store, const lam_config *config, lam_error *err)
{
    slot->job = *job;
    slot->inputs = inputs;
    slot->input_count = input_count;
    slot->inputs_sent = 0;
    lam_status status = LAM_OK;
    choose_outputs(slot, config);
    slot->gate = gates[config->input_gate];
    slot->explain = methods[config->explain];
    for (size_t i = 0; status == LAM_OK && i < slot->output_count; i++)
        status = lam_spool_create(store, slot->outputs[i].name, &slot->outputs[i].fd, err);
    if (status == LAM_OK)
        status = send_begin(slot, model, config, err);
    if (status != LAM_OK) {
        lam_slot_release(slot, store);
        return status;
    }
    slot->state = LAM_SLOT_FEEDING;
    slot->deadline_ms = lam_clock_monotonic_ms() + config->job_timeout_ms;
    lam_text_copy(slot->stage, sizeof slot->stage, "read");
    return LAM_OK;
}

static lam_status send_inputs(lam_worker_slot *slot, lam_store *store, lam_error *err)
{
    int fds[FILES_PER_MESSAGE];
    size_t count = 0;
    lam_status status = LAM_OK;
    while (status == LAM_OK && count < FILES_PER_MESSAGE && slot->inputs_sent + count < slot->input_count) {
        int64_t bytes = 0;
        status =
            lam_store_open_file(store, slot->inputs[slot->inputs_sent + count], &fds[count], &bytes, err);
        if (status == LAM_OK)
            count++;
    }
    if (status == LAM_OK)
        status = lam_ipc_send(slot->child.socket, LAM_MESSAGE_ANALYZE_INPUT, request_of(slot), "{}", fds,
                              count, err);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    if (status == LAM_OK)
        slot->inputs_sent += count;
    return status;
}

static lam_status send_run(lam_worker_slot *slot, lam_error *err)
{
    int fds[LAM_SLOT_OUTPUTS];
    lam_buffer text;
    lam_buffer_init(&text, 1024);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_array(&w, "outputs");
    for (size_t i = 0; i < slot->output_count; i++) {
        fds[i] = slot->outputs[i].fd;
        lam_jw_text(&w, NULL, slot->outputs[i].kind);
    }
    lam_jw_end(&w);
    lam_jw_text(&w, "gate", slot->gate);
    lam_jw_text(&w, "explain", slot->explain);
    lam_jw_end(&w);
    lam_status status = lam_ipc_send(slot->child.socket, LAM_MESSAGE_ANALYZE_RUN, request_of(slot),
                                     lam_buffer_text(&text), fds, slot->output_count, err);
    lam_buffer_done(&text);
    return status;
}

lam_status lam_slot_feed(lam_worker_slot *slot, lam_store *store, lam_error *err)
{
    while (slot->state == LAM_SLOT_FEEDING) {
        bool last = slot->inputs_sent == slot->input_count;
        lam_status status = last ? send_run(slot, err) : send_inputs(slot, store, err);
        slot->blocked = status == LAM_E_BUSY;
        if (slot->blocked)
            return LAM_OK;
        if (status != LAM_OK)
            return status;
        if (last)
            slot->state = LAM_SLOT_RUNNING;
    }
    return LAM_OK;
}

void lam_slot_progress(lam_worker_slot *slot, const lam_ipc_message *message)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    if (lam_json_parse(message->payload, message->length, &json, NULL) != LAM_OK)
        return;
    const lam_jv *root = lam_json_root(json);
    lam_text_copy(slot->stage, sizeof slot->stage, lam_jv_text(lam_jv_get(root, "stage"), slot->stage));
    slot->done = lam_jv_integer(lam_jv_get(root, "done"), 0);
    slot->total = lam_jv_integer(lam_jv_get(root, "total"), 0);
}
