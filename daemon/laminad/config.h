/* The configuration of laminad: one INI file, read once at start and again on SIGHUP, into typed fields. The
 * table behind it (config_table.c) gives each key's type, default, bounds, whether a reload applies it, and
 * the help text from which the example file and lamina.conf(5) are made. Reads files and environment; opens
 * no socket, makes no directory.
 *
 * A lam_config is immutable once loaded, so threads may share it; a reload makes a new one. */
#ifndef LAMINA_LAMINAD_CONFIG_H
#define LAMINA_LAMINAD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "daemon/laminad/rule.h"
#include "dicom/profile.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_CONFIG_DEFAULT_FILE "/etc/lamina/lamina.conf"

enum {
    LAM_CONFIG_PATH = 256, /* bytes with the NUL, as for every text below */
    LAM_CONFIG_NAME = 41,  /* of a peer or a rule */
    LAM_CONFIG_MODEL = 65,
    LAM_CONFIG_AE_TITLE = 17,
    LAM_CONFIG_HOST = 128,
    LAM_CONFIG_URL = 256,
    LAM_CONFIG_NOTICE = 33,
    LAM_CONFIG_TEXT = LAM_RULE_MAX_TEXT + 1, /* longest text of one value */
    LAM_CONFIG_MAX_PEERS = 256,
    LAM_CONFIG_MAX_RULES = 256,
    LAM_CONFIG_PLAIN_SECTIONS = 7, /* those that occur once */
    LAM_CONFIG_MAX_KEYS = 32,      /* of a section */
};

/* Where a section and its keys stand in the file, in the order of the table: what is wrong with a value is
 * said with its line. 0: nowhere. */
typedef struct lam_config_lines {
    int section;
    int keys[LAM_CONFIG_MAX_KEYS];
} lam_config_lines;

/* Where to listen (port 0: the kernel picks one) or to connect. `host` is a name or a literal address without
 * brackets; "" when the key is not given. */
typedef struct lam_config_address {
    char host[LAM_CONFIG_HOST];
    int port;
} lam_config_address;

typedef enum lam_config_accept {
    LAM_ACCEPT_KNOWN, /* only calling AE titles of [peer] sections */
    LAM_ACCEPT_ANY
} lam_config_accept;

typedef enum lam_config_auth {
    LAM_AUTH_NONE, /* loopback only */
    LAM_AUTH_TOKEN,
    LAM_AUTH_MTLS
} lam_config_auth;

/* What happens to an object whose SOP Instance UID is stored already with other bytes. */
typedef enum lam_config_perform {
    LAM_PERFORM_NONE,      /* workitems are held for others only */
    LAM_PERFORM_ADDRESSED, /* those scheduled for our AE title */
    LAM_PERFORM_OPEN       /* also those scheduled for nobody, with a code that is known here */
} lam_config_perform;

typedef enum lam_config_duplicates {
    LAM_DUPLICATES_REJECT,
    LAM_DUPLICATES_REPLACE,
    LAM_DUPLICATES_QUARANTINE /* refuse, and keep it aside */
} lam_config_duplicates;

typedef enum lam_config_deliver { LAM_DELIVER_NONE, LAM_DELIVER_RESULTS } lam_config_deliver;

/* How a peer is spoken to when something is delivered to it. */
typedef enum lam_config_kind {
    LAM_PEER_DIMSE,    /* C-STORE to `address` */
    LAM_PEER_DICOMWEB, /* STOW-RS to `url` */
    LAM_PEER_MLLP,     /* HL7 v2 to `address` */
    LAM_PEER_WEBHOOK   /* signed JSON to `url` */
} lam_config_kind;

/* Kinds of result objects beside segmentation and report. */
typedef struct lam_config_objects {
    bool secondary_captures, presentation_states, key_objects, parametric_maps;
} lam_config_objects;

/* What becomes of images that are unlike those a model was trained on, and how heat maps are made: as the
 * worker calls them. */
