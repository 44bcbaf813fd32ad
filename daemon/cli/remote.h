/* What the commands that talk to the daemon have in common: their options, the connection, and printing the
 * answer either as JSON or as the command's own table. */
#ifndef LAMINA_CLI_REMOTE_H
#define LAMINA_CLI_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "daemon/cli/rest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which options a command has beside --url and --json. */
enum {
    LAM_REMOTE_LIST = 1,  /* --state, --limit */
    LAM_REMOTE_MODEL = 2, /* --model */
    LAM_REMOTE_WAIT = 4,  /* --wait [SECONDS] */
    LAM_REMOTE_SAVE = 8   /* --save DIR */
};

/* What the one argument is; it goes into a URL, so each kind has a grammar. */
typedef enum lam_remote_argument {
    LAM_ARGUMENT_NONE,
    LAM_ARGUMENT_STUDY,      /* a UID, PS3.5 9.1 */
    LAM_ARGUMENT_JOB,        /* a number */
    LAM_ARGUMENT_MODEL,      /* a name, may be missing */
    LAM_ARGUMENT_DELIVERY,   /* a number */
    LAM_ARGUMENT_DESTINATION /* the name of a [peer] */
} lam_remote_argument;

typedef struct lam_remote {
    const char *command;
    const char *argument; /* NULL when missing */
    const char *state;
    const char *model;
    const char *save;
    int64_t limit;
    int64_t wait_ms; /* -1: do not wait */
    bool json;
    lam_rest *rest;
} lam_remote;

/* Parses the arguments and opens the connection. Returns LAM_CLI_OK, or the exit status after having printed
 * what is wrong. Release with lam_remote_done in any case. */
int lam_remote_start(lam_remote *remote, int argc, char **argv, unsigned options,
                     lam_remote_argument argument);
void lam_remote_done(lam_remote *remote);

/* Prints `answer` as it came when --json was given, else through `print`. Takes `answer`. Returns an exit
 * status. */
int lam_remote_show(const lam_remote *remote, json_t *answer, void (*print)(const json_t *answer));

/* GET or POST of one path, shown. */
int lam_remote_get(const lam_remote *remote, const char *path, void (*print)(const json_t *answer));
int lam_remote_post(const lam_remote *remote, const char *path, void (*print)(const json_t *answer));

/* GET of a list with the --state and --limit that were given. */
int lam_remote_list(const lam_remote *remote, const char *path, void (*print)(const json_t *answer));

#ifdef __cplusplus
}
#endif
#endif
