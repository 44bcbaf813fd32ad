/* lam_dataset over DCMTK: reading, writing and the values between. Pixel data are in frame.cc. */
#include "dicom/dataset.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmf.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcvrat.h>

#include "core/base/io.h"
#include "dicom/dcmtk/dataset_handle.h"
#include "dicom/dcmtk/guard.h"
#include "dicom/file_meta.h"
#include "dicom/j2k.h"
#include "dicom/part10.h"
#include "dicom/walk.h"

namespace
{
/* Of a value with a length of 32 bits, which is even and not that of undefined length (PS3.5 section 7.1.1).
 */
constexpr size_t MOST_BYTES = 0xfffffffe;

DcmTagKey key_of(lam_tag tag)
{
    return DcmTagKey(static_cast<Uint16>(tag >> 16), static_cast<Uint16>(tag & 0xffff));
}

/* NULL when it is not there. */
DcmElement *find(const lam_dataset *dataset, lam_tag tag)
{
    DcmElement *element = nullptr;
    return dataset->item->findAndGetElement(key_of(tag), element).good() ? element : nullptr;
}

/* Runs a setter; what goes wrong is kept by the whole, the first one only. */
template <typename Body> void change(lam_dataset *dataset, lam_tag tag, Body body) noexcept
{
    lam_error *kept = &dataset->whole->failure;
    lam_error err{};
    const lam_status status = lam_guard(&err, [&] {
        char what[48];
        std::snprintf(what, sizeof what, "cannot set (%04x,%04x)", LAM_TAG_ARGS(tag));
        return lam_condition_status(body(), what, &err);
    });
    if (status != LAM_OK && kept->status == LAM_OK)
        *kept = err;
}

/* What DCMTK 3.6.7 has not heard of, and is encoded as every encapsulated transfer syntax is. */
bool is_younger(const char *transfer_syntax)
{
    return lam_j2k_is(transfer_syntax) || std::strcmp(transfer_syntax, LAM_TS_UNCOMPRESSED) == 0 ||
           std::strcmp(transfer_syntax, LAM_TS_DEFLATED_FRAMES) == 0;
}

lam_status read_checked(const lam_part10 &file, lam_dataset_extent extent, lam_dataset **out, lam_error *err)
{
    size_t length = 0;
    lam_status status =
        lam_walk_check(file.data, file.length, file.syntax, extent == LAM_DATASET_WHOLE, &length, err);
    if (status != LAM_OK)
        return status;
    DcmXfer xfer(file.meta.transfer_syntax);
    if (file.syntax.deflated) /* it is inflated already */
        xfer = DcmXfer(EXS_LittleEndianExplicit);
    else if (is_younger(file.meta.transfer_syntax))
        xfer = DcmXfer(EXS_JPEG2000);
    if (xfer.getXfer() == EXS_Unknown)
        return lam_fail(err, LAM_E_UNSUPPORTED, "transfer syntax %s is not known", file.meta.transfer_syntax);

    auto whole = std::make_unique<lamina::Whole>();
    whole->transfer_syntax = file.meta.transfer_syntax;
    DcmInputBufferStream stream;
    stream.setBuffer(file.data, static_cast<offile_off_t>(length));
    stream.setEos();
    whole->data.transferInit();
    const OFCondition condition = whole->data.read(stream, xfer.getXfer(), EGL_noChange);
    whole->data.transferEnd();
    status = lam_condition_status(condition, "cannot read the data set", err);
    if (status == LAM_OK)
        *out = &whole.release()->top;
    return status;
}

/* A decimal string of at most 16 characters (PS3.5 table 6.2-1), the shortest that reads back the same,
 * without an exponent where there is room; else the most precise that fits. */
void format_decimal(double number, char text[40])
{
    char best[40] = "0";
    bool exact = false;
    for (int digits = 1; digits <= 17; digits++) {
        std::snprintf(text, 40, "%.*g", digits, number);
        if (std::strlen(text) > 16)
            continue;
        const bool plain = std::strchr(text, 'e') == nullptr;
        if (!exact || plain)
            std::memcpy(best, text, sizeof best);
        exact = std::strtod(text, nullptr) == number;
        if (exact && plain)
            break;
    }
    std::memcpy(text, best, sizeof best);
}

bool number_at(DcmElement *element, unsigned long index, double *out)
{
    Float64 f64 = 0;
    Float32 f32 = 0;
    Sint32 s32 = 0;
    Uint32 u32 = 0;
    Sint16 s16 = 0;
    Uint16 u16 = 0;
    switch (element->getVR()) {
    case EVR_DS:
    case EVR_FD:
        return element->getFloat64(f64, index).good() && (*out = f64, true);
    case EVR_FL:
        return element->getFloat32(f32, index).good() && (*out = static_cast<double>(f32), true);
    case EVR_IS:
    case EVR_SL:
        return element->getSint32(s32, index).good() && (*out = s32, true);
    case EVR_UL:
        return element->getUint32(u32, index).good() && (*out = u32, true);
    case EVR_SS:
        return element->getSint16(s16, index).good() && (*out = s16, true);
    case EVR_US:
    case EVR_xs:
        return element->getUint16(u16, index).good() && (*out = u16, true);
    default:
        return false;
    }
}

OFCondition put_numbers(DcmElement *element, const double *numbers, size_t count)
{
    std::string decimals;
    OFCondition condition = EC_Normal;
    for (size_t i = 0; i < count && condition.good(); i++) {
        const double v = numbers[i];
        const auto at = static_cast<unsigned long>(i);
        char text[40];
        if (!std::isfinite(v))
            return EC_InvalidValue;
        switch (element->getVR()) {
        case EVR_DS:
            format_decimal(v, text);
            decimals += (i ? "\\" : "") + std::string(text);
            break;
        case EVR_IS:
            std::snprintf(text, sizeof text, "%.0f", v);
            decimals += (i ? "\\" : "") + std::string(text);
            break;
        case EVR_FD:
            condition = element->putFloat64(v, at);
            break;
        case EVR_FL:
            condition = element->putFloat32(static_cast<Float32>(v), at);
            break;
        case EVR_UL:
            condition = element->putUint32(static_cast<Uint32>(v), at);
            break;
        case EVR_SL:
            condition = element->putSint32(static_cast<Sint32>(v), at);
            break;
        case EVR_SS:
            condition = element->putSint16(static_cast<Sint16>(v), at);
            break;
        case EVR_US:
        case EVR_xs:
            condition = element->putUint16(static_cast<Uint16>(v), at);
            break;
        default:
            condition = EC_InvalidVR;
        }
    }
    if (condition.good() && (element->getVR() == EVR_DS || element->getVR() == EVR_IS))
        condition = element->putOFStringArray(OFString(decimals.c_str()));
    return condition;
}

/* Takes the element, also when it fails. */
OFCondition insert_new(lam_dataset *dataset, DcmElement *element)
{
    const OFCondition condition = dataset->item->insert(element, OFTrue);
    if (condition.bad())
        delete element;
    return condition;
}
} // namespace

