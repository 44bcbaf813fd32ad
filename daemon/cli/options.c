#include "daemon/cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/cli/cli.h"

/* What getopt_long answers: an option by its row, or a plain argument where it stands. */
enum { PLAIN = 1, FIRST_ROW = 256 };

static int read_number(const char *command, const lam_option *option, const char *text)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno || number < option->least || number > option->most)
        return lam_cli_usage(command, "--%s takes a number from %lld to %lld, not '%s'", option->name,
                             (long long)option->least, (long long)option->most, text);
    *option->number = number;
    return LAM_CLI_OK;
}

static int add_path(const char *command, const lam_option *option, const char *path)
{
    if (option->paths->count == LAM_OPTION_PATHS_MAX)
        return lam_cli_usage(command, "--%s takes at most %d files", option->name, LAM_OPTION_PATHS_MAX);
    option->paths->items[option->paths->count++] = path;
    return LAM_CLI_OK;
}

static int take(const char *command, const lam_option *option, const char *text)
{
    if (!text)
        text = option->alone;
    if (option->number)
        return read_number(command, option, text);
    if (option->paths)
        return add_path(command, option, text);
    if (option->flag)
        *option->flag = true;
    if (option->text)
        *option->text = text;
    if (option->read && !option->read(text, option->into))
        return lam_cli_usage(command, "--%s takes %s, not '%s'", option->name, option->takes, text);
    return LAM_CLI_OK;
}

/* The table as getopt_long wants it. True when an option takes the plain arguments behind it. */
static bool describe(const lam_option *options, struct option known[LAM_OPTIONS_MAX + 1])
{
    bool gathers = false;
    int i = 0;
    for (; options[i].name; i++) {
        assert(i < LAM_OPTIONS_MAX);
        int argument = options[i].flag    ? no_argument
                       : options[i].alone ? optional_argument
                                          : required_argument;
        known[i] = (struct option){options[i].name, argument, NULL, FIRST_ROW + i};
        gathers |= options[i].paths != NULL;
    }
    known[i] = (struct option){0};
    return gathers;
}

/* What getopt_long itself complains about begins with argv[0]. */
static int next_option(int argc, char **argv, const char *order, const struct option *known)
{
    char program[64], *command = argv[0];
    snprintf(program, sizeof program, "lamina %s", command);
    argv[0] = program;
    int code = getopt_long(argc, argv, order, known, NULL);
    argv[0] = command;
    return code;
}

int lam_options_read(int argc, char **argv, const lam_option *options, char ***rest)
{
    struct option known[LAM_OPTIONS_MAX + 1];
    /* A leading '-' hands over plain arguments where they stand, so that `--data A B C` takes them all. */
    const char *order = describe(options, known) ? "-" : "";
    const lam_option *last = NULL;
    optind = 0;
    for (int code; (code = next_option(argc, argv, order, known)) != -1;) {
        if (code == '?')
            return lam_cli_usage(argv[0], NULL);
        if (code == PLAIN && (!last || !last->paths))
            return lam_cli_usage(argv[0], "'%s' belongs to no option", optarg);
        last = code == PLAIN ? last : &options[code - FIRST_ROW];
        int status = take(argv[0], last, optarg);
        if (status != LAM_CLI_OK)
            return status;
    }
    *rest = argv + optind;
    return LAM_CLI_OK;
}
