/* What laminad tells lamina-dimse in CONFIGURE: immutable once read, shared by counting, so that associations
 * under way keep what they began with. */
#ifndef LAMINA_DAEMON_DIMSE_SETTINGS_H
#define LAMINA_DAEMON_DIMSE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "dicom/associate.h"

typedef struct lam_scp_settings {
    char ae_title[LAM_AE_TEXT];
    bool any_caller; /* else only the peers' AE titles */
    bool private_classes;
    char (*peers)[LAM_AE_TEXT];
    size_t peer_count;
    int max_associations, max_associations_per_peer;
    uint32_t max_pdu;
    int association_timeout_ms, idle_timeout_ms;
    uint64_t max_object_bytes;
    uint64_t reserve_bytes; /* kept free on the disk of the spool */
    int references;
} lam_scp_settings;

/* Parses the payload of CONFIGURE. Errors: LAM_E_INVALID names the member. One reference. */
lam_status lam_scp_settings_parse(const char *json, size_t length, lam_scp_settings **out, lam_error *err);

/* Both are safe from any thread. */
const lam_scp_settings *lam_scp_settings_ref(const lam_scp_settings *settings);
void lam_scp_settings_unref(const lam_scp_settings *settings);

/* Why this association may not be, or NULL if it may; the limits on numbers are not looked at here. */
const lam_rejection *lam_scp_settings_refuse(const lam_scp_settings *settings,
                                             const lam_associate *associate);

#endif
