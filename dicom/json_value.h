/* Values of one element as DICOM JSON (PS3.18 F.2.2 to F.2.7): the part of the header index that knows value
 * representations. */
#ifndef LAMINA_DICOM_JSON_VALUE_H
#define LAMINA_DICOM_JSON_VALUE_H

#include "core/base/json.h"
#include "dicom/charset.h"
#include "dicom/walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The value representation that is written for an element: the encoded one, the dictionary's where the file
 * says UN, and "US or SS" settled. A static string. */
const char *lam_json_value_vr(const lam_walk_event *element, bool pixels_are_signed);

/* Whether the value is too long to stand in a header (see index.h). */
bool lam_json_value_is_bulk(const lam_walk_event *element, const char *vr);

/* Writes "Value" or "InlineBinary" into the open object; nothing for an empty value. `scratch` is used for
 * conversion and cleared. */
void lam_json_value_write(lam_json_writer *w, const lam_walk_event *element, const char *vr,
                          const lam_charset *charset, lam_buffer *scratch);

#ifdef __cplusplus
}
#endif
#endif
