#include "tests/unit/daemon/dimse_harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "dimse_harness: %s: %s\n", what, strerror(errno));
    abort();
}

/* build/tests/unit/daemon/test_x -> build/lamina-dimse */
static void find_program(char path[4096])
{
    ssize_t length = readlink("/proc/self/exe", path, 4000);
    must(length > 0, "readlink");
    path[length] = '\0';
    for (int i = 0; i < 4; i++)
        *strrchr(path, '/') = '\0';
    strcat(path, "/lamina-dimse");
}

static void listen_somewhere(dimse_harness *h)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(h->listener >= 0 && bind(h->listener, (struct sockaddr *)&at, sizeof at) == 0 &&
             listen(h->listener, 512) == 0 && getsockname(h->listener, (struct sockaddr *)&at, &length) == 0,
         "listen");
    h->port = ntohs(at.sin_port);
}

static void answer_store(dimse_harness *h, const lam_ipc_message *message)
{
    lam_json *json = NULL;
    must(lam_json_parse(message->payload, message->length, &json, NULL) == LAM_OK, "STORE is not JSON");
    const char *name = lam_jv_text(lam_jv_get(lam_json_root(json), "name"), "");
    pthread_mutex_lock(&h->lock);
    lam_text_copy(h->last_name, sizeof h->last_name, name);
    pthread_mutex_unlock(&h->lock);
    if (!h->keep)
        unlinkat(h->spool_fd, name, 0);
    lam_json_free(json);
    h->stored++;
    if (h->mute)
        return;
    char reply[64];
    snprintf(reply, sizeof reply, "{\"status\":%d,\"comment\":\"by the test\"}", (int)h->status);
    lam_ipc_send(h->socket, LAM_MESSAGE_STORE_REPLY, message->request, reply, NULL, 0, NULL);
}

static void *harness_main(void *argument)
{
    dimse_harness *h = argument;
    lam_ipc_message message;
    while (lam_ipc_receive(h->socket, &message, NULL) == LAM_OK) {
        if (message.type == LAM_MESSAGE_STORE)
            answer_store(h, &message);
        pthread_mutex_lock(&h->lock);
        h->ready |= message.type == LAM_MESSAGE_READY;
        if (message.type == LAM_MESSAGE_ASSOCIATION)
            lam_buffer_printf(&h->events, "%s\n", message.payload);
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
        lam_ipc_message_done(&message);
    }
    return NULL;
}

void dimse_harness_configure(dimse_harness *h, const char *extra, bool first)
{
    static const struct {
        const char *key, *value;
    } defaults[] = {
        {"ae_title", "\"LAMINA\""},
        {"accept", "\"known\""},
        {"peers", "[{\"name\":\"peer\",\"ae_title\":\"PEER\",\"host\":\"127.0.0.1\"}]"},
        {"max_associations", "1000"},
        {"max_associations_per_peer", "1000"},
        {"max_pdu", "131072"},
        {"association_timeout_ms", "20000"},
        {"idle_timeout_ms", "20000"},
        {"max_object_bytes", "4294967296"},
        {"reserve_bytes", "0"},
        {"last_association", "0"},
    };
    lam_buffer text;
    lam_buffer_init(&text, 65536);
    lam_buffer_printf(&text, "{%s", extra ? extra : "");
    for (size_t i = 0; i < LAM_COUNT(defaults); i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\":", defaults[i].key);
        if (!extra || !strstr(extra, quoted))
            lam_buffer_printf(&text, "%s%s%s", text.length > 1 ? "," : "", quoted, defaults[i].value);
    }
    lam_buffer_append_text(&text, "}");
    const int fds[2] = {h->listener, h->spool_fd};
    must(lam_ipc_send(h->socket, LAM_MESSAGE_CONFIGURE, 0, lam_buffer_text(&text), fds, first ? 2 : 0,
                      NULL) == LAM_OK,
         "CONFIGURE");
    lam_buffer_done(&text);
}

