/* lamina status, lamina models: what the daemon is, and what it can do. */
#include <stdio.h>
#include <string.h>

#include "daemon/cli/cli.h"
#include "daemon/cli/remote.h"
#include "daemon/cli/table.h"

static void print_counts(const char *heading, const json_t *counts)
{
    const char *state;
    const json_t *number;
    const char *separator = "";
    printf("%-10s ", heading);
    json_object_foreach((json_t *)counts, state, number)
    {
        if (json_integer_value(number) == 0)
            continue;
        printf("%s%lld %s", separator, (long long)json_integer_value(number), LAM_PRINTABLE(state));
        separator = ", ";
    }
    puts(*separator ? "" : "none");
}

static void print_uptime(double seconds)
{
    long long minutes = (long long)(seconds / 60);
    if (minutes >= 2 * 24 * 60)
        printf("%lld days", minutes / (24 * 60));
    else if (minutes >= 120)
        printf("%lld hours", minutes / 60);
    else if (minutes >= 2)
        printf("%lld minutes", minutes);
    else
        printf("%.0f seconds", seconds);
}

static void print_workers(const json_t *workers)
{
    size_t count = json_array_size(workers), idle = 0;
    for (size_t i = 0; i < count; i++)
        idle += strcmp(lam_json_member_text(json_array_get(workers, i), "state"), "idle") == 0;
    printf("workers    %zu, %zu of them idle\n", count, idle);
}

static void print_status(const json_t *status)
{
    printf("laminad    %s, up for ", LAM_PRINTABLE(lam_json_member_text(status, "version")));
    print_uptime(json_number_value(lam_json_member(status, "uptime_s")));
    printf("\nDICOM      %s at %s\n", LAM_PRINTABLE(lam_json_member_text(status, "ae_title")),
           LAM_PRINTABLE(lam_json_member_text(status, "dicom")));
    printf("HTTP       %s\n", LAM_PRINTABLE(lam_json_member_text(status, "http")));
    print_counts("studies", lam_json_member(status, "studies"));
    print_counts("jobs", lam_json_member(status, "jobs"));
    print_workers(lam_json_member(status, "workers"));
    printf("disk free  %.1f GB\n", json_number_value(lam_json_member(status, "disk_free_bytes")) / 1e9);
}

int lam_cli_status(int argc, char **argv)
{
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, 0, LAM_ARGUMENT_NONE);
    return status == LAM_CLI_OK ? lam_remote_get(&remote, "/api/v1/status", print_status) : status;
}

static const lam_column model_columns[] = {
    {"MODEL", "name", LAM_CELL_TEXT},
    {"VERSION", "version", LAM_CELL_TEXT},
    {"TASK", "task", LAM_CELL_TEXT},
    {"TITLE", "title", LAM_CELL_TEXT},
};

static void print_models(const json_t *answer)
{
    lam_table_print(stdout, lam_json_member(answer, "models"), model_columns, LAM_COUNT(model_columns));
}

/* The card is Markdown written for people, so it is the answer; without one, the row of the table. */
static void print_model(const json_t *model)
{
    const char *card = lam_json_member_text(model, "card");
    json_t *rows = json_pack("[O]", model);
    lam_table_print(stdout, rows, model_columns, LAM_COUNT(model_columns));
    json_decref(rows);
    if (*card)
        printf("\n%s\n", card);
}

int lam_cli_models(int argc, char **argv)
{
    char path[128];
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, 0, LAM_ARGUMENT_MODEL);
    if (status != LAM_CLI_OK)
        return status;
    if (!remote.argument)
        return lam_remote_get(&remote, "/api/v1/models", print_models);
    snprintf(path, sizeof path, "/api/v1/models/%s", remote.argument);
    return lam_remote_get(&remote, path, print_model);
}
