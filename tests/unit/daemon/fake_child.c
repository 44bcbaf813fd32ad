#include "tests/unit/daemon/fake_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"

enum { MAX_OBJECT = 1 << 20 };

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static void tell(uint32_t type, uint32_t request, const char *payload)
{
    if (lam_ipc_send(LAM_IPC_CHILD_SOCKET, type, request, payload, NULL, 0, NULL) != LAM_OK)
        _exit(0);
}

/* ---- lamina-worker ---- */

static const char *once(const char *text)
{
    char path[512];
    size_t length = strcspn(text, "\n");
    snprintf(path, sizeof path, "%.*s", (int)length, text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        raise(SIGKILL);
    return text + length + 1;
}

static void index_object(const char *text, uint32_t request)
{
    if (begins(text, FAKE_CRASH))
        raise(SIGKILL);
    if (begins(text, FAKE_HANG))
        for (;;)
            pause();
    if (begins(text, FAKE_ONCE))
        text = once(text + strlen(FAKE_ONCE));
    if (begins(text, FAKE_REFUSE))
        tell(LAM_MESSAGE_FAILED, request,
             "{\"status\":\"invalid\",\"reason\":\"refused as told\",\"permanent\":true}");
    else if (begins(text, FAKE_BABBLE))
        tell(LAM_MESSAGE_DONE, request, "{}");
    else
        tell(LAM_MESSAGE_INDEXED, request, text);
}

/* The lines of an archive after the first are the objects in it. */
static void unpack(char *archive, const lam_ipc_message *message)
{
    char *rest = NULL;
    const char *answer = strtok_r(archive, "\n", &rest);
    for (size_t i = 0; i < message->fd_count; i++) {
        const char *object = strtok_r(NULL, "\n", &rest);
        if (object && lam_io_write_all(message->fds[i], object, strlen(object), NULL) != LAM_OK)
            _exit(3);
    }
    tell(LAM_MESSAGE_UNPACKED, message->request, answer);
}

static void play_worker(void)
{
    lam_ipc_message message;
    char *archive = NULL;
    tell(LAM_MESSAGE_READY, 0, "{}");
    while (lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &message, NULL) == LAM_OK) {
        lam_buffer text;
        lam_buffer_init(&text, MAX_OBJECT);
        lseek(message.fds[0], 0, SEEK_SET); /* the position is shared with the one who tried before */
        if (message.type == LAM_MESSAGE_UNPACK_NEXT) {
            unpack(archive, &message);
        } else if (lam_io_read_to_end(message.fds[0], &text, NULL) == LAM_OK &&
                   message.type == LAM_MESSAGE_UNPACK) {
            archive = lam_buffer_take(&text);
            tell(LAM_MESSAGE_UNPACKED, message.request, "{\"bytes\":1}");
        } else {
            index_object(lam_buffer_text(&text), message.request);
        }
        lam_buffer_done(&text);
        lam_ipc_message_done(&message);
    }
    _exit(0);
}

/* ---- lamina-dimse ---- */

static void spool(int directory, const char *name, const char *object)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || lam_io_write_all(fd, object, strlen(object), NULL) != LAM_OK)
        _exit(3);
    fsync(fd);
    close(fd);
}

static void hand_over(int directory, const char *object)
{
    static unsigned number;
    char name[32], payload[256];
    snprintf(name, sizeof name, "c-%d-%u", (int)getpid(), ++number);
    spool(directory, name, object);
    snprintf(payload, sizeof payload, "{\"name\":\"%s\",\"calling_ae\":\"FAKE\"}", name);
    tell(LAM_MESSAGE_STORE, number, payload);
}

static void answer(int caller)
{
    lam_ipc_message message;
    if (lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &message, NULL) != LAM_OK)
        _exit(0);
    LAM_AUTO_PTR(lam_json) *json = NULL;
    if (message.type != LAM_MESSAGE_STORE_REPLY ||
        lam_json_parse(message.payload, message.length, &json, NULL) != LAM_OK)
        _exit(0);
    const lam_jv *root = lam_json_root(json);
    dprintf(caller, "%04X %s", (unsigned)lam_jv_integer(lam_jv_get(root, "status"), -1),
            lam_jv_text(lam_jv_get(root, "comment"), ""));
    lam_ipc_message_done(&message);
}

static void serve(int caller, int directory, const char *text)
{
    if (begins(text, FAKE_STORE)) {
        hand_over(directory, text + strlen(FAKE_STORE));
        answer(caller);
    } else if (begins(text, FAKE_VANISH)) {
        hand_over(directory, text + strlen(FAKE_VANISH));
        _exit(1);
    } else if (begins(text, FAKE_LITTER)) {
        spool(directory, "c-litter", text + strlen(FAKE_LITTER));
        _exit(1);
    } else if (begins(text, FAKE_NONSENSE)) {
        tell(LAM_MESSAGE_DONE, 0, "{}");
        for (;;) /* to be killed for it */
            pause();
    }
}

/* While nobody calls, laminad may say that the configuration changed, or DRAIN. */
static void hear_laminad(void)
{
    lam_ipc_message message;
    if (lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &message, NULL) != LAM_OK || message.type == LAM_MESSAGE_DRAIN)
        _exit(0);
    lam_ipc_message_done(&message);
}

static void play_dimse(void)
{
    lam_ipc_message first;
    if (lam_ipc_receive(LAM_IPC_CHILD_SOCKET, &first, NULL) != LAM_OK || first.fd_count != 2)
        _exit(2);
    tell(LAM_MESSAGE_READY, 0, "{}");
    for (;;) {
        struct pollfd polls[2] = {{.fd = LAM_IPC_CHILD_SOCKET, .events = POLLIN},
                                  {.fd = first.fds[0], .events = POLLIN}};
        poll(polls, 2, -1);
        if (polls[0].revents)
            hear_laminad();
        if (!polls[1].revents)
            continue;
        int caller = accept(first.fds[0], NULL, NULL);
        lam_buffer text;
        lam_buffer_init(&text, MAX_OBJECT);
        if (caller >= 0 && lam_io_read_to_end(caller, &text, NULL) == LAM_OK)
            serve(caller, first.fds[1], lam_buffer_text(&text));
        lam_buffer_done(&text);
        close(caller);
    }
}

/* ---- both ---- */

void fake_child_play(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    if (strcmp(name, "lamina-worker") == 0)
        play_worker();
    if (strcmp(name, "lamina-dimse") == 0)
        play_dimse();
}

void fake_child_replace(const char *directory, const char *name, const char *program)
{
    char path[600];
    snprintf(path, sizeof path, "%s/bin/%s", directory, name);
    unlink(path);
    if (program && symlink(program, path) < 0)
        abort();
}

void fake_child_install(const char *directory)
{
    char path[512], self[512];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        abort();
    self[length] = '\0';
    snprintf(path, sizeof path, "%s/bin", directory);
    mkdir(path, 0755);
    setenv("LAMINA_LIBEXEC", path, 1);
    fake_child_replace(directory, "lamina-worker", self);
    fake_child_replace(directory, "lamina-dimse", self);
}
