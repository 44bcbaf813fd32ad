/* What the subcommands of `lamina` share: the form of a command, exit statuses, and printing. Each command is
 * one function and one row in the table of main.c; its options are a table, too (options.h). */
#ifndef LAMINA_CLI_CLI_H
#define LAMINA_CLI_CLI_H

#include <stdio.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exit statuses of every command. */
enum { LAM_CLI_OK = 0, LAM_CLI_FAILED = 1, LAM_CLI_USAGE = 2 };

typedef struct lam_cli_command {
    const char *name;
    const char *arguments;             /* synopsis after the name: "[--json] STUDY" */
    const char *summary;               /* one line without a full stop, for the list of commands */
    const char *details;               /* options, one a line, as `lamina help NAME` prints them; may be "" */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit status */
} lam_cli_command;

/* Prints "lamina: <message>" to stderr and returns LAM_CLI_FAILED. */
int lam_cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for an error object. */
int lam_cli_fail_error(const lam_error *err);
/* Prints what is wrong with the arguments, and where to read more, to stderr and returns LAM_CLI_USAGE.
 * `command` is argv[0]. With format NULL something has said it already. */
int lam_cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Talk DICOM to any node. */
int lam_cli_send(int argc, char **argv);
int lam_cli_echo(int argc, char **argv);

/* The engine without a daemon. */
int lam_cli_train(int argc, char **argv);
int lam_cli_eval(int argc, char **argv);
int lam_cli_generate(int argc, char **argv);
int lam_cli_model(int argc, char **argv);
int lam_cli_predict(int argc, char **argv);

/* Result objects without a daemon. */
int lam_cli_validate(int argc, char **argv);

/* Talk to the running daemon over REST. */
int lam_cli_status(int argc, char **argv);
int lam_cli_studies(int argc, char **argv);
int lam_cli_results(int argc, char **argv);
int lam_cli_analyze(int argc, char **argv);
int lam_cli_jobs(int argc, char **argv);
int lam_cli_job(int argc, char **argv);
int lam_cli_retry(int argc, char **argv);
int lam_cli_cancel(int argc, char **argv);
int lam_cli_models(int argc, char **argv);
int lam_cli_deliveries(int argc, char **argv);

/* Look after a daemon's configuration and data. */
int lam_cli_doctor(int argc, char **argv);
int lam_cli_backup(int argc, char **argv);
int lam_cli_migrate(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
