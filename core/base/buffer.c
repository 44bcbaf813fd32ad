#include "core/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lam_buffer_init(lam_buffer *buffer, size_t maximum)
{
    *buffer = (lam_buffer){.maximum = maximum};
}

void lam_buffer_done(lam_buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->data);
    lam_buffer_init(buffer, buffer->maximum);
}

char *lam_buffer_reserve(lam_buffer *buffer, size_t extra)
{
    if (buffer->status != LAM_OK)
        return NULL;
    if (extra > buffer->maximum || buffer->length > buffer->maximum - extra) {
        buffer->status = LAM_E_LIMIT;
        return NULL;
    }
    size_t needed = buffer->length + extra + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity < needed)
            capacity *= 2;
        char *data = realloc(buffer->data, capacity);
        if (!data) {
            buffer->status = LAM_E_NO_MEMORY;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    buffer->data[buffer->length + extra] = '\0';
    return buffer->data + buffer->length;
}

lam_status lam_buffer_append(lam_buffer *buffer, const void *bytes, size_t length)
{
    char *end = lam_buffer_reserve(buffer, length);
    if (!end)
        return buffer->status;
    if (length)
        memcpy(end, bytes, length);
    buffer->length += length;
    return LAM_OK;
}

lam_status lam_buffer_append_text(lam_buffer *buffer, const char *text)
{
    return lam_buffer_append(buffer, text, strlen(text));
}

lam_status lam_buffer_printf(lam_buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *end = length < 0 ? NULL : lam_buffer_reserve(buffer, (size_t)length);
    if (length < 0 && buffer->status == LAM_OK)
        buffer->status = LAM_E_LIMIT; /* longer than an int can say */
    if (end) {
        vsnprintf(end, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
    return buffer->status;
}

void lam_buffer_consume(lam_buffer *buffer, size_t length)
{
    if (length >= buffer->length) {
        lam_buffer_clear(buffer);
        return;
    }
    memmove(buffer->data, buffer->data + length, buffer->length - length + 1);
    buffer->length -= length;
}

void lam_buffer_clear(lam_buffer *buffer)
{
    buffer->length = 0;
    buffer->status = LAM_OK;
    if (buffer->data)
        buffer->data[0] = '\0';
}

const char *lam_buffer_text(const lam_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

char *lam_buffer_take(lam_buffer *buffer)
{
    if (!buffer->data)
        return calloc(1, 1);
    char *data = buffer->data;
    lam_buffer_init(buffer, buffer->maximum);
    return data;
}
