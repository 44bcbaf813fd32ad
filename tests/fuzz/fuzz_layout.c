/* Where pixels and values lie in a file: whatever the file, what is found lies inside of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/io.h"
#include "dicom/layout.h"
#include "dicom/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_layout(const lam_part10 *file)
{
    lam_layout layout = {.tag = 0};
    if (lam_layout_read(file, &layout, NULL) != LAM_OK)
        return;
    if (layout.offset > file->length || layout.length > file->length - layout.offset || layout.frames < 1)
        abort();
    for (size_t i = 0; i < layout.fragment_count; i++) {
        const lam_fragment *f = &layout.fragments[i];
        if (f->offset > file->length || f->length > file->length - f->offset || f->frame < 0 ||
            f->frame >= layout.frames || (i && f->frame < f[-1].frame))
            abort();
    }
    if (!layout.encapsulated &&
        (uint64_t)layout.frame_bits * (uint64_t)layout.frames > 8 * (uint64_t)layout.length)
        abort();
    lam_layout_done(&layout);
}

static void check_values(const lam_part10 *file)
{
    static const char *const paths[] = {"7FE00010", "00081199/0/00081150", "52009230/1/00209111/0/00209157"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        lam_bytes value = {NULL, 0};
        if (lam_value_find(file, paths[i], &value, NULL) != LAM_OK || value.length == 0)
            continue;
        const unsigned char *at = value.data;
        if (at < file->data || value.length > file->length - (size_t)(at - file->data))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    lam_part10 file;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || lam_io_write_all(fd, bytes, length, NULL) != LAM_OK)
        abort();
    if (lam_part10_open(fd, &file, NULL) == LAM_OK) {
        check_layout(&file);
        check_values(&file);
        lam_part10_close(&file);
    }
    close(fd);
    return 0;
}
