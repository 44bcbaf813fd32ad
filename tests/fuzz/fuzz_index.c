/* Header index: whatever the file, the answer is an error or JSON that our own reader takes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/json.h"
#include "dicom/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    lam_buffer json;
    lam_json *document = NULL;
    lam_buffer_init(&json, LAM_INDEX_MAX_BYTES);
    if (file < 0 || lam_io_write_all(file, bytes, length, NULL) != LAM_OK)
        abort();
    if (lam_index_file(file, &json, NULL) == LAM_OK &&
        lam_json_parse(json.data, json.length, &document, NULL) != LAM_OK)
        abort();
    lam_json_free(document);
    lam_buffer_done(&json);
    close(file);
    return 0;
}
