/* `lamina predict`: runs one model on DICOM files or on a safetensors set, without a daemon. */
#include "daemon/cli/predict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/options.h"
#include "dicom/dataset.h"

struct predict_options {
    const char *bundle, *out;
    int64_t threads, samples;
    bool json, any;
    lam_find_options find;
    lam_profile profile;
    char **paths; /* NULL-terminated */
};

static bool read_profile(const char *text, void *value)
{
    return lam_profile_find(text, value);
}

static bool read_method(const char *text, void *value)
{
    lam_find_options *find = value;
    find->explain = true;
    return lam_explain_method_find(text, &find->method);
}

static bool read_gate(const char *text, void *value)
{
    return lam_gate_mode_find(text, value);
}

static int parse_arguments(int argc, char **argv, struct predict_options *out)
{
    const lam_option known[] = {
        {"bundle", .text = &out->bundle},
        {"out", .text = &out->out},
        {"profile", .read = read_profile, .into = &out->profile, .takes = "strict, ohif or slicer"},
        {"threads", .number = &out->threads, .least = 1, .most = 256},
        {"explain", .read = read_method, .into = &out->find, .takes = "gradient, integrated or attention"},
        {"samples", .number = &out->samples, .least = 1, .most = 10000},
        {"gate", .read = read_gate, .into = &out->find.gate, .takes = "flag, refuse or ignore"},
        {"any", .flag = &out->any},
        {"json", .flag = &out->json},
        {0},
    };
    int status = lam_options_read(argc, argv, known, &out->paths);
    if (status != LAM_CLI_OK)
        return status;
    if (!out->bundle || !*out->paths)
        return lam_cli_usage(argv[0], "--bundle and at least one file or folder are needed");
    out->find.samples = (int)out->samples;
    return LAM_CLI_OK;
}

static bool is_set(const char *path)
{
    size_t length = strlen(path);
    return length > 12 && strcmp(path + length - 12, ".safetensors") == 0;
}

static lam_status run(const struct predict_options *options, const lam_prediction_job *job, json_t *results,
                      lam_error *err)
{
    if (!options->paths || !is_set(options->paths[0]))
        return lam_predict_dicom(job, options->paths, results, err);
    lam_status status = LAM_OK;
    for (char **path = options->paths; *path && status == LAM_OK; path++)
        status = is_set(*path)
                     ? lam_predict_set(job, *path, results, err)
                     : lam_fail(err, LAM_E_INVALID, "%s: sets and DICOM files go by themselves", *path);
    return status;
}

/* ---- showing ---- */

static void print_findings(const json_t *result)
{
    const json_t *item;
    size_t i;
    const json_t *gate = json_object_get(result, "gate");
    if (json_is_false(json_object_get(gate, "accepted")))
        printf("  unlike the training data (%.2f, at most %.2f is usual): what follows means nothing\n",
               json_number_value(json_object_get(gate, "score")),
               json_number_value(json_object_get(gate, "threshold")));
    json_array_foreach(json_object_get(result, "segments"), i, item)
        printf("  %-32s %8.3f ml\n", json_string_value(json_object_get(item, "label")),
               json_number_value(json_object_get(item, "volume_ml")));
    json_array_foreach(json_object_get(json_object_get(result, "classification"), "classes"), i, item)
        printf("  %-32s %8.3f\n", json_string_value(json_object_get(item, "label")),
               json_number_value(json_object_get(item, "probability")));
    json_array_foreach(json_object_get(result, "detections"), i, item)
    {
        const json_t *box = json_object_get(item, "box");
        printf("  %-32s %8.3f  at %.1f, %.1f size %.1f × %.1f\n",
               json_string_value(json_object_get(item, "label")),
               json_number_value(json_object_get(item, "score")),
               json_number_value(json_object_get(box, "x")), json_number_value(json_object_get(box, "y")),
               json_number_value(json_object_get(box, "width")),
               json_number_value(json_object_get(box, "height")));
    }
    json_array_foreach(json_object_get(result, "measurements"), i, item) printf(
        "  %-32s %8.3f %s\n", json_string_value(json_object_get(item, "label")),
        json_number_value(json_object_get(item, "value")), json_string_value(json_object_get(item, "unit")));
}

static void print_table(const json_t *results)
{
    const json_t *result;
    size_t i;
    json_array_foreach(results, i, result)
    {
        const char *name = json_string_value(json_object_get(result, "series_uid"));
        const char *reason = json_string_value(json_object_get(result, "reason"));
        printf("%s: %s%s%s\n", name ? name : json_string_value(json_object_get(result, "id")),
               json_string_value(json_object_get(result, "state")), reason ? ": " : "", reason ? reason : "");
        print_findings(result);
    }
}

/* Done: something was found out, and nothing failed. */
static int exit_status(const json_t *results)
{
    const json_t *result;
    size_t i, done = 0;
    json_array_foreach(results, i, result)
    {
        const char *state = json_string_value(json_object_get(result, "state"));
        done += strcmp(state, "done") == 0;
        if (strcmp(state, "failed") == 0)
            return LAM_CLI_FAILED;
    }
    return done ? LAM_CLI_OK : LAM_CLI_FAILED;
}

static lam_status write_text(void *context, int fd, lam_error *err)
{
    return lam_io_write_all(fd, context, strlen(context), err);
}

static lam_status show(const struct predict_options *options, json_t *results, lam_error *err)
{
    lam_status status = LAM_OK;
    json_t *document = json_pack("{s:O}", "results", results);
    lam_autofree char *text = json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(document);
    if (!text)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    if (options->out) {
        lam_autoclose int folder = open(options->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = folder < 0 ? lam_fail_errno(err, errno, "%s", options->out)
                            : lam_io_replace(folder, "results.json", write_text, text, err);
    }
    if (options->json)
        puts(text);
    else
        print_table(results);
    return status;
}

int lam_cli_predict(int argc, char **argv)
{
    struct predict_options options = {.threads = 0};
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    LAM_AUTO_PTR(lam_predictor) *predictor = NULL;
    lam_pool *pool = NULL;
    lam_error err = {0};
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    lam_dicom_prepare();
    json_t *results = json_array();
    if (lam_bundle_load_path(options.bundle, &bundle, &err) ||
        (options.out && lam_io_make_directories(options.out, 0755, &err)) ||
        lam_pool_create((size_t)options.threads, &pool, &err) ||
        lam_predictor_create(bundle, pool, &predictor, &err)) {
        status = lam_cli_fail_error(&err);
    } else {
        lam_prediction_job job = {bundle, predictor, options.out, options.profile, options.any, options.find};
        status = run(&options, &job, results, &err) || show(&options, results, &err)
                     ? lam_cli_fail_error(&err)
                     : exit_status(results);
    }
    json_decref(results);
    lam_predictor_free(LAM_TAKE_PTR(predictor));
    lam_pool_free(pool);
    return status;
}
