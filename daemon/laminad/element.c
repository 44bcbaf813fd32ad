#include "daemon/laminad/element.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"

enum { MAX_DEPTH = 16, MAX_YEAR = 9999 };

/* ---- checking ---- */

static bool is_tag(const char *text)
{
    return strlen(text) == 8 && strspn(text, "0123456789ABCDEF") == 8;
}

static bool is_vr(const char *text)
{
    return text && strlen(text) == 2 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2;
}

static bool is_name(const json_t *value)
{
    const char *group;
    json_t *text;
    json_object_foreach((json_t *)value, group, text) if (!json_is_string(text)) return false;
    return json_is_object(value);
}

static lam_status check_data_set(const json_t *data_set, int depth, lam_error *err);

static lam_status check_values(const char *tag, const char *vr, const json_t *values, int depth,
                               lam_error *err)
{
    bool sequence = strcmp(vr, "SQ") == 0, name = strcmp(vr, "PN") == 0;
    size_t index;
    json_t *value;
    json_array_foreach((json_t *)values, index, value)
    {
        if (sequence) {
            lam_status status = check_data_set(value, depth + 1, err);
            if (status != LAM_OK)
                return status;
        } else if (!json_is_null(value) && !(name ? is_name(value) : json_is_string(value)) &&
                   (name || !json_is_number(value))) {
            return lam_fail(err, LAM_E_INVALID, "value %zu of element %s is not what %s has", index + 1, tag,
                            vr);
        }
    }
    return LAM_OK;
}

static lam_status check_element(const char *tag, const json_t *element, int depth, lam_error *err)
{
    const char *vr = json_string_value(json_object_get(element, "vr"));
    const json_t *values = json_object_get(element, "Value");
    if (!is_tag(tag))
        return lam_fail(err, LAM_E_INVALID,
                        "\"%.40s\" is no tag: eight hexadecimal digits in upper case (PS3.18 section F.2.2)",
                        tag);
    if (!is_vr(vr))
        return lam_fail(err, LAM_E_INVALID, "element %s has no vr (PS3.18 section F.2.2)", tag);
    if (json_object_get(element, "BulkDataURI"))
        return lam_fail(err, LAM_E_INVALID, "element %s lies elsewhere (BulkDataURI); send its value", tag);
    if (values && !json_is_array(values))
        return lam_fail(err, LAM_E_INVALID, "Value of element %s is no array (PS3.18 section F.2.2)", tag);
    return check_values(tag, vr, values, depth, err);
}

static lam_status check_data_set(const json_t *data_set, int depth, lam_error *err)
{
    const char *tag;
    json_t *element;
    if (depth > MAX_DEPTH)
        return lam_fail(err, LAM_E_INVALID, "sequences are nested deeper than %d", MAX_DEPTH);
    if (!json_is_object(data_set))
        return lam_fail(err, LAM_E_INVALID, "a data set is a JSON object (PS3.18 section F.2.1)");
    json_object_foreach((json_t *)data_set, tag, element)
    {
        lam_status status = check_element(tag, element, depth, err);
        if (status != LAM_OK)
            return status;
    }
    return LAM_OK;
}

lam_status lam_element_check(const json_t *data_set, lam_error *err)
{
    return check_data_set(data_set, 0, err);
}

/* ---- reading ---- */

json_t *lam_element_items(const json_t *data_set, const char *tag)
{
    return json_object_get(json_object_get(data_set, tag), "Value");
}

json_t *lam_element_item(const json_t *data_set, const char *tag)
{
    return json_array_get(lam_element_items(data_set, tag), 0);
}

const char *lam_element_text(const json_t *data_set, const char *tag)
{
    const char *text = json_string_value(lam_element_item(data_set, tag));
    return text && *text ? text : NULL;
}

bool lam_element_has_value(const json_t *data_set, const char *tag)
{
    const json_t *first = lam_element_item(data_set, tag);
    if (json_is_string(first))
        return *json_string_value(first) != '\0';
    return first && !json_is_null(first) && (!json_is_object(first) || json_object_size(first) > 0);
}

