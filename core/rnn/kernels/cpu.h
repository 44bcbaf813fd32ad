/* Which instruction sets this processor has, which one the kernels use, and which one OpenBLAS should use.
 *
 * Detection runs once, on first use; all functions here are safe from any thread. The environment variable
 * LAMINA_ISA = avx512 | avx2 | plain lowers (never raises) the choice, so that tests reach every form. */
#ifndef LAMINA_RNN_KERNELS_CPU_H
#define LAMINA_RNN_KERNELS_CPU_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_isa {
    LAM_ISA_PLAIN,  /* portable C (GNU vector extensions, 4 lanes): SSE2 on x86-64, NEON on aarch64 */
    LAM_ISA_AVX2,   /* AVX2 and FMA, 8 lanes */
    LAM_ISA_AVX512, /* AVX-512 F, BW, DQ, VL, 16 lanes */
    LAM_ISA_COUNT
} lam_isa;

/* The best form that the processor, the operating system and LAMINA_ISA allow. */
lam_isa lam_cpu_isa(void);

/* "plain", "avx2" or "avx512". Never NULL. */
const char *lam_cpu_isa_name(lam_isa isa);

/* Whether dot products of bfloat16 pairs (AVX512-BF16) can be used together with LAM_ISA_AVX512. */
bool lam_cpu_has_bf16(void);

/* The value that OPENBLAS_CORETYPE should have on this processor ("SkylakeX", "Haswell", …), or NULL where
 * OpenBLAS's own choice is right or unknown. OpenBLAS 0.3.21 does not know recent AMD cores: it takes Zen 5
 * for Haswell and then reaches half of the SGEMM rate. Borrowed, static. */
const char *lam_cpu_openblas_coretype(void);

/* For the start of main(): when lam_cpu_openblas_coretype() has a value and OPENBLAS_CORETYPE is not set,
 * sets it and re-executes this program (/proc/self/exe) with the same arguments, since OpenBLAS reads the
 * variable while it is being loaded. Returns in the second run, when the variable was set by someone else,
 * and when re-execution is impossible; then OpenBLAS is only slower. `argv` is main's, NULL-terminated. Call
 * before any thread exists. */
void lam_cpu_reexec_for_openblas(char **argv);

#ifdef __cplusplus
}
#endif
#endif
