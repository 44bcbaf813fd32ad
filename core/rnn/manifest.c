/* model.json into structs. Strings are borrowed from the parsed document, which the manifest owns. */
#include "core/rnn/manifest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rnn/manifest_parts.h"
#include "core/rnn/options.h"

enum { SCHEMA_VERSION = 1, MAX_SIDE = 4096, MAX_METRICS = 64, MAX_SENTENCES = 32 };

struct manifest {
    lam_manifest public; /* first, so that a pointer to it is a pointer to this */
    lam_json *document;
    char *text;
    lam_model_matches matches;
    lam_model_segment *segments;
    lam_model_class *classes;
    lam_model_metric *metrics;
};

static const char *const task_names[] = {
    [LAM_TASK_CLASSIFICATION] = "classification",
    [LAM_TASK_DETECTION] = "detection",
    [LAM_TASK_SEGMENTATION] = "segmentation",
    [LAM_TASK_GENERATION] = "generation",
    [LAM_TASK_COUNT] = NULL,
};

const char *lam_task_name(lam_task task)
{
    return (unsigned)task < LAM_TASK_COUNT ? task_names[task] : "unknown";
}

void lam_manifest_free(lam_manifest *manifest)
{
    struct manifest *m = (struct manifest *)manifest;
    if (!m)
        return;
    for (size_t i = 0; i < LAM_COUNT(m->matches.of); i++)
        free(m->matches.of[i]);
    free(m->segments);
    free(m->classes);
    free(m->metrics);
    free(m->text);
    lam_json_free(m->document);
    free(m);
}

