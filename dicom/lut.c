#include "dicom/lut.h"

#include <stdlib.h>

lam_lut *lam_lut_read(lam_dataset *item, lam_tag descriptor, lam_tag data, bool first_is_signed)
{
    int64_t count = 0, first = 0, bits = 0, value;
    if (!item || !lam_dataset_integer(item, descriptor, 0, &count) ||
        !lam_dataset_integer(item, descriptor, 1, &first) || !lam_dataset_integer(item, descriptor, 2, &bits))
        return NULL;
    count = count == 0 ? LAM_LUT_MOST : count < 0 ? count + LAM_LUT_MOST : count;
    size_t have = lam_dataset_words(item, data);
    bool packed = have * 2 == (size_t)count + (size_t)(count & 1) && bits <= 8; /* two entries in a word */
    bool whole = count > 0 && count <= LAM_LUT_MOST && (have >= (size_t)count || packed);
    lam_lut *t = whole ? malloc(sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->first = (double)(first_is_signed ? (int16_t)first : first);
    t->count = (size_t)count;
    t->bits = bits >= 1 && bits <= 16 ? (int)bits : 16;
    for (size_t i = 0; i < t->count; i++) {
        value = lam_dataset_word(item, data, packed ? i / 2 : i);
        t->values[i] = (double)(packed ? value >> (i % 2 ? 8 : 0) & 255 : value);
    }
    return t;
}

void lam_lut_free(lam_lut *lut)
{
    free(lut);
}

double lam_lut_at(const lam_lut *t, double value)
{
    double at = value - t->first;
    size_t i = !(at > 0) ? 0 : at >= (double)(t->count - 1) ? t->count - 1 : (size_t)at;
    return t->values[i];
}
