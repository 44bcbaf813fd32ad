#include "tests/unit/api/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 60 };

int client_connect(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void client_send(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the other side closed; what it said can still be read */
        at += sent;
        length -= (size_t)sent;
    }
}

void client_wait(int fd)
{
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, PATIENCE_S * 1000);
}

static int read_more(int fd, lam_buffer *to)
{
    char piece[65536];
    ssize_t got = recv(fd, piece, sizeof piece, 0);
    if (got > 0)
        lam_buffer_append(to, piece, (size_t)got);
    return got > 0;
}

static void read_head(int fd, answer *a, lam_buffer *rest)
{
    char *end;
    while (!(end = rest->data ? strstr(rest->data, "\r\n\r\n") : NULL))
        if (!read_more(fd, rest))
            return;
    size_t length = (size_t)(end + 4 - rest->data);
    lam_buffer_clear(&a->head);
    lam_buffer_append(&a->head, rest->data, length);
    lam_buffer_consume(rest, length);
    a->status = (int)strtol(a->head.data + strlen("HTTP/1.1 "), NULL, 10);
}

const char *answer_header(const answer *a, const char *name)
{
    static char value[2048];
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *line = lam_buffer_text(&a->head); line && *line;) {
        const char *end = strstr(line, "\r\n");
        if (!end)
            break;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *from = line + length + 1 + strspn(line + length + 1, " ");
            snprintf(value, sizeof value, "%.*s", (int)(end - from), from);
            break;
        }
        line = end + 2;
    }
    return value;
}

static void read_chunks(int fd, answer *a, lam_buffer *rest)
{
    for (;;) {
        char *line;
        while (!(line = rest->data ? strstr(rest->data, "\r\n") : NULL))
            if (!read_more(fd, rest))
                return;
        size_t size = strtoul(rest->data, NULL, 16);
        size_t whole = (size_t)(line - rest->data) + 2 + size + 2;
        while (rest->length < whole)
            if (!read_more(fd, rest))
                return;
        lam_buffer_append(&a->body, rest->data + (whole - size - 2), size);
        lam_buffer_consume(rest, whole);
        if (size == 0)
            return;
    }
}

answer client_read(int fd, int head_only)
{
    answer a = {0};
    lam_buffer rest;
    lam_buffer_init(&a.head, 1 << 20);
    lam_buffer_init(&a.body, 1 << 30);
    lam_buffer_init(&rest, 1 << 30);
    read_head(fd, &a, &rest);
    if (a.status >= 100 && a.status < 200) {
        a.informational = a.status;
        a.status = 0;
        read_head(fd, &a, &rest);
    }
    if (a.status && !head_only && a.status != 204 && a.status != 304) {
        if (strcasecmp(answer_header(&a, "Transfer-Encoding"), "chunked") == 0) {
            read_chunks(fd, &a, &rest);
        } else {
            size_t length = strtoul(answer_header(&a, "Content-Length"), NULL, 10);
            while (rest.length < length && read_more(fd, &rest))
                ;
            lam_buffer_append(&a.body, lam_buffer_text(&rest), rest.length < length ? rest.length : length);
        }
    }
    lam_buffer_done(&rest);
    return a;
}

answer client_ask(unsigned port, const char *method, const char *path, const char *headers, const void *body,
                  size_t length)
{
    lam_buffer request;
    lam_buffer_init(&request, 1 << 20);
    lam_buffer_printf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s", method, path,
                      headers);
    if (body)
        lam_buffer_printf(&request, "Content-Length: %zu\r\n", length);
    lam_buffer_append_text(&request, "\r\n");
    int fd = client_connect(port);
    client_send(fd, request.data, request.length);
    if (body)
        client_send(fd, body, length);
    answer a = client_read(fd, strcmp(method, "HEAD") == 0);
    close(fd);
    lam_buffer_done(&request);
    return a;
}

answer client_get(unsigned port, const char *path, const char *headers)
{
    return client_ask(port, "GET", path, headers, NULL, 0);
}

json_t *answer_json(const answer *a)
{
    return json_loadb(lam_buffer_text(&a->body), a->body.length, 0, NULL);
}

void answer_done(answer *a)
{
    lam_buffer_done(&a->head);
    lam_buffer_done(&a->body);
}
