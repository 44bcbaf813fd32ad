/* api/dicom_xml.h: DICOM JSON in the Native DICOM Model (PS3.19 section A.1). */
#include "api/dicom_xml.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

/* {a data set, what its document has} */
static const struct {
    const char *json, *xml;
} cases[] = {
    {"{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P1\"]}}",
     "<DicomAttribute tag=\"00100020\" vr=\"LO\"><Value number=\"1\">P1</Value></DicomAttribute>"},
    {"{\"00080008\":{\"vr\":\"CS\",\"Value\":[\"A\",null,\"B\"]}}", "<Value number=\"3\">B</Value>"},
    {"{\"00280010\":{\"vr\":\"US\",\"Value\":[512]}}", "<Value number=\"1\">512</Value>"},
    {"{\"00180050\":{\"vr\":\"DS\",\"Value\":[2.5]}}", "<Value number=\"1\">2.5</Value>"},
    {"{\"00209302\":{\"vr\":\"FD\",\"Value\":[0.30000000000000004]}}",
     "<Value number=\"1\">0.30000000000000004<"},
    {"{\"00110010\":{\"vr\":\"LO\",\"Value\":[\"A & B\"]},\"00111001\":{\"vr\":\"LO\",\"Value\":[\"x\"]}}",
     "<DicomAttribute tag=\"00110001\" privateCreator=\"A &amp; B\" vr=\"LO\"><Value number=\"1\">x</Value>"},
    {"{\"00110010\":{\"vr\":\"LO\",\"Value\":[\"A\"]}}", "<DicomAttribute tag=\"00110010\" vr=\"LO\">"},
    {"{\"00111001\":{\"vr\":\"LO\",\"Value\":[\"x\"]}}", "<DicomAttribute tag=\"00111001\" vr=\"LO\">"},
    {"{\"00104000\":{\"vr\":\"LT\",\"Value\":[\"a\\r\\nb\"]}}", ">a&#13;\nb<"},
    {"{\"00081030\":{\"vr\":\"LO\",\"Value\":[\"<a & 'b'>\"]}}", "&lt;a &amp; "},
    {"{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Yamada^Tarou\",\"Ideographic\":\"山田^太郎\"}"
     "]}}",
     "<PersonName "
     "number=\"1\"><Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName></Alphabetic>"
     "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic></PersonName>"},
    {"{\"00081110\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}]}}",
     "<Item number=\"1\"><DicomAttribute tag=\"00081155\" vr=\"UI\"><Value "
     "number=\"1\">1.2</Value></DicomAttribute></Item>"},
    {"{\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"/b?a=1&b=2\"}}", "<BulkData uri=\"/b?a=1&amp;b=2\"/>"},
    {"{\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AAE=\"}}", "<InlineBinary>AAE=</InlineBinary>"},
    {"{\"00080090\":{\"vr\":\"PN\"}}", "<DicomAttribute tag=\"00080090\" vr=\"PN\"></DicomAttribute>"},
    {"{}", "</NativeDicomModel>"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1 << 16);
        json_t *data_set = json_loads(cases[i].json, 0, NULL);
        assert_non_null(data_set);
        lam_dicom_xml_write(data_set, &out);
        json_decref(data_set);
        assert_int_equal(out.status, LAM_OK);
        if (!strstr(lam_buffer_text(&out), cases[i].xml))
            fail_msg("%s became %s", cases[i].json, lam_buffer_text(&out));
    }
}

/* What is not as the JSON model has it comes out as less, never as broken XML or worse. */
static void test_odd_values(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "{\"00100020\":5}",
        "{\"00100020\":{\"Value\":[\"x\"]}}",
        "{\"00100010\":{\"vr\":\"PN\",\"Value\":[\"flat\",7,null]}}",
        "{\"00081110\":{\"vr\":\"SQ\",\"Value\":[null,1,\"x\"]}}",
        "{\"00280010\":{\"vr\":\"US\",\"Value\":{}}}",
        "[]",
    };
    for (size_t i = 0; i < LAM_COUNT(odd); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1 << 16);
        json_t *data_set = json_loads(odd[i], 0, NULL);
        lam_dicom_xml_write(data_set, &out);
        json_decref(data_set);
        assert_non_null(strstr(lam_buffer_text(&out), "</NativeDicomModel>"));
    }
}

/* PS3.5 allows 64 characters a group; what a sender wrote beyond is kept all the same. */
static void test_long_names(void **state)
{
    (void)state;
    char family[400], json[512];
    memset(family, 'x', sizeof family - 1);
    family[sizeof family - 1] = '\0';
    snprintf(json, sizeof json, "{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"%s^Y\"}]}}",
             family);
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1 << 16);
    json_t *data_set = json_loads(json, 0, NULL);
    assert_non_null(data_set);
    lam_dicom_xml_write(data_set, &out);
    json_decref(data_set);
    assert_non_null(strstr(lam_buffer_text(&out), family));
    assert_non_null(strstr(lam_buffer_text(&out), "</FamilyName><GivenName>Y</GivenName>"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests_name("dicom_xml", tests, NULL, NULL);
}
