/* The scanner takes what the parser takes, but for keys that come twice, and shows members that lie inside
 * the text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static lam_status check(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    const lam_json_span *text = user;
    const char *end = text->bytes + text->length;
    (void)err;
    if (key.bytes < text->bytes || key.bytes + key.length > value.bytes || !value.length ||
        value.bytes + value.length > end)
        abort();
    return LAM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    lam_json_span text = {(const char *)bytes, length};
    LAM_AUTO_PTR(lam_json) *document = NULL;
    lam_status scanned = lam_json_scan(text, check, &text, NULL);
    lam_status parsed = lam_json_parse(text.bytes, text.length, &document, NULL);
    if (parsed == LAM_OK && lam_jv_is(lam_json_root(document), LAM_JSON_OBJECT) && scanned != LAM_OK)
        abort();
    return 0;
}
