#include "dicom/transfer_syntax.h"

#include <string.h>

#include "core/base/cleanup.h"

/* Only those that differ from explicit little endian with encapsulated pixels. */
static const struct {
    const char *uid;
    lam_transfer_syntax syntax;
} exceptions[] = {
    {LAM_TS_IMPLICIT_LITTLE, {.explicit_vr = false}},
    {LAM_TS_EXPLICIT_LITTLE, {.explicit_vr = true}},
    {LAM_TS_EXPLICIT_BIG, {.explicit_vr = true, .big_endian = true}},
    {LAM_TS_DEFLATED, {.explicit_vr = true, .deflated = true}},
    {"1.2.840.113619.5.2", {.explicit_vr = false}}, /* GE private: only its pixels are big endian */
    {"1.2.840.10008.1.2.4.94", {.explicit_vr = true}},
    {"1.2.840.10008.1.2.4.95", {.explicit_vr = true, .deflated = true}}, /* JPIP referenced, deflated */
    {"1.2.840.10008.1.2.4.204", {.explicit_vr = true}},
    {"1.2.840.10008.1.2.4.205", {.explicit_vr = true, .deflated = true}},
};

lam_transfer_syntax lam_transfer_syntax_of(const char *uid)
{
    for (size_t i = 0; i < LAM_COUNT(exceptions); i++)
        if (strcmp(uid, exceptions[i].uid) == 0)
            return exceptions[i].syntax;
    return (lam_transfer_syntax){.explicit_vr = true, .encapsulated = true};
}

const char *lam_transfer_syntax_undecoded(const char *uid)
{
    static const struct {
        const char *prefix, *name;
    } codings[] = {
        {"1.2.840.10008.1.2.4.10", "video (MPEG)"}, /* .100 to .108; of fragmentable streams .100.1 */
        {"1.2.840.10008.1.2.4.11", "JPEG XL"},      /* .110 to .112 */
        {"1.2.840.10008.1.2.7", "SMPTE ST 2110"},
    };
    for (size_t i = 0; i < LAM_COUNT(codings); i++)
        if (strncmp(uid, codings[i].prefix, strlen(codings[i].prefix)) == 0)
            return codings[i].name;
    return NULL;
}
