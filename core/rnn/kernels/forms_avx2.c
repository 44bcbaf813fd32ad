/* AVX2 with FMA: vectors of eight floats, sixteen registers. The flags come from the Makefile by this file's
 * name. */
#ifdef __AVX2__
#include "core/rnn/kernels/forms_table.inc.h"
#endif
