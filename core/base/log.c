#include "core/base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

static const char *log_program = "lamina";
static lam_log_level log_level = LAM_LOG_INFO;
static bool log_systemd;

static const struct {
    const char *name;
    const char *priority; /* sd-daemon(3) */
} levels[] = {
    [LAM_LOG_ERROR] = {"error", "<3>"},
    [LAM_LOG_WARNING] = {"warning", "<4>"},
    [LAM_LOG_INFO] = {"info", "<6>"},
    [LAM_LOG_DEBUG] = {"debug", "<7>"},
};

void lam_log_open(const char *program, lam_log_level level, bool systemd)
{
    log_program = program;
    log_level = level;
    log_systemd = systemd;
}

void lam_log(lam_log_level level, const char *event, const char *format, ...)
{
    if (level > log_level)
        return;
    char line[2048];
    size_t used = 0;
    if (log_systemd) {
        used = (size_t)snprintf(line, sizeof line, "%s", levels[level].priority);
    } else {
        char now[LAM_CLOCK_TEXT];
        used = (size_t)snprintf(line, sizeof line, "%s ", lam_clock_iso8601(lam_clock_wall_ms(), now));
    }
    used += (size_t)snprintf(line + used, sizeof line - used, "level=%s program=%s event=%s ",
                             levels[level].name, log_program, event);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (length > 0)
        used += (size_t)length < sizeof line - used - 1 ? (size_t)length : sizeof line - used - 2;
    for (size_t i = 0; i < used; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* nowhere left to report it */
}

char *lam_log_quote(const char *value, char text[LAM_LOG_QUOTE])
{
    size_t used = 0;
    text[used++] = '"';
    for (const char *c = value ? value : ""; *c; c++) {
        if (used > 200) {
            memcpy(text + used, "...", 3);
            used += 3;
            break;
        }
        if (*c == '"' || *c == '\\')
            text[used++] = '\\';
        text[used++] = (*c >= 0x20 && *c < 0x7f) ? *c : '?';
    }
    text[used++] = '"';
    text[used] = '\0';
    return text;
}
