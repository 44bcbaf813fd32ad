/* Zip archives, as the process that unpacks them reads them: whatever comes, no more is written than the
 * directory of the archive announced, and the answers are JSON. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "daemon/worker/unpack.h"

enum { OUTPUTS = 4, MAX_ROUNDS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int new_file(void)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

/* Takes one round; gives back how many bytes it unpacked, -1 at the end. */
static int64_t take_round(lam_unpack *archive)
{
    int outputs[OUTPUTS];
    int64_t written = 0;
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_buffer_init(&answer, 1 << 20);
    for (size_t i = 0; i < OUTPUTS; i++)
        outputs[i] = new_file();
    lam_status status = lam_unpack_next(archive, outputs, OUTPUTS, &answer, NULL);
    for (size_t i = 0; i < OUTPUTS; i++) {
        struct stat info;
        if (fstat(outputs[i], &info) == 0)
            written += info.st_size;
        close(outputs[i]);
    }
    if (status != LAM_OK)
        return -1;
    if (lam_json_parse(answer.data, answer.length, &json, NULL) != LAM_OK)
        abort();
    return lam_jv_bool(lam_jv_get(lam_json_root(json), "end"), false) ? -1 : written;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const lam_unpack_limits limits = {.files = 100, .bytes = 1 << 24, .file_bytes = 1 << 22, .ratio = 100};
    lam_unpack *archive = NULL;
    int64_t announced = 0, written = 0;
    int file = new_file();
    if (lam_io_write_all(file, bytes, length, NULL) != LAM_OK)
        abort();
    if (lam_unpack_open(file, &limits, &archive, &announced, NULL) != LAM_OK)
        return 0;
    for (int i = 0; i < MAX_ROUNDS; i++) {
        int64_t some = take_round(archive);
        if (some < 0)
            break;
        written += some;
    }
    if (written > announced)
        abort();
    lam_unpack_free(archive);
    return 0;
}