typedef enum lam_config_gate { LAM_INPUT_FLAG, LAM_INPUT_REFUSE, LAM_INPUT_IGNORE } lam_config_gate;
typedef enum lam_config_explain {
    LAM_MAPS_INTEGRATED,
    LAM_MAPS_GRADIENT,
    LAM_MAPS_ATTENTION
} lam_config_explain;

/* The form of segmentation objects. */
typedef enum lam_config_segmentation {
    LAM_SEGMENTATION_PROFILE, /* as the reader's profile has it, or leaves it to the model */
    LAM_SEGMENTATION_BINARY,
    LAM_SEGMENTATION_OCCUPANCY,
    LAM_SEGMENTATION_PROBABILITY,
    LAM_SEGMENTATION_LABELMAP
} lam_config_segmentation;

/* [peer NAME]: another DICOM node. */
typedef struct lam_config_peer {
    char name[LAM_CONFIG_NAME];
    lam_config_lines lines;
    char ae_title[LAM_CONFIG_AE_TITLE];
    lam_config_address address; /* where it listens, and the host its associations come from; without it
                                   nothing can be sent to the peer */
    bool accept;                /* may open associations */
    int64_t stable_after_ms;    /* 0: as [analysis] says, as is: */
    int64_t stable_after_release_ms;
    lam_config_deliver deliver;
    lam_profile profile;
    lam_config_objects objects; /* made in its profile and sent to it */

    lam_config_kind kind;
    char url[LAM_CONFIG_URL];          /* without a slash at the end, or "" */
    char token_file[LAM_CONFIG_PATH];  /* bearer token, or "" */
    char secret_file[LAM_CONFIG_PATH]; /* signs webhooks, or "" */
    int concurrency;                   /* associations or requests at a time */
    int64_t timeout_ms;                /* longest silence */
    int64_t retry_delay_ms;            /* after the first failure; doubles */
    int64_t give_up_after_ms;
    bool commitment; /* an object is delivered once the peer has committed to it */
    int64_t commitment_timeout_ms;
    bool tls;
    char tls_ca[LAM_CONFIG_PATH], tls_certificate[LAM_CONFIG_PATH], tls_key[LAM_CONFIG_PATH]; /* or "" */
} lam_config_peer;

/* [rule NAME]: routing beyond what each model's own selector says. */
typedef struct lam_config_rule {
    char name[LAM_CONFIG_NAME];
    lam_config_lines lines;
    char model[LAM_CONFIG_MODEL];
    char when_text[LAM_RULE_MAX_TEXT + 1];
    lam_rule *when; /* owned; never NULL */
} lam_config_rule;

