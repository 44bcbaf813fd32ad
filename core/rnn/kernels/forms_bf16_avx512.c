/* AVX-512 with bfloat16 products: steps for inference only. Sums, gates and states are float32; what enters a
 * product is rounded to bfloat16. */
#ifdef __AVX512F__
#pragma GCC target("avx512bf16")
#define LAM_FORM_BF16
#include "core/rnn/kernels/cell_forward.inc.h"

static void to_bf16(size_t n, const float *x, float *pairs)
{
    for (size_t i = 0; i < n; i += LANES) {
        __m256i half = (__m256i)_mm512_cvtneps_pbh(vf_load_part(x + i, tile_part(i, n)));
        size_t left = (n - i + 1) / 2;
        _mm256_mask_storeu_epi32(pairs + i / 2, (__mmask8)(left < 8 ? (1u << left) - 1 : 0xff), half);
    }
}

const lam_forms lam_forms_bf16 = {
    .lanes = LANES,
    .product_width = 4,
    .bf16 = true,
    .product = product,
    .step = {[LAM_CELL_ELMAN] = step_elman,
             [LAM_CELL_LSTM] = step_lstm,
             [LAM_CELL_GRU] = step_gru,
             [LAM_CELL_LIGHT] = step_light},
    .step_peephole = step_peephole,
    .to_bf16 = to_bf16,
};
#endif
