/* Decoded frames of a lam_dataset, and what a process needs once to decode at all. JPEG 2000 is not among
 * DCMTK's codecs. */
#include <ctime>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdicent.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

#include "dicom/charset.h"
#include "dicom/dcmtk/dataset_handle.h"
#include "dicom/dcmtk/guard.h"

/* What the standard has named since this DCMTK. */
static void add_younger_attributes()
{
    auto entry = std::make_unique<DcmDictEntry>(0x0008, 0x001c, EVR_CS, "SyntheticData", 1, 1, "DICOM",
                                                OFTrue, nullptr);
    dcmDataDict.wrlock().addEntry(entry.release());
    dcmDataDict.wrunlock();
}

extern "C" void lam_dicom_prepare(void) noexcept
{
    lam_guard_value(0, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        add_younger_attributes();
        DcmRLEDecoderRegistration::registerCodecs();
        DcmRLEEncoderRegistration::registerCodecs();
        DJDecoderRegistration::registerCodecs();
        DJLSDecoderRegistration::registerCodecs();
        lam_charset_prepare();
        tzset(); /* reads the zone's file; localtime_r then does not */
        return 0;
    });
}

static lam_status decode(lamina::Whole *whole, size_t frame, void *bytes, size_t length, char photometric[17],
                         lam_error *err)
{
    DcmElement *element = nullptr;
    if (whole->data.findAndGetElement(DCM_PixelData, element).bad())
        return lam_fail(err, LAM_E_INVALID, "the object has no pixel data");
    auto *pixels = dynamic_cast<DcmPixelData *>(element);
    Uint32 size = 0;
    if (!pixels || pixels->getUncompressedFrameSize(&whole->data, size).bad())
        return lam_fail(err, LAM_E_INVALID, "the object does not say how large its frames are");
    if (size != length && size != length + 1)
        return lam_fail(err, LAM_E_INVALID, "a frame has %u bytes instead of %zu",
                        static_cast<unsigned>(size), length);
    std::vector<unsigned char> padded(length % 2 ? length + 1 : 0);
    void *into = padded.empty() ? bytes : padded.data();
    Uint32 fragment = frame == whole->next_frame ? whole->next_fragment : 0;
    OFString colours;
    const OFCondition condition =
        pixels->getUncompressedFrame(&whole->data, static_cast<Uint32>(frame), fragment, into,
                                     static_cast<Uint32>(padded.empty() ? length : padded.size()), colours);
    if (condition == EC_UnsupportedEncoding || condition == EC_CannotChangeRepresentation ||
        condition == EC_IllegalCall)
        return lam_fail(err, LAM_E_UNSUPPORTED, "pixel data in transfer syntax %s cannot be decoded (%s)",
                        whole->transfer_syntax.c_str(), condition.text());
    const lam_status status = lam_condition_status(condition, "cannot decode a frame", err);
    if (status != LAM_OK)
        return status;
    whole->next_frame = frame + 1;
    whole->next_fragment = fragment;
    if (!padded.empty())
        std::copy_n(padded.begin(), length, static_cast<unsigned char *>(bytes));
    std::snprintf(photometric, 17, "%s", colours.c_str());
    return LAM_OK;
}

extern "C" lam_status lam_dataset_frame(lam_dataset *dataset, size_t frame, void *bytes, size_t length,
                                        char photometric[17], lam_error *err) noexcept
{
    return lam_guard(err, [&] { return decode(dataset->whole, frame, bytes, length, photometric, err); });
}
