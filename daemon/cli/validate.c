/* `lamina validate`: checks result objects against the rules that viewers and archives need
 * (dicom/validate.h), and against the images they were made from. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/dicom_files.h"
#include "daemon/cli/options.h"
#include "dicom/validate.h"

struct validation {
    lam_dataset **sources;
    size_t source_count;
    lam_json_writer *json; /* NULL: plain lines */
    const char *path;      /* the object being checked */
};

static lam_status read_object(const char *path, lam_dataset_extent extent, lam_dataset **out, lam_error *err)
{
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot read %s", path);
    lam_status status = lam_dataset_read(fd, extent, out, err);
    if (status != LAM_OK)
        lam_error_prefix(err, "%s", path);
    return status;
}

/* Headers of the images and results in a folder, at any depth. */
static lam_status read_sources(const char *folder, struct validation *v, lam_error *err)
{
    char *const paths[] = {(char *)folder, NULL}; /* not written to: as fts_open wants them */
    lam_dicom_files files LAM_AUTO(lam_dicom_files_done) = {.items = NULL};
    lam_status status = lam_dicom_files_find(paths, &files, err);
    if (status == LAM_OK && files.count == 0)
        status = lam_fail(err, LAM_E_INVALID, "%s holds no DICOM images", folder);
    if (status != LAM_OK)
        return status;
    v->sources = calloc(files.count, sizeof(lam_dataset *));
    if (!v->sources)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu images", files.count);
    for (size_t i = 0; status == LAM_OK && i < files.count; i++) {
        status = read_object(files.items[i].path, LAM_DATASET_HEADER, &v->sources[i], err);
        v->source_count += status == LAM_OK;
    }
    return status;
}

static void validation_done(struct validation *v)
{
    for (size_t i = 0; i < v->source_count; i++)
        lam_dataset_free(v->sources[i]);
    free(v->sources);
}

static void hear(void *context, const lam_problem *problem)
{
    struct validation *v = context;
    if (!v->json) {
        printf("%s: %s (%04x,%04x) %s (%s)\n", v->path, problem->attribute, LAM_TAG_ARGS(problem->tag),
               problem->message, problem->clause);
        return;
    }
    char tag[16];
    snprintf(tag, sizeof tag, "%08X", (unsigned)problem->tag);
    lam_jw_object(v->json, NULL);
    lam_jw_text(v->json, "attribute", problem->attribute);
    lam_jw_text(v->json, "tag", tag);
    lam_jw_text(v->json, "clause", problem->clause);
    lam_jw_text(v->json, "message", problem->message);
    lam_jw_end(v->json);
}

/* Whether the file is free of problems. */
static bool check_file(struct validation *v, const char *path)
{
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_error err = {LAM_OK, ""};
    size_t problems = 0;
    v->path = path;
    if (v->json) {
        lam_jw_object(v->json, NULL);
        lam_jw_text(v->json, "file", path);
        lam_jw_array(v->json, "problems");
    }
    lam_status status = read_object(path, LAM_DATASET_WHOLE, &object, &err);
    if (status == LAM_OK)
        problems = lam_validate(object, v->sources, v->source_count, hear, v);
    else
        lam_cli_fail_error(&err);
    if (v->json) {
        lam_jw_end(v->json);
        if (status != LAM_OK)
            lam_jw_text(v->json, "error", err.message);
        lam_jw_end(v->json);
    } else if (status == LAM_OK && problems == 0) {
        printf("%s: no problems\n", path);
    }
    return status == LAM_OK && problems == 0;
}

static int check_files(struct validation *v, char **paths, bool as_json)
{
    bool good = true;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 64 << 20);
    lam_json_writer w = lam_json_write_to(&text);
    v->json = as_json ? &w : NULL;
    if (as_json) {
        lam_jw_object(&w, NULL);
        lam_jw_array(&w, "files");
    }
    for (; *paths; paths++)
        good &= check_file(v, *paths);
    if (as_json) {
        lam_jw_end(&w);
        lam_jw_end(&w);
        puts(lam_buffer_text(&text));
    }
    v->json = NULL;
    return good ? LAM_CLI_OK : LAM_CLI_FAILED;
}

int lam_cli_validate(int argc, char **argv)
{
    struct validation v LAM_AUTO(validation_done) = {.sources = NULL};
    lam_error err = {LAM_OK, ""};
    const char *source = NULL;
    bool as_json = false;
    char **paths;
    const lam_option known[] = {{"source", .text = &source}, {"json", .flag = &as_json}, {0}};
    int status = lam_options_read(argc, argv, known, &paths);
    if (status != LAM_CLI_OK)
        return status;
    if (!*paths)
        return lam_cli_usage(argv[0], "name the files to check");
    lam_dicom_prepare();
    if (source && read_sources(source, &v, &err) != LAM_OK)
        return lam_cli_fail_error(&err);
    return check_files(&v, paths, as_json);
}