typedef struct lam_config {
    char source[LAM_CONFIG_PATH]; /* the file read, or "" for the built-in defaults */
    lam_config_lines lines[LAM_CONFIG_PLAIN_SECTIONS];

    /* [lamina] */
    char data_dir[LAM_CONFIG_PATH];   /* absolute; spool/, store/, lamina.db lie under it */
    char models_dir[LAM_CONFIG_PATH]; /* absolute */
    int workers;                      /* at least 1; `auto` is resolved to the number of cores allowed */
    lam_log_level log_level;

    /* [dicom] */
    lam_config_address dicom_listen;
    char ae_title[LAM_CONFIG_AE_TITLE];
    lam_config_accept accept; /* as configured; what applies is lam_config_effective_accept */
    char dicom_certificate[LAM_CONFIG_PATH], dicom_key[LAM_CONFIG_PATH],
        dicom_ca[LAM_CONFIG_PATH]; /* or "" */
    int max_associations;
    int max_associations_per_peer;
    int max_pdu;                    /* bytes */
    bool private_classes;           /* SOP classes outside the standard are stored too */
    int64_t association_timeout_ms; /* ARTIM (PS3.8 9.1.4) and waiting for an answer */
    int64_t idle_timeout_ms;        /* between two requests of an association */

    /* [http] */
    lam_config_address http_listen;
    lam_config_auth auth;
    char public_url[LAM_CONFIG_URL]; /* without a slash at the end; "": made from http_listen */
    int max_connections;
    char token_file[LAM_CONFIG_PATH]; /* absolute, or "", as are: */
    char http_certificate[LAM_CONFIG_PATH], http_key[LAM_CONFIG_PATH], http_client_ca[LAM_CONFIG_PATH];
    char ohif_dir[LAM_CONFIG_PATH];     /* "": no viewer */
    bool allow_delete;                  /* by HTTP */
    char cors_origins[LAM_CONFIG_PATH]; /* by blanks; "*" for any; "" for none */

    /* [storage] */
    int64_t reserve_bytes; /* space left free on the disk of data_dir; below it new objects are refused */
    lam_config_duplicates duplicates;
    int64_t quarantine_bytes; /* of refused objects kept aside; 0: none */
    int64_t max_object_bytes;

    /* [analysis] */
    int64_t stable_after_ms;
    int64_t stable_after_release_ms; /* once those who sent have released their associations */
    int max_attempts;
    int64_t job_timeout_ms;
    int64_t retry_delay_ms;     /* before the second attempt */
    lam_config_objects objects; /* made for the study itself, in the strict profile */
    lam_config_gate input_gate;
    lam_config_explain explain;
    lam_config_segmentation segmentation;
    bool compress_segmentations;
    char notice[LAM_CONFIG_NOTICE]; /* on every slice of pictures and outlines */
    int64_t worker_memory_bytes;

    /* [worklist] */
    lam_config_perform perform;
    int64_t input_wait_ms;
    int64_t keep_workitems_ms;

    /* [audit] */
    bool audit;
    int64_t keep_audit_ms; /* 0: for ever */

    lam_config_peer *peers;
    size_t peer_count;
    lam_config_rule *rules;
    size_t rule_count;
} lam_config;

/* Reads `path`. NULL: LAM_CONFIG_DEFAULT_FILE if it exists, else the built-in defaults with data under
 * $XDG_STATE_HOME/lamina (or ~/.local/state/lamina). Checks every key and how they go together; the error
 * names file and line of the first problem and how many more there are. */
lam_status lam_config_load(const char *path, lam_config **out, lam_error *err);
void lam_config_free(lam_config *config);
LAM_DEFINE_AUTO(lam_config, lam_config_free)

/* For --check-config: reads as lam_config_load does and appends one line for every problem found, "error: …"
 * or "warning: …", to `report`. LAM_OK when there is no error. */
lam_status lam_config_check(const char *path, lam_buffer *report);

/* Warnings about a configuration that is legal but will surprise; lines as lam_config_check gives them. */
void lam_config_warnings(const lam_config *config, lam_buffer *out);

/* Reads the file that `old` came from again. Keys that a running daemon cannot change keep the old value in
 * *out, and their names are appended to `restart` ("lamina.data_dir dicom.listen"). On failure `old` simply
 * stays in use. */
lam_status lam_config_reload(const lam_config *old, lam_config **out, lam_buffer *restart, lam_error *err);

/* Which calling AE titles are taken: LAM_ACCEPT_ANY also for accept = known on a loopback address while no
 * [peer] section exists, so that a first try on one machine needs no configuration. */
lam_config_accept lam_config_effective_accept(const lam_config *config);

/* How long series must be quiet that this AE title sends: the times of its [peer] section, where it has them.
 */
typedef struct lam_config_quiet {
    int64_t after_ms;         /* 0: as [analysis] says */
    int64_t after_release_ms; /* once it has released its association */
} lam_config_quiet;
lam_config_quiet lam_config_quiet_of(const lam_config *config, const char *calling_ae);

/* The whole configuration in effect, as a file that reads back the same. */
lam_status lam_config_write(const lam_config *config, lam_buffer *out);

/* The commented example file, and the section of lamina.conf(5) (mdoc) that lists all keys. */
lam_status lam_config_write_example(lam_buffer *out);
lam_status lam_config_write_man(lam_buffer *out);

/* Whether a host is a loopback address: 127.0.0.0/8, ::1 or "localhost". */
bool lam_config_is_loopback(const char *host);

#ifdef __cplusplus
}
#endif
#endif