void dimse_harness_send(dimse_harness *h, uint32_t type)
{
    lam_ipc_send(h->socket, type, 0, NULL, NULL, 0, NULL);
}

/* Waits until `met` of h is true; false when that took too long. The lock is held. */
static bool wait_until(dimse_harness *h, bool (*met)(const dimse_harness *, const char *), const char *text)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DIMSE_HARNESS_PATIENCE_MS / 1000;
    while (!met(h, text))
        if (pthread_cond_timedwait(&h->changed, &h->lock, &until) == ETIMEDOUT)
            return met(h, text);
    return true;
}

static bool is_ready(const dimse_harness *h, const char *text)
{
    (void)text;
    return h->ready;
}

static bool has_event(const dimse_harness *h, const char *text)
{
    return strstr(lam_buffer_text(&h->events), text) != NULL;
}

void dimse_harness_start(dimse_harness *h, const char *extra)
{
    memset(h, 0, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    lam_buffer_init(&h->events, 16 << 20);
    const char *base = getenv("TMPDIR");
    snprintf(h->spool, sizeof h->spool, "%s/lamina-dimse-XXXXXX", base ? base : "/tmp");
    must(mkdtemp(h->spool) != NULL, "mkdtemp");
    h->spool_fd = open(h->spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(h->spool_fd >= 0, "open spool");
    listen_somewhere(h);
    int child = -1;
    must(lam_ipc_pair(&h->socket, &child, NULL) == LAM_OK, "socketpair");
    char program[4096];
    find_program(program);
    h->pid = fork();
    must(h->pid >= 0, "fork");
    if (h->pid == 0) {
        dup2(child, LAM_IPC_CHILD_SOCKET);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(child);
    pthread_create(&h->thread, NULL, harness_main, h);
    dimse_harness_configure(h, extra, true);
    pthread_mutex_lock(&h->lock);
    must(wait_until(h, is_ready, NULL), "no READY");
    pthread_mutex_unlock(&h->lock);
}

bool dimse_harness_saw(dimse_harness *h, const char *text)
{
    pthread_mutex_lock(&h->lock);
    bool saw = wait_until(h, has_event, text);
    if (!saw)
        fprintf(stderr, "no event with %s in:\n%s", text, lam_buffer_text(&h->events));
    pthread_mutex_unlock(&h->lock);
    return saw;
}

static int each_file(const dimse_harness *h, bool remove)
{
    DIR *directory = opendir(h->spool);
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (remove)
            unlinkat(h->spool_fd, entry->d_name, 0);
    }
    if (directory)
        closedir(directory);
    return count;
}

bool dimse_harness_holds(const dimse_harness *h, int files)
{
    int64_t deadline = lam_clock_monotonic_ms() + DIMSE_HARNESS_PATIENCE_MS;
    while (each_file(h, false) != files) {
        if (lam_clock_monotonic_ms() > deadline)
            return false;
        usleep(10000);
    }
    return true;
}

int dimse_harness_connect(const dimse_harness *h)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(h->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    return s;
}

bool dimse_harness_ended(const dimse_harness *h)
{
    siginfo_t info = {0};
    int64_t deadline = lam_clock_monotonic_ms() + DIMSE_HARNESS_PATIENCE_MS;
    while (waitid(P_PID, (id_t)h->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0 &&
           lam_clock_monotonic_ms() < deadline)
        usleep(10000);
    return info.si_pid != 0;
}

int dimse_harness_stop(dimse_harness *h)
{
    int status = 0;
    shutdown(h->socket, SHUT_RDWR);
    pthread_join(h->thread, NULL);
    close(h->socket);
    must(waitpid(h->pid, &status, 0) == h->pid, "waitpid");
    close(h->listener);
    each_file(h, true);
    close(h->spool_fd);
    rmdir(h->spool);
    lam_buffer_done(&h->events);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}
