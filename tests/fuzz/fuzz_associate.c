/* Association requests: what is accepted can also be answered. */
#include <stddef.h>
#include <stdint.h>

#include "dicom/associate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static lam_associate associate;
    if (lam_associate_parse(bytes, length, &associate, NULL) == LAM_OK)
        lam_associate_negotiate(&associate, length % 2 == 0);
    return 0;
}
