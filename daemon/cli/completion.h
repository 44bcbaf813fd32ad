/* Completion of the command line of `lamina` in bash, made from what the commands say of themselves. */
#ifndef LAMINA_CLI_COMPLETION_H
#define LAMINA_CLI_COMPLETION_H

#include <stddef.h>
#include <stdio.h>

#include "daemon/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes a script for bash to `to`: names of commands, the options of each, and for their values and for
 * plain arguments files, folders, words or nothing, as synopsis and details of a command name them:
 *
 *   --name, --name[=VALUE], --name [VALUE]   needs no value
 *   --name DIR                               a folder
 *   --name FILE, --name PATH                 a file
 *   --name ANYTHING                          something that only the user knows
 *   DIR, FILE, PATH or COMMAND in capitals   a plain argument: a folder, a file, the name of a command
 *   word                                     itself, where it begins the synopsis, an alternative
 *                                            of it ("| word"), or a line of the details
 */
void lam_completion_print(FILE *to, const lam_cli_command *commands, size_t count);

#ifdef __cplusplus
}
#endif
#endif