/* ---- whole data sets ---- */

extern "C" lam_status lam_dataset_create(lam_dataset **out, lam_error *err) noexcept
{
    return lam_guard(err, [&] {
        *out = &std::make_unique<lamina::Whole>().release()->top;
        return LAM_OK;
    });
}

extern "C" lam_status lam_dataset_parse(const lam_part10 *file, lam_dataset_extent extent, lam_dataset **out,
                                        lam_error *err) noexcept
{
    return lam_guard(err, [&] { return read_checked(*file, extent, out, err); });
}

extern "C" lam_status lam_dataset_read(int fd, lam_dataset_extent extent, lam_dataset **out,
                                       lam_error *err) noexcept
{
    lam_part10 file;
    lam_status status = lam_part10_open(fd, &file, err);
    if (status != LAM_OK)
        return status;
    status = lam_dataset_parse(&file, extent, out, err);
    lam_part10_close(&file);
    return status;
}

extern "C" void lam_dataset_free(lam_dataset *dataset) noexcept
{
    if (dataset)
        delete dataset->whole;
}

extern "C" const char *lam_dataset_transfer_syntax(const lam_dataset *dataset) noexcept
{
    return dataset->whole->transfer_syntax.c_str();
}

extern "C" lam_status lam_dataset_status(const lam_dataset *dataset, lam_error *err) noexcept
{
    const lam_error &kept = dataset->whole->failure;
    return kept.status == LAM_OK ? LAM_OK : lam_fail(err, kept.status, "%s", kept.message);
}

