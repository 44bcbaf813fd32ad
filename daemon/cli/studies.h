/* Printing a study, for the commands that show one. */
#ifndef LAMINA_CLI_STUDIES_H
#define LAMINA_CLI_STUDIES_H

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Its state and a table of its series with the reasons, to standard output. */
void lam_studies_print_one(const json_t *study);

#ifdef __cplusplus
}
#endif
#endif
