/* AVX-512: vectors of sixteen floats, thirty-two registers. The flags come from the Makefile by this file's
 * name. */
#ifdef __AVX512F__
#include "core/rnn/kernels/forms_table.inc.h"
#endif
