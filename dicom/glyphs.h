/* A five by seven pixel typeface for captions: capitals, digits and some signs. */
#ifndef LAMINA_DICOM_GLYPHS_H
#define LAMINA_DICOM_GLYPHS_H

#include <stdint.h>

enum { LAM_GLYPH_WIDTH = 5, LAM_GLYPH_HEIGHT = 7 };

/* Rows from top to bottom, the leftmost pixel in bit 4. Small letters look like capitals; what has no glyph
 * is a question mark. */
const uint8_t *lam_glyph_rows(char character);

#endif
