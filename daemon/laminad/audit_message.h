/* An audit record: an audit message of PS3.15 section A.5 (XML by the schema of section A.5.1, on one line)
 * in a syslog record of RFC 5424, as PS3.15 sections A.6 and A.7 want it. Builds text; keeps no file
 * (audit.h). */
#ifndef LAMINA_DAEMON_AUDIT_MESSAGE_H
#define LAMINA_DAEMON_AUDIT_MESSAGE_H

#include <stdint.h>

#include "api/transfers.h"
#include "core/base/buffer.h"

/* What is recorded, by PS3.15 section A.5.3. */
typedef enum lam_audit_kind {
    LAM_AUDIT_START,        /* Application Activity */
    LAM_AUDIT_STOP,         /* Application Activity */
    LAM_AUDIT_RECEIVED,     /* DICOM Instances Transferred, to us */
    LAM_AUDIT_SENDING,      /* Begin Transferring DICOM Instances */
    LAM_AUDIT_SENT,         /* DICOM Instances Transferred, from us */
    LAM_AUDIT_ACCESSED,     /* DICOM Instances Accessed */
    LAM_AUDIT_QUERY,        /* Query */
    LAM_AUDIT_DELETED,      /* DICOM Study Deleted */
    LAM_AUDIT_OBJECTS_GONE, /* DICOM Instances Accessed with action D: a part of a study was deleted */
    LAM_AUDIT_NODE_REFUSED, /* Security Alert, Node Authentication: an AE title, a certificate */
    LAM_AUDIT_USER_REFUSED, /* User Authentication, Login: a token, or what it may do */
    LAM_AUDIT_LOST,         /* Security Alert, Audit Recording Stopped: records could not be kept */
    LAM_AUDIT_KINDS
} lam_audit_kind;

/* EventOutcomeIndicator. */
typedef enum lam_audit_outcome {
    LAM_AUDIT_SUCCESS = 0,
    LAM_AUDIT_MINOR_FAILURE = 4,
    LAM_AUDIT_SERIOUS_FAILURE = 8
} lam_audit_outcome;

enum { LAM_AUDIT_USER = 160, LAM_AUDIT_ADDRESS = 128, LAM_AUDIT_PATIENT = 256, LAM_AUDIT_REASON = 256 };

/* One record. Texts may hold anything; "" is not known. */
typedef struct lam_audit_entry {
    struct lam_audit_entry *next; /* the queue's */
    lam_audit_kind kind;
    lam_audit_outcome outcome;
    int64_t wall_ms;
    char user[LAM_AUDIT_USER];       /* the other side: AE title, name of a token, subject of a certificate */
    char address[LAM_AUDIT_ADDRESS]; /* its host */
    char reason[LAM_AUDIT_REASON];   /* EventOutcomeDescription */
    char patient_id[LAM_AUDIT_PATIENT];
    lam_transfer study; /* which study, and what of it */
    char series_uid[LAM_UID_TEXT], sop_uid[LAM_UID_TEXT];
    int64_t job;       /* in place of a study: that of this job; 0: none */
    const char *query; /* or NULL; borrowed until it is noted, the copy is the queue's */
    bool records;      /* it names a study, or one that is not known */
    bool user_is_ae_title;
} lam_audit_entry;

/* Who records. All borrowed. */
typedef struct lam_audit_source {
    const char *ae_title;
    const char *host; /* as RFC 5424 section 6.2.4 has it */
    int64_t process;
} lam_audit_source;

/* The meaning of the event's code, such as "Query". */
const char *lam_audit_kind_name(lam_audit_kind kind);

/* Appends the record and a newline. What XML 1.0 cannot hold becomes "?". The sticky status of `out` says
 * whether there was room. */
void lam_audit_message_write(const lam_audit_source *source, const lam_audit_entry *entry, lam_buffer *out);

#endif
