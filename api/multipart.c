/* A state machine over the body. The delimiter "CRLF -- boundary" holds CR only as its first character (a
 * boundary cannot contain one), so after a mismatch the search starts again at the current byte and never
 * further back. */
#include "api/multipart.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/buffer.h"

enum { MAX_PADDING = 32 };

typedef enum reader_state {
    IN_CONTENT,  /* preamble or a part's content; `matched` bytes of the delimiter seen */
    AFTER_MATCH, /* the delimiter was seen; `tail` holds what followed so far */
    IN_HEADERS,
    IN_EPILOGUE,
    FAILED
} reader_state;

struct lam_multipart {
    lam_multipart_events events;
    void *context;
    char delimiter[4 + LAM_MULTIPART_BOUNDARY + 1]; /* CRLF -- boundary */
    size_t delimiter_length;
    size_t matched;
    size_t borrowed; /* of the matched bytes, those that belong to what came before: a CRLF that ended the
                        headers, or the start of the body, begins a line as well */
    char tail[MAX_PADDING + 2];
    size_t tail_length;
    reader_state state;
    bool in_part; /* else preamble */
    size_t parts;
    size_t max_parts;
    size_t preamble;
    lam_buffer headers;
    lam_error failure;
};

static bool boundary_is_valid(const char *boundary)
{
    size_t length = strlen(boundary);
    if (length == 0 || length > LAM_MULTIPART_BOUNDARY || boundary[length - 1] == ' ')
        return false;
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? "
        "!#$%&*^`{|}~@"; /* the second line: tokens that clients use, though not bchars */
    return strspn(boundary, allowed) == length;
}

lam_status lam_multipart_create(const char *boundary, size_t max_parts, const lam_multipart_events *events,
                                void *context, lam_multipart **out, lam_error *err)
{
    if (!boundary_is_valid(boundary))
        return lam_fail(err, LAM_E_INVALID,
                        "the boundary parameter must have 1 to %d characters of RFC 2046 section 5.1.1",
                        LAM_MULTIPART_BOUNDARY);
    lam_multipart *reader = calloc(1, sizeof *reader);
    if (!reader)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    reader->events = *events;
    reader->context = context;
    reader->max_parts = max_parts;
    reader->delimiter_length = 4 + strlen(boundary);
    memcpy(reader->delimiter, "\r\n--", 4);
    memcpy(reader->delimiter + 4, boundary, strlen(boundary));
    reader->matched = reader->borrowed = 2;
    lam_buffer_init(&reader->headers, LAM_MULTIPART_HEADERS);
    *out = reader;
    return LAM_OK;
}

void lam_multipart_free(lam_multipart *reader)
{
    if (!reader)
        return;
    lam_buffer_done(&reader->headers);
    free(reader);
}

static lam_status fail(lam_multipart *reader, lam_status status, const char *message)
{
    reader->state = FAILED;
    return lam_fail(&reader->failure, status, "%s", message);
}

static lam_status emit(lam_multipart *reader, const char *bytes, size_t length)
{
    if (length == 0)
        return LAM_OK;
    if (reader->in_part)
        return reader->events.part_data(reader->context, bytes, length, &reader->failure);
    reader->preamble += length;
    if (reader->preamble > LAM_MULTIPART_PREAMBLE)
        return fail(reader, LAM_E_INVALID, "the boundary was not found at the start of the body");
    return LAM_OK;
}

/* What looked like a delimiter was content. */
static lam_status emit_held(lam_multipart *reader)
{
    size_t borrowed = reader->borrowed;
    size_t held = reader->matched - borrowed;
    reader->matched = 0;
    reader->borrowed = 0;
    lam_status status = emit(reader, reader->delimiter + borrowed, held);
    if (status == LAM_OK)
        status = emit(reader, reader->tail, reader->tail_length);
    reader->tail_length = 0;
    return status;
}

/* Where in the piece a delimiter, or the beginning of one that the piece cuts off, starts; `length` if
 * nowhere. */
static size_t find_delimiter(const lam_multipart *reader, const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        const char *cr = memchr(bytes + at, '\r', length - at);
        if (!cr)
            return length;
        at = (size_t)(cr - bytes);
        size_t compare = length - at < reader->delimiter_length ? length - at : reader->delimiter_length;
        if (memcmp(cr, reader->delimiter, compare) == 0)
            return at;
        at++;
    }
    return length;
}

/* Content up to the next delimiter or the end of the piece. Gives back the bytes used. */
static lam_status feed_content(lam_multipart *reader, const char *bytes, size_t length, size_t *used)
{
    size_t at = reader->matched ? 0 : find_delimiter(reader, bytes, length);
    if (at) {
        lam_status status = emit(reader, bytes, at);
        if (status != LAM_OK)
            return status;
    }
    while (at < length && bytes[at] == reader->delimiter[reader->matched]) {
        at++;
        if (++reader->matched == reader->delimiter_length) {
            reader->state = AFTER_MATCH;
            break;
        }
    }
    *used = at;
    if (at < length && reader->state == IN_CONTENT)
        return emit_held(reader);
    return LAM_OK;
}

static lam_status end_part(lam_multipart *reader)
{
    reader->matched = reader->borrowed = 0;
    reader->tail_length = 0;
    if (!reader->in_part)
        return LAM_OK;
    reader->in_part = false;
    return reader->events.part_end(reader->context, &reader->failure);
}

