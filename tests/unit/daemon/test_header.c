/* daemon/laminad/header.h: what laminad believes of a worker's answer, and what it says about the rest
 * (promises 2 and 9). */
#include <string.h>

#include "tests/unit/daemon/fixture.h"

static void reads_what_it_needs(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    lam_autofree char *payload = fixture_indexed("1.2", "1.2.3", "1.2.3.4", "");
    lam_header header;
    assert_ok(lam_header_parse(payload, &header, &err), err);
    assert_string_equal(header.study_uid, "1.2");
    assert_string_equal(header.series_uid, "1.2.3");
    assert_string_equal(header.sop_uid, "1.2.3.4");
    assert_string_equal(header.sop_class_uid, "1.2.840.10008.5.1.4.1.1.4");
    assert_string_equal(header.transfer_syntax_uid, "1.2.840.10008.1.2.1");
    assert_int_equal(header.dataset_offset, 0);
    lam_header_done(&header);
    lam_header_done(&header);
    lam_header_done(NULL);
}

#define UID(tag, uid) "\"" tag "\":{\"vr\":\"UI\",\"Value\":[\"" uid "\"]}"
#define ALL           UID("0020000D", "1.2") "," UID("0020000E", "1.2.3") "," UID("00080016", "1.2.4")

static void refuses_what_it_cannot_use(void **state)
{
    (void)state;
    static const struct {
        const char *payload, *word;
    } cases[] = {
        {"", "JSON"},
        {"[]", "JSON"},
        {"{\"attributes\":7}", "StudyInstanceUID"},
        {"{\"attributes\":{" ALL "},\"transfer_syntax_uid\":\"1.2\"}", "SOPInstanceUID is missing"},
        {"{\"attributes\":{" ALL "," UID("00080018", "../x") "},\"transfer_syntax_uid\":\"1.2\"}",
         "SOPInstanceUID is not a valid UID"},
        {"{\"attributes\":{" ALL ",\"00080018\":{\"Value\":[17]}},\"transfer_syntax_uid\":\"1.2\"}",
         "SOPInstanceUID is missing"},
        {"{\"attributes\":{" ALL "," UID("00080018", "1.2.3.4") "}}", "TransferSyntaxUID is missing"},
        {"{\"attributes\":{" ALL
         "," UID("00080018", "1.2.3.4") "," UID("00080018", "1.2.3.5") "},\"transfer_syntax_uid\":\"1.2\"}",
         "JSON"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_header header = {0};
        lam_error err;
        assert_fails(lam_header_parse(cases[i].payload, &header, &err), LAM_E_CORRUPT, err);
        assert_non_null(strstr(err.message, cases[i].word));
        assert_null(header.text);
    }
}

/* The text is kept for the index to the letter; parsed is what laminad looks at, and that need not be all. */
static void keeps_all_and_parses_some(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    char value[LAM_HEADER_VALUE];
    lam_autofree char *payload =
        fixture_indexed("1.2", "1.2.3", "1.2.3.4",
                        ",\"0008103E\":{\"vr\":\"LO\",\"Value\":[\"T1 \\\\ \\u00e9\"]}"
                        ",\"00189999\":{\"vr\":\"DS\",\"Value\":[1.50e0]}"
                        ",\"00191001\":{\"vr\":\"UN\"}");
    lam_header header;
    assert_ok(lam_header_parse(payload, &header, &err), err);
    assert_non_null(strstr(header.text, "\"00189999\":{\"vr\":\"DS\",\"Value\":[1.50e0]}"));
    assert_int_equal(header.text[strlen(header.text) - 1], '}');
    json_t *description = lam_header_attribute(&header, 0x0008103E);
    assert_string_equal(lam_header_value(description, value), "T1 \\ \xc3\xa9");
    json_decref(description);
    assert_null(lam_header_attribute(&header, 0x00189999));
    assert_null(lam_header_attribute(&header, 0x00191001));
    lam_autofree char *series = lam_header_pick(&header, LAM_LEVEL_SERIES);
    assert_string_equal(series, "{\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]},"
                                "\"0008103E\":{\"vr\":\"LO\",\"Value\":[\"T1 \\\\ \\u00e9\"]}}");
    lam_header_done(&header);
}

/* The text is UTF-8 whatever the object was, and attributes behind the character set are found all the same.
 */
static void says_that_the_text_is_utf8(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    char value[LAM_HEADER_VALUE];
    lam_header header;
    assert_ok(lam_header_parse("{\"pixels\":{\"frames\":1},\"transfer_syntax_uid\":\"1.2\",\"attributes\":{"
                               "\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\",\"x\"]}," ALL
                               "," UID("00080018", "1.2.3.4") "}}",
                               &header, &err),
              err);
    assert_non_null(strstr(header.text, "\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}," ALL));
    json_t *set = lam_header_attribute(&header, 0x00080005);
    assert_string_equal(lam_header_value(set, value), "ISO_IR 192");
    json_decref(set);
    assert_string_equal(header.study_uid, "1.2");
    assert_string_equal(header.sop_uid, "1.2.3.4");
    assert_string_equal(header.pixels, "{\"frames\":1}");
    lam_header_done(&header);
}

/* What is wrong with an answer may be next to a name. */
static void promise_9_does_not_quote_the_header(void **state)
{
    (void)state;
    lam_header header;
    lam_error err;
    assert_fails(
        lam_header_parse("{\"attributes\":{\"00100010\":{\"Value\":[\"DOE^JANE\" oops]}}}", &header, &err),
        LAM_E_CORRUPT, err);
    assert_null(strstr(err.message, "DOE"));
    assert_null(strstr(err.message, "oops"));
}

static void gives_values_as_text(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *expected;
    } cases[] = {
        {"00080060", "MR"},         {"00080008", "ORIGINAL\\PRIMARY"},
        {"00180050", "1.5"},        {"00200011", "3"},
        {"00100010", "Doe^Jané"},   {"0008103E", NULL},
        {"00081030", NULL},         {"00080080", NULL},
        {"00280030", "0.5\\\\0.5"},
    };
    json_t *attributes = json_loads("{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},"
                                    "\"00080008\":{\"Value\":[\"ORIGINAL\",\"PRIMARY\"]},"
                                    "\"00180050\":{\"Value\":[1.5]},\"00200011\":{\"Value\":[3]},"
                                    "\"00100010\":{\"Value\":[{\"Alphabetic\":\"Doe^Jané\"}]},"
                                    "\"00081030\":{\"vr\":\"LO\"},\"00080080\":{\"Value\":[null]},"
                                    "\"00280030\":{\"Value\":[0.5,null,0.5]}}",
                                    0, NULL);
    assert_non_null(attributes);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        char text[LAM_HEADER_VALUE];
        const char *found = lam_header_text(attributes, cases[i].tag, text);
        if (cases[i].expected)
            assert_string_equal(found, cases[i].expected);
        else
            assert_null(found);
    }
    json_decref(attributes);
}

static void cuts_long_values_between_characters(void **state)
{
    (void)state;
    char value[1000], text[LAM_HEADER_VALUE];
    for (size_t i = 0; i + 2 < sizeof value; i += 2)
        memcpy(value + i, "é", 3);
    json_t *attributes = json_pack("{s:{s:[s]}}", "0008103E", "Value", value);
    assert_string_equal(lam_header_text(attributes, "0008103E", text), text);
    assert_int_equal(strlen(text), 254);
    json_decref(attributes);
}

static void knows_keywords(void **state)
{
    (void)state;
    assert_string_equal(lam_header_tag("Modality"), "00080060");
    assert_string_equal(lam_header_tag("SeriesDescription"), "0008103E");
    assert_null(lam_header_tag("PatientName"));
    assert_null(lam_header_tag(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_needs),
        cmocka_unit_test(keeps_all_and_parses_some),
        cmocka_unit_test(says_that_the_text_is_utf8),
        cmocka_unit_test(refuses_what_it_cannot_use),
        cmocka_unit_test(promise_9_does_not_quote_the_header),
        cmocka_unit_test(gives_values_as_text),
        cmocka_unit_test(cuts_long_values_between_characters),
        cmocka_unit_test(knows_keywords),
    };
    return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
