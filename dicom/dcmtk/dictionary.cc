/* dicom/dictionary.h over DCMTK's data dictionary. */
#include "dicom/dictionary.h"

#include <cstring>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdicent.h>
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dctag.h>

#include "dicom/dcmtk/guard.h"

namespace
{
void set_vr(char vr[3], const char *name)
{
    std::memcpy(vr, name, 2);
    vr[2] = '\0';
}

/* DCMTK's internal names of "one of several" (PS3.6 "US or SS", "OB or OW" and so on). */
const char *encoded_name(const DcmVR &vr)
{
    switch (vr.getEVR()) {
    case EVR_xs:
        return "xs";
    case EVR_ox:
    case EVR_px:
    case EVR_lt:
        return "OW";
    default: {
        const char *name = DcmVR(vr.getValidEVR()).getVRName();
        return name && std::strlen(name) == 2 ? name : "UN";
    }
    }
}
} // namespace

extern "C" bool lam_dictionary_vr(uint32_t tag, char vr[3]) noexcept
{
    return lam_guard_value(false, [&] {
        const unsigned group = tag >> 16, element = tag & 0xffff;
        set_vr(vr, "UN");
        if (element == 0) {
            set_vr(vr, "UL");
            return true;
        }
        if (group & 1) {
            if (element >= 0x10 && element <= 0xff)
                set_vr(vr, "LO");
            return false;
        }
        const DcmDataDictionary &dictionary = dcmDataDict.rdlock();
        const DcmDictEntry *entry = dictionary.findEntry(
            DcmTagKey(static_cast<Uint16>(group), static_cast<Uint16>(element)), nullptr);
        if (entry)
            set_vr(vr, encoded_name(entry->getVR()));
        dcmDataDict.rdunlock();
        return entry != nullptr;
    });
}