lam_status lam_manifest_object(const lam_jv *parent, const char *key, const char *const *allowed,
                               const lam_jv **out, lam_error *err)
{
    const lam_jv *value = lam_jv_get(parent, key);
    if (value && !lam_jv_is(value, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be an object", key);
    lam_status status = lam_options_only(value, allowed, err);
    if (status) {
        lam_error_prefix(err, "`%s`", key);
        return status;
    }
    *out = value;
    return LAM_OK;
}

lam_status lam_manifest_list(const lam_jv *parent, const char *key, size_t maximum, size_t size,
                             const lam_jv **list, void *items, size_t *count, lam_error *err)
{
    const lam_jv *value = lam_jv_get(parent, key);
    if (value && !lam_jv_is(value, LAM_JSON_ARRAY))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be a list", key);
    if (lam_jv_count(value) > maximum)
        return lam_fail(err, LAM_E_LIMIT, "`%s` has more than %zu items", key, maximum);
    void *memory = calloc(lam_jv_count(value) + 1, size);
    if (!memory)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memcpy(items, &memory, sizeof memory);
    *list = value;
    *count = lam_jv_count(value);
    return LAM_OK;
}

lam_status lam_manifest_token(const lam_jv *object, const char *key, const char *extra, size_t maximum,
                              const char **out, lam_error *err)
{
    const char *text;
    lam_status status = lam_jv_need_text(object, key, &text, err);
    if (status)
        return status;
    size_t good = 0;
    while (text[good] && ((text[good] >= 'a' && text[good] <= 'z') ||
                          (text[good] >= '0' && text[good] <= '9') || strchr(extra, text[good])))
        good++;
    if (good == 0 || text[good] || good > maximum)
        return lam_fail(err, LAM_E_INVALID, "`%s` must be 1 to %zu characters of a-z, 0-9 and %s", key,
                        maximum, extra);
    *out = text;
    return LAM_OK;
}

static lam_status read_code(const lam_jv *parent, const char *key, bool required, lam_model_code *out,
                            lam_error *err)
{
    static const char *const members[] = {"scheme", "value", "meaning", NULL};
    const lam_jv *code;
    lam_status status = lam_manifest_object(parent, key, members, &code, err);
    if (status)
        return status;
    if (!code && !required)
        return LAM_OK;
    if (!code)
        return lam_fail(err, LAM_E_INVALID, "`%s` is missing: a code {scheme, value, meaning}", key);
    if ((status = lam_jv_need_text(code, "scheme", &out->scheme, err)) ||
        (status = lam_jv_need_text(code, "value", &out->value, err)) ||
        (status = lam_jv_need_text(code, "meaning", &out->meaning, err)))
        return status;
    /* Lengths of the VRs SH and LO (PS3.5 6.2), which these end up in. */
    if (!*out->scheme || strlen(out->scheme) > 16 || !*out->value || strlen(out->value) > 16 ||
        !*out->meaning || strlen(out->meaning) > 64)
        return lam_fail(err, LAM_E_INVALID, "`%s`: scheme and value have 1 to 16 characters, meaning 1 to 64",
                        key);
    return LAM_OK;
}

/* Three letters, one of each pair L/R, A/P, I/S in any order. */
static bool is_orientation(const char *text)
{
    unsigned axes = 0;
    for (int i = 0; i < 3; i++) {
        const char *letter = text[i] ? strchr("LRAPIS", text[i]) : NULL;
        if (!letter)
            return false;
        axes |= 1u << ((letter - "LRAPIS") / 2);
    }
    return text[3] == '\0' && axes == 7;
}

static lam_status read_intensity(const lam_jv *parent, lam_model_preprocessing *out, lam_error *err)
{
    static const char *const members[] = {"threshold", "clip_percentile", "z_score", "scale", "offset", NULL};
    static const char *const masks[] = {"none", "all", "positive", NULL};
    const lam_jv *object;
    int mask = 0;
    lam_status status;
    if ((status = lam_manifest_object(parent, "intensity", members, &object, err)) ||
        (status = lam_options_number(object, "threshold", 0, -1e30, 1e30, &out->threshold, err)) ||
        (status = lam_options_number(object, "clip_percentile", 0, 0, 100, &out->clip_percentile, err)) ||
        (status = lam_options_choice(object, "z_score", masks, 0, &mask, err)) ||
        (status = lam_options_number(object, "scale", 1, -1e30, 1e30, &out->scale, err)) ||
        (status = lam_options_number(object, "offset", 0, -1e30, 1e30, &out->offset, err)))
        return status;
    out->binary = lam_jv_get(object, "threshold") != NULL;
    out->z_score = mask != 0;
    out->z_score_mask = mask == 2 ? LAM_INTENSITY_POSITIVE : LAM_INTENSITY_ALL;
    return LAM_OK;
}

static lam_status read_preprocessing(struct manifest *m, lam_error *err)
{
    static const char *const members[] = {
        "orientation",  "spacing_mm", "spacing_tolerance", "resample", "minimum_size",
        "maximum_size", "intensity",  "pad_multiple",      "crop",     NULL};
    lam_model_preprocessing *out = &m->public.preprocessing;
    const lam_jv *object;
    const char *orientation;
    lam_status status;
    if ((status = lam_manifest_object(m->public.root, "preprocessing", members, &object, err)) ||
        (status = lam_options_text(object, "orientation", "", &orientation, err)) ||
        (status = lam_options_numbers(object, "spacing_mm", 0, 0, 1000, 3, out->spacing_mm, err)) ||
        (status =
             lam_options_number(object, "spacing_tolerance", 0.05, 0, 1, &out->spacing_tolerance, err)) ||
        (status = lam_options_bool(object, "resample", false, &out->resample, err)) ||
        (status = lam_options_integers(object, "minimum_size", 1, 1, MAX_SIDE, 3, out->minimum_size, err)) ||
        (status = lam_options_integers(object, "maximum_size", MAX_SIDE, 1, MAX_SIDE, 3, out->maximum_size,
                                       err)) ||
        (status = lam_options_integers(object, "crop", 0, 0, MAX_SIDE, 3, out->crop, err)) ||
        (status = lam_options_integers(object, "pad_multiple", 1, 1, 256, 3, out->pad_multiple, err)) ||
        (status = read_intensity(object, out, err)))
        return status;
    if (*orientation && !is_orientation(orientation))
        return lam_fail(err, LAM_E_INVALID, "`orientation` must be three letters such as RAS");
    snprintf(out->orientation, sizeof out->orientation, "%s", orientation);
    return LAM_OK;
}

static lam_status read_colour(const lam_jv *value, uint8_t colour[3], lam_error *err)
{
    int64_t rgb[3];
    lam_status status = lam_options_integers(value, "colour", 128, 0, 255, 3, rgb, err);
    for (int i = 0; i < 3 && status == LAM_OK; i++)
        colour[i] = (uint8_t)rgb[i];
    return status;
}

static lam_status read_segment(const lam_jv *value, int number, lam_model_segment *out, lam_error *err)
{
    static const char *const members[] = {
        "number",       "name",          "label",   "description",      "category",
        "type",         "type_modifier", "anatomy", "anatomy_modifier", "colour",
        "keep_largest", "minimum_ml",    NULL};
    int64_t given;
    lam_status status;
    if ((status = lam_options_only(value, members, err)) ||
        (status = lam_jv_need_integer(value, "number", number, number, &given, err)) ||
        (status = lam_manifest_token(value, "name", "_-", 64, &out->name, err)) ||
        (status = lam_jv_need_text(value, "label", &out->label, err)) ||
        (status = lam_options_text(value, "description", "", &out->description, err)) ||
        (status = read_code(value, "category", true, &out->category, err)) ||
        (status = read_code(value, "type", true, &out->type, err)) ||
        (status = read_code(value, "type_modifier", false, &out->type_modifier, err)) ||
        (status = read_code(value, "anatomy", false, &out->anatomy, err)) ||
        (status = read_code(value, "anatomy_modifier", false, &out->anatomy_modifier, err)) ||
        (status = read_colour(value, out->colour, err)) ||
        (status = lam_options_bool(value, "keep_largest", false, &out->keep_largest, err)) ||
        (status = lam_options_number(value, "minimum_ml", 0, 0, 1e6, &out->minimum_ml, err)))
        return status;
    if (!*out->label || strlen(out->label) > 64)
        return lam_fail(err, LAM_E_INVALID, "`label` must have 1 to 64 characters");
    out->number = number;
    return LAM_OK;
}

static lam_status read_class(const lam_jv *value, lam_model_class *out, lam_error *err)
{
    static const char *const members[] = {"name", "label", "code", NULL};
    lam_status status;
    if ((status = lam_options_only(value, members, err)) ||
        (status = lam_manifest_token(value, "name", "_-", 64, &out->name, err)) ||
        (status = lam_jv_need_text(value, "label", &out->label, err)))
        return status;
    return read_code(value, "code", false, &out->code, err);
}

static lam_status read_moment(const lam_jv *cycle, const char *key, bool phase, lam_model_moment *out,
                              lam_error *err)
{
    const char *const members[] = {"name", "quantity", phase ? "phase" : NULL, NULL};
    const lam_jv *object;
    lam_status status = lam_manifest_object(cycle, key, members, &object, err);
    if (status)
        return status;
    if ((status = lam_manifest_token(object, "name", "_-", 64, &out->name, err)) ||
        (status = lam_options_text(object, "phase", "", &out->phase, err)) ||
        (status = read_code(object, "quantity", true, &out->quantity, err)))
        lam_error_prefix(err, "`%s`", key);
    else if (phase && (!*out->phase || strlen(out->phase) > 32))
        return lam_fail(err, LAM_E_INVALID, "`%s.phase` must have 1 to 32 characters", key);
    return status;
}

static lam_status read_cycle(const lam_jv *outputs, lam_manifest *out, lam_error *err)
{
    static const char *const members[] = {"segment", "largest", "smallest", "fraction", NULL};
    const lam_jv *object;
    const char *name;
    lam_status status = lam_manifest_object(outputs, "cycle", members, &object, err);
    if (status || !object)
        return status;
    if ((status = lam_jv_need_text(object, "segment", &name, err)) ||
        (status = read_moment(object, "largest", true, &out->cycle.largest, err)) ||
        (status = read_moment(object, "smallest", true, &out->cycle.smallest, err)) ||
        (status = read_moment(object, "fraction", false, &out->cycle.fraction, err)))
        return status;
    for (size_t i = 0; i < out->segment_count; i++)
        if (strcmp(out->segments[i].name, name) == 0)
            out->cycle.segment = out->segments[i].number;
    return out->cycle.segment ? LAM_OK : lam_fail(err, LAM_E_INVALID, "`segment` names none of the segments");
}

static lam_status read_outputs(struct manifest *m, lam_error *err)
{
    static const char *const members[] = {"unit", "segments", "cycle", "segmentation", "classes", NULL};
    static const char *const forms[] = {"binary", "occupancy", "probability", "labelmap", "", NULL};
    lam_manifest *out = &m->public;
    const lam_jv *object, *segments, *classes;
    int form = LAM_COUNT(forms) - 2;
    lam_status status;
    if ((status = lam_manifest_object(out->root, "outputs", members, &object, err)) ||
        (status = lam_options_text(object, "unit", "ml", &out->unit, err)) ||
        (status = lam_options_choice(object, "segmentation", forms, form, &form, err)) ||
        (status = lam_manifest_list(object, "segments", LAM_MANIFEST_MAX_SEGMENTS, sizeof *m->segments,
                                    &segments, &m->segments, &out->segment_count, err)) ||
        (status = lam_manifest_list(object, "classes", LAM_MANIFEST_MAX_CLASSES, sizeof *m->classes, &classes,
                                    &m->classes, &out->class_count, err)))
        return status;
    out->seg_form = forms[form];
    out->segments = m->segments;
    out->classes = m->classes;
    for (size_t i = 0; i < out->segment_count; i++)
        if ((status = read_segment(lam_jv_at(segments, i), (int)i + 1, &m->segments[i], err))) {
            lam_error_prefix(err, "`outputs.segments[%zu]`", i);
            return status;
        }
    if ((status = read_cycle(object, out, err))) {
        lam_error_prefix(err, "`outputs.cycle`");
        return status;
    }
    for (size_t i = 0; i < out->class_count; i++)
        if ((status = read_class(lam_jv_at(classes, i), &m->classes[i], err))) {
            lam_error_prefix(err, "`outputs.classes[%zu]`", i);
            return status;
        }
    if ((out->task == LAM_TASK_SEGMENTATION) != (out->segment_count > 0))
        return lam_fail(err, LAM_E_INVALID, "`outputs.segments` is for segmentation, and needed there");
    if ((out->task == LAM_TASK_CLASSIFICATION || out->task == LAM_TASK_DETECTION) && out->class_count == 0)
        return lam_fail(err, LAM_E_INVALID, "`outputs.classes` is needed for %s", lam_task_name(out->task));
    if (out->task == LAM_TASK_DETECTION && out->class_count > 16)
        return lam_fail(err, LAM_E_LIMIT, "`outputs.classes`: a detector has at most 16");
    if (out->task == LAM_TASK_DETECTION && (out->average_flips[0] || out->average_flips[1]))
        return lam_fail(err, LAM_E_INVALID, "`postprocessing.average_flips` of a detector can only be x");
    if (out->task == LAM_TASK_DETECTION && out->average_turn_count > 0)
        return lam_fail(err, LAM_E_INVALID, "`postprocessing.average_turns` is not for a detector");
    return LAM_OK;
}

static lam_status read_sentences(const lam_jv *object, const char *key, const lam_jv **out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(object, key);
    if (list && (!lam_jv_is(list, LAM_JSON_ARRAY) || lam_jv_count(list) > MAX_SENTENCES))
        return lam_fail(err, LAM_E_INVALID, "`%s` must be a list of at most %d strings", key, MAX_SENTENCES);
    for (size_t i = 0; i < lam_jv_count(list); i++)
        if (!lam_jv_is(lam_jv_at(list, i), LAM_JSON_STRING))
            return lam_fail(err, LAM_E_INVALID, "`%s[%zu]` must be a string", key, i);
    *out = list;
    return LAM_OK;
}

static lam_status read_card(struct manifest *m, lam_error *err)
{
    static const char *const members[] = {"population", "intended",   "not_intended",
                                          "limits",     "comparison", NULL};
    lam_model_card *out = &m->public.card;
    const lam_jv *object;
    lam_status status;
    if ((status = lam_manifest_object(m->public.root, "card", members, &object, err)) ||
        (status = lam_options_text(object, "population", "", &out->population, err)) ||
        (status = read_sentences(object, "intended", &out->intended, err)) ||
        (status = read_sentences(object, "not_intended", &out->not_intended, err)) ||
        (status = read_sentences(object, "limits", &out->limits, err)))
        return status;
    return read_sentences(object, "comparison", &out->comparison, err);
}

static lam_status read_metrics(struct manifest *m, const lam_jv *object, lam_error *err)
{
    const lam_jv *metrics = lam_jv_get(object, "metrics");
    size_t count = lam_jv_count(metrics);
    if ((metrics && !lam_jv_is(metrics, LAM_JSON_OBJECT)) || count > MAX_METRICS)
        return lam_fail(err, LAM_E_INVALID, "`metrics` must be an object of at most %d numbers", MAX_METRICS);
    m->metrics = calloc(count + 1, sizeof *m->metrics);
    if (!m->metrics)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (!lam_jv_is(lam_jv_at(metrics, i), LAM_JSON_NUMBER))
            return lam_fail(err, LAM_E_INVALID, "`metrics.%.64s` must be a number",
                            lam_jv_key_at(metrics, i));
        m->metrics[i] =
            (lam_model_metric){lam_jv_key_at(metrics, i), lam_jv_number(lam_jv_at(metrics, i), 0)};
    }
    m->public.provenance.metrics = m->metrics;
    m->public.provenance.metric_count = count;
    return LAM_OK;
}

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static lam_status read_provenance(struct manifest *m, lam_error *err)
{
    static const char *const members[] = {"data",    "licence",        "split", "date",
                                          "metrics", "weights_sha256", NULL};
    lam_model_provenance *out = &m->public.provenance;
    const lam_jv *object;
    lam_status status;
    if ((status = lam_manifest_object(m->public.root, "provenance", members, &object, err)) ||
        (status = lam_options_text(object, "data", "", &out->data, err)) ||
        (status = lam_options_text(object, "licence", "", &out->licence, err)) ||
        (status = lam_options_text(object, "split", "", &out->split, err)) ||
        (status = lam_options_text(object, "date", "", &out->date, err)) ||
        (status = lam_options_text(object, "weights_sha256", "", &out->weights_sha256, err)))
        return status;
    if (*out->weights_sha256 && !is_sha256(out->weights_sha256))
        return lam_fail(err, LAM_E_INVALID, "`weights_sha256` must be 64 lower-case hexadecimal digits");
    return read_metrics(m, object, err);
}

static lam_status read_detection(const lam_jv *post, lam_model_detection *out, lam_error *err)
{
    static const char *const members[] = {
        "typical_size", "minimum_score", "report_score", "overlap", "vote", "maximum", NULL};
    const lam_jv *object;
    lam_status status;
    if ((status = lam_manifest_object(post, "detection", members, &object, err)) ||
        (status = lam_options_number(object, "typical_size", 24, 1, 10000, &out->typical_size, err)) ||
        (status = lam_options_number(object, "minimum_score", 0.1, 0, 1, &out->minimum_score, err)) ||
        (status =
             lam_options_number(object, "report_score", out->minimum_score, 0, 1, &out->report_score, err)) ||
        (status = lam_options_number(object, "overlap", 0.3, 0, 1, &out->overlap, err)) ||
        (status = lam_options_number(object, "vote", 0.6, 0, 1, &out->vote, err)))
        return status;
    return lam_options_integer(object, "maximum", 20, 1, 1000, &out->maximum, err);
}

static lam_status read_gate(lam_manifest *out, lam_error *err)
{
    static const char *const members[] = {"sha256", "threshold", "false_alarms", NULL};
    lam_model_gate *gate = &out->gate;
    const lam_jv *object;
    lam_status status;
    if ((status = lam_manifest_object(out->root, "gate", members, &object, err)) ||
        (status = lam_options_text(object, "sha256", "", &gate->sha256, err)) ||
        (status = lam_options_number(object, "threshold", 1, 0, 1e6, &gate->threshold, err)) ||
        (status = lam_options_number(object, "false_alarms", 0, 0, 1, &gate->false_alarms, err)))
        return status;
    if (object && !is_sha256(gate->sha256))
        return lam_fail(err, LAM_E_INVALID, "`gate.sha256` must be 64 lower-case hexadecimal digits");
    return LAM_OK;
}

static lam_status read_turns(const lam_jv *post, lam_manifest *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(post, "average_turns");
    size_t count = lam_jv_count(list);
    if (list && (!lam_jv_is(list, LAM_JSON_ARRAY) || count > LAM_MANIFEST_MAX_TURNS))
        return lam_fail(err, LAM_E_INVALID, "`average_turns` must be a list of at most %d degrees",
                        LAM_MANIFEST_MAX_TURNS);
    lam_status status = count > 0 ? lam_options_numbers(post, "average_turns", 0, -180, 180, (int)count,
                                                        out->average_turns, err)
                                  : LAM_OK;
    if (status == LAM_OK)
        out->average_turn_count = count;
    return status;
}

static lam_status read_head(lam_manifest *out, lam_error *err)
{
    static const char *const members[] = {"schema",  "name",     "version",       "title",   "description",
                                          "task",    "selector", "preprocessing", "network", "postprocessing",
                                          "outputs", "training", "provenance",    "card",    "gate",
                                          "drawing", NULL};
    static const char *const post_members[] = {"temperature", "average_flips", "average_turns",
                                               "members",     "detection",     NULL};
    const lam_jv *post;
    int64_t schema, weight_sets;
    int task;
    lam_status status;
    if (!lam_jv_is(out->root, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_INVALID, "must be an object");
    if ((status = lam_options_only(out->root, members, err)) ||
        (status = lam_jv_need_integer(out->root, "schema", SCHEMA_VERSION, SCHEMA_VERSION, &schema, err)) ||
        (status = lam_manifest_token(out->root, "name", "_-", 64, &out->name, err)) ||
        (status = lam_manifest_token(out->root, "version", ".+-", 16, &out->version, err)) ||
        (status = lam_options_text(out->root, "title", out->name, &out->title, err)) ||
        (status = lam_options_text(out->root, "description", "", &out->description, err)) ||
        (status = lam_options_choice(out->root, "task", task_names, -1, &task, err)) ||
        (status = lam_manifest_object(out->root, "postprocessing", post_members, &post, err)) ||
        (status = lam_options_axes(post, "average_flips", out->average_flips, err)) ||
        (status = read_turns(post, out, err)) || (status = read_detection(post, &out->detection, err)) ||
        (status = lam_options_integer(post, "members", 1, 1, LAM_MANIFEST_MAX_MEMBERS, &weight_sets, err)) ||
        (status = lam_options_number(post, "temperature", 1, 0.01, 100, &out->temperature, err)) ||
        (status = lam_jv_need(out->root, "network", LAM_JSON_OBJECT, &out->network, err)))
        return status;
    if (out->version[strspn(out->version, ".+-")] == '\0')
        return lam_fail(err, LAM_E_INVALID, "`version` must contain a letter or digit");
    out->task = (lam_task)task;
    out->members = (int)weight_sets;
    out->training = lam_jv_get(out->root, "training");
    if (out->training && !lam_jv_is(out->training, LAM_JSON_OBJECT))
        return lam_fail(err, LAM_E_INVALID, "`training` must be an object");
    return LAM_OK;
}

static lam_status parse(struct manifest *m, const char *text, size_t length, lam_error *err)
{
    if (length > LAM_MANIFEST_MAX_BYTES)
        return lam_fail(err, LAM_E_LIMIT, "is larger than %d bytes", LAM_MANIFEST_MAX_BYTES);
    m->text = malloc(length + 1);
    if (!m->text)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    memcpy(m->text, text, length);
    m->text[length] = '\0';
    m->public.text = m->text;
    m->public.text_length = length;
    lam_status status = lam_json_parse(m->text, length, &m->document, err);
    if (status)
        return status;
    m->public.root = lam_json_root(m->document);
    if ((status = read_head(&m->public, err)) ||
        (status = lam_manifest_read_selectors(m->public.root, &m->matches, &m->public, err)) ||
        (status = read_preprocessing(m, err)) || (status = read_outputs(m, err)) ||
        (status = lam_manifest_read_drawing(m->public.root, &m->public, err)) ||
        (status = read_card(m, err)) || (status = read_gate(&m->public, err)))
        return status;
    return read_provenance(m, err);
}

lam_status lam_manifest_parse(const char *text, size_t length, lam_manifest **out, lam_error *err)
{
    struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = parse(m, text, length, err);
    if (status) {
        lam_error_prefix(err, "model.json");
        lam_manifest_free(&m->public);
        return status;
    }
    *out = &m->public;
    return LAM_OK;
}

/* ---- colour ---- */

static double linear_from_srgb(uint8_t value)
{
    double v = value / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double lab_curve(double t)
{
    return t > 216.0 / 24389.0 ? cbrt(t) : (24389.0 / 27.0 * t + 16.0) / 116.0;
}

static uint16_t scale_to_16_bit(double value, double minimum, double maximum)
{
    double scaled = (value - minimum) / (maximum - minimum) * 65535.0;
    return (uint16_t)(scaled < 0 ? 0 : scaled > 65535 ? 65535 : lrint(scaled));
}

void lam_manifest_cielab(const uint8_t rgb[3], uint16_t lab[3])
{
    /* sRGB (D65) to XYZ relative to the D50 white point: Bradford-adapted matrix of the sRGB ICC profile. */
    static const double matrix[3][3] = {{0.4360747, 0.3850649, 0.1430804},
                                        {0.2225045, 0.7168786, 0.0606169},
                                        {0.0139322, 0.0971045, 0.7141733}};
    static const double white[3] = {0.96422, 1.0, 0.82521};
    double f[3];
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int j = 0; j < 3; j++)
            sum += matrix[i][j] * linear_from_srgb(rgb[j]);
        f[i] = lab_curve(sum / white[i]);
    }
    lab[0] = scale_to_16_bit(116 * f[1] - 16, 0, 100);
    lab[1] = scale_to_16_bit(500 * (f[0] - f[1]), -128, 127);
    lab[2] = scale_to_16_bit(200 * (f[1] - f[2]), -128, 127);
}
