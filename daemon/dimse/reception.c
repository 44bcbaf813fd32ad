#include "daemon/dimse/reception.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/clock.h"

enum {
    MAX_WAITING = 128, /* connections whose request is not complete */
    PIECE = 16 * 1024, /* memory grows with what has come, not with what was announced */
    LINGER_MS = 1000,  /* for a peer that was turned away to close */
    PAUSE_MS = 100,    /* when descriptors have run out */
};

typedef struct waiting {
    int socket;   /* -1: a free place */
    lam_tls *tls; /* over it; NULL: plain TCP */
    bool shaken;  /* the TLS handshake is over */
    bool leaving; /* turned away; only waits for the peer to close */
    int64_t since_ms, until_ms;
    size_t expected; /* length of the request; 0 until its head has come */
    lam_buffer bytes;
    char address[LAM_SCP_ADDRESS];
} waiting;

struct lam_scp_reception {
    int listener, stop;   /* stop: eventfd */
    lam_tls_context *tls; /* NULL: plain TCP */
    lam_scp_sessions *sessions;
    lam_scp_link *link;
    pthread_t thread;
    pthread_mutex_t lock; /* settings */
    const lam_scp_settings *settings;
    waiting places[MAX_WAITING];
    int64_t last_association;
    int64_t accept_again_ms; /* 0: accepting */
};

static const lam_scp_settings *current_settings(lam_scp_reception *reception)
{
    pthread_mutex_lock(&reception->lock);
    const lam_scp_settings *settings = lam_scp_settings_ref(reception->settings);
    pthread_mutex_unlock(&reception->lock);
    return settings;
}

static void forget(waiting *place)
{
    lam_tls_free(LAM_TAKE_PTR(place->tls));
    if (place->socket >= 0)
        close(place->socket);
    place->socket = -1;
    lam_buffer_done(&place->bytes);
}

/* Sends a last PDU and waits a little for the peer to close: closing first could destroy the PDU on its way.
 */
static void dismiss(waiting *place, const uint8_t pdu[LAM_SHORT_PDU_BYTES])
{
    if (place->tls)
        lam_tls_write(place->tls, pdu, LAM_SHORT_PDU_BYTES);
    else
        send(place->socket, pdu, LAM_SHORT_PDU_BYTES, MSG_NOSIGNAL);
    lam_tls_free(LAM_TAKE_PTR(place->tls));
    shutdown(place->socket, SHUT_WR);
    place->leaving = true;
    place->until_ms = lam_clock_monotonic_ms() + LINGER_MS;
    lam_buffer_done(&place->bytes);
}

static void dismiss_malformed(lam_scp_reception *reception, waiting *place, uint8_t abort_reason,
                              const char *reason)
{
    uint8_t pdu[LAM_SHORT_PDU_BYTES];
    lam_abort_write(abort_reason, pdu);
    dismiss(place, pdu);
    lam_scp_tell(reception->link, ++reception->last_association, place->address, "", "",
                 (lam_scp_event){"failed", reason, 0, 0});
}

static void reject(lam_scp_reception *reception, waiting *place, const lam_scp_caller *caller,
                   lam_rejection rejection)
{
    uint8_t pdu[LAM_SHORT_PDU_BYTES];
    lam_rejection_write(rejection, pdu);
    dismiss(place, pdu);
    lam_scp_tell(reception->link, caller->association, caller->address, caller->associate.calling_ae,
                 caller->associate.called_ae,
                 (lam_scp_event){"rejected", lam_rejection_text(rejection), 0, 0});
}

/* Moves the connection out of its place into a session. */
static void let_in(lam_scp_reception *reception, waiting *place, lam_scp_caller *caller)
{
    lam_associate_negotiate(&caller->associate, caller->settings->private_classes);
    int flags = fcntl(place->socket, F_GETFL);
    fcntl(place->socket, F_SETFL, flags & ~O_NONBLOCK);
    caller->socket = LAM_TAKE_FD(place->socket);
    caller->tls = LAM_TAKE_PTR(place->tls);
    forget(place);
    lam_error err = {0};
    if (lam_scp_sessions_start(reception->sessions, caller, &err) != LAM_OK)
        lam_scp_tell(reception->link, reception->last_association, place->address, "", "",
                     (lam_scp_event){"failed", err.message, 0, 0});
}