static lam_status write_data(lamina::Whole *whole, int fd, E_TransferSyntax xfer, lam_error *err)
{
    const int copy = dup(fd);
    FILE *file = copy < 0 ? nullptr : fdopen(copy, "wb");
    if (!file) {
        if (copy >= 0)
            close(copy);
        return lam_fail_errno(err, errno, "cannot write the object");
    }
    DcmOutputFileStream stream(file); /* closes it */
    errno = 0;
    whole->data.transferInit();
    OFCondition condition =
        whole->data.write(stream, xfer, EET_ExplicitLength, nullptr, EGL_withoutGL, EPD_withoutPadding);
    whole->data.transferEnd();
    if (condition.good())
        condition = stream.status();
    /* DCMTK has one condition for a full disk and for an object that makes no sense; the file knows. */
    if (ferror(file) || (condition.good() && fflush(file) != 0))
        return lam_fail_errno(err, errno ? errno : EIO, "cannot write the object");
    return lam_condition_status(condition, "cannot write the object", err);
}

extern "C" lam_status lam_dataset_write(lam_dataset *dataset, int fd, const char *transfer_syntax,
                                        lam_error *err) noexcept
{
    lam_status status = lam_dataset_status(dataset, err);
    if (status != LAM_OK)
        return status;
    return lam_guard(err, [&] {
        lamina::Whole *whole = dataset->whole;
        lam_file_meta meta{};
        std::snprintf(meta.sop_class, sizeof meta.sop_class, "%s",
                      lam_dataset_text(&whole->top, LAM_TAG_SOP_CLASS, ""));
        std::snprintf(meta.sop_instance, sizeof meta.sop_instance, "%s",
                      lam_dataset_text(&whole->top, LAM_TAG_SOP_INSTANCE, ""));
        std::snprintf(meta.transfer_syntax, sizeof meta.transfer_syntax, "%s", transfer_syntax);
        if (!lam_uid_is_valid(meta.sop_class) || !lam_uid_is_valid(meta.sop_instance))
            return lam_fail(err, LAM_E_INVALID, "the object has no valid SOP class or instance UID");
        const E_TransferSyntax xfer = DcmXfer(transfer_syntax).getXfer();
        if (xfer == EXS_Unknown || xfer == EXS_DeflatedLittleEndianExplicit ||
            whole->data.chooseRepresentation(xfer, nullptr).bad() || !whole->data.canWriteXfer(xfer))
            return lam_fail(err, LAM_E_UNSUPPORTED, "cannot write transfer syntax %s", transfer_syntax);
        uint8_t head[LAM_FILE_META_MAX_BYTES];
        const lam_status written = lam_io_write_all(fd, head, lam_file_meta_write(&meta, head), err);
        return written == LAM_OK ? write_data(whole, fd, xfer, err) : written;
    });
}

/* ---- reading ---- */

extern "C" bool lam_dataset_has(const lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value(false, [&] {
        DcmElement *element = find(dataset, tag);
        return element && !element->isEmpty();
    });
}

extern "C" bool lam_dataset_is_present(const lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value(false, [&] { return find(dataset, tag) != nullptr; });
}

extern "C" size_t lam_dataset_length(const lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value<size_t>(0, [&]() -> size_t {
        DcmElement *element = find(dataset, tag);
        return element ? element->getLength() : 0;
    });
}

extern "C" lam_tag lam_dataset_tag(lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value<lam_tag>(0, [&]() -> lam_tag {
        auto *element = dynamic_cast<DcmAttributeTag *>(find(dataset, tag));
        DcmTagKey value;
        return element && element->getTagVal(value, 0).good() ? LAM_TAG(value.getGroup(), value.getElement())
                                                              : 0;
    });
}

