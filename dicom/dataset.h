/* Data sets in memory: reading, changing and writing what a DICOM object says, by tag. Thin C over DCMTK (in
 * dcmtk/dataset.cc); what the objects mean is decided by its callers.
 *
 * A handle is a whole data set or one item of a sequence in it. Items are borrowed from the whole and live as
 * long as it does. Not thread-safe: one thread at a time for each whole.
 *
 * Setters return nothing: the first failure is kept in the whole and asked for once, with lam_dataset_status.
 * Getters answer "absent" for attributes that are missing, empty, or of another kind. */
#ifndef LAMINA_DICOM_DATASET_H
#define LAMINA_DICOM_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/status.h"
#include "dicom/boundary.h"
#include "dicom/part10.h"
#include "dicom/tag.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_dataset lam_dataset;

/* Once at the start of a process, while it may still open files: loads the data dictionary, registers the
 * decoders, opens the character set converters, reads the time zone, silences DCMTK's own log. */
void lam_dicom_prepare(void) LAM_NOEXCEPT;

/* ---- whole data sets ---- */

lam_status lam_dataset_create(lam_dataset **out, lam_error *err) LAM_NOEXCEPT;

typedef enum lam_dataset_extent {
    LAM_DATASET_HEADER, /* everything before the pixel data */
    LAM_DATASET_WHOLE,
} lam_dataset_extent;

/* Reads the data set of a Part 10 file that is open, or of a descriptor. The bytes are checked by walk.h
 * first: DCMTK sees nothing nested too deep, too long or cut short. Errors: those of lam_walk_check, and
 * LAM_E_INVALID where DCMTK refuses; for a descriptor those of lam_part10_open. */
lam_status lam_dataset_parse(const lam_part10 *file, lam_dataset_extent extent, lam_dataset **out,
                             lam_error *err) LAM_NOEXCEPT;
lam_status lam_dataset_read(int fd, lam_dataset_extent extent, lam_dataset **out,
                            lam_error *err) LAM_NOEXCEPT;
void lam_dataset_free(lam_dataset *dataset) LAM_NOEXCEPT;
LAM_DEFINE_AUTO(lam_dataset, lam_dataset_free)

/* The transfer syntax it was read in; "" for one made here. Borrowed. */
const char *lam_dataset_transfer_syntax(const lam_dataset *dataset) LAM_NOEXCEPT;

/* Writes a Part 10 file from the descriptor's position; LAM_TS_EXPLICIT_LITTLE always works. The same data
 * set gives the same bytes. Errors: LAM_E_INVALID (no SOP class or instance UID), LAM_E_UNSUPPORTED (no
 * encoder for the transfer syntax), the kept failure, LAM_E_IO, LAM_E_NO_SPACE. */
lam_status lam_dataset_write(lam_dataset *dataset, int fd, const char *transfer_syntax,
                             lam_error *err) LAM_NOEXCEPT;

/* The first failure of a setter of this whole, or LAM_OK. */
lam_status lam_dataset_status(const lam_dataset *dataset, lam_error *err) LAM_NOEXCEPT;

/* ---- reading ---- */

