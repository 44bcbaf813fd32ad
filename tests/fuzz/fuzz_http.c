/* What of an HTTP request is ours to read: the path, media types and what is accepted, ranges and ETags. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/conditional.h"
#include "api/negotiate.h"
#include "api/routes.h"
#include "core/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "BREW"};
    static const lam_offer offers[] = {{.type = "application/dicom+json"},
                                       {.type = "multipart/related", .part_type = "application/dicom"},
                                       {.type = "image/png"}};
    lam_autofree char *text = strndup((const char *)bytes, length);
    char parameters[LAM_PATH_PARAMETERS][LAM_PARAMETER_TEXT];
    const lam_route *route = NULL;
    lam_media_type media;
    LAM_AUTO(lam_buffer_done) lam_buffer allow;
    lam_buffer_init(&allow, 4096);
    if (!text)
        return 0;
    lam_route_find(methods[length % LAM_COUNT(methods)], text, &route, parameters, &allow, NULL);
    if (lam_media_type_parse(text, &media, NULL) && !memchr(media.type, '\0', sizeof media.type))
        abort();
    if (lam_negotiate(text, offers, LAM_COUNT(offers)) >= (int)LAM_COUNT(offers))
        abort();
    int64_t first = 0, taken = 0, size = (int64_t)length * 7;
    if (lam_range_parse(text, size, &first, &taken) == LAM_RANGE_PART &&
        (first < 0 || taken < 1 || first + taken > size))
        abort();
    lam_etag_matches(text, "\"etag\"");
    return 0;
}
