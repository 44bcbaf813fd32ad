/* Long PDUs in pieces: whatever comes, nothing is read that was not given, and no PDU that was cut is longer
 * than agreed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dicom/pdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    enum { MOST = 4096 };
    lam_pdata pdata;
    uint8_t made[2 * LAM_PDATA_HEAD_BYTES];
    lam_pdata_init(&pdata, MOST, 16 * MOST);
    while (length) {
        if (lam_pdata_made(&pdata, made, sizeof made))
            continue;
        uint32_t through = lam_pdata_through(&pdata);
        size_t taken = through ? through : LAM_PDATA_HEAD_BYTES;
        if (taken > length)
            return 0;
        if (through)
            lam_pdata_passed(&pdata, through);
        else
            lam_pdata_take(&pdata, bytes);
        if (pdata.made_length == sizeof made && lam_pdata_through(&pdata) > MOST)
            abort();
        bytes += taken;
        length -= taken;
    }
    return 0;
}
