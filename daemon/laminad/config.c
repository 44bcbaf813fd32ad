#include "daemon/laminad/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "daemon/laminad/config_table.h"

enum { MAX_FILE = 1 << 20, MAX_REPORT = 1 << 20 };

/* ---- what cannot be a constant default ---- */

static lam_status set_path(char field[LAM_CONFIG_PATH], const char *path, lam_error *err)
{
    if (strlen(path) >= LAM_CONFIG_PATH)
        return lam_fail(err, LAM_E_LIMIT, "%.100s…: paths have at most %d characters", path,
                        LAM_CONFIG_PATH - 1);
    memcpy(field, path, strlen(path) + 1);
    return LAM_OK;
}

/* XDG Base Directory Specification: $XDG_STATE_HOME, else ~/.local/state; a relative one is ignored. */
static lam_status set_user_data_dir(lam_config *config, lam_error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    if (state && state[0] == '/')
        snprintf(path, sizeof path, "%s/lamina", state);
    else if (home && home[0] == '/')
        snprintf(path, sizeof path, "%s/.local/state/lamina", home);
    else
        return lam_fail(err, LAM_E_INVALID,
                        "there is neither " LAM_CONFIG_DEFAULT_FILE
                        " nor XDG_STATE_HOME nor HOME to tell where data goes; give --config FILE");
    return set_path(config->data_dir, path, err);
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* As installed (bin beside share), or in the source tree (build/, build/NAME/ beside models/). */
static lam_status set_models_dir(lam_config *config, lam_error *err)
{
    static const char *const places[] = {"../share/lamina/models", "../models", "../../models"};
    const char *given = getenv("LAMINA_MODELS");
    char program[PATH_MAX], path[PATH_MAX + 32], clean[PATH_MAX];
    if (given && *given)
        return set_path(config->models_dir, realpath(given, clean) ? clean : given, err);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0)
        return lam_fail_errno(err, errno, "cannot tell where this program lies; give lamina.models_dir");
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < LAM_COUNT(places); i++) {
        snprintf(path, sizeof path, "%s/%s", program, places[i]);
        if (is_directory(path) && realpath(path, clean))
            return set_path(config->models_dir, clean, err);
    }
    return set_path(config->models_dir, "/usr/share/lamina/models", err);
}

/* ---- loading ---- */

/* Reads the file, if there is one; *errors counts the lines that it added to the report. */
static lam_status read_source(const char *path, lam_config *config, lam_buffer *report, int *errors,
                              lam_error *err)
{
    if (!path && access(LAM_CONFIG_DEFAULT_FILE, F_OK) == 0)
        path = LAM_CONFIG_DEFAULT_FILE;
    if (!path)
        return set_user_data_dir(config, err);

    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return lam_fail_errno(err, errno, "cannot read the configuration %.200s", path);
    lam_status status = set_path(config->source, absolute, err);
    if (status != LAM_OK)
        return status;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, MAX_FILE);
    status = lam_io_read_file(absolute, &text, err);
    if (status == LAM_OK)
        *errors += lam_config_read(lam_buffer_text(&text), text.length, config, report);
    return status;
}

static lam_status load(const char *path, lam_config **out, lam_buffer *report, int *errors, lam_error *err)
{
    LAM_AUTO_PTR(lam_config) *config = calloc(1, sizeof *config);
    if (!config)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < LAM_SECTION_PEER; i++)
        lam_config_section_defaults(&lam_config_sections[i], config);
    lam_status status = read_source(path, config, report, errors, err);
    if (status == LAM_OK && !config->models_dir[0])
        status = set_models_dir(config, err);
    if (status != LAM_OK)
        return status;
    *errors += lam_config_check_together(config, report);
    *out = LAM_TAKE_PTR(config);
    return LAM_OK;
}

/* The first problem of a report, and how many more there are. */
static lam_status first_error(const lam_buffer *report, int errors, lam_error *err)
{
    static const char mark[] = "error: ";
    const char *line = lam_buffer_text(report);
    while (*line && strncmp(line, mark, strlen(mark)) != 0)
        line += strcspn(line, "\n") + 1;
    if (!*line)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    line += strlen(mark);
    int length = (int)strcspn(line, "\n");
    if (errors == 1)
        return lam_fail(err, LAM_E_INVALID, "%.*s", length, line);
    return lam_fail(err, LAM_E_INVALID, "%.*s (and %d more; laminad --check-config lists all)", length, line,
                    errors - 1);
}

lam_status lam_config_load(const char *path, lam_config **out, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer report;
    lam_buffer_init(&report, MAX_REPORT);
    LAM_AUTO_PTR(lam_config) *config = NULL;
    int errors = 0;
    lam_status status = load(path, &config, &report, &errors, err);
    if (status == LAM_OK && errors > 0)
        status = first_error(&report, errors, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(config);
    return status;
}

lam_status lam_config_check(const char *path, lam_buffer *report)
{
    LAM_AUTO_PTR(lam_config) *config = NULL;
    int errors = 0;
    lam_error err;
    lam_status status = load(path, &config, report, &errors, &err);
    if (status != LAM_OK)
        lam_buffer_printf(report, "error: %s\n", err.message);
    else if (errors > 0)
        status = LAM_E_INVALID;
    return status;
}

void lam_config_warnings(const lam_config *config, lam_buffer *out)
{
    lam_config_check_together(config, out); /* a loaded configuration has no errors */
}

void lam_config_free(lam_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->rule_count; i++)
        lam_rule_free(config->rules[i].when);
    free(config->rules);
    free(config->peers);
    free(config);
}

lam_status lam_config_reload(const lam_config *old, lam_config **out, lam_buffer *restart, lam_error *err)
{
    LAM_AUTO_PTR(lam_config) *config = NULL;
    lam_status status = lam_config_load(old->source[0] ? old->source : NULL, &config, err);
    if (status != LAM_OK)
        return status;
    for (size_t i = 0; i < LAM_SECTION_PEER; i++) {
        const lam_config_section *section = &lam_config_sections[i];
        for (size_t k = 0; k < section->key_count; k++) {
            const lam_config_key *key = &section->keys[k];
            if (key->live || lam_config_value_equal(key, old, config))
                continue;
            lam_config_value_copy(key, config, old);
            lam_buffer_printf(restart, "%s%s.%s", restart->length > 0 ? " " : "", section->name, key->name);
        }
    }
    *out = LAM_TAKE_PTR(config);
    return LAM_OK;
}

/* ---- asking ---- */

lam_config_accept lam_config_effective_accept(const lam_config *config)
{
    bool first_try = config->peer_count == 0 && lam_config_is_loopback(config->dicom_listen.host);
    return first_try ? LAM_ACCEPT_ANY : config->accept;
}

lam_config_quiet lam_config_quiet_of(const lam_config *config, const char *calling_ae)
{
    lam_config_quiet quiet = {.after_release_ms = config->stable_after_release_ms};
    for (size_t i = 0; i < config->peer_count; i++) {
        const lam_config_peer *peer = &config->peers[i];
        if (strcmp(peer->ae_title, calling_ae) != 0)
            continue;
        quiet.after_ms = peer->stable_after_ms;
        if (peer->stable_after_release_ms)
            quiet.after_release_ms = peer->stable_after_release_ms;
        break;
    }
    return quiet;
}
