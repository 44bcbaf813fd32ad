#include "daemon/laminad/audit_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/text.h"

/* PS3.16 CID 400, 401, 403, 404. */
typedef struct code {
    const char *value, *meaning;
} code;

/* PS3.16 CID 402. */
typedef enum role { NO_ROLE, APPLICATION, DESTINATION, SOURCE } role;
static const code roles[] = {
    [APPLICATION] = {"110150", "Application"},
    [DESTINATION] = {"110152", "Destination Role ID"},
    [SOURCE] = {"110153", "Source Role ID"},
};

/* Whether the other side takes part, and who of the two asked for it; of an alert that is who reports it, and
 * nobody else (table A.5.3.11-1). */
typedef enum part { ALONE, THEY_ASK, WE_ASK } part;

typedef struct shape {
    code id, type; /* type.value NULL: none */
    char action;
    part part;
    role other, ours;
} shape;

/* clang-format off */
static const shape shapes[LAM_AUDIT_KINDS] = {
    [LAM_AUDIT_START] = {{"110100", "Application Activity"}, {"110120", "Application Start"}, 'E', ALONE, NO_ROLE, APPLICATION},
    [LAM_AUDIT_STOP] = {{"110100", "Application Activity"}, {"110121", "Application Stop"}, 'E', ALONE, NO_ROLE, APPLICATION},
    [LAM_AUDIT_RECEIVED] = {{"110104", "DICOM Instances Transferred"}, {0}, 'C', THEY_ASK, SOURCE, DESTINATION},
    [LAM_AUDIT_SENDING] = {{"110102", "Begin Transferring DICOM Instances"}, {0}, 'E', WE_ASK, DESTINATION, SOURCE},
    [LAM_AUDIT_SENT] = {{"110104", "DICOM Instances Transferred"}, {0}, 'R', WE_ASK, DESTINATION, SOURCE},
    [LAM_AUDIT_ACCESSED] = {{"110103", "DICOM Instances Accessed"}, {0}, 'R', THEY_ASK, DESTINATION, SOURCE},
    [LAM_AUDIT_QUERY] = {{"110112", "Query"}, {0}, 'E', THEY_ASK, SOURCE, DESTINATION},
    [LAM_AUDIT_DELETED] = {{"110105", "DICOM Study Deleted"}, {0}, 'D', THEY_ASK, NO_ROLE, NO_ROLE},
    [LAM_AUDIT_OBJECTS_GONE] = {{"110103", "DICOM Instances Accessed"}, {0}, 'D', THEY_ASK, NO_ROLE, NO_ROLE},
    [LAM_AUDIT_NODE_REFUSED] = {{"110113", "Security Alert"}, {"110126", "Node Authentication"}, 'E', WE_ASK, NO_ROLE, NO_ROLE},
    [LAM_AUDIT_USER_REFUSED] = {{"110114", "User Authentication"}, {"110122", "Login"}, 'E', THEY_ASK, NO_ROLE, NO_ROLE},
    [LAM_AUDIT_LOST] = {{"110113", "Security Alert"}, {"110133", "Audit Recording Stopped"}, 'E', ALONE, NO_ROLE, NO_ROLE},
};
/* clang-format on */

/* ---- pieces ---- */

/* Text between quotes or tags. Line ends would end the record; quotes, an attribute. */
static void put_text(lam_buffer *out, const char *text)
{
    static const struct {
        char character;
        const char *escaped;
    } escapes[] = {{'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}, {'\'', "&apos;"}};
    lam_autofree char *clean = strdup(text);
    if (!clean) {
        out->status = LAM_E_NO_MEMORY;
        return;
    }
    lam_text_make_printable(clean);
    for (const char *c = clean; *c; c++) {
        size_t i = 0;
        while (i < LAM_COUNT(escapes) && escapes[i].character != *c)
            i++;
        if (i < LAM_COUNT(escapes))
            lam_buffer_append_text(out, escapes[i].escaped);
        else if (strncmp(c, "\xEF\xBF\xBE", 3) == 0 ||
                 strncmp(c, "\xEF\xBF\xBF", 3) == 0) /* U+FFFE, U+FFFF */
            lam_buffer_append_text(out, "?"), c += 2;
        else
            lam_buffer_append(out, c, 1);
    }
}

static void put_attribute(lam_buffer *out, const char *name, const char *value)
{
    lam_buffer_printf(out, " %s=\"", name);
    put_text(out, value);
    lam_buffer_append_text(out, "\"");
}

