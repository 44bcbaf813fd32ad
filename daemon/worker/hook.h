/* Poisoned input for tests: with LAMINA_TEST_HOOKS=1 in the environment an object whose PatientID or
 * SeriesDescription starts with LAMINA-TEST-CRASH or LAMINA-TEST-HANG (…-INDEX for the header index) does
 * that to the process. Without the variable nothing here looks at anything. */
#ifndef LAMINA_DAEMON_WORKER_HOOK_H
#define LAMINA_DAEMON_WORKER_HOOK_H

#include <stdbool.h>

/* Acts on one value; NULL is none. `indexing`: an INDEX request, else an analysis. */
void lam_worker_hook(const char *value, bool indexing);

/* Acts on the values in an index ({"attributes":…} as JSON text). */
void lam_worker_hook_index(const char *json);

#endif
