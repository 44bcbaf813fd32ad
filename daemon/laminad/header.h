/* A DICOM header as laminad sees it: the DICOM JSON that a worker made of it (LAM_MESSAGE_INDEXED). laminad
 * reads this text, never DICOM (promise 2), and trusts it no further than it checks: UIDs are verified,
 * values have bounded length. */
#ifndef LAMINA_DAEMON_HEADER_H
#define LAMINA_DAEMON_HEADER_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"

typedef struct lam_header {
    char *text;         /* owned: all attributes, see lam_header_metadata; NULL for a result's */
    json_t *root;       /* owned; everything below is borrowed from it */
    json_t *attributes; /* DICOM JSON model, PS3.18 annex F; beside `text` only what laminad looks at */
    const char *study_uid;
    const char *series_uid;
    const char *sop_uid;
    const char *sop_class_uid;
    const char *transfer_syntax_uid;
    int64_t dataset_offset;
} lam_header;

enum { LAM_HEADER_VALUE = 256 };

/* Takes the payload of INDEXED. LAM_E_CORRUPT names what is missing or malformed. */
lam_status lam_header_parse(const char *payload, lam_header *out, lam_error *err);
/* The same from a value that is parsed already; keeps a reference of its own. */
lam_status lam_header_from_json(json_t *indexed, lam_header *out, lam_error *err);
void lam_header_done(lam_header *header);

/* All attributes as the index keeps them: DICOM JSON text, UTF-8, which its (0008,0005) says whatever the
 * object's own character set is. malloc'd; NULL when out of memory. */
char *lam_header_metadata(const lam_header *header);

/* The values of an attribute as text, joined by backslashes, into `text`; NULL when absent or empty. Person
 * names give their alphabetic group. Cut at LAM_HEADER_VALUE - 1 bytes, on a character boundary. */
const char *lam_header_text(const json_t *attributes, const char *tag, char text[LAM_HEADER_VALUE]);

/* The tag ("0008103E") of an attribute keyword that selectors and rules may name, or NULL. */
const char *lam_header_tag(const char *keyword);

#endif
