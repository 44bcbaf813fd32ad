/* limit sync|nosync DIR DIMSE_PORT HTTP_PORT: what the machine allows at all to come in. Puts what each
 * C-STORE or HTTP request carries into a new file, syncs it if told so, says success, and does nothing else:
 * no parsing, no index, no second sync. A thread for each connection. It is no DICOM node: it trusts its
 * client, which is the load generator and sends an object, waits for the answer, and sends the next. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"

static const char *directory;
static bool synced;
static atomic_uint last_file;

/* What is read of a connection at once. */
typedef struct received {
    char bytes[256 * 1024];
} received;

static int new_file(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", directory, atomic_fetch_add(&last_file, 1));
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static bool finish(int file)
{
    return !synced || lam_io_sync(file, NULL) == LAM_OK;
}

/* The next length bytes of the connection into the file. */
static bool copy(int peer, size_t length, int file, received *r)
{
    while (length) {
        ssize_t got = recv(peer, r->bytes, length < sizeof r->bytes ? length : sizeof r->bytes, 0);
        if (got <= 0 || lam_io_write_all(file, r->bytes, (size_t)got, NULL) != LAM_OK)
            return false;
        length -= (size_t)got;
    }
    return true;
}

/* Reads the head of a request and what came of the body with it; body: where that begins, held: where it
 * ends, length: of the whole body. */
static bool read_head(int peer, received *r, size_t *held, size_t *body, size_t *length)
{
    for (*held = 0;;) {
        char *end = memmem(r->bytes, *held, "\r\n\r\n", 4);
        if (end) {
            *end = '\0';
            const char *said = strcasestr(r->bytes, "content-length:");
            *body = (size_t)(end + 4 - r->bytes);
            *length = said ? strtoul(said + 15, NULL, 10) : 0;
            return said != NULL && *held - *body <= *length;
        }
        ssize_t got = recv(peer, r->bytes + *held, sizeof r->bytes - *held, 0);
        if (got <= 0)
            return false;
        *held += (size_t)got;
    }
}

static bool serve_request(int peer, received *r)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n{}";
    size_t held, body, length;
    if (!read_head(peer, r, &held, &body, &length))
        return false;
    lam_autoclose int file = new_file();
    return file >= 0 && lam_io_write_all(file, r->bytes + body, held - body, NULL) == LAM_OK &&
           copy(peer, length - (held - body), file, r) && finish(file) &&
           lam_io_write_all(peer, answer, sizeof answer - 1, NULL) == LAM_OK;
}

