#include "daemon/laminad/upload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "daemon/laminad/arrival.h"

struct lam_upload {
    lam_intake *intake;
    lam_arrival *arrival; /* NULL once it is the intake's */
    int fd;               /* -1 once all is written */
    lam_error fault;      /* of the end of writing */
    pthread_mutex_t lock; /* all below */
    pthread_cond_t decided;
    bool submitted, done;
    bool discarded; /* nobody waits: whoever answers frees it */
    lam_store_result result;
};

static void upload_free(lam_upload *upload)
{
    if (upload->fd >= 0)
        close(upload->fd);
    if (upload->arrival) {
        lam_spool_remove(lam_intake_store(upload->intake), upload->arrival->name);
        lam_arrival_free(upload->arrival);
    }
    pthread_mutex_destroy(&upload->lock);
    pthread_cond_destroy(&upload->decided);
    free(upload);
}

lam_status lam_upload_open(lam_intake *intake, const char *sender, lam_upload **out, lam_error *err)
{
    lam_store *store = lam_intake_store(intake);
    lam_status status = lam_store_check_space(store, lam_intake_config(intake)->reserve_bytes, err);
    if (status != LAM_OK)
        return status;
    lam_upload *upload = calloc(1, sizeof *upload);
    lam_arrival *arrival = lam_arrival_create();
    if (!upload || !arrival) {
        free(upload);
        lam_arrival_free(arrival);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    *upload = (lam_upload){.intake = intake, .arrival = arrival, .fd = -1};
    pthread_mutex_init(&upload->lock, NULL);
    pthread_cond_init(&upload->decided, NULL);
    arrival->upload = upload;
    lam_text_copy(arrival->sender, sizeof arrival->sender, sender);
    status = lam_spool_create(store, arrival->name, &upload->fd, err);
    if (status != LAM_OK) {
        upload_free(upload);
        return status;
    }
    *out = upload;
    return LAM_OK;
}

static lam_status add_bytes(lam_upload *upload, int64_t length, lam_error *err)
{
    int64_t limit = lam_intake_config(upload->intake)->max_object_bytes;
    if (upload->arrival->bytes + length > limit)
        return lam_fail(err, LAM_E_LIMIT, "object is larger than the %lld MiB of [storage] max_object",
                        (long long)(limit >> 20));
    upload->arrival->bytes += length;
    return LAM_OK;
}

lam_status lam_upload_write(lam_upload *upload, const void *bytes, size_t length, lam_error *err)
{
    lam_status status = add_bytes(upload, (int64_t)length, err);
    return status == LAM_OK ? lam_io_write_all(upload->fd, bytes, length, err) : status;
}

int lam_upload_file(const lam_upload *upload)
{
    return upload->fd;
}

lam_status lam_upload_filled(lam_upload *upload, lam_error *err)
{
    struct stat info;
    if (fstat(upload->fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot tell the size of an object");
    upload->arrival->bytes = 0;
    return add_bytes(upload, info.st_size, err);
}

/* The preamble of a file belongs to whoever uses it (PS3.10 section 7.1), and could make it look like a
 * program. Nobody uses it here. */
static lam_status clear_preamble(int fd, lam_error *err)
{
    enum { PREAMBLE = 128 };
    static const char none[PREAMBLE];
    char start[PREAMBLE + 4];
    if (pread(fd, start, sizeof start, 0) != sizeof start || memcmp(start + PREAMBLE, "DICM", 4) != 0 ||
        memcmp(start, none, PREAMBLE) == 0)
        return LAM_OK;
    if (pwrite(fd, none, PREAMBLE, 0) != PREAMBLE)
        return lam_fail_errno(err, errno, "cannot clear the preamble");
    return LAM_OK;
}

void lam_upload_end(lam_upload *upload)
{
    if (upload->fd < 0)
        return;
    clear_preamble(upload->fd, &upload->fault);
    lam_io_start_writing(upload->fd); /* the intake syncs it */
    close(LAM_TAKE_FD(upload->fd));
}

void lam_upload_submit(lam_upload *upload, const char *study_uid)
{
    lam_upload_end(upload);
    lam_error err = upload->fault;
    lam_text_copy(upload->arrival->study_uid, LAM_UID_TEXT, study_uid);
    upload->submitted = true;
    lam_arrival *arrival = LAM_TAKE_PTR(upload->arrival);
    if (err.status == LAM_OK)
        lam_intake_submit(upload->intake, arrival, &err);
    if (err.status == LAM_OK) /* from here on it may be answered at any moment */
        return;
    upload->arrival = arrival;
    lam_arrival_refuse(arrival, err.status, err.message);
    lam_upload_answer(upload, &arrival->result);
}

void lam_upload_answer(lam_upload *upload, const lam_store_result *result)
{
    pthread_mutex_lock(&upload->lock);
    upload->result = *result;
    upload->done = true;
    bool discarded = upload->discarded;
    pthread_cond_signal(&upload->decided);
    pthread_mutex_unlock(&upload->lock);
    if (discarded)
        upload_free(upload);
}

void lam_upload_wait(lam_upload *upload, lam_store_result *out)
{
    pthread_mutex_lock(&upload->lock);
    while (!upload->done)
        pthread_cond_wait(&upload->decided, &upload->lock);
    pthread_mutex_unlock(&upload->lock);
    *out = upload->result;
    upload_free(upload);
}

void lam_upload_discard(lam_upload *upload)
{
    if (!upload)
        return;
    pthread_mutex_lock(&upload->lock);
    bool decided = !upload->submitted || upload->done;
    upload->discarded = !decided;
    pthread_mutex_unlock(&upload->lock);
    if (decided)
        upload_free(upload);
}