/* The whole request is there: whoever sent it is let in or turned away. */
static void receive_caller(lam_scp_reception *reception, waiting *place)
{
    lam_scp_caller *caller = calloc(1, sizeof *caller);
    if (!caller) {
        forget(place);
        return;
    }
    caller->socket = -1;
    caller->settings = current_settings(reception);
    caller->length = place->bytes.length;
    caller->pdu = (uint8_t *)lam_buffer_take(&place->bytes);
    memcpy(caller->address, place->address, sizeof caller->address);
    lam_error err = {0};
    const lam_rejection *rejection = NULL;
    if (!caller->pdu ||
        lam_associate_parse(caller->pdu, caller->length, &caller->associate, &err) != LAM_OK) {
        dismiss_malformed(reception, place, LAM_ABORT_INVALID_PARAMETER, err.message);
        lam_scp_caller_free(caller);
        return;
    }
    caller->association = ++reception->last_association;
    rejection = lam_scp_settings_refuse(caller->settings, &caller->associate, caller->address);
    if (!rejection &&
        !lam_scp_sessions_have_room(reception->sessions, caller->settings, caller->associate.calling_ae))
        rejection = &LAM_REJECT_LOCAL_LIMIT;
    if (!rejection) {
        let_in(reception, place, caller);
        return;
    }
    reject(reception, place, caller, *rejection);
    lam_scp_caller_free(caller);
}

/* Whether the connection can be read from. When its peer is no good at TLS, or not what it should be, it is
 * gone. */
static bool is_secure(lam_scp_reception *reception, waiting *place)
{
    lam_error err = {0};
    if (!place->tls || place->shaken)
        return true;
    lam_status status = lam_tls_shake(place->tls, &err);
    place->shaken = status == LAM_OK;
    if (status == LAM_OK || status == LAM_E_BUSY)
        return place->shaken;
    lam_scp_tell(reception->link, ++reception->last_association, place->address, "", "",
                 (lam_scp_event){"failed", err.message, 0, 0});
    shutdown(place->socket, SHUT_WR); /* after the alert */
    place->leaving = true;
    place->until_ms = lam_clock_monotonic_ms() + LINGER_MS;
    return false;
}

/* Reads no byte beyond the request: what follows belongs to the association. */
static void read_request(lam_scp_reception *reception, waiting *place)
{
    while (is_secure(reception, place)) {
        size_t have = place->bytes.length;
        size_t wanted = (place->expected ? place->expected : LAM_ASSOCIATE_HEAD_BYTES) - have;
        char *to = lam_buffer_reserve(&place->bytes, wanted < PIECE ? wanted : PIECE);
        ssize_t got = !to          ? 0
                      : place->tls ? lam_tls_read(place->tls, to, wanted < PIECE ? wanted : PIECE)
                                   : recv(place->socket, to, wanted < PIECE ? wanted : PIECE, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) { /* came and went, like a port check; no memory is treated the same */
            forget(place);
            return;
        }
        place->bytes.length += (size_t)got;
        if (!place->expected && place->bytes.length == LAM_ASSOCIATE_HEAD_BYTES) {
            lam_error err = {0};
            if (lam_associate_length((const uint8_t *)place->bytes.data, &place->expected, &err) != LAM_OK) {
                dismiss_malformed(reception, place, LAM_ABORT_UNRECOGNIZED_PDU, err.message);
                return;
            }
        }
        if (place->bytes.length == place->expected) {
            receive_caller(reception, place);
            return;
        }
    }
}

static void drain_leaving(waiting *place)
{
    char ignored[4096];
    ssize_t got = recv(place->socket, ignored, sizeof ignored, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        forget(place);
}

/* A free place; when there is none, that of who has been waiting longest. */
static waiting *make_place(lam_scp_reception *reception)
{
    waiting *oldest = &reception->places[0];
    for (size_t i = 0; i < MAX_WAITING; i++) {
        waiting *place = &reception->places[i];
        if (place->socket < 0)
            return place;
        if (place->since_ms < oldest->since_ms)
            oldest = place;
    }
    forget(oldest);
    return oldest;
}

static void accept_one(lam_scp_reception *reception)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    int socket =
        accept4(reception->listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            reception->accept_again_ms = lam_clock_monotonic_ms() + PAUSE_MS;
        return;
    }
    const lam_scp_settings *settings = current_settings(reception);
    int64_t now = lam_clock_monotonic_ms();
    waiting *place = make_place(reception);
    *place = (waiting){.socket = socket, .since_ms = now, .until_ms = now + settings->association_timeout_ms};
    lam_scp_settings_unref(settings);
    lam_buffer_init(&place->bytes, LAM_ASSOCIATE_MAX_BYTES + 1);
    if (reception->tls && lam_tls_expect(reception->tls, socket, &place->tls, NULL) != LAM_OK) {
        forget(place);
        return;
    }
    if (getnameinfo((struct sockaddr *)&from, length, place->address, sizeof place->address, NULL, 0,
                    NI_NUMERICHOST) != 0)
        place->address[0] = '\0';
    read_request(reception, place); /* often it is there already */
}