static void put_code(lam_buffer *out, const char *element, code coded)
{
    if (coded.value)
        lam_buffer_printf(out, "<%s csd-code=\"%s\" codeSystemName=\"DCM\" originalText=\"%s\"/>", element,
                          coded.value, coded.meaning);
}

/* RFC 4648 section 4. */
static void put_base64(lam_buffer *out, const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t left = strlen(text); left > 0; bytes += 3) {
        size_t have = left < 3 ? left : 3;
        unsigned bits =
            (unsigned)bytes[0] << 16 | (have > 1 ? (unsigned)bytes[1] << 8 : 0) | (have > 2 ? bytes[2] : 0U);
        char group[4];
        for (size_t i = 0; i < 4; i++)
            group[i] = i <= have ? letters[bits >> (18 - 6 * i) & 63] : '=';
        lam_buffer_append(out, group, sizeof group);
        left -= have;
    }
}

/* ---- elements, in the order of the schema ---- */

static void put_event(lam_buffer *out, const shape *s, const lam_audit_entry *e, const char *when)
{
    lam_buffer_printf(out,
                      "<EventIdentification EventActionCode=\"%c\" EventDateTime=\"%s\" "
                      "EventOutcomeIndicator=\"%d\">",
                      s->action, when, (int)e->outcome);
    put_code(out, "EventID", s->id);
    put_code(out, "EventTypeCode", s->type);
    if (e->reason[0]) {
        lam_buffer_append_text(out, "<EventOutcomeDescription>");
        put_text(out, e->reason);
        lam_buffer_append_text(out, "</EventOutcomeDescription>");
    }
    lam_buffer_append_text(out, "</EventIdentification>");
}

typedef struct participant {
    const char *user;
    const char *ae_title; /* NULL: it has none */
    const char *host;     /* a name or an address; "": not known */
    bool requests;
    role role;
} participant;

/* AlternativeUserID: section A.5.2.2. NetworkAccessPointTypeCode: 1 a name, 2 an address. */
static void put_participant(lam_buffer *out, const participant *p)
{
    lam_buffer_append_text(out, "<ActiveParticipant");
    put_attribute(out, "UserID", p->user);
    if (p->ae_title) {
        lam_buffer_append_text(out, " AlternativeUserID=\"AETITLES=");
        put_text(out, p->ae_title);
        lam_buffer_append_text(out, "\"");
    }
    lam_buffer_printf(out, " UserIsRequestor=\"%s\"", p->requests ? "true" : "false");
    if (p->host[0]) {
        bool literal = strchr(p->host, ':') || strspn(p->host, "0123456789.") == strlen(p->host);
        put_attribute(out, "NetworkAccessPointID", p->host);
        lam_buffer_printf(out, " NetworkAccessPointTypeCode=\"%d\"", literal ? 2 : 1);
    }
    lam_buffer_append_text(out, ">");
    put_code(out, "RoleIDCode", roles[p->role]);
    lam_buffer_append_text(out, "</ActiveParticipant>");
}

static void put_participants(lam_buffer *out, const shape *s, const lam_audit_source *source,
                             const lam_audit_entry *e)
{
    char process[32];
    snprintf(process, sizeof process, "%lld", (long long)source->process);
    const participant other = {.user = e->user[0]      ? e->user
                                       : e->address[0] ? e->address
                                                       : "unknown",
                               .ae_title = e->user_is_ae_title && e->user[0] ? e->user : NULL,
                               .host = e->address,
                               .requests = s->part == THEY_ASK,
                               .role = s->other};
    const participant ours = {.user = process,
                              .ae_title = source->ae_title,
                              .host = source->host,
                              .requests = s->part == WE_ASK,
                              .role = s->ours};
    if (s->part != ALONE)
        put_participant(out, &other);
    put_participant(out, &ours);
}

static void put_object(lam_buffer *out, const char *id, int type, int as)
{
    lam_buffer_append_text(out, "<ParticipantObjectIdentification");
    put_attribute(out, "ParticipantObjectID", id);
    lam_buffer_printf(out, " ParticipantObjectTypeCode=\"%d\" ParticipantObjectTypeCodeRole=\"%d\">", type,
                      as);
}

