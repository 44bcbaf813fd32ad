#include "daemon/dimse/identity.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"

enum { MAX_PEM = 1024 * 1024 };

lam_status lam_scp_identity_read(lam_scp_identity *identity, const lam_jv *tls, const int *fds, size_t count,
                                 lam_error *err)
{
    *identity = (lam_scp_identity){0};
    const struct {
        const char *member;
        lam_buffer *content;
        const char **text;
    } parts[] = {
        {"ca", &identity->authorities, &identity->texts.authorities},
        {"certificate", &identity->certificate, &identity->texts.certificate},
        {"key", &identity->key, &identity->texts.key},
    };
    for (size_t i = 0; i < LAM_COUNT(parts); i++)
        lam_buffer_init(parts[i].content, MAX_PEM);
    size_t next = 0;
    for (size_t i = 0; i < LAM_COUNT(parts); i++) {
        if (!lam_jv_bool(lam_jv_get(tls, parts[i].member), false))
            continue;
        if (next == count)
            return lam_fail(err, LAM_E_INVALID, "`tls` names more files than there are descriptors");
        lam_status status = lam_io_read_to_end(fds[next++], parts[i].content, err);
        if (status != LAM_OK)
            return status;
        *parts[i].text = lam_buffer_text(parts[i].content);
    }
    return LAM_OK;
}

void lam_scp_identity_done(lam_scp_identity *identity)
{
    lam_buffer_done(&identity->authorities);
    lam_buffer_done(&identity->certificate);
    lam_buffer_done(&identity->key);
}
