/* Processor detection, once, by CPUID and XCR0. */
#include "core/rnn/kernels/cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t detect_once = PTHREAD_ONCE_INIT;
static lam_isa detected = LAM_ISA_PLAIN;
static bool detected_bf16;

static const char *const isa_names[LAM_ISA_COUNT] = {"plain", "avx2", "avx512"};

#if defined(__x86_64__)
#include <cpuid.h>

/* Whether the processor has it and the operating system saves its registers: both are in GCC's test. */
static lam_isa best_isa(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return LAM_ISA_AVX512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? LAM_ISA_AVX2 : LAM_ISA_PLAIN;
}

static bool has_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5)) != 0;
}

/* OpenBLAS 0.3.21 knows Intel's cores and AMD's up to Zen 3; for AMD with AVX-512 it has the right kernels
 * under Intel's names. */
static const char *coretype(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || best_isa() != LAM_ISA_AVX512)
        return NULL;
    return has_bf16() ? "Cooperlake" : "SkylakeX";
}

#else

static lam_isa best_isa(void)
{
    return LAM_ISA_PLAIN;
}

static bool has_bf16(void)
{
    return false;
}

static const char *coretype(void)
{
    return NULL;
}

#endif

static void detect(void)
{
    detected = best_isa();
    const char *wanted = getenv("LAMINA_ISA");
    for (int isa = 0; wanted && isa < (int)detected; isa++) {
        if (strcmp(wanted, isa_names[isa]) == 0) {
            detected = (lam_isa)isa;
            break;
        }
    }
    detected_bf16 = detected == LAM_ISA_AVX512 && has_bf16();
}

lam_isa lam_cpu_isa(void)
{
    pthread_once(&detect_once, detect);
    return detected;
}

const char *lam_cpu_isa_name(lam_isa isa)
{
    return (unsigned)isa < LAM_ISA_COUNT ? isa_names[isa] : "unknown";
}

bool lam_cpu_has_bf16(void)
{
    pthread_once(&detect_once, detect);
    return detected_bf16;
}

const char *lam_cpu_openblas_coretype(void)
{
    return coretype();
}

void lam_cpu_reexec_for_openblas(char **argv)
{
    const char *type = coretype();
    if (!type || getenv("OPENBLAS_CORETYPE") || setenv("OPENBLAS_CORETYPE", type, 1) != 0)
        return;
    execv("/proc/self/exe", argv);
}