static void put_name(lam_buffer *out, const char *name)
{
    lam_buffer_append_text(out, "<ParticipantObjectName>");
    put_text(out, name);
    lam_buffer_append_text(out, "</ParticipantObjectName>");
}

static void put_detail(lam_buffer *out, const char *type, const char *value)
{
    if (!value[0])
        return;
    lam_buffer_append_text(out, "<ParticipantObjectDetail");
    put_attribute(out, "type", type);
    lam_buffer_append_text(out, " value=\"");
    put_base64(out, value);
    lam_buffer_append_text(out, "\"/>");
}

static void put_classes(lam_buffer *out, const lam_audit_entry *e)
{
    if (!e->study.class_count)
        return;
    lam_buffer_append_text(out, "<ParticipantObjectDescription>");
    for (size_t i = 0; i < e->study.class_count; i++) {
        const lam_transfer_class *c = &e->study.classes[i];
        lam_buffer_append_text(out, "<SOPClass");
        if (c->uid[0])
            put_attribute(out, "UID", c->uid);
        lam_buffer_printf(out, " NumberOfInstances=\"%lld\"", (long long)c->instances);
        if (e->sop_uid[0]) {
            lam_buffer_append_text(out, "><Instance");
            put_attribute(out, "UID", e->sop_uid);
            lam_buffer_append_text(out, "/></SOPClass>");
        } else {
            lam_buffer_append_text(out, "/>");
        }
    }
    lam_buffer_append_text(out, "</ParticipantObjectDescription>");
}

static void put_study(lam_buffer *out, const lam_audit_entry *e)
{
    const char *uid = e->study.study_uid[0] ? e->study.study_uid : "unknown";
    put_object(out, uid, 2, 3); /* a system object, as a report */
    put_code(out, "ParticipantObjectIDTypeCode", (code){"110180", "Study Instance UID"});
    put_name(out, uid);
    put_detail(out, "Series Instance UID", e->series_uid);
    put_classes(out, e);
    lam_buffer_append_text(out, "</ParticipantObjectIdentification>");
    const char *patient = e->patient_id[0] ? e->patient_id : "unknown";
    put_object(out, patient, 1, 1); /* a person, as the patient, whose name nobody needs here */
    lam_buffer_append_text(out, "<ParticipantObjectIDTypeCode csd-code=\"2\" codeSystemName=\"RFC-3881\" "
                                "originalText=\"Patient Number\"/>");
    put_name(out, patient);
    lam_buffer_append_text(out, "</ParticipantObjectIdentification>");
}

/* QIDO-RS has no SOP class; the URL with its parameters is the query (table A.5.3.10-1). */
static void put_query(lam_buffer *out, const lam_audit_entry *e)
{
    put_object(out, "QIDO-RS", 2, 3); /* a system object, as a report */
    put_code(out, "ParticipantObjectIDTypeCode", (code){"110182", "Node ID"});
    lam_buffer_append_text(out, "<ParticipantObjectQuery>");
    put_base64(out, e->query);
    lam_buffer_append_text(out, "</ParticipantObjectQuery></ParticipantObjectIdentification>");
}

const char *lam_audit_kind_name(lam_audit_kind kind)
{
    return shapes[kind].id.meaning;
}

void lam_audit_message_write(const lam_audit_source *source, const lam_audit_entry *e, lam_buffer *out)
{
    enum { FACILITY = 10, NOTICE = 5, WARNING = 4 }; /* PS3.15 section A.6 */
    const shape *s = &shapes[e->kind];
    char when[LAM_CLOCK_TEXT];
    lam_clock_iso8601(e->wall_ms, when);
    lam_buffer_printf(out, "<%d>1 %s %s laminad %lld DICOM+RFC3881 - \xEF\xBB\xBF",
                      FACILITY * 8 + (e->outcome == LAM_AUDIT_SUCCESS ? NOTICE : WARNING), when, source->host,
                      (long long)source->process);
    lam_buffer_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage>");
    put_event(out, s, e, when);
    put_participants(out, s, source, e);
    lam_buffer_append_text(out, "<AuditSourceIdentification");
    put_attribute(out, "AuditSourceID", source->ae_title);
    lam_buffer_append_text(
        out, "><AuditSourceTypeCode csd-code=\"4\"/></AuditSourceIdentification>"); /* a server */
    if (e->query)
        put_query(out, e);
    if (e->records)
        put_study(out, e);
    lam_buffer_append_text(out, "</AuditMessage>\n");
}
