/* Tags (PS3.6) as numbers, for those this code names. */
#ifndef LAMINA_DICOM_TAG_H
#define LAMINA_DICOM_TAG_H

#include <stdint.h>

typedef uint32_t lam_tag; /* group in the upper, element in the lower half */

#define LAM_TAG(group, element) ((lam_tag)(((uint32_t)(group) << 16) | (uint32_t)(element)))

/* For "(%04x,%04x)". */
#define LAM_TAG_ARGS(tag) (unsigned)((tag) >> 16), (unsigned)((tag)&0xffff)

#define LAM_TAG_TRANSFER_SYNTAX LAM_TAG(0x0002, 0x0010)
#define LAM_TAG_CHARACTER_SET   LAM_TAG(0x0008, 0x0005)
#define LAM_TAG_SOP_CLASS       LAM_TAG(0x0008, 0x0016)
#define LAM_TAG_SOP_INSTANCE    LAM_TAG(0x0008, 0x0018)
#define LAM_TAG_STUDY           LAM_TAG(0x0020, 0x000d)
#define LAM_TAG_SERIES          LAM_TAG(0x0020, 0x000e)
#define LAM_TAG_PIXEL_SIGN      LAM_TAG(0x0028, 0x0103)
#define LAM_TAG_FLOAT_PIXELS    LAM_TAG(0x7fe0, 0x0008)
#define LAM_TAG_PIXELS          LAM_TAG(0x7fe0, 0x0010)

#define LAM_TAG_ITEM         LAM_TAG(0xfffe, 0xe000)
#define LAM_TAG_ITEM_END     LAM_TAG(0xfffe, 0xe00d)
#define LAM_TAG_SEQUENCE_END LAM_TAG(0xfffe, 0xe0dd)

#endif
