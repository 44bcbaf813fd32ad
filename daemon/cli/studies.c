/* lamina studies, lamina analyze: what came in and what is happening to it. */
#include <stdio.h>
#include <string.h>

#include "daemon/cli/cli.h"
#include "daemon/cli/remote.h"
#include "daemon/cli/studies.h"
#include "daemon/cli/table.h"

static void print_studies(const json_t *answer)
{
    static const lam_column columns[] = {
        {"STUDY", "study_uid", LAM_CELL_TEXT},        {"STATE", "state", LAM_CELL_TEXT},
        {"SERIES", "series_count", LAM_CELL_INTEGER}, {"INSTANCES", "instances", LAM_CELL_INTEGER},
        {"CREATED", "created", LAM_CELL_TIME},        {"DESCRIPTION", "description", LAM_CELL_TEXT},
    };
    lam_table_print(stdout, lam_json_member(answer, "studies"), columns, LAM_COUNT(columns));
}

/* What each model said of a series that none wants; the series' own reason may be cut. */
static void print_opinions(const json_t *series)
{
    static const lam_column columns[] = {
        {"MODEL", "name", LAM_CELL_TEXT},
        {"VERSION", "version", LAM_CELL_TEXT},
        {"WHY NOT", "reason", LAM_CELL_TEXT},
    };
    const json_t *models = lam_json_member(series, "models");
    const char *state = lam_json_member_text(series, "state");
    if (!state || strcmp(state, "no_model") != 0 || json_array_size(models) == 0)
        return;
    printf("\nseries %s\n\n", LAM_PRINTABLE(lam_json_member_text(series, "series_uid")));
    lam_table_print(stdout, models, columns, LAM_COUNT(columns));
}

void lam_studies_print_one(const json_t *study)
{
    static const lam_column columns[] = {
        {"SERIES", "series_uid", LAM_CELL_TEXT},      {"MODALITY", "modality", LAM_CELL_TEXT},
        {"INSTANCES", "instances", LAM_CELL_INTEGER}, {"STATE", "state", LAM_CELL_TEXT},
        {"REASON", "reason", LAM_CELL_TEXT},
    };
    printf("study %s: %s\n\n", LAM_PRINTABLE(lam_json_member_text(study, "study_uid")),
           LAM_PRINTABLE(lam_json_member_text(study, "state")));
    const json_t *series = lam_json_member(study, "series");
    lam_table_print(stdout, series, columns, LAM_COUNT(columns));
    for (size_t i = 0; i < json_array_size(series); i++)
        print_opinions(json_array_get(series, i));
}

int lam_cli_studies(int argc, char **argv)
{
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, LAM_REMOTE_LIST, LAM_ARGUMENT_NONE);
    return status == LAM_CLI_OK ? lam_remote_list(&remote, "/api/v1/studies", print_studies) : status;
}

int lam_cli_analyze(int argc, char **argv)
{
    char path[256];
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, LAM_REMOTE_MODEL, LAM_ARGUMENT_STUDY);
    if (status != LAM_CLI_OK)
        return status;
    snprintf(path, sizeof path, "/api/v1/studies/%s/analyze%s%s", remote.argument,
             remote.model ? "?model=" : "", remote.model ? remote.model : "");
    return lam_remote_post(&remote, path, lam_studies_print_one);
}