extern "C" const char *lam_dataset_text(lam_dataset *dataset, lam_tag tag, const char *otherwise) noexcept
{
    return lam_guard_value(otherwise, [&]() -> const char * {
        DcmElement *element = find(dataset, tag);
        char *text = nullptr;
        if (!element || !element->isaString() || element->getString(text).bad() || !text || !*text)
            return otherwise;
        return text;
    });
}

extern "C" size_t lam_dataset_count(const lam_dataset *dataset, lam_tag tag) noexcept
{
    return lam_guard_value<size_t>(0, [&]() -> size_t {
        DcmElement *element = find(dataset, tag);
        return element ? element->getNumberOfValues() : 0;
    });
}

extern "C" bool lam_dataset_number(lam_dataset *dataset, lam_tag tag, size_t index, double *out) noexcept
{
    return lam_guard_value(false, [&] {
        DcmElement *element = find(dataset, tag);
        return element && index < element->getNumberOfValues() &&
               number_at(element, static_cast<unsigned long>(index), out);
    });
}

extern "C" bool lam_dataset_integer(lam_dataset *dataset, lam_tag tag, size_t index, int64_t *out) noexcept
{
    double number = 0;
    if (!lam_dataset_number(dataset, tag, index, &number) || !(std::fabs(number) < 9e15) ||
        number != std::floor(number))
        return false;
    *out = static_cast<int64_t>(number);
    return true;
}

extern "C" bool lam_dataset_numbers(lam_dataset *dataset, lam_tag tag, double *out, size_t count) noexcept
{
    return lam_guard_value(false, [&] {
        DcmElement *element = find(dataset, tag);
        std::vector<double> values(count);
        if (!element || element->getNumberOfValues() < count)
            return false;
        for (size_t i = 0; i < count; i++)
            if (!number_at(element, static_cast<unsigned long>(i), &values[i]) || !std::isfinite(values[i]))
                return false;
        std::copy(values.begin(), values.end(), out);
        return true;
    });
}

extern "C" size_t lam_dataset_items(const lam_dataset *dataset, lam_tag sequence) noexcept
{
    return lam_guard_value<size_t>(0, [&]() -> size_t {
        auto *found = dynamic_cast<DcmSequenceOfItems *>(find(dataset, sequence));
        return found ? found->card() : 0;
    });
}

extern "C" lam_dataset *lam_dataset_item(lam_dataset *dataset, lam_tag sequence, size_t index) noexcept
{
    return lam_guard_value<lam_dataset *>(nullptr, [&]() -> lam_dataset * {
        auto *found = dynamic_cast<DcmSequenceOfItems *>(find(dataset, sequence));
        if (!found || index >= found->card())
            return nullptr;
        return dataset->whole->handle_of(found->getItem(static_cast<unsigned long>(index)));
    });
}

/* ---- writing ---- */

extern "C" void lam_dataset_set_text(lam_dataset *dataset, lam_tag tag, const char *text) noexcept
{
    change(dataset, tag, [&] {
        DcmElement *element = nullptr;
        OFCondition condition = DcmItem::newDicomElement(element, DcmTag(key_of(tag)));
        if (condition.good())
            condition = element->putString(text ? text : "");
        if (condition.bad()) {
            delete element;
            return condition;
        }
        return insert_new(dataset, element);
    });
}

extern "C" void lam_dataset_set_number(lam_dataset *dataset, lam_tag tag, double number) noexcept
{
    lam_dataset_set_numbers(dataset, tag, &number, 1);
}

extern "C" void lam_dataset_set_numbers(lam_dataset *dataset, lam_tag tag, const double *numbers,
                                        size_t count) noexcept
{
    change(dataset, tag, [&] {
        DcmElement *element = nullptr;
        OFCondition condition = DcmItem::newDicomElement(element, DcmTag(key_of(tag)));
        if (condition.good())
            condition = put_numbers(element, numbers, count);
        if (condition.bad()) {
            delete element;
            return condition;
        }
        return insert_new(dataset, element);
    });
}

extern "C" void lam_dataset_set_tags(lam_dataset *dataset, lam_tag tag, const lam_tag *values,
                                     size_t count) noexcept
{
    change(dataset, tag, [&] {
        auto element = std::make_unique<DcmAttributeTag>(DcmTag(key_of(tag)));
        OFCondition condition = EC_Normal;
        for (size_t i = 0; i < count && condition.good(); i++)
            condition = element->putTagVal(key_of(values[i]), static_cast<unsigned long>(i));
        return condition.good() ? insert_new(dataset, element.release()) : condition;
    });
}

