/* `lamina model`: `import` makes a bundle of a model that was trained elsewhere, `check` looks at one. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/rnn/bundle.h"
#include "core/rnn/import/import.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/model_check.h"
#include "daemon/cli/options.h"

enum { MAX_FILE = 1 << 30 };

struct import_options {
    const char *file, *bundle, *framework, *map, *layout, *output;
    const char *checked; /* the bundle to look at; NULL: import */
    bool json;
};

/* What an import holds until it ends. */
struct import {
    const struct import_options *options;
    lam_json *document; /* model.json as it was, or NULL */
    lam_manifest *manifest;
    lam_network *network;
    lam_weights *weights;
};

static void import_done(struct import *in)
{
    lam_weights_free(in->weights);
    lam_network_free(in->network);
    lam_manifest_free(in->manifest);
    lam_json_free(in->document);
}

/* ---- arguments ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool is_onnx(const struct import_options *options)
{
    return options->framework && strcmp(options->framework, "onnx") == 0;
}

static int parse_arguments(int argc, char **argv, struct import_options *out)
{
    const lam_option known[] = {
        {"bundle", .text = &out->bundle},
        {"framework", .text = &out->framework},
        {"map", .text = &out->map},
        {"layout", .text = &out->layout},
        {"output", .text = &out->output},
        {"json", .flag = &out->json},
        {0},
    };
    char **rest;
    int status = lam_options_read(argc, argv, known, &rest);
    if (status != LAM_CLI_OK)
        return status;
    bool named = rest[0] && rest[1] && !rest[2];
    if (named && strcmp(rest[0], "check") == 0) {
        out->checked = rest[1];
        return LAM_CLI_OK;
    }
    if (!named || strcmp(rest[0], "import") != 0 || !out->bundle)
        return lam_cli_usage(argv[0], "`import`, one file and --bundle are needed; or `check` and a bundle");
    out->file = rest[1];
    if (!out->framework)
        out->framework = ends_with(out->file, ".onnx") ? "onnx" : "pytorch";
    if (!is_onnx(out) && strcmp(out->framework, "pytorch") != 0 && strcmp(out->framework, "keras") != 0)
        return lam_cli_usage(argv[0], "--framework is onnx, pytorch or keras");
    if (is_onnx(out) ? out->map != NULL : out->layout || out->output)
        return lam_cli_usage(argv[0], "--map is for states, --layout and --output are for ONNX");
    return LAM_CLI_OK;
}

/* ---- reading ---- */

static lam_status read_json(const char *path, lam_json **out, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_status status = lam_io_read_file(path, &text, err);
    if (status == LAM_OK && (status = lam_json_parse(lam_buffer_text(&text), text.length, out, err)))
        lam_error_prefix(err, "%s", path);
    return status;
}

/* DIR/model.json; absent is no error. */
static lam_status read_document(struct import *in, lam_error *err)
{
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/" LAM_BUNDLE_MANIFEST, in->options->bundle);
    if (stat(path, &info) != 0 && errno == ENOENT)
        return LAM_OK;
    return read_json(path, &in->document, err);
}

/* The sides of the volumes it takes: those of the network's axes that have one, else a guess to be edited. */
static void write_sizes(const lam_jv *network, lam_json_writer *w)
{
    static const char *const names[] = {"minimum_size", "maximum_size"};
    static const int64_t guesses[] = {16, 512};
    const lam_jv *sizes = lam_jv_get(lam_jv_get(network, "input"), "size");
    size_t axes = lam_jv_count(sizes);
    for (size_t k = 0; k < LAM_COUNT(names); k++) {
        lam_jw_array(w, names[k]);
        for (size_t i = 0; i < 3; i++) {
            int64_t size = i + axes < 3 ? 1 : lam_jv_integer(lam_jv_at(sizes, i + axes - 3), 0);
            lam_jw_integer(w, NULL, size ? size : guesses[k]);
        }
        lam_jw_end(w);
    }
}

