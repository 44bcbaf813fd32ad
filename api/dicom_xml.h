/* DICOM JSON (PS3.18 annex F) as XML in the Native DICOM Model (PS3.19 annex A). Internal to api/. */
#ifndef LAMINA_API_DICOM_XML_H
#define LAMINA_API_DICOM_XML_H

#include <jansson.h>

#include "core/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends one data set as an XML document. Keywords are left out, which the model allows. */
void lam_dicom_xml_write(const json_t *data_set, lam_buffer *out);

#ifdef __cplusplus
}
#endif
#endif
