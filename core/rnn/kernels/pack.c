/* Packed weights, aligned memory, and the choice of the form. */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/cpu.h"
#include "core/rnn/kernels/forms.h"

const lam_forms *lam_forms_get(void)
{
#if defined(__x86_64__)
    static const lam_forms *const forms[LAM_ISA_COUNT] = {&lam_forms_plain, &lam_forms_avx2,
                                                          &lam_forms_avx512};
    return forms[lam_cpu_isa()];
#else
    return &lam_forms_plain;
#endif
}

const lam_forms *lam_forms_get_bf16(void)
{
#if defined(__x86_64__)
    return lam_cpu_has_bf16() ? &lam_forms_bf16 : NULL;
#else
    return NULL;
#endif
}

float *lam_floats(size_t count)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, sizeof(float), &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = lam_round_up(bytes ? bytes : 1, 64);
    float *memory = aligned_alloc(64, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

lam_status lam_packed_init(lam_packed *packed, size_t lanes, size_t gates, size_t units, size_t depth,
                           size_t width, lam_error *err)
{
    size_t rows = gates * lam_round_up(units, lanes), count;
    float *data = __builtin_mul_overflow(rows, depth, &count) ? NULL : lam_floats(count);
    if (!data)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu x %zu packed weights", rows, depth);
    *packed = (lam_packed){gates, units, depth, width, data};
    return LAM_OK;
}

void lam_packed_done(lam_packed *packed)
{
    free(packed->data);
    packed->data = NULL;
}

void lam_packed_fill(const lam_packed *packed, size_t lanes, size_t first, size_t depth,
                     lam_pack_source source)
{
    size_t vectors = lam_round_up(packed->units, lanes) / lanes;
    for (size_t v = 0, width; v < vectors; v += width) {
        width = vectors - v < packed->width ? vectors - v : packed->width;
        float *panel = packed->data + v * packed->gates * packed->depth * lanes;
        for (size_t i = 0; i < width * packed->gates * lanes; i++) {
            size_t lane = i % lanes, gate = i / lanes % packed->gates;
            size_t unit = (v + i / lanes / packed->gates) * lanes + lane;
            const float *w = source.w + (gate * packed->units + unit) * source.row;
            float *out = panel + first * width * packed->gates * lanes + i;
            for (size_t k = 0; unit < packed->units && k < depth; k++)
                out[k * width * packed->gates * lanes] = w[k * source.column];
        }
    }
}

/* Round to nearest even; NaN stays NaN. */
static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void lam_packed_fill_bf16(const lam_packed *packed, size_t lanes, size_t depth, lam_pack_source source)
{
    size_t vectors = lam_round_up(packed->units, lanes) / lanes;
    for (size_t v = 0, width; v < vectors; v += width) {
        width = vectors - v < packed->width ? vectors - v : packed->width;
        size_t columns = width * packed->gates * lanes;
        float *panel = packed->data + v * packed->gates * packed->depth * lanes;
        for (size_t i = 0; i < columns; i++) {
            size_t gate = i / lanes % packed->gates,
                   unit = (v + i / lanes / packed->gates) * lanes + i % lanes;
            const float *w = source.w + (gate * packed->units + unit) * source.row;
            for (size_t k = 0; unit < packed->units && k < depth; k += 2) {
                uint32_t pair = bf16_of(w[k * source.column]);
                if (k + 1 < depth)
                    pair |= (uint32_t)bf16_of(w[(k + 1) * source.column]) << 16;
                memcpy(panel + k / 2 * columns + i, &pair, sizeof pair);
            }
        }
    }
}