static void expire(lam_scp_reception *reception, int64_t now)
{
    for (size_t i = 0; i < MAX_WAITING; i++) {
        waiting *place = &reception->places[i];
        if (place->socket < 0 || now < place->until_ms)
            continue;
        if (!place->leaving)
            lam_scp_tell(reception->link, ++reception->last_association, place->address, "", "",
                         (lam_scp_event){"failed", "no association request came in time", 0, 0});
        forget(place);
    }
}

/* What to poll, and until when. polls[0] is `stop`, polls[1] the listener, then the places in use. */
static size_t list_polls(lam_scp_reception *reception, struct pollfd *polls, waiting **polled,
                         int *timeout_ms)
{
    int64_t now = lam_clock_monotonic_ms(), next = INT64_MAX;
    bool accepting = reception->accept_again_ms <= now;
    size_t count = 2;
    polls[0] = (struct pollfd){.fd = reception->stop, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = accepting ? reception->listener : -1, .events = POLLIN};
    if (!accepting)
        next = reception->accept_again_ms;
    for (size_t i = 0; i < MAX_WAITING; i++) {
        waiting *place = &reception->places[i];
        if (place->socket < 0)
            continue;
        polled[count] = place;
        polls[count++] = (struct pollfd){.fd = place->socket, .events = POLLIN};
        if (place->until_ms < next)
            next = place->until_ms;
    }
    *timeout_ms = next == INT64_MAX ? -1 : next > now ? (int)(next - now) : 0;
    return count;
}

static void *reception_main(void *argument)
{
    lam_scp_reception *reception = argument;
    struct pollfd polls[2 + MAX_WAITING];
    waiting *polled[2 + MAX_WAITING];
    for (;;) {
        int timeout_ms = -1;
        size_t count = list_polls(reception, polls, polled, &timeout_ms);
        if (poll(polls, count, timeout_ms) < 0)
            continue; /* EINTR, or no memory for a moment */
        if (polls[0].revents)
            return NULL;
        for (size_t i = 2; i < count; i++)
            if (polls[i].revents && polled[i]->leaving)
                drain_leaving(polled[i]);
            else if (polls[i].revents)
                read_request(reception, polled[i]);
        expire(reception, lam_clock_monotonic_ms());
        if (polls[1].revents)
            accept_one(reception);
    }
}

lam_status lam_scp_reception_start(int listener, lam_tls_context *tls, const lam_scp_settings *settings,
                                   lam_scp_sessions *sessions, lam_scp_link *link, lam_scp_reception **out,
                                   lam_error *err)
{
    lam_scp_reception *reception = calloc(1, sizeof *reception);
    if (!reception)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    reception->stop = eventfd(0, EFD_CLOEXEC);
    reception->listener = listener;
    reception->tls = tls;
    reception->sessions = sessions;
    reception->link = link;
    reception->settings = lam_scp_settings_ref(settings);
    reception->last_association = settings->last_association;
    pthread_mutex_init(&reception->lock, NULL);
    for (size_t i = 0; i < MAX_WAITING; i++)
        reception->places[i].socket = -1;
    /* Somebody who connects and is gone before accept must not make it block. */
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    int failed =
        reception->stop < 0 ? errno : pthread_create(&reception->thread, NULL, reception_main, reception);
    if (failed) {
        if (reception->stop >= 0)
            close(reception->stop);
        lam_scp_settings_unref(reception->settings);
        pthread_mutex_destroy(&reception->lock);
        free(reception);
        return lam_fail_errno(err, failed, "cannot start to accept connections");
    }
    *out = reception;
    return LAM_OK;
}

void lam_scp_reception_set(lam_scp_reception *reception, const lam_scp_settings *settings)
{
    pthread_mutex_lock(&reception->lock);
    lam_scp_settings_unref(reception->settings);
    reception->settings = lam_scp_settings_ref(settings);
    pthread_mutex_unlock(&reception->lock);
}

void lam_scp_reception_stop(lam_scp_reception *reception)
{
    if (!reception)
        return;
    uint64_t one = 1;
    while (write(reception->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(reception->thread, NULL);
    for (size_t i = 0; i < MAX_WAITING; i++)
        forget(&reception->places[i]);
    close(reception->listener);
    close(reception->stop);
    lam_tls_context_free(reception->tls);
    lam_scp_settings_unref(reception->settings);
    pthread_mutex_destroy(&reception->lock);
    free(reception);
}
