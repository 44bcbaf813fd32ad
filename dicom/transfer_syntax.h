/* What a transfer syntax UID says about the bytes that follow (PS3.5 section 10 and annex A). Not a codec. */
#ifndef LAMINA_DICOM_TRANSFER_SYNTAX_H
#define LAMINA_DICOM_TRANSFER_SYNTAX_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_TS_IMPLICIT_LITTLE "1.2.840.10008.1.2"
#define LAM_TS_EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define LAM_TS_RLE             "1.2.840.10008.1.2.5"
#define LAM_TS_DEFLATED        "1.2.840.10008.1.2.1.99"
#define LAM_TS_EXPLICIT_BIG    "1.2.840.10008.1.2.2"
#define LAM_TS_UNCOMPRESSED    "1.2.840.10008.1.2.1.98" /* pixels as they are, in fragments (PS3.5 A.4.11) */
#define LAM_TS_DEFLATED_FRAMES "1.2.840.10008.1.2.8.1"  /* each frame a raw deflate stream (PS3.5 A.4.14) */

typedef struct lam_transfer_syntax {
    bool explicit_vr;
    bool big_endian;
    bool deflated;     /* the data set is a raw deflate stream (RFC 1951) */
    bool encapsulated; /* pixel data are fragments of a compressed stream */
} lam_transfer_syntax;

/* By UID. One that is not known is taken as every syntax defined since 1993: explicit VR little endian with
 * encapsulated pixel data. */
lam_transfer_syntax lam_transfer_syntax_of(const char *uid);

/* The name of the coding when it is one that nothing here decodes ("JPEG XL", video), else NULL. */
const char *lam_transfer_syntax_undecoded(const char *uid);

#ifdef __cplusplus
}
#endif
#endif
