#include "api/dicom_xml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

static void write_escaped_bytes(lam_buffer *out, const char *text, size_t length)
{
    static const char *const escapes[128] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\r'] = "&#13;"};
    for (const char *end = text + length; text < end; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 128 && escapes[c])
            lam_buffer_append_text(out, escapes[c]);
        else if (c >= ' ' || c == '\t' || c == '\n') /* XML 1.0 has no other controls */
            lam_buffer_append(out, text, 1);
    }
}

static void write_escaped(lam_buffer *out, const char *text)
{
    write_escaped_bytes(out, text, strlen(text));
}

static void write_name_group(lam_buffer *out, const char *group, const char *text)
{
    static const char *const parts[] = {"FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"};
    if (!text)
        return;
    lam_buffer_printf(out, "<%s>", group);
    for (size_t i = 0; i < LAM_COUNT(parts) && *text; i++) {
        size_t length = strcspn(text, "^");
        if (length) {
            lam_buffer_printf(out, "<%s>", parts[i]);
            write_escaped_bytes(out, text, length);
            lam_buffer_printf(out, "</%s>", parts[i]);
        }
        text += length + (text[length] == '^');
    }
    lam_buffer_printf(out, "</%s>", group);
}

static void write_name(lam_buffer *out, size_t number, const json_t *name)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    lam_buffer_printf(out, "<PersonName number=\"%zu\">", number);
    for (size_t i = 0; i < LAM_COUNT(groups); i++)
        write_name_group(out, groups[i], json_string_value(json_object_get(name, groups[i])));
    lam_buffer_append_text(out, "</PersonName>");
}

static void write_members(lam_buffer *out, const json_t *data_set);

/* As few digits as give the same number again. */
static void write_real(lam_buffer *out, double number)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    lam_buffer_append_text(out, text);
}

static void write_value(lam_buffer *out, const char *vr, size_t number, const json_t *value)
{
    if (strcmp(vr, "PN") == 0) {
        write_name(out, number, value);
        return;
    }
    if (json_is_object(value)) {
        lam_buffer_printf(out, "<Item number=\"%zu\">", number);
        write_members(out, value);
        lam_buffer_append_text(out, "</Item>");
        return;
    }
    lam_buffer_printf(out, "<Value number=\"%zu\">", number);
    if (json_is_integer(value))
        lam_buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        write_real(out, json_real_value(value));
    else if (json_is_string(value))
        write_escaped(out, json_string_value(value));
    lam_buffer_append_text(out, "</Value>");
}

/* Who has the block (PS3.5 section 7.8.1) of an attribute of a private group; NULL for one of the standard.
 */
static const char *creator_of(const json_t *data_set, const char *tag)
{
    bool private_group = strlen(tag) == 8 && strchr("13579BDF", tag[3]);
    if (!private_group || memcmp(tag + 4, "00", 2) == 0)
        return NULL;
    char creator[9];
    snprintf(creator, sizeof creator, "%.4s00%.2s", tag, tag + 4);
    const json_t *values = json_object_get(json_object_get(data_set, creator), "Value");
    return json_string_value(json_array_get(values, 0));
}

/* The block of a private attribute is 00 beside the name of its creator (PS3.19 table A.1.5-2). */
static void write_tag(lam_buffer *out, const json_t *data_set, const char *tag)
{
    const char *creator = creator_of(data_set, tag);
    if (!creator) {
        lam_buffer_printf(out, "tag=\"%s\"", tag);
        return;
    }
    lam_buffer_printf(out, "tag=\"%.4s00%.2s\" privateCreator=\"", tag, tag + 6);
    write_escaped(out, creator);
    lam_buffer_append_text(out, "\"");
}

static void write_attribute(lam_buffer *out, const json_t *data_set, const char *tag, const json_t *attribute)
{
    const char *vr = json_string_value(json_object_get(attribute, "vr"));
    const char *inline_binary = json_string_value(json_object_get(attribute, "InlineBinary"));
    const char *uri = json_string_value(json_object_get(attribute, "BulkDataURI"));
    const json_t *values = json_object_get(attribute, "Value");
    lam_buffer_append_text(out, "<DicomAttribute ");
    write_tag(out, data_set, tag);
    lam_buffer_printf(out, " vr=\"%s\">", vr ? vr : "UN");
    if (inline_binary) {
        lam_buffer_printf(out, "<InlineBinary>%s</InlineBinary>", inline_binary);
    } else if (uri) {
        lam_buffer_append_text(out, "<BulkData uri=\"");
        write_escaped(out, uri);
        lam_buffer_append_text(out, "\"/>");
    }
    for (size_t i = 0; i < json_array_size(values); i++)
        if (!json_is_null(json_array_get(values, i)))
            write_value(out, vr ? vr : "UN", i + 1, json_array_get(values, i));
    lam_buffer_append_text(out, "</DicomAttribute>");
}

static void write_members(lam_buffer *out, const json_t *data_set)
{
    const char *tag;
    json_t *attribute;
    json_object_foreach((json_t *)data_set, tag, attribute) write_attribute(out, data_set, tag, attribute);
}

void lam_dicom_xml_write(const json_t *data_set, lam_buffer *out)
{
    lam_buffer_append_text(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
             "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">");
    write_members(out, data_set);
    lam_buffer_append_text(out, "</NativeDicomModel>\n");
}
