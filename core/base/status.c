#include "core/base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

static const char *const status_names[LAM_STATUS_COUNT] = {
    [LAM_OK] = "ok",
    [LAM_E_INVALID] = "invalid",
    [LAM_E_CORRUPT] = "corrupt",
    [LAM_E_UNSUPPORTED] = "unsupported",
    [LAM_E_LIMIT] = "limit",
    [LAM_E_NOT_FOUND] = "not_found",
    [LAM_E_EXISTS] = "exists",
    [LAM_E_STATE] = "state",
    [LAM_E_BUSY] = "busy",
    [LAM_E_TIMEOUT] = "timeout",
    [LAM_E_CANCELLED] = "cancelled",
    [LAM_E_DENIED] = "denied",
    [LAM_E_PEER] = "peer",
    [LAM_E_NO_SPACE] = "no_space",
    [LAM_E_NO_MEMORY] = "no_memory",
    [LAM_E_IO] = "io",
    [LAM_E_INTERNAL] = "internal",
};

static const struct {
    int number;
    lam_status status;
} errno_map[] = {
    {ENOSPC, LAM_E_NO_SPACE},  {EDQUOT, LAM_E_NO_SPACE},   {ENOMEM, LAM_E_NO_MEMORY},
    {ENOENT, LAM_E_NOT_FOUND}, {EEXIST, LAM_E_EXISTS},     {EACCES, LAM_E_DENIED},
    {EPERM, LAM_E_DENIED},     {ETIMEDOUT, LAM_E_TIMEOUT}, {EPIPE, LAM_E_PEER},
    {ECONNRESET, LAM_E_PEER},  {ECONNREFUSED, LAM_E_PEER}, {EMFILE, LAM_E_LIMIT},
    {ENFILE, LAM_E_LIMIT},     {EFBIG, LAM_E_LIMIT},       {EMSGSIZE, LAM_E_LIMIT},
    {EAGAIN, LAM_E_BUSY},
};

const char *lam_status_name(lam_status status)
{
    if ((unsigned)status >= LAM_STATUS_COUNT)
        return "internal";
    return status_names[status];
}

lam_status lam_fail_v(lam_error *err, lam_status status, const char *format, va_list arguments)
{
    if (err) {
        err->status = status;
        if (vsnprintf(err->message, sizeof err->message, format, arguments) >= (int)sizeof err->message)
            lam_text_end_whole(err->message);
    }
    return status;
}

lam_status lam_fail(lam_error *err, lam_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    lam_fail_v(err, status, format, arguments);
    va_end(arguments);
    return status;
}

lam_status lam_fail_errno(lam_error *err, int number, const char *format, ...)
{
    lam_status status = LAM_E_IO;
    for (size_t i = 0; i < sizeof errno_map / sizeof errno_map[0]; i++)
        if (errno_map[i].number == number)
            status = errno_map[i].status;
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        lam_fail_v(err, status, format, arguments);
        va_end(arguments);
        char text[128];
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s",
                 strerror_r(number, text, sizeof text));
        lam_text_end_whole(err->message);
    }
    return status;
}

lam_status lam_error_prefix(lam_error *err, const char *format, ...)
{
    if (!err)
        return LAM_E_INTERNAL;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used < sizeof err->message)
        snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s", message);
    lam_text_end_whole(err->message);
    return err->status;
}
