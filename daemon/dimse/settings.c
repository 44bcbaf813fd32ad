#include "daemon/dimse/settings.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "dicom/net.h"
#include "dicom/sop_class.h"

enum { MAX_PEERS = 1000, DAY_MS = 24 * 60 * 60 * 1000 };

static const double most_exact = 9007199254740992.0; /* 2^53: JSON numbers are exact up to there */

static lam_status take_ae_title(const lam_jv *object, char out[LAM_AE_TEXT], lam_error *err)
{
    const char *text = NULL;
    lam_status status = lam_jv_need_text(object, "ae_title", &text, err);
    if (status != LAM_OK)
        return status;
    if (!*text || strlen(text) >= LAM_AE_TEXT)
        return lam_fail(err, LAM_E_INVALID, "`ae_title` must have 1 to 16 characters");
    strcpy(out, text);
    return LAM_OK;
}

/* On a socket for both families an IPv4 caller is shown as ::ffff:10.0.0.5. */
static const char *plain_address(const char *address)
{
    static const char mapped[] = "::ffff:";
    size_t length = strlen(mapped);
    return strncmp(address, mapped, length) == 0 && strchr(address, '.') ? address + length : address;
}

static void look_up(const char *host, lam_scp_peer *peer)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed) {
        lam_log(LAM_LOG_WARNING, "peer_not_found", "ae_title=%s host=%s reason=%s", LAM_QUOTE(peer->ae_title),
                LAM_QUOTE(host), LAM_QUOTE(gai_strerror(failed)));
        return;
    }
    for (const struct addrinfo *a = found; a && peer->address_count < LAM_SCP_PEER_ADDRESSES; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, peer->addresses[peer->address_count], LAM_SCP_ADDRESS,
                        NULL, 0, NI_NUMERICHOST) == 0)
            peer->address_count++;
    freeaddrinfo(found);
}

static lam_status take_peer(const lam_jv *object, lam_scp_peer *out, lam_error *err)
{
    lam_status status = take_ae_title(object, out->ae_title, err);
    const char *host = lam_jv_text(lam_jv_get(object, "host"), "");
    out->anywhere = !*host;
    if (status == LAM_OK && *host)
        look_up(host, out);
    return status;
}

static lam_status take_peers(const lam_jv *root, lam_scp_settings *settings, lam_error *err)
{
    const lam_jv *peers = NULL;
    lam_status status = lam_jv_need(root, "peers", LAM_JSON_ARRAY, &peers, err);
    if (status != LAM_OK)
        return status;
    size_t count = lam_jv_count(peers);
    if (count > MAX_PEERS)
        return lam_fail(err, LAM_E_LIMIT, "more than %d peers", MAX_PEERS);
    settings->peers = calloc(count ? count : 1, sizeof *settings->peers);
    if (!settings->peers)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu peers", count);
    settings->peer_count = count;
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        status = take_peer(lam_jv_at(peers, i), &settings->peers[i], err);
    return status;
}

static lam_status take_numbers(const lam_jv *root, lam_scp_settings *s, lam_error *err)
{
    int64_t max_associations, per_peer, max_pdu, association_timeout_ms, idle_timeout_ms, max_object, reserve;
    const struct {
        const char *key;
        double minimum, maximum;
        int64_t *out;
    } numbers[] = {
        {"max_associations", 1, 10000, &max_associations},
        {"max_associations_per_peer", 1, 10000, &per_peer},
        {"max_pdu", LAM_NET_MIN_PDU, UINT32_MAX, &max_pdu},
        {"association_timeout_ms", 1, DAY_MS, &association_timeout_ms},
        {"idle_timeout_ms", 1, DAY_MS, &idle_timeout_ms},
        {"max_object_bytes", 1, most_exact, &max_object},
        {"reserve_bytes", 0, most_exact, &reserve},
        {"last_association", 0, most_exact, &s->last_association},
    };
    for (size_t i = 0; i < LAM_COUNT(numbers); i++) {
        lam_status status = lam_jv_need_integer(root, numbers[i].key, (int64_t)numbers[i].minimum,
                                                (int64_t)numbers[i].maximum, numbers[i].out, err);
        if (status != LAM_OK)
            return status;
    }
    s->max_associations = (int)max_associations;
    s->max_associations_per_peer = (int)per_peer;
    s->max_pdu = (uint32_t)max_pdu;
    s->association_timeout_ms = (int)association_timeout_ms;
    s->idle_timeout_ms = (int)idle_timeout_ms;
    s->max_object_bytes = (uint64_t)max_object;
    s->reserve_bytes = (uint64_t)reserve;
    return LAM_OK;
}

lam_status lam_scp_settings_parse(const char *json, size_t length, lam_scp_settings **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    lam_status status = lam_json_parse(json, length, &document, err);
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(document);
    const char *accept = NULL;
    lam_scp_settings *settings = calloc(1, sizeof *settings);
    if (!settings)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    settings->references = 1;
    status = take_ae_title(root, settings->ae_title, err);
    if (status == LAM_OK)
        status = lam_jv_need_text(root, "accept", &accept, err);
    if (status == LAM_OK)
        status = take_peers(root, settings, err);
    if (status == LAM_OK)
        status = take_numbers(root, settings, err);
    if (status != LAM_OK) {
        lam_scp_settings_unref(settings);
        return status;
    }
    settings->any_caller = strcmp(accept, "any") == 0; /* anything else is the closed way */
    settings->private_classes = lam_jv_bool(lam_jv_get(root, "private_classes"), false);
    *out = settings;
    return LAM_OK;
}

const lam_scp_settings *lam_scp_settings_ref(const lam_scp_settings *settings)
{
    __atomic_add_fetch(&((lam_scp_settings *)(uintptr_t)settings)->references, 1, __ATOMIC_RELAXED);
    return settings;
}

void lam_scp_settings_unref(const lam_scp_settings *settings)
{
    lam_scp_settings *own = (lam_scp_settings *)(uintptr_t)settings;
    if (!own || __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(own->peers);
    free(own);
}

static bool comes_from(const lam_scp_peer *peer, const char *address)
{
    for (size_t i = 0; i < peer->address_count; i++)
        if (strcmp(peer->addresses[i], plain_address(address)) == 0)
            return true;
    return peer->anywhere;
}

static bool knows(const lam_scp_settings *settings, const char *calling_ae, const char *address)
{
    if (settings->any_caller)
        return true;
    for (size_t i = 0; i < settings->peer_count; i++)
        if (strcmp(settings->peers[i].ae_title, calling_ae) == 0 && comes_from(&settings->peers[i], address))
            return true;
    return false;
}

const lam_rejection *lam_scp_settings_refuse(const lam_scp_settings *settings, const lam_associate *associate,
                                             const char *address)
{
    if (!(associate->protocol_version & 1))
        return &LAM_REJECT_PROTOCOL_VERSION;
    if (strcmp(associate->application_context, LAM_APPLICATION_CONTEXT) != 0)
        return &LAM_REJECT_APPLICATION_CONTEXT;
    if (strcmp(associate->called_ae, settings->ae_title) != 0)
        return &LAM_REJECT_CALLED_AE;
    if (!*associate->calling_ae ||
        !knows(settings, associate->calling_ae, address)) /* PS3.5 6.2: never blank */
        return &LAM_REJECT_CALLING_AE;
    return NULL;
}
