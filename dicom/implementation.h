/* Who we say we are on the wire and in every file we write (PS3.7 annex D.3.3.2, PS3.10 section 7.1). */
#ifndef LAMINA_DICOM_IMPLEMENTATION_H
#define LAMINA_DICOM_IMPLEMENTATION_H

/* Fixed for the life of the project: it names the implementation, not the release. */
#define LAM_IMPLEMENTATION_CLASS_UID "2.25.60653313711056017816414421531642749773"

/* At most 16 characters. */
#define LAM_IMPLEMENTATION_VERSION "LAMINA_" LAMINA_VERSION

#endif
