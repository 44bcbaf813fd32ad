/* The elementwise part of one step of back-propagation through time: from the gradient of h (and c) to the
 * gradients of the gates' sums, written over the trace, and to what reaches the previous state directly. The
 * part through W_h is a product that the caller adds. Included by the form files only.
 *
 * With σ' = σ(1-σ) and tanh' = 1-tanh². */
#include "core/rnn/kernels/tile.inc.h"

INLINE vf d_sigmoid(vf y)
{
    return y * (vf_set(1) - y);
}
INLINE vf d_tanh(vf y)
{
    return vf_set(1) - y * y;
}

INLINE float *back_trace(const lam_step_back *s, size_t j)
{
    return s->trace + s->trace_rows[j] * s->trace_width;
}

/* Gradient of this step's h: from later steps and from the output. */
INLINE vf back_dh(const lam_step_back *s, size_t j, size_t unit)
{
    vf dh = vf_load(s->dh + j * s->stride + unit);
    if (s->dy)
        dh = dh + vf_load_part(s->dy + s->rows[j] * s->lddy + unit, tile_part(unit, s->cell->spec.hidden));
    return dh;
}

INLINE void lstm_back_unit(bool peephole, const lam_step_back *s, size_t j, size_t unit)
{
    const vf_constants *k = &vf_constants_known;
    size_t w = s->cell->padded, p = s->cell->padded;
    float *t = back_trace(s, j) + unit;
    const float *peep = s->cell->peephole + unit;
    const float *before = s->c_before ? s->c_before + j * s->stride
                                      : s->trace + s->trace_rows_before[j] * s->trace_width + 4 * w;
    vf i = vf_load(t), f = vf_load(t + w), g = vf_load(t + 2 * w), o = vf_load(t + 3 * w),
       c = vf_load(t + 4 * w);
    vf c0 = vf_load(before + unit), dh = back_dh(s, j, unit), tc = vf_tanh_gate(k, c);
    vf d_o = dh * tc * d_sigmoid(o);
    vf dc = vf_fma(dh * o, d_tanh(tc), vf_load(s->dc + j * s->stride + unit));
    if (peephole)
        dc = vf_fma(d_o, vf_load(peep + 2 * p), dc);
    vf d_i = dc * g * d_sigmoid(i), d_f = dc * c0 * d_sigmoid(f), d_g = dc * i * d_tanh(g);
    vf dc0 = dc * f;
    if (peephole) {
        dc0 = vf_fma(d_i, vf_load(peep), vf_fma(d_f, vf_load(peep + p), dc0));
    }
    vf_store(t, d_i);
    vf_store(t + w, d_f);
    vf_store(t + 2 * w, d_g);
    vf_store(t + 3 * w, d_o);
    vf_store(s->dc + j * s->stride + unit, dc0);
    vf_store(s->dh + j * s->stride + unit, vf_set(0));
}

INLINE void gru_back_unit(const lam_step_back *s, size_t j, size_t unit)
{
    size_t w = s->cell->padded;
    float *t = back_trace(s, j) + unit;
    vf n = vf_load(t), r = vf_load(t + w), z = vf_load(t + 2 * w), hn = vf_load(t + 3 * w),
       before = vf_load(t + 4 * w);
    vf dh = back_dh(s, j, unit);
    vf dn = dh * (vf_set(1) - z) * d_tanh(n);
    vf_store(t, dn);
    vf_store(t + w, dn * hn * d_sigmoid(r));
    vf_store(t + 2 * w, dh * (before - n) * d_sigmoid(z));
    vf_store(t + 3 * w, dn * r);
    vf_store(s->dh + j * s->stride + unit, dh * z);
}

INLINE void elman_back_unit(const lam_step_back *s, size_t j, size_t unit)
{
    float *t = back_trace(s, j) + unit;
    vf y = vf_load(t), d = back_dh(s, j, unit);
    switch (s->cell->spec.activation) {
    case LAM_CELL_TANH:
        d = d * d_tanh(y);
        break;
    case LAM_CELL_RELU:
        d = vf_if_positive(y, d, vf_set(0));
        break;
    case LAM_CELL_SIGMOID:
        d = d * d_sigmoid(y);
        break;
    case LAM_CELL_IDENTITY:
    case LAM_CELL_SOFTMAX: /* not through here */
        break;
    }
    vf_store(t, d);
    vf_store(s->dh + j * s->stride + unit, vf_set(0));
}

INLINE void light_back_unit(const lam_step_back *s, size_t j, size_t unit)
{
    size_t w = s->cell->padded;
    float *t = back_trace(s, j) + unit;
    vf u = vf_load(t), z = vf_load(t + w), before = vf_load(t + 2 * w), dh = back_dh(s, j, unit);
    vf_store(t, dh * z);
    vf_store(t + w, dh * (u - before) * d_sigmoid(z));
    vf_store(s->dh + j * s->stride + unit, dh * (vf_set(1) - z));
}

/* Reset before the product, first half: dn and dz; then the caller makes d(r·h) = dn·W_hn, and the second
 * half: dr and h's share. */
INLINE void candidate_back_unit(const lam_step_back *s, size_t j, size_t unit)
{
    size_t w = s->cell->padded;
    float *t = back_trace(s, j) + unit;
    vf n = vf_load(t), z = vf_load(t + 2 * w), before = vf_load(t + 4 * w), dh = back_dh(s, j, unit);
    vf_store(t, dh * (vf_set(1) - z) * d_tanh(n));
    vf_store(t + 2 * w, dh * (before - n) * d_sigmoid(z));
    vf_store(s->dh + j * s->stride + unit, dh * z);
}

#define BACK_UNITS(name, unit_call)                                                                          \
    static void name(const lam_step_back *s)                                                                 \
    {                                                                                                        \
        for (size_t j = 0; j < s->lines; j++) {                                                              \
            for (size_t unit = 0; unit < s->cell->padded; unit += LANES)                                     \
                unit_call;                                                                                   \
        }                                                                                                    \
    }

BACK_UNITS(back_lstm, lstm_back_unit(false, s, j, unit))
BACK_UNITS(back_peephole, lstm_back_unit(true, s, j, unit))
BACK_UNITS(back_gru, gru_back_unit(s, j, unit))
BACK_UNITS(back_elman, elman_back_unit(s, j, unit))
BACK_UNITS(back_light, light_back_unit(s, j, unit))
BACK_UNITS(back_candidate, candidate_back_unit(s, j, unit))

static void back_reset(const lam_step_back *s, const float *drh)
{
    size_t w = s->cell->padded;
    for (size_t j = 0; j < s->lines; j++) {
        float *trace = back_trace(s, j);
        for (size_t unit = 0; unit < s->cell->padded; unit += LANES) {
            float *t = trace + unit, *dh = s->dh + j * s->stride + unit;
            vf r = vf_load(t + w), before = vf_load(t + 4 * w), d = vf_load(drh + j * s->stride + unit);
            vf_store(t + w, d * before * d_sigmoid(r));
            vf_store(dh, vf_fma(d, r, vf_load(dh)));
        }
    }
}
