/* http_limit DIR DIMSE_PORT HTTP_PORT: what the machine allows at all to come in by HTTP. Puts the body of
 * every request into a new file, syncs it, says 200, and does nothing else: no parsing, no index, no second
 * sync. A thread for each connection; trusts its client, which is the load generator and waits for the DIMSE
 * port to open, where nothing is answered. */
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
static atomic_uint last_file;

/* What came of a request: its head, and as much of the body as came with it. */
typedef struct request {
    char bytes[256 * 1024];
    size_t held, body, length; /* body: where it begins; length: what the head says of it */
} request;

static bool read_head(int peer, request *r)
{
    for (;;) {
        char *end = memmem(r->bytes, r->held, "\r\n\r\n", 4);
        if (end) {
            *end = '\0';
            const char *length = strcasestr(r->bytes, "content-length:");
            r->body = (size_t)(end + 4 - r->bytes);
            r->length = length ? strtoul(length + 15, NULL, 10) : 0;
            return length != NULL;
        }
        ssize_t got = recv(peer, r->bytes + r->held, sizeof r->bytes - r->held, 0);
        if (got <= 0)
            return false;
        r->held += (size_t)got;
    }
}

/* The body, as it comes, into a file. The client waits for the answer before its next request. */
static bool store(int peer, request *r)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", directory, atomic_fetch_add(&last_file, 1));
    lam_autoclose int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    const char *from = r->bytes + r->body;
    ssize_t got = (ssize_t)(r->held - r->body);
    for (size_t left = r->length;; got = recv(peer, r->bytes, sizeof r->bytes, 0), from = r->bytes) {
        if (got < 0 || (size_t)got > left || lam_io_write_all(file, from, (size_t)got, NULL) != LAM_OK)
            return false;
        left -= (size_t)got;
        if (!left)
            return lam_io_sync(file, NULL) == LAM_OK;
        if (got == 0 && from == r->bytes)
            return false;
    }
}

static void *serve(void *argument)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n{}";
    lam_autoclose int peer = (int)(intptr_t)argument;
    lam_autofree request *r = malloc(sizeof *r);
    int on = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (bool well = r != NULL; well;) {
        r->held = 0;
        well = read_head(peer, r) && store(peer, r) &&
               lam_io_write_all(peer, answer, sizeof answer - 1, NULL) == LAM_OK;
    }
    return NULL;
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
    perror("http_limit: cannot listen");
    exit(1);
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: http_limit DIR DIMSE_PORT HTTP_PORT\n");
        return 2;
    }
    directory = arguments[1];
    listen_at(arguments[2]);
    int listener = listen_at(arguments[3]);
    for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer) == 0)
            pthread_detach(thread);
        else
            close(peer);
    }
    return 0;
}
