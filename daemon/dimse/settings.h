/* What laminad tells lamina-dimse in CONFIGURE: immutable once read, shared by counting, so that associations
 * under way keep what they began with. */
#ifndef LAMINA_DAEMON_DIMSE_SETTINGS_H
#define LAMINA_DAEMON_DIMSE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/associate.h"

enum { LAM_SCP_ADDRESS = 64, LAM_SCP_PEER_ADDRESSES = 8 };

/* Who may associate: an AE title, from one of these addresses. */
typedef struct lam_scp_peer {
    char ae_title[LAM_AE_TEXT];
    bool anywhere; /* no host was given */
    size_t address_count;
    char addresses[LAM_SCP_PEER_ADDRESSES][LAM_SCP_ADDRESS]; /* numeric */
} lam_scp_peer;

typedef struct lam_scp_settings {
    char ae_title[LAM_AE_TEXT];
    bool any_caller; /* else only the peers */
    bool private_classes;
    lam_scp_peer *peers;
    size_t peer_count;
    int max_associations, max_associations_per_peer;
    uint32_t max_pdu;
    int association_timeout_ms, idle_timeout_ms;
    uint64_t max_object_bytes;
    uint64_t reserve_bytes;   /* kept free on the disk of the spool */
    int64_t last_association; /* the number of the last one before this process */
    int references;
} lam_scp_settings;

/* Parses the payload of CONFIGURE; hosts that are names are looked up now. One that cannot be found is no
 * error but logged: that peer is then let in from nowhere. Errors: LAM_E_INVALID names the member. One
 * reference. */
lam_status lam_scp_settings_parse(const char *json, size_t length, lam_scp_settings **out, lam_error *err);

/* Both are safe from any thread. */
const lam_scp_settings *lam_scp_settings_ref(const lam_scp_settings *settings);
void lam_scp_settings_unref(const lam_scp_settings *settings);

/* Why this association, from this numeric address, may not be; NULL if it may. The limits on numbers are not
 * looked at here. */
const lam_rejection *lam_scp_settings_refuse(const lam_scp_settings *settings, const lam_associate *associate,
                                             const char *address);

#endif
