/* Options of a command as a table: each row says where its value goes and what may stand there, so that every
 * command reads its arguments in the same way and says the same when they are wrong. */
#ifndef LAMINA_CLI_OPTIONS_H
#define LAMINA_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_OPTIONS_MAX = 16, LAM_OPTION_PATHS_MAX = 256 };

/* What an option with `paths` has gathered. */
typedef struct lam_option_paths {
    const char *items[LAM_OPTION_PATHS_MAX]; /* borrowed from argv */
    size_t count;
} lam_option_paths;

/* A row has one of the five destinations. */
typedef struct lam_option {
    const char *name;  /* without its dashes; NULL ends the table */
    bool *flag;        /* takes no value, becomes true */
    const char **text; /* borrowed from argv */
    int64_t *number;   /* from `least` to `most` */
    int64_t least, most;
    lam_option_paths *paths;                    /* the plain arguments that follow, too */
    bool (*read)(const char *text, void *into); /* false: not what it takes */
    void *into;
    const char *takes; /* by `read`, in words: "strict, ohif or slicer" */
    const char *alone; /* the text that `--name` without one stands for; NULL: it needs one */
} lam_option;

/* Reads the options among `argv` (argv[0] is the command) into their destinations. `*rest` becomes the plain
 * arguments that belong to no option, NULL-terminated, in argv itself. Returns LAM_CLI_OK, or LAM_CLI_USAGE
 * after saying on stderr which option is wrong and what it takes. Not thread-safe (getopt_long). */
int lam_options_read(int argc, char **argv, const lam_option *options, char ***rest);

#ifdef __cplusplus
}
#endif
#endif
