#include "daemon/laminad/archive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"
#include "daemon/laminad/arrival.h"
#include "daemon/laminad/child.h"
#include "daemon/laminad/metrics.h"
#include "daemon/laminad/question.h"
#include "daemon/laminad/upload.h"

/* What an archive may hold; what one request may (api/server.h) is of the same order. */
#define MAX_BYTES ((int64_t)64 << 30)

enum {
    MAX_FILES = 20000,
    MAX_RATIO = 100,
    TOGETHER = 16, /* objects that are unpacked before they are stored: they share a commit */
    TURN_MS =
        10 * 60 * 1000, /* for the directory, or so many objects; there is no progress to see meanwhile */
    SPACE_EVERY = 64 << 20,
    OUT_OF_RESOURCES = 0xA700, /* PS3.18 table I.2-2 */
    CANNOT_UNDERSTAND = 0xC000
};

struct lam_archive {
    lam_intake *intake;
    pthread_mutex_t *turn;
    char sender[LAM_SENDER_TEXT];
    int fd;
    int64_t bytes;
    lam_child child;
    lam_upload *uploads[TOGETHER]; /* for the objects that come next */
    lam_archive_report *report;
    void *context;
};

lam_status lam_archive_open(lam_intake *intake, pthread_mutex_t *turn, const char *sender, lam_archive **out,
                            lam_error *err)
{
    lam_store *store = lam_intake_store(intake);
    int fd = -1;
    lam_status status = lam_store_check_space(store, lam_intake_config(intake)->reserve_bytes, err);
    if (status == LAM_OK)
        status = lam_spool_create_unnamed(store, &fd, err);
    if (status != LAM_OK)
        return status;
    lam_archive *archive = calloc(1, sizeof *archive);
    if (!archive) {
        close(fd);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    *archive = (lam_archive){.intake = intake, .turn = turn, .fd = fd};
    lam_text_copy(archive->sender, sizeof archive->sender, sender);
    lam_child_init(&archive->child, "lamina-worker");
    *out = archive;
    return LAM_OK;
}

void lam_archive_close(lam_archive *archive)
{
    if (!archive)
        return;
    for (size_t i = 0; i < TOGETHER; i++)
        lam_upload_discard(archive->uploads[i]);
    lam_child_stop(&archive->child, NULL);
    close(archive->fd);
    free(archive);
}

lam_status lam_archive_write(lam_archive *archive, const void *bytes, size_t length, lam_error *err)
{
    const lam_config *config = lam_intake_config(archive->intake);
    lam_status status = LAM_OK;
    if (archive->bytes / SPACE_EVERY != (archive->bytes + (int64_t)length) / SPACE_EVERY)
        status = lam_store_check_space(lam_intake_store(archive->intake), config->reserve_bytes, err);
    archive->bytes += (int64_t)length;
    return status == LAM_OK ? lam_io_write_all(archive->fd, bytes, length, err) : status;
}

/* ---- asking the worker ---- */

static lam_status ask(lam_archive *archive, uint32_t type, const char *payload, const int *fds, size_t count,
                      lam_json **answer, lam_error *err)
{
    const lam_question question = {.type = type,
                                   .answer = LAM_MESSAGE_UNPACKED,
                                   .what = "the archive",
                                   .payload = payload,
                                   .fds = fds,
                                   .fd_count = count,
                                   .timeout_ms = TURN_MS};
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, LAM_IPC_MAX_PAYLOAD);
    const char *broken = NULL;
    lam_status status = lam_question_ask(&archive->child, &question, &text, &broken, err);
    if (status == LAM_OK)
        status = lam_json_parse(text.data, text.length, answer, err);
    if (!broken)
        return status;
    char how[64] = "";
    lam_child_stop(&archive->child, how);
    lam_metrics_add(LAM_COUNT_CHILD_ENDS, 1);
    lam_log(LAM_LOG_WARNING, "unpacker_ended", "client=%s why=%s how=%s", archive->sender, LAM_QUOTE(broken),
            LAM_QUOTE(how));
    return status;
}

