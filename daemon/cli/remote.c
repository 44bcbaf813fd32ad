#include "daemon/cli/remote.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "daemon/cli/cli.h"

enum { DEFAULT_WAIT_S = 600, MAX_WAIT_S = 1000000, MAX_PATH_TEXT = 1024 };

/* ---- options ---- */

static const struct option long_options[] = {
    {"url", required_argument, NULL, 'u'},   {"json", no_argument, NULL, 'j'},
    {"state", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'},
    {"model", required_argument, NULL, 'm'}, {"wait", optional_argument, NULL, 'w'},
    {"save", required_argument, NULL, 'd'},  {0},
};

static const char model_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

static const struct {
    int letter;
    unsigned option;
} belongs_to[] = {
    {'s', LAM_REMOTE_LIST}, {'l', LAM_REMOTE_LIST}, {'m', LAM_REMOTE_MODEL},
    {'w', LAM_REMOTE_WAIT}, {'d', LAM_REMOTE_SAVE},
};

static bool is_allowed(int letter, unsigned options)
{
    for (size_t i = 0; i < LAM_COUNT(belongs_to); i++)
        if (belongs_to[i].letter == letter)
            return options & belongs_to[i].option;
    return true;
}

static bool is_made_of(const char *text, const char *characters, size_t maximum)
{
    size_t length = strlen(text);
    return length > 0 && length <= maximum && strspn(text, characters) == length;
}

static bool read_count(const char *text, int64_t minimum, int64_t maximum, int64_t *out)
{
    if (!is_made_of(text, "0123456789", 12))
        return false;
    int64_t number = strtoll(text, NULL, 10);
    if (number < minimum || number > maximum)
        return false;
    *out = number;
    return true;
}

static int take_option(lam_remote *r, int letter, const char *value, const char **url)
{
    switch (letter) {
    case 'u':
        *url = value;
        return LAM_CLI_OK;
    case 'j':
        r->json = true;
        return LAM_CLI_OK;
    case 's':
        r->state = value;
        return is_made_of(value, "abcdefghijklmnopqrstuvwxyz_", 32)
                   ? LAM_CLI_OK
                   : lam_cli_usage(r->command, "'%s' is not a state", value);
    case 'l':
        return read_count(value, 1, 1000, &r->limit)
                   ? LAM_CLI_OK
                   : lam_cli_usage(r->command, "--limit takes a number from 1 to 1000");
    case 'm':
        r->model = value;
        return is_made_of(value, model_characters, 64)
                   ? LAM_CLI_OK
                   : lam_cli_usage(r->command, "'%s' is not the name of a model", value);
    case 'w':
        r->wait_ms = DEFAULT_WAIT_S;
        if (value && !read_count(value, 0, MAX_WAIT_S, &r->wait_ms))
            return lam_cli_usage(r->command, "--wait takes a number of seconds, not '%s'", value);
        r->wait_ms *= 1000;
        return LAM_CLI_OK;
    case 'd':
        r->save = value;
        return LAM_CLI_OK;
    default:
        return lam_cli_usage(r->command, NULL);
    }
}

/* What each kind of argument is made of; a kind without a question may be missing. */
static const struct {
    const char *characters;
    size_t maximum;
    const char *what;
    const char *question;
} argument_kinds[] = {
    [LAM_ARGUMENT_STUDY] = {"0123456789.", 64, "a Study Instance UID",
                            "which study? Give a Study Instance UID; 'lamina studies' lists them"},
    [LAM_ARGUMENT_JOB] = {"0123456789", 18, "the number of a job",
                          "which job? Give its number; 'lamina jobs' lists them"},
    [LAM_ARGUMENT_MODEL] = {model_characters, 64, "the name of a model", NULL},
    [LAM_ARGUMENT_DELIVERY] = {"0123456789", 18, "the number of a delivery",
                               "which delivery? Give its number; 'lamina deliveries' lists them"},
    [LAM_ARGUMENT_DESTINATION] =
        {"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", 40, "the name of a destination",
         "which destination? Give its name; 'lamina deliveries destinations' lists them"},
};

static int check_argument(const lam_remote *r, lam_remote_argument kind)
{
    if (kind == LAM_ARGUMENT_NONE)
        return LAM_CLI_OK;
    if (!r->argument && argument_kinds[kind].question)
        return lam_cli_usage(r->command, "%s", argument_kinds[kind].question);
    if (r->argument &&
        !is_made_of(r->argument, argument_kinds[kind].characters, argument_kinds[kind].maximum))
        return lam_cli_usage(r->command, "'%s' is not %s", r->argument, argument_kinds[kind].what);
    return LAM_CLI_OK;
}

int lam_remote_start(lam_remote *remote, int argc, char **argv, unsigned options,
                     lam_remote_argument argument)
{
    const char *url = NULL;
    lam_error err;
    *remote = (lam_remote){.command = argv[0], .wait_ms = -1};
    optind = 0;
    for (int letter; (letter = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (!is_allowed(letter, options))
            return lam_cli_usage(argv[0], "it has no such option: %s", argv[optind - 1]);
        const char *value = optarg;
        if (letter == 'w' && !value && optind < argc && is_made_of(argv[optind], "0123456789", 7))
            value = argv[optind++]; /* as a word of its own; a UID has dots */
        int status = take_option(remote, letter, value, &url);
        if (status != LAM_CLI_OK)
            return status;
    }
    int maximum = argument == LAM_ARGUMENT_NONE ? 0 : 1;
    if (argc - optind > maximum)
        return lam_cli_usage(argv[0], "one argument too many: '%s'", argv[optind + maximum]);
    remote->argument = optind < argc ? argv[optind] : NULL;
    int status = check_argument(remote, argument);
    if (status == LAM_CLI_OK && lam_rest_open(url, &remote->rest, &err) != LAM_OK)
        status = lam_cli_fail_error(&err);
    return status;
}

void lam_remote_done(lam_remote *remote)
{
    lam_rest_close(remote->rest);
    remote->rest = NULL;
}

/* ---- showing ---- */

int lam_remote_show(const lam_remote *remote, json_t *answer, void (*print)(const json_t *answer))
{
    if (remote->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY);
        putchar('\n');
    } else {
        print(answer);
    }
    json_decref(answer);
    return LAM_CLI_OK;
}

int lam_remote_get(const lam_remote *remote, const char *path, void (*print)(const json_t *answer))
{
    json_t *answer = NULL;
    lam_error err;
    if (lam_rest_get(remote->rest, path, &answer, &err) != LAM_OK)
        return lam_cli_fail_error(&err);
    return lam_remote_show(remote, answer, print);
}

int lam_remote_post(const lam_remote *remote, const char *path, void (*print)(const json_t *answer))
{
    json_t *answer = NULL;
    lam_error err;
    if (lam_rest_post(remote->rest, path, &answer, &err) != LAM_OK)
        return lam_cli_fail_error(&err);
    return lam_remote_show(remote, answer, print);
}

int lam_remote_list(const lam_remote *remote, const char *path, void (*print)(const json_t *answer))
{
    char full[MAX_PATH_TEXT], limit[32] = "";
    if (remote->limit > 0)
        snprintf(limit, sizeof limit, "limit=%lld", (long long)remote->limit);
    snprintf(full, sizeof full, "%s%s%s%s%s%s", path, remote->state || *limit ? "?" : "",
             remote->state ? "state=" : "", remote->state ? remote->state : "",
             remote->state && *limit ? "&" : "", limit);
    return lam_remote_get(remote, full, print);
}
