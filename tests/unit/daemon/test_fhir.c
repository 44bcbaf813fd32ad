/* Results as a FHIR R4 Bundle: the members that the published rules require, and references that resolve. */
#include <string.h>

#include "daemon/laminad/fhir.h"
#include "tests/unit/unit.h"

static const char study_text[] = "{\"study_uid\":\"1.2\",\"patient_id\":\"A1\",\"study_date\":\"20260102\","
                                 "\"series\":[{\"series_uid\":\"1.2.3\","
                                 "\"modality\":\"MR\",\"instances\":4}]}";
static const char results_text[] =
    "{\"results\":[{\"job\":3,\"state\":\"done\",\"created_ms\":1000,\"model\":{\"name\":\"m\",\"version\":"
    "\"1\"},"
    "\"segments\":[{\"number\":1,\"label\":\"Part\",\"code\":{\"scheme\":\"SCT\",\"value\":\"1\",\"meaning\":"
    "\"x\"},"
    "\"volume_ml\":1.25}]},{\"job\":2,\"state\":\"superseded\",\"segments\":[]}]}";

static json_t *make(void)
{
    lam_error err = {LAM_OK, ""};
    json_t *study = json_loads(study_text, 0, NULL), *results = json_loads(results_text, 0, NULL),
           *out = NULL;
    assert_ok(lam_fhir_bundle(study, results, &out, &err), err);
    json_decref(study);
    json_decref(results);
    return out;
}

static const char *text_at(const json_t *bundle, size_t entry, const char *key)
{
    const json_t *resource =
        json_object_get(json_array_get(json_object_get(bundle, "entry"), entry), "resource");
    return json_string_value(json_object_get(resource, key));
}

static void bundles_what_is_in_effect(void **state)
{
    (void)state;
    static const char *const types[] = {"ImagingStudy", "Observation", "DiagnosticReport"};
    static const char *const states[] = {"available", "preliminary", "preliminary"};
    json_t *bundle = make();
    assert_int_equal(json_array_size(json_object_get(bundle, "entry")), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(text_at(bundle, i, "resourceType"), types[i]);
        assert_string_equal(text_at(bundle, i, "status"), states[i]);
        const json_t *entry = json_array_get(json_object_get(bundle, "entry"), i);
        const char *url = json_string_value(json_object_get(entry, "fullUrl"));
        assert_string_equal(url + strlen("urn:uuid:"), text_at(bundle, i, "id"));
        assert_int_equal(strlen(url), 45);
        assert_non_null(json_object_get(json_object_get(entry, "resource"), "subject"));
    }
    assert_string_equal(text_at(bundle, 0, "started"), "2026-01-02");
    json_decref(bundle);
}

static void references_resolve(void **state)
{
    (void)state;
    json_t *bundle = make(), *entries = json_object_get(bundle, "entry");
    const char *study = NULL, *observation = NULL, *referred = NULL, *result = NULL;
    json_t *report = json_object_get(json_array_get(entries, 2), "resource");
    assert_int_equal(json_unpack(json_array_get(entries, 0), "{s:s}", "fullUrl", &study), 0);
    assert_int_equal(json_unpack(json_array_get(entries, 1), "{s:s}", "fullUrl", &observation), 0);
    assert_int_equal(json_unpack(report, "{s:[{s:s}],s:[{s:s}]}", "imagingStudy", "reference", &referred,
                                 "result", "reference", &result),
                     0);
    assert_string_equal(referred, study);
    assert_string_equal(result, observation);
    double value = 0;
    const char *unit = NULL;
    assert_int_equal(json_unpack(json_object_get(json_array_get(entries, 1), "resource"), "{s:{s:F,s:s}}",
                                 "valueQuantity", "value", &value, "code", &unit),
                     0);
    assert_true(value == 1.25);
    assert_string_equal(unit, "mL");
    json_decref(bundle);
}

static void the_same_documents_give_the_same_bundle(void **state)
{
    (void)state;
    json_t *one = make(), *other = make();
    assert_true(json_equal(one, other));
    json_decref(one);
    json_decref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundles_what_is_in_effect),
        cmocka_unit_test(references_resolve),
        cmocka_unit_test(the_same_documents_give_the_same_bundle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
