/* lamina jobs, job, retry, cancel: the queue. */
#include <stdio.h>

#include "daemon/cli/cli.h"
#include "daemon/cli/remote.h"
#include "daemon/cli/table.h"

static const lam_column job_columns[] = {
    {"JOB", "job", LAM_CELL_INTEGER},           {"STATE", "state", LAM_CELL_TEXT},
    {"MODEL", "model.name", LAM_CELL_TEXT},     {"VERSION", "model.version", LAM_CELL_TEXT},
    {"ATTEMPTS", "attempts", LAM_CELL_INTEGER}, {"CREATED", "created", LAM_CELL_TIME},
    {"STUDY", "study_uid", LAM_CELL_TEXT},      {"REASON", "reason", LAM_CELL_TEXT},
};

static void print_jobs(const json_t *answer)
{
    lam_table_print(stdout, lam_json_member(answer, "jobs"), job_columns, LAM_COUNT(job_columns));
}

static void print_job(const json_t *job)
{
    static const lam_column attempt_columns[] = {
        {"ATTEMPT", "number", LAM_CELL_INTEGER}, {"STARTED", "started", LAM_CELL_TIME},
        {"FINISHED", "finished", LAM_CELL_TIME}, {"OUTCOME", "outcome", LAM_CELL_TEXT},
        {"REASON", "reason", LAM_CELL_TEXT},
    };
    json_t *rows = json_pack("[O]", job);
    lam_table_print(stdout, rows, job_columns, LAM_COUNT(job_columns));
    json_decref(rows);
    const json_t *attempts = lam_json_member(job, "attempts_made");
    if (json_array_size(attempts) == 0)
        return;
    putchar('\n');
    lam_table_print(stdout, attempts, attempt_columns, LAM_COUNT(attempt_columns));
}

int lam_cli_jobs(int argc, char **argv)
{
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, LAM_REMOTE_LIST, LAM_ARGUMENT_NONE);
    return status == LAM_CLI_OK ? lam_remote_list(&remote, "/api/v1/jobs", print_jobs) : status;
}

int lam_cli_job(int argc, char **argv)
{
    char path[128];
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, 0, LAM_ARGUMENT_JOB);
    if (status != LAM_CLI_OK)
        return status;
    snprintf(path, sizeof path, "/api/v1/jobs/%s", remote.argument);
    return lam_remote_get(&remote, path, print_job);
}

static int change_job(int argc, char **argv, const char *verb)
{
    char path[128];
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, 0, LAM_ARGUMENT_JOB);
    if (status != LAM_CLI_OK)
        return status;
    snprintf(path, sizeof path, "/api/v1/jobs/%s/%s", remote.argument, verb);
    return lam_remote_post(&remote, path, print_job);
}

int lam_cli_retry(int argc, char **argv)
{
    return change_job(argc, argv, "retry");
}

int lam_cli_cancel(int argc, char **argv)
{
    return change_job(argc, argv, "cancel");
}
