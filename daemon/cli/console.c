/* Messages of the command line to stderr, all in one form. */
#include <stdarg.h>
#include <stdio.h>

#include "daemon/cli/cli.h"

int lam_cli_fail(const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *at = message; *at; at++) /* it may quote a server, which does not command this terminal */
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            *at = '?';
    fflush(stdout);
    fprintf(stderr, "lamina: %s\n", message);
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