/* Everything but the network, for a classifier that nobody described yet. */
static void write_template(const struct import *in, const lam_jv *network, lam_json_writer *w)
{
    const char *folder = in->options->bundle, *name = folder + strlen(folder);
    char plain[65], text[64];
    size_t length = 0;
    while (name > folder && name[-1] == '/')
        name--;
    while (name > folder && name[-1] != '/')
        name--;
    for (; *name && *name != '/' && length < sizeof plain - 1; name++)
        plain[length++] = strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", *name) ? *name : '-';
    plain[length] = '\0';
    lam_jw_integer(w, "schema", 1);
    lam_jw_text(w, "name", length ? plain : "imported");
    lam_jw_text(w, "version", "0.1.0");
    lam_jw_text(w, "title", "Imported model");
    lam_jw_text(w, "description", "Describe what it finds, in which images.");
    lam_jw_text(w, "task", lam_task_name(LAM_TASK_CLASSIFICATION));
    lam_jw_object(w, "selector");
    lam_jw_text(w, "modality", "MR");
    lam_jw_integer(w, "minimum_slices", 1);
    lam_jw_end(w);
    lam_jw_object(w, "preprocessing");
    write_sizes(network, w);
    lam_jw_end(w);
    lam_jw_object(w, "postprocessing");
    lam_jw_number(w, "temperature", 1);
    lam_jw_end(w);
    lam_jw_object(w, "outputs");
    lam_jw_array(w, "classes");
    for (int64_t i = 0; i < lam_network_output_channels(in->network); i++) {
        lam_jw_object(w, NULL);
        snprintf(text, sizeof text, "class%lld", (long long)i);
        lam_jw_text(w, "name", text);
        snprintf(text, sizeof text, "Class %lld", (long long)i);
        lam_jw_text(w, "label", text);
        lam_jw_end(w);
    }
    lam_jw_end(w);
    lam_jw_end(w);
    lam_jw_object(w, "provenance");
    lam_jw_text(w, "data", "");
    lam_jw_text(w, "licence", "");
    lam_jw_text(w, "split", "");
    lam_jw_text(w, "date", "");
    lam_jw_object(w, "metrics");
    lam_jw_end(w);
    lam_jw_text(w, "weights_sha256", "");
    lam_jw_end(w);
}

/* model.json with this network. */
static lam_status describe(struct import *in, const char *network, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_json) *parsed = NULL;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_status status = lam_json_parse(network, strlen(network), &parsed, err);
    if (status)
        return status;
    const lam_jv *root = lam_json_root(in->document);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    for (size_t i = 0; i < lam_jv_count(root); i++)
        if (strcmp(lam_jv_key_at(root, i), "network") != 0)
            lam_jw_value(&w, lam_jv_key_at(root, i), lam_jv_at(root, i));
    if (!in->document)
        write_template(in, lam_json_root(parsed), &w);
    lam_jw_raw(&w, "network", network);
    lam_jw_end(&w);
    if (text.status)
        return lam_fail(err, text.status, "model.json would be too large");
    return lam_manifest_parse(lam_buffer_text(&text), text.length, &in->manifest, err);
}

static lam_status import_onnx(struct import *in, lam_error *err)
{
    const struct import_options *options = in->options;
    LAM_AUTO(lam_buffer_done) lam_buffer bytes, network;
    lam_buffer_init(&bytes, MAX_FILE);
    lam_buffer_init(&network, LAM_MANIFEST_MAX_BYTES);
    lam_status status;
    if ((status = lam_io_read_file(options->file, &bytes, err)))
        return status;
    if ((status = lam_import_onnx(bytes.data, bytes.length, options->layout, options->output, &network,
                                  &in->network, &in->weights, err))) {
        lam_error_prefix(err, "%s", options->file);
        return status;
    }
    return describe(in, lam_buffer_text(&network), err);
}

static lam_status import_state(struct import *in, lam_error *err)
{
    const struct import_options *options = in->options;
    LAM_AUTO_PTR(lam_safetensors) *state = NULL;
    LAM_AUTO_PTR(lam_json) *map = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    lam_json_writer w = lam_json_write_to(&text);
    lam_status status;
    if (!in->document)
        return lam_fail(err, LAM_E_NOT_FOUND,
                        "%s/" LAM_BUNDLE_MANIFEST
                        " is needed: a state has no network in it, describe it first",
                        options->bundle);
    lam_jw_value(&w, NULL, lam_json_root(in->document));
    if (text.status)
        return lam_fail(err, text.status, "model.json is too large");
    if ((status = lam_manifest_parse(lam_buffer_text(&text), text.length, &in->manifest, err)) ||
        (status = lam_network_create(in->manifest->network, &in->network, err)) ||
        (status = lam_safetensors_open(options->file, &state, err)) ||
        (options->map && (status = read_json(options->map, &map, err))))
        return status;
    bool keras = strcmp(options->framework, "keras") == 0;
    return lam_import_state(in->network, state, keras ? LAM_STATE_KERAS : LAM_STATE_PYTORCH,
                            map ? lam_json_root(map) : NULL, &in->weights, err);
}