bool lam_dataset_has(const lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT; /* there and not empty */

bool lam_dataset_is_present(const lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT; /* there, maybe empty */

/* Bytes of the value; 0 when absent, UINT32_MAX where it is in encapsulated fragments. */
size_t lam_dataset_length(const lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;

/* The first value of an AT attribute; 0 when absent. */
lam_tag lam_dataset_tag(lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;

/* The whole value of a text attribute as encoded, several values with their backslashes, padding removed;
 * `otherwise` when absent. Borrowed until the attribute is changed. */
const char *lam_dataset_text(lam_dataset *dataset, lam_tag tag, const char *otherwise) LAM_NOEXCEPT;
/* Whether that text, "" when absent, is this one. */
static inline bool lam_dataset_is(lam_dataset *dataset, lam_tag tag, const char *text)
{
    return strcmp(lam_dataset_text(dataset, tag, ""), text) == 0;
}

/* Number of values. */
size_t lam_dataset_count(const lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;

/* Value `index` of any numeric attribute (DS IS FL FD US SS UL SL). False, and *out untouched, when absent.
 */
bool lam_dataset_number(lam_dataset *dataset, lam_tag tag, size_t index, double *out) LAM_NOEXCEPT;
bool lam_dataset_integer(lam_dataset *dataset, lam_tag tag, size_t index, int64_t *out) LAM_NOEXCEPT;
/* The same; `otherwise` when absent. */
static inline int64_t lam_dataset_integer_or(lam_dataset *dataset, lam_tag tag, size_t index,
                                             int64_t otherwise)
{
    int64_t value = otherwise;
    lam_dataset_integer(dataset, tag, index, &value);
    return value;
}

/* The values of an attribute of 16 bit words, whatever its representation (OW or US): how many, and one of
 * them. */
size_t lam_dataset_words(const lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;
int64_t lam_dataset_word(const lam_dataset *dataset, lam_tag tag, size_t index) LAM_NOEXCEPT;

/* The bits of an OB or OW attribute, eight in a byte, the first in the lowest (PS3.5 section 8.1.1); *count
 * is how many. NULL when absent. Borrowed until the attribute is changed. */
const unsigned char *lam_dataset_bits(const lam_dataset *dataset, lam_tag tag, size_t *count) LAM_NOEXCEPT;

/* The first `count` values; false when there are fewer or one is not finite. */
bool lam_dataset_numbers(lam_dataset *dataset, lam_tag tag, double *out, size_t count) LAM_NOEXCEPT;

/* Items of a sequence; NULL past the end. */
size_t lam_dataset_items(const lam_dataset *dataset, lam_tag sequence) LAM_NOEXCEPT;
lam_dataset *lam_dataset_item(lam_dataset *dataset, lam_tag sequence, size_t index) LAM_NOEXCEPT;

/* ---- writing ---- */

/* Text in the data set's own character set; NULL or "" writes it empty. */
void lam_dataset_set_text(lam_dataset *dataset, lam_tag tag, const char *text) LAM_NOEXCEPT;

/* Numbers into whatever numeric VR the attribute has; into DS with at most 16 characters (PS3.5 6.2). */
void lam_dataset_set_number(lam_dataset *dataset, lam_tag tag, double number) LAM_NOEXCEPT;
void lam_dataset_set_numbers(lam_dataset *dataset, lam_tag tag, const double *numbers,
                             size_t count) LAM_NOEXCEPT;

/* An AT attribute. */
void lam_dataset_set_tags(lam_dataset *dataset, lam_tag tag, const lam_tag *values,
                          size_t count) LAM_NOEXCEPT;

/* Bytes into an OB attribute, or OW for pixel data of more than 8 bits allocated (set before). More than an
 * attribute holds, 2^32 - 2, are LAM_E_LIMIT, as they are for the two below. */
void lam_dataset_set_bytes(lam_dataset *dataset, lam_tag tag, const void *bytes, size_t length) LAM_NOEXCEPT;

/* The same without a copy: an attribute of `length` bytes, an even number, all 0, for the caller to fill
 * before the data set is changed again or written. NULL after a failure, and the status tells. */
uint8_t *lam_dataset_make_bytes(lam_dataset *dataset, lam_tag tag, size_t length) LAM_NOEXCEPT;

/* Numbers of 32 bits into an OF attribute, copied. */
void lam_dataset_set_floats(lam_dataset *dataset, lam_tag tag, const float *values,
                            size_t count) LAM_NOEXCEPT;

/* A new item at the end of a sequence, which is made if need be. Never NULL: after a failure a spare item
 * takes what is written, and the status tells. */
lam_dataset *lam_dataset_add(lam_dataset *dataset, lam_tag sequence) LAM_NOEXCEPT;

/* An attribute that stays empty (type 2). */
void lam_dataset_set_empty(lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;

/* The attribute exactly as it is written in `from`, sequences included. False and no change when it is not
 * there.
 */
bool lam_dataset_copy(lam_dataset *to, lam_dataset *from, lam_tag tag) LAM_NOEXCEPT;

void lam_dataset_remove(lam_dataset *dataset, lam_tag tag) LAM_NOEXCEPT;

/* ---- pixels ---- */

typedef struct lam_bytes {
    const void *data;
    size_t length;
} lam_bytes;

/* One JPEG or JPEG-LS frame by DCMTK's codecs, for frames.h, which knows where frames are: a code stream in
 * the transfer syntax that `header` was read in, of the shape that its pixel module says but with
 * `bits_allocated` (8 or 16), becomes exactly `length` bytes of native pixels in this machine's byte order.
 * `by_pixel`: the samples of a pixel together, else as Planar Configuration says. `photometric` gets what the
 * samples then are. Errors: LAM_E_UNSUPPORTED naming the transfer syntax, LAM_E_CORRUPT, LAM_E_LIMIT. */
lam_status lam_dataset_decode(lam_dataset *header, lam_bytes stream, int bits_allocated, bool by_pixel,
                              void *bytes, size_t length, char photometric[17], lam_error *err) LAM_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
