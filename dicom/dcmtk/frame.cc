/* Compressed frames through DCMTK's codecs, words and bits of attributes, and what a process needs once to do
 * either. JPEG 2000 is not among the codecs; where frames lie in a file is not known here (frames.h). */
#include <ctime>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdicent.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
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
        DcmRLEEncoderRegistration::registerCodecs();
        DJDecoderRegistration::registerCodecs();
        DJLSDecoderRegistration::registerCodecs();
        lam_charset_prepare();
        tzset(); /* reads the zone's file; localtime_r then does not */
        return 0;
    });
}

namespace
{
/* The pixel module of a single frame, as the decoders look at it. */
void copy_pixel_module(DcmDataset &to, DcmItem *from, Uint16 allocated, bool by_pixel)
{
    static const DcmTagKey keys[] = {DCM_SOPClassUID,
                                     DCM_SamplesPerPixel,
                                     DCM_PhotometricInterpretation,
                                     DCM_PlanarConfiguration,
                                     DCM_Rows,
                                     DCM_Columns,
                                     DCM_BitsStored,
                                     DCM_HighBit,
                                     DCM_PixelRepresentation};
    for (const DcmTagKey &key : keys) {
        DcmElement *element = nullptr;
        if (from->findAndGetElement(key, element).good())
            to.insert(dynamic_cast<DcmElement *>(element->clone()), OFTrue);
    }
    to.putAndInsertString(DCM_NumberOfFrames, "1");
    Uint16 stored = allocated;
    to.putAndInsertUint16(DCM_BitsAllocated, allocated);
    if (to.findAndGetUint16(DCM_BitsStored, stored).bad() || stored > allocated) {
        to.putAndInsertUint16(DCM_BitsStored, allocated);
        to.putAndInsertUint16(DCM_HighBit, static_cast<Uint16>(allocated - 1));
    }
    if (by_pixel)
        to.putAndInsertUint16(DCM_PlanarConfiguration, 0);
}

lam_status insert_stream(DcmDataset &to, E_TransferSyntax xfer, lam_bytes stream, lam_error *err)
{
    if (stream.length > 0xfffffffe)
        return lam_fail(err, LAM_E_LIMIT, "a compressed frame of %zu bytes", stream.length);
    auto sequence = std::make_unique<DcmPixelSequence>(DcmTag(DCM_PixelData, EVR_OB));
    auto item = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
    OFCondition condition = sequence->insert(new DcmPixelItem(DcmTag(DCM_Item, EVR_OB)));
    if (condition.good())
        condition = item->putUint8Array(static_cast<const Uint8 *>(stream.data),
                                        static_cast<unsigned long>(stream.length));
    if (condition.good())
        condition = sequence->insert(item.release());
    auto pixels = std::make_unique<DcmPixelData>(DCM_PixelData);
    pixels->putOriginalRepresentation(xfer, nullptr, sequence.release());
    if (condition.good())
        condition = to.insert(pixels.release(), OFTrue);
    return lam_condition_status(condition, "cannot take a compressed frame", err);
}

/* `frame` holds one frame and nothing else. */
lam_status decode(lamina::Whole &frame, void *bytes, size_t length, char photometric[17], lam_error *err)
{
    DcmElement *element = nullptr;
    frame.data.findAndGetElement(DCM_PixelData, element);
    auto *pixels = dynamic_cast<DcmPixelData *>(element);
    Uint32 size = 0, fragment = 0;
    if (!pixels || pixels->getUncompressedFrameSize(&frame.data, size).bad())
        return lam_fail(err, LAM_E_INVALID, "the object does not say how large its frames are");
    if (size != length && size != length + 1)
        return lam_fail(err, LAM_E_INVALID, "a frame has %u bytes instead of %zu",
                        static_cast<unsigned>(size), length);
    std::vector<unsigned char> padded(length % 2 ? length + 1 : 0);
    void *into = padded.empty() ? bytes : padded.data();
    OFString colours;
    const OFCondition condition =
        pixels->getUncompressedFrame(&frame.data, 0, fragment, into,
                                     static_cast<Uint32>(padded.empty() ? length : padded.size()), colours);
    if (condition == EC_IllegalCall) /* what the lossless decoder says of a stream that ends early */
        return lam_fail(err, LAM_E_CORRUPT, "a compressed frame is damaged or cut short");
    if (condition == EC_UnsupportedEncoding || condition == EC_CannotChangeRepresentation)
        return lam_fail(err, LAM_E_UNSUPPORTED, "pixel data in transfer syntax %s cannot be decoded (%s)",
                        frame.transfer_syntax.c_str(), condition.text());
    const lam_status status = lam_condition_status(condition, "cannot decode a frame", err);
    if (status != LAM_OK)
        return status;
    if (!padded.empty())
        std::copy_n(padded.begin(), length, static_cast<unsigned char *>(bytes));
    std::snprintf(photometric, 17, "%s", colours.c_str());
    return LAM_OK;
}
} // namespace

extern "C" lam_status lam_dataset_decode(lam_dataset *header, lam_bytes stream, int bits_allocated,
                                         bool by_pixel, void *bytes, size_t length, char photometric[17],
                                         lam_error *err) noexcept
{
    return lam_guard(err, [&] {
        lamina::Whole frame;
        frame.transfer_syntax = header->whole->transfer_syntax;
        const E_TransferSyntax xfer = DcmXfer(frame.transfer_syntax.c_str()).getXfer();
        copy_pixel_module(frame.data, &header->whole->data, static_cast<Uint16>(bits_allocated), by_pixel);
        const lam_status status = insert_stream(frame.data, xfer, stream, err);
        return status == LAM_OK ? decode(frame, bytes, length, photometric, err) : status;
    });
}

/* OB of a lookup table holds words too. */
static const Uint16 *words_of(const lam_dataset *dataset, lam_tag tag, size_t *count)
{
    const Uint16 *words = nullptr;
    unsigned long found = 0;
    *count = 0;
    if (dataset->item
            ->findAndGetUint16Array(DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag)),
                                    words, &found)
            .good() &&
        words)
        *count = found;
    return words;
}

extern "C" const unsigned char *lam_dataset_bits(const lam_dataset *dataset, lam_tag tag,
                                                 size_t *count) noexcept
{
    return lam_guard_value<const unsigned char *>(nullptr, [&]() -> const unsigned char * {
        size_t words = 0;
        const Uint8 *bytes = reinterpret_cast<const Uint8 *>(words_of(dataset, tag, &words));
        unsigned long length = 2 * words; /* in this machine's order, which is little endian */
        if (!bytes)
            dataset->item->findAndGetUint8Array(
                DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag)), bytes, &length);
        *count = bytes ? 8 * static_cast<size_t>(length) : 0;
        return bytes;
    });
}

extern "C" size_t lam_dataset_words(const lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value<size_t>(0, [&] {
        size_t count = 0;
        words_of(dataset, tag, &count);
        return count;
    });
}

extern "C" int64_t lam_dataset_word(const lam_dataset *dataset, lam_tag tag, size_t index) noexcept
{
    return lam_guard_value<int64_t>(0, [&] {
        size_t count = 0;
        const Uint16 *words = words_of(dataset, tag, &count);
        return index < count ? static_cast<int64_t>(words[index]) : 0;
    });
}
