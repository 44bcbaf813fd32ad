#include "dicom/file_meta.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/bytes.h"
#include "dicom/implementation.h"

enum { PREAMBLE = 128, PREFIX_END = 132, SHORT_HEAD = 8, LONG_HEAD = 12 };

static const struct {
    uint16_t element; /* (0002,element) */
    size_t offset;
} uids[] = {
    {0x0002, offsetof(lam_file_meta, sop_class)},
    {0x0003, offsetof(lam_file_meta, sop_instance)},
    {0x0010, offsetof(lam_file_meta, transfer_syntax)},
};

/* Explicit VRs whose length has four bytes after two reserved ones (PS3.5 section 7.1.2). */
static bool has_long_length(const uint8_t *vr)
{
    static const char names[][3] = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                    "SV", "UC", "UN", "UR", "UT", "UV"};
    for (size_t i = 0; i < LAM_COUNT(names); i++)
        if (memcmp(vr, names[i], 2) == 0)
            return true;
    return false;
}

/* One element at `offset`: its head read, its value kept only if it is one of ours. */
static lam_status read_element(int fd, uint64_t size, uint64_t *offset, lam_file_meta *out, bool *done,
                               lam_error *err)
{
    uint8_t head[LONG_HEAD] = {0};
    uint64_t left = size - *offset;
    if (left < SHORT_HEAD) {
        *done = true;
        return LAM_OK;
    }
    lam_status status =
        lam_io_pread_all(fd, head, left < LONG_HEAD ? SHORT_HEAD : LONG_HEAD, (int64_t)*offset, err);
    if (status != LAM_OK)
        return status;
    if (lam_le16(head) != 0x0002) {
        *done = true;
        return LAM_OK;
    }
    bool is_long = has_long_length(head + 4);
    uint64_t head_size = is_long ? LONG_HEAD : SHORT_HEAD,
             length = is_long ? lam_le32(head + 8) : lam_le16(head + 6);
    if (left < head_size || left - head_size < length)
        return lam_fail(err, LAM_E_INVALID, "meta element (0002,%04x) reaches past the end of the file",
                        lam_le16(head + 2));
    for (size_t i = 0; i < LAM_COUNT(uids); i++) {
        if (uids[i].element != lam_le16(head + 2))
            continue;
        char *uid = (char *)out + uids[i].offset;
        if (length > LAM_UID_TEXT - 1)
            return lam_fail(err, LAM_E_INVALID, "meta element (0002,%04x) is not a UID", uids[i].element);
        status = lam_io_pread_all(fd, uid, length, (int64_t)(*offset + head_size), err);
        if (status != LAM_OK)
            return status;
        while (length && (uid[length - 1] == ' ' || uid[length - 1] == '\0'))
            length--;
        memset(uid + length, 0, LAM_UID_TEXT - length);
        length = is_long ? lam_le32(head + 8) : lam_le16(head + 6);
    }
    *offset += head_size + length;
    return LAM_OK;
}

lam_status lam_file_meta_read(int fd, lam_file_meta *out, uint64_t *offset, lam_error *err)
{
    struct stat info;
    char prefix[4];
    if (fstat(fd, &info) < 0)
        return lam_fail_errno(err, errno, "cannot stat");
    uint64_t size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    if (size < PREFIX_END || lam_io_pread_all(fd, prefix, sizeof prefix, PREAMBLE, NULL) != LAM_OK ||
        memcmp(prefix, "DICM", sizeof prefix) != 0)
        return lam_fail(err, LAM_E_INVALID, "not a DICOM file: no DICM prefix at byte 128");
    lam_file_meta meta = {0};
    uint64_t at = PREFIX_END;
    for (bool done = false; !done;) {
        lam_status status = read_element(fd, size, &at, &meta, &done, err);
        if (status != LAM_OK)
            return status;
        if (at > LAM_FILE_META_MAX_READ)
            return lam_fail(err, LAM_E_LIMIT, "more than %d bytes of file meta information",
                            LAM_FILE_META_MAX_READ);
    }
    for (size_t i = 0; i < LAM_COUNT(uids); i++)
        if (!lam_uid_is_valid((const char *)&meta + uids[i].offset))
            return lam_fail(err, LAM_E_INVALID, "file meta information has no valid (0002,%04x)",
                            uids[i].element);
    *out = meta;
    *offset = at;
    return LAM_OK;
}

static uint8_t *put(uint8_t *at, uint16_t element, const char *vr, const char *text)
{
    size_t length = strlen(text), padded = length + length % 2;
    const uint8_t head[SHORT_HEAD] = {
        2, 0, (uint8_t)element, 0, (uint8_t)vr[0], (uint8_t)vr[1], (uint8_t)padded};
    memcpy(at, head, sizeof head);
    memcpy(at + SHORT_HEAD, text, length);
    if (padded > length)
        at[SHORT_HEAD + length] = vr[0] == 'U' ? '\0' : ' ';
    return at + SHORT_HEAD + padded;
}

size_t lam_file_meta_write(const lam_file_meta *meta, uint8_t out[LAM_FILE_META_MAX_BYTES])
{
    /* The group length, whose value follows at the end, and version 00 01 (PS3.10 table 7.1-1). */
    static const uint8_t start[] = {2, 0, 0, 0,   'U', 'L', 4, 0, 0, 0, 0, 0, 2,
                                    0, 1, 0, 'O', 'B', 0,   0, 2, 0, 0, 0, 0, 1};
    enum { GROUP_LENGTH_END = 12 };
    memset(out, 0, PREAMBLE);
    memcpy(out + PREAMBLE, "DICM", 4);
    memcpy(out + PREFIX_END, start, sizeof start);
    uint8_t *at = out + PREFIX_END + sizeof start;
    at = put(at, 0x0002, "UI", meta->sop_class);
    at = put(at, 0x0003, "UI", meta->sop_instance);
    at = put(at, 0x0010, "UI", meta->transfer_syntax);
    at = put(at, 0x0012, "UI", LAM_IMPLEMENTATION_CLASS_UID);
    at = put(at, 0x0013, "SH", LAM_IMPLEMENTATION_VERSION);
    size_t length = (size_t)(at - out) - PREFIX_END - GROUP_LENGTH_END;
    out[PREFIX_END + 8] = (uint8_t)length;
    out[PREFIX_END + 9] = (uint8_t)(length >> 8);
    return (size_t)(at - out);
}