static bool read_exactly(int peer, void *bytes, size_t length)
{
    return recv(peer, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Turns an A-ASSOCIATE-RQ into the A-ASSOCIATE-AC that takes each presentation context with its first
 * transfer syntax (PS3.8 section 9.3.3); returns its length. The user information goes back as it came, with
 * the peer's own PDU length. */
static size_t accept_association(const uint8_t *request, size_t length, uint8_t *answer)
{
    size_t to = 74;
    memcpy(answer, request, to);
    answer[0] = 0x02;
    for (size_t at = to; at + 4 <= length;) {
        size_t item = 4 + ((size_t)request[at + 2] << 8 | request[at + 3]), end = at + item;
        if (request[at] != 0x20) {
            memcpy(answer + to, request + at, item);
            to += item;
            at = end;
            continue;
        }
        size_t sub = at + 8;
        while (request[sub] != 0x40)
            sub += 4 + ((size_t)request[sub + 2] << 8 | request[sub + 3]);
        size_t syntax = 4 + ((size_t)request[sub + 2] << 8 | request[sub + 3]);
        const uint8_t head[8] = {0x21, 0, (uint8_t)((4 + syntax) >> 8), (uint8_t)(4 + syntax),
                                 request[at + 4]};
        memcpy(answer + to, head, sizeof head);
        memcpy(answer + to + sizeof head, request + sub, syntax);
        to += sizeof head + syntax;
        at = end;
    }
    uint32_t said = htonl((uint32_t)(to - 6));
    memcpy(answer + 2, &said, 4);
    return to;
}

/* C-STORE-RSP with status 0000H to message id (PS3.7 section 9.3.1.2). */
static bool say_stored(int peer, uint8_t context, const uint8_t id[2])
{
    uint8_t response[] = {4, 0,    0,    0, 0, 66, 0, 0, 0,     62,    context, 3, /* P-DATA-TF, one last
                                                                                      fragment of a command */
                          0, 0,    0,    0, 4, 0,  0, 0, 48,    0,     0,       0, 0, 0, 0, 1, 2, 0, 0,
                          0, 0x01, 0x80, /* CommandField */
                          0, 0,    0x20, 1, 2, 0,  0, 0, id[0], id[1], 0,       0, 0, 8, 2, 0, 0, 0, 1,
                          1, 0,    0,    0, 9, 2,  0, 0, 0,     0,     0,       0, 0, 2, 0, 0, 0, 0, 0};
    response[5] = (uint8_t)(sizeof response - 6);
    response[9] = (uint8_t)(sizeof response - 10);
    response[20] = (uint8_t)(sizeof response - 24);
    return lam_io_write_all(peer, response, sizeof response, NULL) == LAM_OK;
}

/* Message ID (0000,0110) of a command set, which is in implicit VR little endian. */
static void message_id(const uint8_t *command, size_t length, uint8_t id[2])
{
    for (size_t at = 0; at + 10 <= length; at += 8 + command[at + 4])
        if (command[at + 2] == 0x10 && command[at + 3] == 0x01)
            memcpy(id, command + at + 8, 2);
}

/* The PDUs of one C-STORE: a command in one PDU, then the data set, each PDU with one fragment. */
static bool serve_store(int peer, received *r)
{
    uint8_t head[12], id[2] = {0, 0};
    lam_autoclose int file = -1;
    while (read_exactly(peer, head, 6) && head[0] == 4 && read_exactly(peer, head + 6, 6)) {
        size_t length = big_endian(head + 6) - 2;
        bool command = head[11] & 1, last = head[11] & 2;
        if (command) {
            if (length > sizeof r->bytes || !read_exactly(peer, r->bytes, length))
                return false;
            message_id((const uint8_t *)r->bytes, length, id);
            file = new_file();
        } else if (!copy(peer, length, file, r)) {
            return false;
        } else if (last) {
            return finish(file) && say_stored(peer, head[10], id);
        }
    }
    return false;
}

static bool open_association(int peer, received *r)
{
    uint8_t head[6];
    if (!read_exactly(peer, head, 6) || head[0] != 1 || big_endian(head + 2) > 65536)
        return false;
    memcpy(r->bytes, head, 6);
    if (!read_exactly(peer, r->bytes + 6, big_endian(head + 2)))
        return false;
    uint8_t *request = (uint8_t *)r->bytes, *answer = request + sizeof r->bytes / 2;
    size_t length = accept_association(request, 6 + big_endian(head + 2), answer);
    return lam_io_write_all(peer, answer, length, NULL) == LAM_OK;
}

static void *serve(int peer, bool begun, bool (*next)(int, received *))
{
    lam_autoclose int owned = peer;
    lam_autofree received *r = malloc(sizeof *r);
    int on = 1;
    setsockopt(owned, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (r && (begun || open_association(peer, r)))
        while (next(peer, r)) {
        }
    return NULL;
}

static void *serve_http(void *peer)
{
    return serve((int)(intptr_t)peer, true, serve_request);
}

static void *serve_dimse(void *peer)
{
    return serve((int)(intptr_t)peer, false, serve_store);
}

static int listen_at(const char *port)
{
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(port)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 16) == 0)
        return listener;
    perror("limit: cannot listen");
    exit(1);
}

/* A thread of its own for each connection that comes. */
static void accept_all(int listener, void *(*serving)(void *))
{
    for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serving, (void *)(intptr_t)peer) == 0)
            pthread_detach(thread);
        else
            close(peer);
    }
}

static void *accept_dimse(void *listener)
{
    accept_all((int)(intptr_t)listener, serve_dimse);
    return NULL;
}

int main(int count, char **arguments)
{
    synced = count == 5 && strcmp(arguments[1], "sync") == 0;
    if (count != 5 || (!synced && strcmp(arguments[1], "nosync") != 0)) {
        fprintf(stderr, "usage: limit sync|nosync DIR DIMSE_PORT HTTP_PORT\n");
        return 2;
    }
    directory = arguments[2];
    pthread_t thread;
    if (pthread_create(&thread, NULL, accept_dimse, (void *)(intptr_t)listen_at(arguments[3])) != 0)
        return 1;
    accept_all(listen_at(arguments[4]), serve_http);
    return 1;
}