static lam_status begin_headers(lam_multipart *reader)
{
    lam_status status = end_part(reader);
    if (status != LAM_OK)
        return status;
    if (++reader->parts > reader->max_parts)
        return fail(reader, LAM_E_LIMIT,
                    "the body has more parts than are allowed; send it in several requests");
    reader->state = IN_HEADERS;
    lam_buffer_clear(&reader->headers);
    return LAM_OK;
}

/* One byte after "CRLF--boundary": "--" closes, blanks and CRLF open a part, anything else was content after
 * all. */
static lam_status feed_tail(lam_multipart *reader, const char *bytes, size_t *used)
{
    char byte = *bytes;
    size_t held = reader->tail_length;
    char last = held ? reader->tail[held - 1] : '\0';
    if (last == '\r' && byte == '\n') {
        *used = 1;
        return begin_headers(reader);
    }
    if (held == 1 && last == '-' && byte == '-') {
        *used = 1;
        reader->state = IN_EPILOGUE;
        return end_part(reader);
    }
    bool blanks_so_far = held == 0 || last == ' ' || last == '\t';
    bool may_go_on = (held == 0 && byte == '-') ||
                     (blanks_so_far && held < MAX_PADDING && (byte == ' ' || byte == '\t' || byte == '\r'));
    if (may_go_on) {
        *used = 1;
        reader->tail[reader->tail_length++] = byte;
        return LAM_OK;
    }
    reader->state = IN_CONTENT;
    bool restart = last == '\r'; /* that CR may begin the real delimiter */
    if (restart)
        reader->tail_length--;
    lam_status status = emit_held(reader);
    reader->matched = restart ? 1 : 0;
    return status;
}

/* Joins folded lines and ends lines with "\n" in place. */
static void unfold(char *headers)
{
    char *to = headers;
    for (const char *from = headers; *from; from++) {
        if (from[0] == '\r' && from[1] == '\n') {
            from++;
            bool folded = from[1] == ' ' || from[1] == '\t';
            *to++ = folded ? ' ' : '\n';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static lam_status begin_part(lam_multipart *reader)
{
    if (memchr(reader->headers.data, '\0', reader->headers.length))
        return fail(reader, LAM_E_INVALID, "a NUL byte in the headers of a part");
    unfold(reader->headers.data);
    reader->state = IN_CONTENT;
    reader->in_part = true;
    reader->matched = reader->borrowed = 2;
    return reader->events.part_begin(reader->context, reader->headers.data, &reader->failure);
}

/* Header bytes up to and with the empty line that ends them. */
static lam_status feed_headers(lam_multipart *reader, const char *bytes, size_t length, size_t *used)
{
    lam_buffer *headers = &reader->headers;
    size_t at = 0;
    while (at < length) {
        const char *newline = memchr(bytes + at, '\n', length - at);
        size_t take = newline ? (size_t)(newline - bytes) + 1 - at : length - at;
        if (lam_buffer_append(headers, bytes + at, take) != LAM_OK)
            return fail(reader, LAM_E_LIMIT, "the headers of a part are larger than 8 KiB");
        at += take;
        if (!newline)
            break;
        if (headers->length < 2 || headers->data[headers->length - 2] != '\r')
            return fail(reader, LAM_E_INVALID, "a header line of a part does not end in CRLF");
        bool empty_line =
            headers->length == 2 ||
            (headers->length >= 4 && memcmp(headers->data + headers->length - 4, "\r\n", 2) == 0);
        if (empty_line) {
            *used = at;
            return begin_part(reader);
        }
    }
    *used = at;
    return LAM_OK;
}

lam_status lam_multipart_feed(lam_multipart *reader, const char *bytes, size_t length, lam_error *err)
{
    lam_status status = LAM_OK;
    while (length && status == LAM_OK && reader->state != IN_EPILOGUE) {
        size_t used = 0;
        switch (reader->state) {
        case IN_CONTENT:
            status = feed_content(reader, bytes, length, &used);
            break;
        case AFTER_MATCH:
            status = feed_tail(reader, bytes, &used);
            break;
        case IN_HEADERS:
            status = feed_headers(reader, bytes, length, &used);
            break;
        default:
            status = reader->failure.status;
            break;
        }
        bytes += used;
        length -= used;
    }
    if (status == LAM_OK)
        return LAM_OK;
    reader->state = FAILED;
    reader->failure.status = status;
    return lam_fail(err, status, "%s", reader->failure.message);
}

lam_status lam_multipart_finish(lam_multipart *reader, lam_error *err)
{
    if (reader->state == FAILED)
        return lam_fail(err, reader->failure.status, "%s", reader->failure.message);
    if (reader->parts == 0)
        return lam_fail(err, LAM_E_INVALID,
                        "no part found: the body does not contain the boundary of Content-Type");
    if (reader->state != IN_EPILOGUE)
        return lam_fail(err, LAM_E_INVALID, "the body ends without its closing boundary; nothing was stored");
    return LAM_OK;
}

bool lam_multipart_header(const char *headers, const char *name, char *value, size_t size)
{
    size_t name_length = strlen(name);
    for (const char *line = headers; *line;) {
        size_t length = strcspn(line, "\n");
        if (length > name_length && line[name_length] == ':' && strncasecmp(line, name, name_length) == 0) {
            const char *from = line + name_length + 1;
            const char *to = line + length;
            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            if ((size_t)(to - from) >= size)
                return false;
            memcpy(value, from, (size_t)(to - from));
            value[to - from] = '\0';
            return true;
        }
        line += length + (line[length] == '\n');
    }
    return false;
}
