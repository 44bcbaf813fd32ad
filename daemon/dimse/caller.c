#include "daemon/dimse/caller.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/json.h"
#include "daemon/ipc/messages.h"

void lam_scp_caller_free(lam_scp_caller *caller)
{
    if (!caller)
        return;
    lam_tls_free(caller->tls);
    if (caller->socket >= 0)
        close(caller->socket);
    lam_scp_settings_unref(caller->settings);
    free(caller->pdu);
    free(caller);
}

void lam_scp_tell(lam_scp_link *link, int64_t association, const char *address, const char *calling_ae,
                  const char *called_ae, lam_scp_event event)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 8192);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "event", event.event);
    lam_jw_integer(&w, "association", association);
    lam_jw_text(&w, "calling_ae", calling_ae);
    lam_jw_text(&w, "called_ae", called_ae);
    lam_jw_text(&w, "address", address);
    if (event.reason)
        lam_jw_text(&w, "reason", event.reason);
    lam_jw_integer(&w, "stored", event.stored);
    lam_jw_integer(&w, "failed", event.failed);
    lam_jw_end(&w);
    if (text.status == LAM_OK)
        lam_scp_link_tell(link, LAM_MESSAGE_ASSOCIATION, lam_buffer_text(&text), NULL);
}
