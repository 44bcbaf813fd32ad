/* DIMSE commands: what is accepted and written again is accepted again, and is the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    lam_command first, again;
    uint8_t text[LAM_COMMAND_TEXT];
    memset(&first, 0, sizeof first);
    memset(&again, 0, sizeof again);
    if (lam_command_parse(bytes, length, &first, NULL) != LAM_OK)
        return 0;
    size_t written = lam_command_write(&first, text);
    if (lam_command_parse(text, written, &again, NULL) != LAM_OK || first.has != again.has ||
        strcmp(first.sop_instance, again.sop_instance) != 0 || first.status != again.status)
        abort();
    return 0;
}
