/* lamina deliveries: the outbox. */
#include <stdio.h>
#include <string.h>

#include "daemon/cli/cli.h"
#include "daemon/cli/remote.h"
#include "daemon/cli/table.h"

static const lam_column delivery_columns[] = {
    {"DELIVERY", "delivery", LAM_CELL_INTEGER}, {"DESTINATION", "destination", LAM_CELL_TEXT},
    {"STATE", "state", LAM_CELL_TEXT},          {"TYPE", "type", LAM_CELL_TEXT},
    {"ATTEMPTS", "attempts", LAM_CELL_INTEGER}, {"UPDATED", "updated", LAM_CELL_TIME},
    {"JOB", "job", LAM_CELL_INTEGER},           {"LAST ERROR", "last_error", LAM_CELL_TEXT},
};

static const lam_column destination_columns[] = {
    {"DESTINATION", "destination", LAM_CELL_TEXT},
    {"KIND", "kind", LAM_CELL_TEXT},
    {"QUEUED", "deliveries.queued", LAM_CELL_INTEGER},
    {"SENT", "deliveries.sent", LAM_CELL_INTEGER},
    {"DELIVERED", "deliveries.delivered", LAM_CELL_INTEGER},
    {"FAILED", "deliveries.failed", LAM_CELL_INTEGER},
    {"NOTE", "note", LAM_CELL_TEXT},
};

static void print_deliveries(const json_t *answer)
{
    lam_table_print(stdout, lam_json_member(answer, "deliveries"), delivery_columns,
                    LAM_COUNT(delivery_columns));
}

static void print_delivery(const json_t *delivery)
{
    json_t *rows = json_pack("[O]", delivery);
    lam_table_print(stdout, rows, delivery_columns, LAM_COUNT(delivery_columns));
    json_decref(rows);
}

static void print_destinations(const json_t *answer)
{
    json_t *rows = json_deep_copy(lam_json_member(answer, "destinations"));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *note = json_is_true(json_object_get(row, "paused"))    ? "paused"
                           : json_is_false(json_object_get(row, "active")) ? "not configured any more"
                                                                           : "";
        json_object_set_new(row, "note", json_string(note));
    }
    lam_table_print(stdout, rows, destination_columns, LAM_COUNT(destination_columns));
    json_decref(rows);
}

/* `lamina deliveries ACTION ARGUMENT`, as POST. */
static const struct {
    const char *name;
    lam_remote_argument argument;
    const char *path; /* with a %s */
    void (*print)(const json_t *);
} actions[] = {
    {"retry", LAM_ARGUMENT_DELIVERY, "/api/v1/deliveries/%s/retry", print_delivery},
    {"pause", LAM_ARGUMENT_DESTINATION, "/api/v1/destinations/%s/pause", print_destinations},
    {"resume", LAM_ARGUMENT_DESTINATION, "/api/v1/destinations/%s/resume", print_destinations},
};

static int act(size_t action, int argc, char **argv)
{
    char path[160];
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, 0, actions[action].argument);
    if (status != LAM_CLI_OK)
        return status;
    const char *slot = strstr(actions[action].path, "%s");
    snprintf(path, sizeof path, "%.*s%s%s", (int)(slot - actions[action].path), actions[action].path,
             remote.argument, slot + 2);
    return lam_remote_post(&remote, path, actions[action].print);
}

int lam_cli_deliveries(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool destinations = strcmp(word, "destinations") == 0;
    for (size_t i = 0; i < LAM_COUNT(actions); i++)
        if (strcmp(word, actions[i].name) == 0) {
            argv[1] = argv[0];
            return act(i, argc - 1, argv + 1);
        }
    if (destinations) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    LAM_AUTO(lam_remote_done) lam_remote remote;
    int status = lam_remote_start(&remote, argc, argv, destinations ? 0 : LAM_REMOTE_LIST, LAM_ARGUMENT_NONE);
    if (status != LAM_CLI_OK)
        return status;
    return destinations ? lam_remote_get(&remote, "/api/v1/destinations", print_destinations)
                        : lam_remote_list(&remote, "/api/v1/deliveries", print_deliveries);
}