/* ---- writing ---- */

void lam_element_set_text(json_t *data_set, const char *tag, const char *vr, const char *text)
{
    json_object_set_new(data_set, tag,
                        text ? json_pack("{s:s, s:[s]}", "vr", vr, "Value", text)
                             : json_pack("{s:s}", "vr", vr));
}

void lam_element_set_items(json_t *data_set, const char *tag, json_t *items)
{
    json_object_set_new(data_set, tag, json_pack("{s:s, s:o}", "vr", "SQ", "Value", items));
}

void lam_element_set_item(json_t *data_set, const char *tag, json_t *item)
{
    lam_element_set_items(data_set, tag, json_pack("[o]", item));
}

json_t *lam_element_code(const char *value, const char *scheme, const char *meaning)
{
    json_t *item = json_object();
    bool is_short = strlen(value) <= 16; /* PS3.3 table 8.8-1 */
    lam_element_set_text(item, is_short ? "00080100" : "00080119", is_short ? "SH" : "UC", value);
    lam_element_set_text(item, "00080102", "SH", scheme);
    lam_element_set_text(item, "00080104", "LO", meaning);
    return item;
}

/* ---- times ---- */

/* The next `digits` as a number, `otherwise` at the end of the digits; false when there are fewer, or it is
 * out of range. */
static bool read_part(const char **at, int digits, int minimum, int maximum, int otherwise, int *out)
{
    size_t there = strspn(*at, "0123456789");
    *out = otherwise;
    if (there == 0)
        return otherwise >= 0;
    if (there < (size_t)digits)
        return false;
    *out = 0;
    for (int i = 0; i < digits; i++)
        *out = 10 * *out + *(*at)++ - '0';
    return *out >= minimum && *out <= maximum;
}

static bool read_offset(const char *text, int *seconds)
{
    int hours = 0, minutes = 0;
    const char *at = text + 1;
    bool good = (*text == '+' || *text == '-') && read_part(&at, 2, 0, 14, -1, &hours) &&
                read_part(&at, 2, 0, 59, -1, &minutes) && strspn(at, " ") == strlen(at);
    if (good)
        *seconds = (*text == '-' ? -60 : 60) * (hours * 60 + minutes);
    return good;
}

static bool read_fraction(const char **at, int *ms)
{
    *ms = 0;
    if (**at != '.')
        return true;
    size_t digits = strspn(*at + 1, "0123456789");
    for (size_t i = 0, weight = 100; i < digits && i < 3; i++, weight /= 10)
        *ms += ((*at)[i + 1] - '0') * (int)weight;
    *at += digits + 1;
    return digits >= 1 && digits <= 6;
}

bool lam_element_read_datetime(const char *text, const char *offset, int64_t *ms)
{
    struct tm time = {.tm_isdst = -1};
    int fraction = 0, seconds = 0;
    const char *at = text;
    bool good = read_part(&at, 4, 1, MAX_YEAR, -1, &time.tm_year) &&
                read_part(&at, 2, 1, 12, 1, &time.tm_mon) && read_part(&at, 2, 1, 31, 1, &time.tm_mday) &&
                read_part(&at, 2, 0, 23, 0, &time.tm_hour) && read_part(&at, 2, 0, 59, 0, &time.tm_min) &&
                read_part(&at, 2, 0, 60, 0, &time.tm_sec) && read_fraction(&at, &fraction);
    if (!good)
        return false;
    time.tm_year -= 1900;
    time.tm_mon--;
    if (*at == '+' || *at == '-')
        offset = at;
    else if (strspn(at, " ") != strlen(at))
        return false;
    if (offset && !read_offset(offset, &seconds))
        return false;
    int64_t whole = offset ? (int64_t)timegm(&time) - seconds : (int64_t)mktime(&time);
    *ms = whole * 1000 + fraction;
    return true;
}

char *lam_element_write_datetime(int64_t ms, char text[LAM_DATETIME_TEXT])
{
    struct tm time;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &time);
    strftime(text, LAM_DATETIME_TEXT, "%Y%m%d%H%M%S+0000", &time);
    return text;
}
