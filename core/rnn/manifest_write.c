/* Writing model.json again after training: the document as it was read, with what training found out. */
#include <string.h>

#include "core/base/buffer.h"
#include "core/rnn/manifest.h"

enum { LINE = 140, INDENT = 2 };

/* ---- laying out ---- */

static void write_scalar(const lam_jv *value, lam_buffer *out)
{
    lam_json_writer w = lam_json_write_to(out);
    lam_jw_value(&w, NULL, value);
}

static void write_key(const char *key, lam_buffer *out)
{
    lam_json_writer w = lam_json_write_to(out);
    lam_jw_text(&w, NULL, key);
    lam_buffer_append_text(out, ": ");
}

static bool is_container(const lam_jv *value)
{
    return lam_jv_is(value, LAM_JSON_OBJECT) || lam_jv_is(value, LAM_JSON_ARRAY);
}

/* On one line: {"a": 1, "b": [2, 3]}. */
static void write_flat(const lam_jv *value, lam_buffer *out)
{
    bool object = lam_jv_is(value, LAM_JSON_OBJECT);
    if (!is_container(value)) {
        write_scalar(value, out);
        return;
    }
    lam_buffer_append_text(out, object ? "{" : "[");
    for (size_t i = 0; i < lam_jv_count(value); i++) {
        lam_buffer_append_text(out, i ? ", " : "");
        if (object)
            write_key(lam_jv_key_at(value, i), out);
        write_flat(lam_jv_at(value, i), out);
    }
    lam_buffer_append_text(out, object ? "}" : "]");
}

static void start_line(int indent, lam_buffer *out)
{
    lam_buffer_printf(out, "\n%*s", indent, "");
}

/* On one line where it fits, else a member a line. */
static void write_value(const lam_jv *value, int indent, lam_buffer *out)
{
    bool object = lam_jv_is(value, LAM_JSON_OBJECT);
    size_t before = out->length;
    write_flat(value, out);
    bool nested = false; /* the document and its parts keep a member a line */
    for (size_t i = 0; i < lam_jv_count(value); i++)
        nested = nested || (object && is_container(lam_jv_at(value, i)) && indent <= INDENT);
    if (!is_container(value) || (out->length - before + (size_t)indent <= LINE && !nested) || out->status)
        return;
    out->length = before;
    lam_buffer_append_text(out, object ? "{" : "[");
    for (size_t i = 0; i < lam_jv_count(value); i++) {
        lam_buffer_append_text(out, i ? "," : "");
        start_line(indent + INDENT, out);
        if (object)
            write_key(lam_jv_key_at(value, i), out);
        write_value(lam_jv_at(value, i), indent + INDENT, out);
    }
    start_line(indent, out);
    lam_buffer_append_text(out, object ? "}" : "]");
}

/* ---- replacing ---- */

static bool is_one_of(const char *key, const char *const *keys)
{
    while (*keys && strcmp(*keys, key) != 0)
        keys++;
    return *keys != NULL;
}

/* The members of `object` except some, without closing it. */
static void copy_others(lam_json_writer *w, const lam_jv *object, const char *const *except)
{
    for (size_t i = 0; i < lam_jv_count(object); i++)
        if (!is_one_of(lam_jv_key_at(object, i), except))
            lam_jw_value(w, lam_jv_key_at(object, i), lam_jv_at(object, i));
}

static void write_gate(const lam_manifest *manifest, const lam_manifest_update *update, lam_json_writer *w)
{
    const lam_model_gate *gate = update->gate.sha256 ? &update->gate : &manifest->gate;
    if (!*gate->sha256)
        return;
    lam_jw_object(w, "gate");
    lam_jw_text(w, "sha256", gate->sha256);
    lam_jw_number(w, "threshold", gate->threshold);
    lam_jw_number(w, "false_alarms", gate->false_alarms);
    lam_jw_end(w);
}

static void write_document(const lam_manifest *manifest, const lam_manifest_update *update, lam_buffer *out)
{
    static const char *const replaced[] = {"postprocessing", "gate", "provenance", NULL};
    static const char *const post[] = {"temperature", NULL};
    static const char *const provenance[] = {"date", "metrics", "weights_sha256", NULL};
    lam_json_writer w = lam_json_write_to(out);
    lam_jw_object(&w, NULL);
    copy_others(&w, manifest->root, replaced);
    lam_jw_object(&w, "postprocessing");
    copy_others(&w, lam_jv_get(manifest->root, "postprocessing"), post);
    lam_jw_number(&w, "temperature", update->temperature);
    lam_jw_end(&w);
    write_gate(manifest, update, &w);
    lam_jw_object(&w, "provenance");
    copy_others(&w, lam_jv_get(manifest->root, "provenance"), provenance);
    lam_jw_text(&w, "date", update->date);
    lam_jw_object(&w, "metrics");
    for (size_t i = 0; i < update->metric_count; i++)
        lam_jw_number(&w, update->metrics[i].name, update->metrics[i].value);
    lam_jw_end(&w);
    lam_jw_text(&w, "weights_sha256", update->weights_sha256);
    lam_jw_end(&w);
    lam_jw_end(&w);
}

lam_status lam_manifest_rewrite(const lam_manifest *manifest, const lam_manifest_update *update,
                                lam_buffer *out, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer compact;
    LAM_AUTO_PTR(lam_json) *document = NULL;
    lam_buffer_init(&compact, LAM_MANIFEST_MAX_BYTES);
    write_document(manifest, update, &compact);
    if (compact.status)
        return lam_fail(err, compact.status, "model.json cannot be written");
    lam_status status = lam_json_parse(compact.data, compact.length, &document, err);
    if (status)
        return status;
    write_value(lam_json_root(document), 0, out);
    lam_buffer_append_text(out, "\n");
    return out->status ? lam_fail(err, out->status, "model.json cannot be written") : LAM_OK;
}