static lam_status begin(lam_archive *archive, lam_error *err)
{
    const lam_config *config = lam_intake_config(archive->intake);
    const lam_child_limits limits = {.address_space = (int64_t)1 << 30,
                                     .mapped_files = LAM_CHILD_MAPPED,
                                     .file_size = config->max_object_bytes,
                                     .open_files = 64,
                                     .non_blocking = true};
    const char *broken = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer payload;
    LAM_AUTO_PTR(lam_json) *answer = NULL;
    int64_t bytes = 0;
    lam_buffer_init(&payload, 256);
    lam_json_writer w = lam_json_write_to(&payload);
    lam_jw_object(&w, NULL);
    lam_jw_integer(&w, "files", MAX_FILES);
    lam_jw_integer(&w, "bytes", MAX_BYTES);
    lam_jw_integer(&w, "file_bytes", config->max_object_bytes);
    lam_jw_integer(&w, "ratio", MAX_RATIO);
    lam_jw_end(&w);
    lam_status status = lam_question_start(&archive->child, &limits, &broken, err);
    if (status == LAM_OK)
        status = ask(archive, LAM_MESSAGE_UNPACK, lam_buffer_text(&payload), &archive->fd, 1, &answer, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(lam_json_root(answer), "bytes", 0, MAX_BYTES, &bytes, err);
    if (status == LAM_E_CORRUPT) /* the fault is the request's */
        status = lam_fail(err, LAM_E_INVALID, "the archive cannot be read");
    if (status == LAM_OK)
        status = lam_store_check_space(lam_intake_store(archive->intake), config->reserve_bytes + bytes, err);
    return status;
}

/* ---- its objects ---- */

static void tell(const lam_archive *archive, const char *name, const char *ignored,
                 const lam_store_result *result)
{
    archive->report(archive->context, &(lam_archive_file){name, ignored, result});
}

static void tell_failed(const lam_archive *archive, const char *name, lam_status status, const char *why)
{
    bool resources = status == LAM_E_NO_SPACE || status == LAM_E_NO_MEMORY || status == LAM_E_BUSY;
    lam_store_result result = {.status = status,
                               .dicom_status = resources ? OUT_OF_RESOURCES : CANNOT_UNDERSTAND};
    lam_text_copy(result.reason, sizeof result.reason, why);
    tell(archive, name, NULL, &result);
}

/* Takes the upload for the output that a file was unpacked to; NULL when it has none, or when the worker
 * names one twice. */
static lam_upload *take_upload(lam_upload *uploads[TOGETHER], const lam_jv *file)
{
    int64_t output = lam_jv_integer(lam_jv_get(file, "output"), -1);
    return output >= 0 && output < TOGETHER ? LAM_TAKE_PTR(uploads[output]) : NULL;
}

/* Hands the objects of a round over, in its order; each keeps its place. One that the worker made larger than
 * it may be is forgotten. */
static void submit_objects(lam_archive *archive, const lam_jv *files, lam_upload *submitted[TOGETHER])
{
    for (size_t i = 0; i < lam_jv_count(files); i++) {
        const lam_jv *file = lam_jv_at(files, i);
        lam_upload *upload = take_upload(archive->uploads, file);
        if (upload && lam_upload_filled(upload, NULL) == LAM_OK) {
            lam_upload_submit(upload, NULL);
            submitted[lam_jv_integer(lam_jv_get(file, "output"), -1)] = upload;
        } else {
            lam_upload_discard(upload);
        }
    }
}

/* All are handed over before the first is waited for, so that they share a commit. */
static void store_files(lam_archive *archive, const lam_jv *files)
{
    lam_upload *submitted[TOGETHER] = {NULL};
    submit_objects(archive, files, submitted);
    for (size_t i = 0; i < lam_jv_count(files); i++) {
        const lam_jv *file = lam_jv_at(files, i);
        const char *name = lam_jv_text(lam_jv_get(file, "name"), "");
        const char *ignored = lam_jv_text(lam_jv_get(file, "ignored"), NULL);
        const char *failed = lam_jv_text(lam_jv_get(file, "failed"), "it cannot be unpacked");
        lam_upload *upload = take_upload(submitted, file);
        lam_store_result result = {0};
        if (upload) {
            lam_upload_wait(upload, &result);
            tell(archive, name, NULL, &result);
        } else if (ignored) {
            tell(archive, name, ignored, NULL);
        } else {
            tell_failed(archive, name, LAM_E_CORRUPT, failed);
        }
    }
}

static lam_status open_uploads(lam_archive *archive, int fds[TOGETHER], lam_error *err)
{
    lam_status status = LAM_OK;
    for (size_t i = 0; i < TOGETHER && status == LAM_OK; i++) {
        if (!archive->uploads[i])
            status = lam_upload_open(archive->intake, archive->sender, &archive->uploads[i], err);
        if (status == LAM_OK)
            fds[i] = lam_upload_file(archive->uploads[i]);
    }
    return status;
}

static lam_status store_some(lam_archive *archive, bool *end, lam_error *err)
{
    int fds[TOGETHER];
    LAM_AUTO_PTR(lam_json) *answer = NULL;
    lam_status status = open_uploads(archive, fds, err);
    if (status == LAM_OK)
        status = ask(archive, LAM_MESSAGE_UNPACK_NEXT, "{}", fds, TOGETHER, &answer, err);
    if (status != LAM_OK)
        return status;
    store_files(archive, lam_jv_get(lam_json_root(answer), "files"));
    *end = lam_jv_bool(lam_jv_get(lam_json_root(answer), "end"), false);
    return LAM_OK;
}

lam_status lam_archive_store(lam_archive *archive, lam_archive_report *report, void *context, lam_error *err)
{
    lam_error why = {LAM_OK, ""};
    bool end = false;
    archive->report = report;
    archive->context = context;
    pthread_mutex_lock(archive->turn);
    lam_status status = begin(archive, err);
    if (status == LAM_OK) {
        while (!end && store_some(archive, &end, &why) == LAM_OK)
            ;
        if (!end) /* some may be stored already: the answer tells of those */
            tell_failed(archive, "(what follows in the archive)", why.status, why.message);
    }
    lam_child_stop(&archive->child, NULL);
    pthread_mutex_unlock(archive->turn);
    return status;
}
