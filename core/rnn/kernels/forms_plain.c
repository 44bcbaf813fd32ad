/* Portable C: GNU vectors of four floats (SSE2 on x86-64, NEON on aarch64). */
#include "core/rnn/kernels/forms_table.inc.h"