/* Memory of the new element, for the caller to fill; NULL after a failure. */
static Uint8 *make_bytes(lam_dataset *dataset, lam_tag tag, size_t length) noexcept
{
    Uint8 *into = nullptr;
    change(dataset, tag, [&] {
        DcmElement *element = nullptr;
        if (length > MOST_BYTES)
            return OFCondition(EC_TooManyBytesRequested);
        OFCondition condition = DcmItem::newDicomElement(element, DcmTag(key_of(tag)));
        if (condition.good() && tag == LAM_TAG_PIXELS && length % 2 == 0 && lamina::words(dataset->item)) {
            element->setVR(EVR_OW);
            Uint16 *word = nullptr;
            condition = element->createUint16Array(static_cast<Uint32>(length / 2), word);
            into = reinterpret_cast<Uint8 *>(word);
        } else if (condition.good()) {
            element->setVR(EVR_OB);
            condition = element->createUint8Array(static_cast<Uint32>(length), into);
        }
        if (condition.bad()) {
            delete element;
            return condition;
        }
        condition = insert_new(dataset, element);
        into = condition.good() ? into : nullptr;
        return condition;
    });
    return dataset->whole->failure.status == LAM_OK ? into : nullptr;
}

extern "C" uint8_t *lam_dataset_make_bytes(lam_dataset *dataset, lam_tag tag, size_t length) noexcept
{
    Uint8 *into = make_bytes(dataset, tag, length);
    if (into)
        std::memset(into, 0, length);
    return into;
}

extern "C" void lam_dataset_set_bytes(lam_dataset *dataset, lam_tag tag, const void *bytes,
                                      size_t length) noexcept
{
    Uint8 *into = make_bytes(dataset, tag, length);
    if (into && length > 0)
        std::memcpy(into, bytes, length);
}

extern "C" void lam_dataset_set_floats(lam_dataset *dataset, lam_tag tag, const float *values,
                                       size_t count) noexcept
{
    change(dataset, tag, [&] {
        DcmElement *element = nullptr;
        if (count > MOST_BYTES / sizeof *values)
            return OFCondition(EC_TooManyBytesRequested);
        OFCondition condition = DcmItem::newDicomElement(element, DcmTag(key_of(tag)));
        if (condition.good())
            condition = element->putFloat32Array(values, static_cast<unsigned long>(count));
        if (condition.bad()) {
            delete element;
            return condition;
        }
        return insert_new(dataset, element);
    });
}

extern "C" lam_dataset *lam_dataset_add(lam_dataset *dataset, lam_tag sequence) noexcept
{
    lamina::Whole *whole = dataset->whole;
    lam_dataset *handle = nullptr;
    change(dataset, sequence, [&] {
        DcmItem *item = nullptr;
        const OFCondition condition =
            dataset->item->findOrCreateSequenceItem(DcmTag(key_of(sequence)), item, -2);
        if (condition.good())
            handle = whole->handle_of(item);
        return condition;
    });
    return handle ? handle : &whole->spare;
}

extern "C" void lam_dataset_set_empty(lam_dataset *dataset, lam_tag tag) noexcept
{
    change(dataset, tag, [&] { return dataset->item->insertEmptyElement(DcmTag(key_of(tag)), OFTrue); });
}

extern "C" bool lam_dataset_copy(lam_dataset *to, lam_dataset *from, lam_tag tag) noexcept
{
    DcmElement *element = lam_guard_value<DcmElement *>(nullptr, [&] { return find(from, tag); });
    if (!element)
        return false;
    change(to, tag, [&] { return insert_new(to, static_cast<DcmElement *>(element->clone())); });
    return true;
}

extern "C" void lam_dataset_remove(lam_dataset *dataset, lam_tag tag) noexcept
{
    lam_guard_value(0, [&] {
        dataset->item->findAndDeleteElement(key_of(tag));
        return 0;
    });
}
