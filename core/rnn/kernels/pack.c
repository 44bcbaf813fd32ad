/* Packed weights, aligned memory, and the choice of the form. */
#include <stdlib.h>
#include <string.h>

#include "core/rnn/kernels/cpu.h"
#include "core/rnn/kernels/forms.h"

const lam_forms *lam_forms_of(int isa)
{
#if defined(__x86_64__)
    static const lam_forms *const forms[LAM_ISA_COUNT] = {&lam_forms_plain, &lam_forms_avx2,
                                                          &lam_forms_avx512};
    return (unsigned)isa < LAM_ISA_COUNT ? forms[isa] : NULL;
#else
    return isa == LAM_ISA_PLAIN ? &lam_forms_plain : NULL;
#endif
}

const lam_forms *lam_forms_get(void)
{
    return lam_forms_of(lam_cpu_isa());
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
