/* Builds A-ASSOCIATE-RQ PDUs byte by byte, right or wrong ones, for tests. */
#ifndef LAMINA_TESTS_ASSOCIATE_REQUEST_H
#define LAMINA_TESTS_ASSOCIATE_REQUEST_H

#include <stdint.h>
#include <string.h>

typedef struct associate_request {
    uint8_t bytes[256 * 1024];
    size_t length;
} associate_request;

static inline void request_item(associate_request *r, uint8_t type, const void *bytes, size_t length)
{
    const uint8_t head[4] = {type, 0, (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(r->bytes + r->length, head, sizeof head);
    memcpy(r->bytes + r->length + 4, bytes, length);
    r->length += 4 + length;
}

/* Writes the length field; after every change. */
static inline void request_finish(associate_request *r)
{
    size_t length = r->length - 6;
    const uint8_t bytes[4] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                              (uint8_t)length};
    memcpy(r->bytes + 2, bytes, sizeof bytes);
}

static inline void request_begin(associate_request *r, const char *called, const char *calling,
                                 const char *application_context)
{
    memset(r->bytes, 0, 74);
    memset(r->bytes + 10, ' ', 32);
    memcpy(r->bytes + 10, called, strlen(called));
    memcpy(r->bytes + 26, calling, strlen(calling));
    r->bytes[0] = 1;
    r->bytes[7] = 1;
    r->length = 74;
    request_item(r, 0x10, application_context, strlen(application_context));
}

static inline void request_context(associate_request *r, uint8_t id, const char *abstract_syntax,
                                   const char *const *transfer_syntaxes, size_t count)
{
    static associate_request inner;
    const uint8_t head[4] = {id, 0, 0, 0};
    memcpy(inner.bytes, head, sizeof head);
    inner.length = 4;
    request_item(&inner, 0x30, abstract_syntax, strlen(abstract_syntax));
    for (size_t i = 0; i < count; i++)
        request_item(&inner, 0x40, transfer_syntaxes[i], strlen(transfer_syntaxes[i]));
    request_item(r, 0x20, inner.bytes, inner.length);
}

static inline void request_user(associate_request *r)
{
    static associate_request inner;
    inner.length = 0;
    request_item(&inner, 0x51, "\0\0\x40\0", 4);
    request_item(&inner, 0x52, "1.2.3.4", 7);
    request_item(&inner, 0x55, "TEST", 4);
    request_item(r, 0x50, inner.bytes, inner.length);
    request_finish(r);
}

/* One for Verification and CT, both in implicit little endian, contexts 1 and 3. */
static inline void request_plain(associate_request *r, const char *called, const char *calling)
{
    const char *const implicit = "1.2.840.10008.1.2";
    request_begin(r, called, calling, "1.2.840.10008.3.1.1.1");
    request_context(r, 1, "1.2.840.10008.1.1", &implicit, 1);
    request_context(r, 3, "1.2.840.10008.5.1.4.1.1.2", &implicit, 1);
    request_user(r);
}

#endif
