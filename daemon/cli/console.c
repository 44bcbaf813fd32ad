/* Messages of the command line to stderr, all in one form. */
#include <stdarg.h>
#include <stdio.h>

#include "daemon/cli/cli.h"

int lam_cli_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("lamina: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return LAM_CLI_FAILED;
}

int lam_cli_fail_error(const lam_error *err)
{
    return lam_cli_fail("%s", err->message);
}

int lam_cli_usage(const char *command, const char *format, ...)
{
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(stderr, "lamina %s: ", command);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
    fprintf(stderr, "'lamina help %s' shows how it is used\n", command);
    return LAM_CLI_USAGE;
}
