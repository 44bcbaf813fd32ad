#include "daemon/laminad/hl7.h"

#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "daemon/laminad/findings_list.h"

typedef struct writer {
    lam_buffer *out;
    int observation;
} writer;

void lam_hl7_escape(const char *text, lam_buffer *out)
{
    static const char delimiters[] = "|^~\\&", names[] = "FSRET";
    for (const char *c = text ? text : ""; *c; c++) {
        const char *delimiter = strchr(delimiters, *c);
        if (delimiter)
            lam_buffer_printf(out, "\\%c\\", names[delimiter - delimiters]);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            lam_buffer_append_text(out, " ");
        else
            lam_buffer_printf(out, "%c", *c);
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void field(lam_buffer *out, const char *text)
{
    lam_buffer_append_text(out, "|");
    lam_hl7_escape(text, out);
}

static void add_time(lam_buffer *out, int64_t wall_ms)
{
    char text[24] = "";
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc))
        strftime(text, sizeof text, "%Y%m%d%H%M%S+0000", &utc);
    lam_buffer_printf(out, "|%s", text);
}

static void write_header(const lam_hl7_envelope *e, lam_buffer *out)
{
    lam_buffer_append_text(out, "MSH|^~\\&");
    field(out, e->application);
    field(out, e->facility);
    field(out, e->their_application);
    field(out, e->their_facility);
    add_time(out, e->now_ms);
    lam_buffer_append_text(out, "||ORU^R01^ORU_R01");
    field(out, e->control_id);
    lam_buffer_append_text(out, "|P|2.5||||||UNICODE UTF-8\r");
}

/* A DICOM person name has HL7's components in its order, between the same signs. */
static void write_name(const char *name, lam_buffer *out)
{
    lam_buffer_append_text(out, "|");
    for (const char *part = name; *part;) {
        size_t length = strcspn(part, "^=");
        lam_autofree char *piece = strndup(part, length);
        lam_hl7_escape(piece, out);
        if (part[length] != '^')
            return;
        lam_buffer_append_text(out, "^");
        part += length + 1;
    }
}

static void write_patient(const json_t *study, lam_buffer *out)
{
    lam_buffer_append_text(out, "PID|1|");
    field(out, text_of(study, "patient_id"));
    lam_buffer_append_text(out, "|");
    write_name(text_of(study, "patient_name"), out);
    lam_buffer_append_text(out, "\r");
}

/* Preliminary (OBR-25): nobody has looked at it. */
static void write_order(const json_t *study, const json_t *result, lam_buffer *out)
{
    const json_t *model = json_object_get(result, "model");
    lam_buffer_append_text(out, "OBR|1|");
    field(out, text_of(study, "accession_number"));
    field(out, text_of(model, "name"));
    lam_buffer_append_text(out, "^");
    lam_hl7_escape(text_of(model, "name"), out);
    lam_buffer_append_text(out, " ");
    lam_hl7_escape(text_of(model, "version"), out);
    lam_buffer_append_text(out, "^99LAMINA|||");
    lam_hl7_escape(text_of(study, "study_date"), out);
    lam_buffer_append_text(out, "||||||||||||||||||P\r"); /* OBR-7 to OBR-25 */
}

static void begin_observation(writer *w, const char *type, const json_t *code, const char *label)
{
    lam_buffer_printf(w->out, "OBX|%d|%s", ++w->observation, type);
    field(w->out, code ? text_of(code, "value") : label);
    lam_buffer_append_text(w->out, "^");
    lam_hl7_escape(label, w->out);
    lam_buffer_append_text(w->out, "^");
    lam_hl7_escape(code ? text_of(code, "scheme") : "99LAMINA",
                   w->out);                           /* HL7 table 0396 has DICOM's names */
    lam_buffer_printf(w->out, "|%d", w->observation); /* OBX-4: the same code may come twice */
}

static void write_observation(void *context, const lam_listed_finding *finding)
{
    writer *w = context;
    begin_observation(w, "NM", finding->code, finding->label);
    lam_buffer_printf(w->out, "|%.6g", finding->value);
    field(w->out, finding->unit);
    lam_buffer_append_text(w->out, "^^UCUM|||||P\r");
}

static void write_note(writer *w, const char *label, const char *text)
{
    begin_observation(w, "ST", NULL, label);
    field(w->out, text);
    lam_buffer_append_text(w->out, "||||||P\r");
}

lam_status lam_hl7_oru_write(const json_t *study, const json_t *result, const lam_hl7_envelope *envelope,
                             lam_buffer *out, lam_error *err)
{
    writer w = {.out = out};
    write_header(envelope, out);
    write_patient(study, out);
    write_order(study, result, out);
    lam_findings_list(result, write_observation, &w);
    write_note(&w, "Study Instance UID", text_of(study, "study_uid"));
    write_note(&w, "Remark", "Computed without human review. Not for clinical use.");
    return out->status == LAM_OK ? LAM_OK : lam_fail(err, out->status, "the HL7 message does not fit");
}
