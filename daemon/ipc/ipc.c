#include "daemon/ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"

enum { INLINE_MAX = 60 * 1024, SEND_BUFFER = 208 * 1024 };

typedef struct packet_header {
    uint32_t magic;
    uint32_t type;
    uint32_t request;
    uint32_t length;   /* of the payload */
    uint32_t in_memfd; /* 1: the payload is the last descriptor, not in the packet */
} packet_header;

static const uint32_t packet_magic = 0x4c414d31; /* "LAM1" */

typedef union control_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * (LAM_IPC_MAX_FDS + 1))];
} control_space;

lam_status lam_ipc_pair(int *parent, int *child, lam_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return lam_fail_errno(err, errno, "cannot make a socket pair");
    int size = SEND_BUFFER;
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size,
                   sizeof size); /* the kernel's bound is large enough too */
    *parent = ends[0];
    *child = ends[1];
    return LAM_OK;
}

lam_status lam_ipc_check_child(lam_error *err)
{
    int type = 0;
    socklen_t length = sizeof type;
    bool given =
        getsockopt(LAM_IPC_CHILD_SOCKET, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
    return given ? LAM_OK : lam_fail(err, LAM_E_STATE, "this program is started by laminad, not by hand");
}

static lam_status payload_to_memfd(const char *payload, size_t length, int *out, lam_error *err)
{
    lam_autoclose int fd = memfd_create("lamina-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot make a memory file for %zu bytes", length);
    lam_status status = lam_io_write_all(fd, payload, length, err);
    if (status != LAM_OK)
        return status;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return lam_fail_errno(err, errno, "cannot seal a memory file");
    *out = LAM_TAKE_FD(fd);
    return LAM_OK;
}

static lam_status send_packet(int socket, struct msghdr *message, lam_error *err)
{
    for (;;) {
        if (sendmsg(socket, message, MSG_NOSIGNAL) >= 0)
            return LAM_OK;
        if (errno == EINTR)
            continue;
        return lam_fail_errno(err, errno, "cannot send a message to the other process");
    }
}

lam_status lam_ipc_send(int socket, uint32_t type, uint32_t request, const char *payload, const int *fds,
                        size_t fd_count, lam_error *err)
{
    size_t length = payload ? strlen(payload) : 0;
    if (length > LAM_IPC_MAX_PAYLOAD)
        return lam_fail(err, LAM_E_LIMIT, "message of %zu bytes is over the limit of %d", length,
                        LAM_IPC_MAX_PAYLOAD);
    if (fd_count > LAM_IPC_MAX_FDS)
        return lam_fail(err, LAM_E_LIMIT, "message with %zu descriptors is over the limit of %d", fd_count,
                        LAM_IPC_MAX_FDS);
    packet_header header = {packet_magic, type, request, (uint32_t)length, length > INLINE_MAX};
    lam_autoclose int memory = -1;
    if (header.in_memfd) {
        lam_status status = payload_to_memfd(payload, length, &memory, err);
        if (status != LAM_OK)
            return status;
    }
    int all[LAM_IPC_MAX_FDS + 1];
    size_t count = fd_count;
    if (fd_count)
        memcpy(all, fds, fd_count * sizeof *fds);
    if (memory >= 0)
        all[count++] = memory;

    struct iovec parts[2] = {{&header, sizeof header},
                             {(void *)(uintptr_t)payload, header.in_memfd ? 0 : length}};
    control_space control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        memset(&control, 0, sizeof control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), all, count * sizeof(int));
    }
    return send_packet(socket, &message, err);
}

static void take_descriptors(struct msghdr *message, lam_ipc_message *out, int *extra)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (out->fd_count < LAM_IPC_MAX_FDS)
                out->fds[out->fd_count++] = fd;
            else if (*extra < 0)
                *extra = fd;
            else
                close(fd);
        }
    }
}

static lam_status read_memfd(int fd, size_t length, char *into, lam_error *err)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || !(seals & F_SEAL_WRITE) || fstat(fd, &info) < 0 ||
        (size_t)info.st_size != length)
        return lam_fail(err, LAM_E_CORRUPT,
                        "the other process sent a payload that is not a sealed memory file");
    return lam_io_pread_all(fd, into, length, 0, err);
}

/* Checks the framing and puts the payload in place; `last` is the memory file when there is one. */
static lam_status take_payload(const packet_header *header, const char *inline_bytes, size_t inline_length,
                               int last, lam_ipc_message *out, lam_error *err)
{
    bool sound =
        header->magic == packet_magic && header->length <= LAM_IPC_MAX_PAYLOAD &&
        (header->in_memfd ? inline_length == 0 && last >= 0 : inline_length == header->length && last < 0);
    if (!sound)
        return lam_fail(err, LAM_E_CORRUPT, "the other process sent a malformed message");
    char *payload = malloc((size_t)header->length + 1);
    if (!payload)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a message of %u bytes", header->length);
    lam_status status = LAM_OK;
    if (header->in_memfd)
        status = read_memfd(last, header->length, payload, err);
    else if (inline_length)
        memcpy(payload, inline_bytes, inline_length);
    if (status != LAM_OK) {
        free(payload);
        return status;
    }
    payload[header->length] = '\0';
    out->type = header->type;
    out->request = header->request;
    out->payload = out->storage = payload;
    out->length = header->length;
    return LAM_OK;
}

lam_status lam_ipc_receive(int socket, lam_ipc_message *out, lam_error *err)
{
    packet_header header;
    char bytes[INLINE_MAX];
    control_space control;
    struct iovec parts[2] = {{&header, sizeof header}, {bytes, sizeof bytes}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got;
    while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0)
        if (errno != EINTR)
            return lam_fail_errno(err, errno, "cannot receive a message");
    if (got == 0)
        return lam_fail(err, LAM_E_PEER, "the other process closed the connection");

    lam_ipc_message received = {.payload = ""};
    lam_autoclose int extra = -1;
    take_descriptors(&message, &received, &extra);
    lam_status status;
    if ((size_t)got < sizeof header || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        status = lam_fail(err, LAM_E_CORRUPT, "the other process sent a truncated message");
    } else {
        if (header.in_memfd && extra < 0 && received.fd_count)
            extra = received.fds[--received.fd_count];
        status = take_payload(&header, bytes, (size_t)got - sizeof header, extra, &received, err);
    }
    if (status != LAM_OK) {
        lam_ipc_message_done(&received);
        return status;
    }
    *out = received;
    return LAM_OK;
}

void lam_ipc_message_done(lam_ipc_message *message)
{
    if (!message)
        return;
    for (size_t i = 0; i < message->fd_count; i++)
        if (message->fds[i] >= 0)
            close(message->fds[i]);
    free(message->storage);
    *message = (lam_ipc_message){.payload = ""};
}