/* Weights that are no numbers are refused before anything is written. */
static lam_status check_finite(const struct import *in, lam_error *err)
{
    for (size_t i = 0; i < lam_network_parameter_count(in->network); i++) {
        const lam_parameter *parameter = lam_network_parameter(in->network, i);
        const float *values = lam_weights_view(in->weights) + parameter->offset;
        for (int64_t k = 0; k < parameter->count; k++)
            if (!isfinite(values[k]))
                return lam_fail(err, LAM_E_INVALID, "%s: a weight of %s is not a finite number",
                                in->options->file, parameter->name);
    }
    return LAM_OK;
}

/* ---- writing ---- */

static lam_status write_weights(void *context, int fd, lam_error *err)
{
    const struct import *in = context;
    const char *const metadata[][2] = {{"format", "pt"},
                                       {"model", in->manifest->name},
                                       {"version", in->manifest->version},
                                       {"licence", in->manifest->provenance.licence}};
    const lam_weights *const members[] = {in->weights};
    return lam_weights_save(members, 1, fd, metadata, LAM_COUNT(metadata), err);
}

static lam_status write_text(void *context, int fd, lam_error *err)
{
    const lam_buffer *text = context;
    return lam_io_write_all(fd, text->data, text->length, err);
}

static lam_status write_bundle(struct import *in, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_safetensors) *written = NULL;
    char sha256[65], date[32];
    time_t now = (time_t)(lam_clock_wall_ms() / 1000);
    struct tm utc;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&now, &utc));
    lam_status status = lam_io_make_directories(in->options->bundle, 0755, err);
    if (status)
        return status;
    lam_autoclose int folder = open(in->options->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lam_fail_errno(err, errno, "%s", in->options->bundle);
    if ((status = lam_io_replace(folder, LAM_BUNDLE_WEIGHTS, write_weights, in, err)))
        return status;
    lam_autoclose int fd = openat(folder, LAM_BUNDLE_WEIGHTS, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s/" LAM_BUNDLE_WEIGHTS, in->options->bundle);
    if ((status = lam_safetensors_map(fd, &written, err)))
        return status;
    lam_safetensors_sha256(written, sha256);
    lam_manifest_update update = {
        .date = date, .weights_sha256 = sha256, .temperature = in->manifest->temperature};
    if ((status = lam_manifest_rewrite(in->manifest, &update, &text, err)))
        return status;
    return lam_io_replace(folder, LAM_BUNDLE_MANIFEST, write_text, &text, err);
}

static void print_result(const struct import *in)
{
    long long count = 0;
    for (size_t i = 0; i < lam_network_parameter_count(in->network); i++)
        count += lam_network_parameter(in->network, i)->count;
    if (in->options->json)
        printf("{\"bundle\":\"%s\",\"version\":\"%s\",\"parameters\":%lld}\n", in->manifest->name,
               in->manifest->version, count);
    else
        printf("%s: %s %s, %lld parameters%s\n", in->options->bundle, in->manifest->name,
               in->manifest->version, count,
               in->document ? ""
                            : "; now edit its model.json: what it is for, its classes, its preprocessing");
}

int lam_cli_model(int argc, char **argv)
{
    struct import_options options = {0};
    LAM_AUTO(import_done) struct import in = {.options = &options};
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    lam_error err = {0};
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    if (options.checked)
        return lam_model_check(options.checked, options.json, &err) ? lam_cli_fail_error(&err) : LAM_CLI_OK;
    if (read_document(&in, &err) || (is_onnx(&options) ? import_onnx : import_state)(&in, &err) ||
        check_finite(&in, &err) || write_bundle(&in, &err) ||
        lam_bundle_load_path(options.bundle, &bundle, &err))
        return lam_cli_fail_error(&err);
    print_result(&in);
    return LAM_CLI_OK;
}
