#include "dicom/send.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "dicom/part10.h"
#include "dicom/scu.h"
#include "dicom/value.h"

/* ---- looking at a file ---- */

/* Leaves `uid` as it is where the data set does not say a valid one. */
static void take_own_uid(const lam_part10 *file, const char *path, char uid[LAM_UID_TEXT])
{
    lam_bytes value;
    char text[LAM_UID_TEXT + 1] = "";
    if (lam_value_find(file, path, &value, NULL) != LAM_OK || value.length >= sizeof text)
        return;
    memcpy(text, value.data, value.length); /* ends at its padding, a zero byte */
    text[strcspn(text, " ")] = '\0';
    if (lam_uid_is_valid(text))
        lam_text_copy(uid, LAM_UID_TEXT, text);
}

lam_status lam_send_look_at(int fd, lam_send_file *out, lam_error *err)
{
    struct stat info;
    lam_file_meta meta;
    lam_part10 file;
    uint64_t offset = 0;
    lam_status status = lam_file_meta_read(fd, &meta, &offset, err);
    if (status != LAM_OK)
        return status;
    if (fstat(fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot stat");
    /* Inflating a whole data set for two UIDs is not worth it. */
    if (!lam_transfer_syntax_of(meta.transfer_syntax).deflated &&
        lam_part10_open(fd, &file, NULL) == LAM_OK) {
        take_own_uid(&file, "00080016", meta.sop_class);
        take_own_uid(&file, "00080018", meta.sop_instance);
        lam_part10_close(&file);
    }
    out->meta = meta;
    out->offset = offset;
    out->bytes = (uint64_t)info.st_size - offset;
    return LAM_OK;
}

/* ---- sending ---- */

/* Files that share an association's contexts. */
typedef struct batch {
    const lam_net_peer *peer;
    lam_send_file **files;
    size_t count;
    lam_net_context contexts[LAM_ASSOCIATE_MAX_CONTEXTS];
    size_t context_count;
    lam_send_progress progress;
    void *user;

    pthread_mutex_t lock; /* all below, and the call of progress */
    size_t next;
    lam_error failure; /* the first of an association */
    bool harmed;       /* it cost a file */
} batch;

static bool has_context(const batch *b, const lam_file_meta *meta)
{
    for (size_t i = 0; i < b->context_count; i++)
        if (strcmp(b->contexts[i].abstract_syntax, meta->sop_class) == 0 &&
            strcmp(b->contexts[i].transfer_syntax, meta->transfer_syntax) == 0)
            return true;
    return false;
}

/* Takes the pending files whose contexts fit into one association. */
static void fill(batch *b, lam_send_file *files, size_t count)
{
    b->count = b->context_count = b->next = 0;
    for (size_t i = 0; i < count; i++) {
        lam_send_file *file = &files[i];
        if (file->outcome != LAM_SEND_PENDING)
            continue;
        if (!has_context(b, &file->meta)) {
            if (b->context_count == LAM_ASSOCIATE_MAX_CONTEXTS)
                continue;
            lam_net_context *context = &b->contexts[b->context_count++];
            memcpy(context->abstract_syntax, file->meta.sop_class, sizeof context->abstract_syntax);
            memcpy(context->transfer_syntax, file->meta.transfer_syntax, sizeof context->transfer_syntax);
        }
        b->files[b->count++] = file;
    }
}

static lam_send_file *take_next(batch *b)
{
    pthread_mutex_lock(&b->lock);
    lam_send_file *file = b->next < b->count ? b->files[b->next++] : NULL;
    pthread_mutex_unlock(&b->lock);
    return file;
}

static void settle(batch *b, lam_send_file *file, lam_send_outcome outcome, const char *reason)
{
    file->outcome = outcome;
    lam_text_copy(file->reason, sizeof file->reason, reason);
    lam_text_make_printable(file->reason); /* it may have a peer's words */
    pthread_mutex_lock(&b->lock);
    if (b->progress)
        b->progress(b->user, file);
    pthread_mutex_unlock(&b->lock);
}

static void settle_answer(batch *b, lam_send_file *file, const lam_scu_answer *answer)
{
    char reason[LAM_SEND_REASON] = "";
    int outcome = lam_dimse_outcome(answer->status);
    file->dimse_status = answer->status;
    if (outcome != 0)
        snprintf(reason, sizeof reason, "the peer answered status %04XH%s%s", answer->status,
                 *answer->comment ? ": " : "", answer->comment);
    settle(b, file, outcome == 0 ? LAM_SEND_SENT : outcome > 0 ? LAM_SEND_WARNED : LAM_SEND_FAILED, reason);
}

/* LAM_OK when the association can go on, whatever became of the file. */
static lam_status send_one(batch *b, lam_association *association, uint16_t message, lam_send_file *file,
                           lam_error *err)
{
    lam_scu_answer answer = {0};
    lam_autoclose int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        lam_fail_errno(err, errno, "cannot open the file");
        settle(b, file, LAM_SEND_FAILED, err->message);
        return LAM_OK;
    }
    lam_status status = lam_scu_store(association, message, fd, &file->meta, file->offset, &answer, err);
    if (status == LAM_OK)
        settle_answer(b, file, &answer);
    else
        settle(b, file, LAM_SEND_FAILED, err->message);
    return status == LAM_E_UNSUPPORTED ? LAM_OK : status;
}

static void remember_failure(batch *b, const lam_error *err, bool lost_file)
{
    pthread_mutex_lock(&b->lock);
    if (b->failure.status == LAM_OK)
        b->failure = *err;
    b->harmed |= lost_file;
    pthread_mutex_unlock(&b->lock);
}

/* Sends over one association until nothing is left (LAM_OK) or it breaks. */
static lam_status use_association(batch *b, lam_association *association, lam_error *err)
{
    lam_send_file *file;
    for (uint16_t message = 1; (file = take_next(b)) != NULL; message++) {
        lam_status status = send_one(b, association, message, file, err);
        if (status != LAM_OK)
            return status;
    }
    lam_association_release(association,
                            NULL); /* all is answered; how the peer says goodbye matters no more */
    return LAM_OK;
}

/* A thread: one association after another until nothing is left. One that breaks costs the file it was at,
 * one that cannot be opened ends the thread. */
static void *send_remaining(void *argument)
{
    batch *b = argument;
    bool left = true;
    while (left) {
        lam_error err = {0};
        LAM_AUTO_PTR(lam_association) *association = NULL;
        lam_status status = lam_net_request(b->peer, b->contexts, b->context_count, &association, &err);
        if (status == LAM_OK)
            status = use_association(b, association, &err);
        left = status != LAM_OK && association;
        if (left)
            lam_association_abort(association);
        if (status != LAM_OK)
            remember_failure(b, &err, left);
    }
    return NULL;
}

/* All files of the batch are settled afterwards. */
static void run_batch(batch *b, int associations)
{
    pthread_t threads[LAM_SEND_MAX_ASSOCIATIONS];
    int started = 0;
    while (started < associations - 1 && (size_t)started + 1 < b->count &&
           pthread_create(&threads[started], NULL, send_remaining, b) == 0)
        started++;
    send_remaining(b);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    lam_send_file *file;
    while ((file = take_next(b)) != NULL) {
        b->harmed = true;
        settle(b, file, LAM_SEND_FAILED, b->failure.message);
    }
}

lam_status lam_send_files(const lam_net_peer *peer, lam_send_file *files, size_t count, int associations,
                          lam_send_progress progress, void *user, lam_error *err)
{
    if (associations < 1 || associations > LAM_SEND_MAX_ASSOCIATIONS)
        return lam_fail(err, LAM_E_INVALID, "1 to %d associations at a time, not %d",
                        LAM_SEND_MAX_ASSOCIATIONS, associations);
    batch *b = calloc(1, sizeof *b);
    lam_send_file **list = calloc(count ? count : 1, sizeof(lam_send_file *));
    if (!b || !list) {
        free(b);
        free(list);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu files", count);
    }
    b->peer = peer;
    b->files = list;
    b->progress = progress;
    b->user = user;
    pthread_mutex_init(&b->lock, NULL);
    for (size_t i = 0; i < count; i++) {
        files[i].outcome = LAM_SEND_PENDING;
        files[i].dimse_status = -1;
    }
    for (fill(b, files, count); b->count; fill(b, files, count))
        run_batch(b, associations);
    lam_status status = b->harmed ? b->failure.status : LAM_OK;
    if (status != LAM_OK && err)
        *err = b->failure;
    pthread_mutex_destroy(&b->lock);
    free(list);
    free(b);
    return status;
}
