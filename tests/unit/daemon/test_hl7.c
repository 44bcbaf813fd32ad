/* Results as HL7 v2.5 text. */
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/laminad/hl7.h"
#include "tests/unit/unit.h"

static const char study_text[] = "{\"study_uid\":\"1.2\",\"patient_id\":\"A|1\",\"patient_name\":\"O^Neill&"
                                 "Sons\",\"study_date\":\"20260102\","
                                 "\"accession_number\":\"7\"}";
static const char result_text[] = "{\"job\":3,\"model\":{\"name\":\"m\",\"version\":\"1\"},\"segments\":[{"
                                  "\"number\":1,\"label\":\"Left ^ right\","
                                  "\"code\":{\"scheme\":\"SCT\",\"value\":\"1\",\"meaning\":\"x\"},\"volume_"
                                  "ml\":1.25}],\"classification\":{"
                                  "\"classes\":[{\"label\":\"Mass\",\"probability\":0.75}]}}";

static void writes_the_message(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    json_t *study = json_loads(study_text, 0, NULL), *result = json_loads(result_text, 0, NULL);
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 1 << 16);
    const lam_hl7_envelope envelope = {"LAMINA", "SITE", "RIS", "", "c1", 0};
    assert_ok(lam_hl7_oru_write(study, result, &envelope, &out, &err), err);
    assert_string_equal(
        lam_buffer_text(&out),
        "MSH|^~\\&|LAMINA|SITE|RIS||19700101000000+0000||ORU^R01^ORU_R01|c1|P|2.5||||||UNICODE UTF-8\r"
        "PID|1||A\\F\\1||O^Neill\\T\\Sons\r"
        "OBR|1||7|m^m 1^99LAMINA|||20260102||||||||||||||||||P\r"
        "OBX|1|NM|1^Left \\S\\ right^SCT|1|1.25|mL^^UCUM|||||P\r"
        "OBX|2|NM|Mass^Mass^99LAMINA|2|75|%^^UCUM|||||P\r"
        "OBX|3|ST|Study Instance UID^Study Instance UID^99LAMINA|3|1.2||||||P\r"
        "OBX|4|ST|Remark^Remark^99LAMINA|4|Computed without human review. Not for clinical use.||||||P\r");
    json_decref(study);
    json_decref(result);
}

static void escapes_what_would_end_a_field(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer out;
    lam_buffer_init(&out, 256);
    lam_hl7_escape("a|b^c~d\\e&f\rg", &out);
    assert_string_equal(lam_buffer_text(&out), "a\\F\\b\\S\\c\\R\\d\\E\\e\\T\\f g");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_message),
        cmocka_unit_test(escapes_what_would_end_a_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
