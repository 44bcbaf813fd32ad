#include "dicom/sop_class.h"

#include <stddef.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/uid.h"

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool lam_sop_class_is_storage(const char *uid)
{
    /* All storage classes but these were given numbers under one arc. The rest of that arc's neighbours are
     * services, or objects of no patient (hanging protocols, palettes, implant templates). */
    static const char *const others[] = {
        "1.2.840.10008.5.1.1.27",    /* Stored Print (retired) */
        "1.2.840.10008.5.1.1.29",    /* Hardcopy Grayscale Image (retired) */
        "1.2.840.10008.5.1.1.30",    /* Hardcopy Color Image (retired) */
        "1.2.840.10008.5.1.4.34.1",  /* RT Beams Delivery Instruction, trial (retired) */
        "1.2.840.10008.5.1.4.34.7",  /* RT Beams Delivery Instruction */
        "1.2.840.10008.5.1.4.34.10", /* RT Brachy Application Setup Delivery Instruction */
    };
    if (starts_with(uid, "1.2.840.10008.5.1.4.1.1."))
        return lam_uid_is_valid(uid);
    for (size_t i = 0; i < LAM_COUNT(others); i++)
        if (strcmp(uid, others[i]) == 0)
            return true;
    return false;
}

bool lam_sop_class_is_private(const char *uid)
{
    return lam_uid_is_valid(uid) && !starts_with(uid, "1.2.840.10008.");
}

bool lam_transfer_syntax_is_storable(const char *uid)
{
    /* 1.2.6: MIME and XML encodings, 1.2.7: live video over RTP; neither is a file. */
    if (starts_with(uid, "1.2.840.10008.1.2.6") || starts_with(uid, "1.2.840.10008.1.2.7"))
        return false;
    return strcmp(uid, "1.2.840.10008.1.2") == 0 ||
           (starts_with(uid, "1.2.840.10008.1.2.") && lam_uid_is_valid(uid));
}
