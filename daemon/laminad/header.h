/* A DICOM header as laminad sees it: the DICOM JSON that a worker made of it (LAM_MESSAGE_INDEXED). laminad
 * reads this text, never DICOM (promise 2), and trusts it no further than it checks: UIDs are verified,
 * values have bounded length. */
#ifndef LAMINA_DAEMON_HEADER_H
#define LAMINA_DAEMON_HEADER_H

#include <jansson.h>
#include <stdint.h>

#include "api/backend.h"
#include "core/base/cleanup.h"
#include "core/base/json_scan.h"
#include "core/base/status.h"
#include "core/base/uid.h"

/* An attribute that laminad looks at, where it lies in the text. */
typedef struct lam_header_member {
    uint32_t tag;
    lam_json_span value; /* {"vr":…,"Value":[…]} */
} lam_header_member;

typedef struct lam_header {
    char *text; /* owned: all attributes as the index keeps them: DICOM JSON model (PS3.18 annex F) in UTF-8,
                   which its (0008,0005) says whatever the object's own character set is */
    char *pixels;               /* owned: where the frames lie, as LAYOUT; NULL: not known */
    lam_header_member *members; /* owned; in the order of the text */
    size_t member_count;
    char study_uid[LAM_UID_TEXT], series_uid[LAM_UID_TEXT], sop_uid[LAM_UID_TEXT];
    char sop_class_uid[LAM_UID_TEXT], transfer_syntax_uid[LAM_UID_TEXT];
    int64_t dataset_offset;
} lam_header;

enum { LAM_HEADER_VALUE = 256 };

/* Takes the payload of INDEXED. LAM_E_CORRUPT names what is missing or malformed. */
lam_status lam_header_parse(const char *payload, lam_header *out, lam_error *err);
/* The same from a value that is parsed already. */
lam_status lam_header_from_json(const json_t *indexed, lam_header *out, lam_error *err);
void lam_header_done(lam_header *header);

/* One of the attributes that laminad looks at (lam_attribute_of_tag, and all of the patient), parsed; the
 * reference is the caller's. NULL when absent, too long to be searched, or out of memory. */
json_t *lam_header_attribute(const lam_header *header, uint32_t tag);

/* Those of one level as JSON text, in the same order; malloc'd, NULL when out of memory. */
char *lam_header_pick(const lam_header *header, lam_level level);

/* The values of an attribute as text, joined by backslashes, into `text`; NULL when absent or empty. Person
 * names give their alphabetic group. Cut at LAM_HEADER_VALUE - 1 bytes, on a character boundary. */
const char *lam_header_value(const json_t *attribute, char text[LAM_HEADER_VALUE]);
/* The same for the attribute `tag` ("0008103E") of an object of attributes. */
const char *lam_header_text(const json_t *attributes, const char *tag, char text[LAM_HEADER_VALUE]);

/* The tag ("0008103E") of an attribute keyword that selectors and rules may name, or NULL. */
const char *lam_header_tag(const char *keyword);

#endif
