/* Fuzzes core/base/json: whatever parses must be written again as a document that parses to the same text. */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void write_again(const lam_json *document, lam_buffer *out)
{
    lam_buffer_init(out, 64 << 20);
    lam_json_writer w = lam_json_write_to(out);
    lam_jw_value(&w, NULL, lam_json_root(document));
    if (out->status != LAM_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    LAM_AUTO_PTR(lam_json) *first = NULL, *second = NULL;
    lam_error err = {LAM_OK, ""};
    if (lam_json_parse((const char *)bytes, length, &first, &err) != LAM_OK) {
        if (first || !err.message[0])
            abort();
        return 0;
    }
    LAM_AUTO(lam_buffer_done) lam_buffer once = {0};
    LAM_AUTO(lam_buffer_done) lam_buffer twice = {0};
    write_again(first, &once);
    if (lam_json_parse(once.data, once.length, &second, &err) != LAM_OK)
        abort();
    write_again(second, &twice);
    if (once.length != twice.length || memcmp(once.data, twice.data, once.length) != 0)
        abort();
    return 0;
}
