/* daemon/laminad/models.h: which bundles of a folder are taken, and which are left out. */
#include <jansson.h>
#include <stdio.h>

#include "tests/unit/daemon/fixture.h"

#define OF_W     "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326" /* SHA-256 of "w" */
#define OF_OTHER "0000000000000000000000000000000000000000000000000000000000000000"

/* The bundle alpha 1.0.0, whose manifest gets the member `value` (taken) in its object `section`. */
static void install(fixture *f, const char *section, const char *member, json_t *value)
{
    fixture_install(f, "alpha", "1.0.0", "MR", NULL, 1, "w");
    const char *path = fixture_path(f, "models/alpha/1.0.0/model.json");
    json_t *manifest = json_load_file(path, 0, NULL);
    json_t *fresh = json_object();
    json_object_set_new(fresh, member, value);
    if (json_object_get(manifest, section))
        json_object_update(json_object_get(manifest, section), fresh);
    else
        json_object_set(manifest, section, fresh);
    assert_int_equal(json_dump_file(manifest, path, 0), 0);
    json_decref(fresh);
    json_decref(manifest);
}

static size_t count(const fixture *f)
{
    lam_models *models = fixture_models(f);
    size_t n = lam_models_count(models);
    lam_models_unref(models);
    return n;
}

static void weights_are_those_that_the_manifest_states(void **state)
{
    fixture *f = *state;
    install(f, "provenance", "weights_sha256", json_string(OF_W));
    assert_int_equal(count(f), 1);
    install(f, "provenance", "weights_sha256", json_string(OF_OTHER));
    assert_int_equal(count(f), 0);
}

static void the_gate_is_there_and_the_one_stated(void **state)
{
    fixture *f = *state;
    install(f, "gate", "sha256", json_string(OF_W));
    assert_int_equal(count(f), 0);
    FILE *gate = fopen(fixture_path(f, "models/alpha/1.0.0/gate.safetensors"), "w");
    assert_non_null(gate);
    assert_int_equal(fputs("w", gate) >= 0, 1);
    assert_int_equal(fclose(gate), 0);
    assert_int_equal(count(f), 1);
    install(f, "gate", "sha256", json_string(OF_OTHER));
    assert_int_equal(count(f), 0);
}

static void the_rest_goes_on_without(void **state)
{
    fixture *f = *state;
    install(f, "provenance", "weights_sha256", json_string(OF_OTHER));
    fixture_install(f, "beta", "1.0.0", "MR", NULL, 1, "w");
    assert_int_equal(count(f), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(weights_are_those_that_the_manifest_states),
        TEST(the_gate_is_there_and_the_one_stated),
        TEST(the_rest_goes_on_without),
    };
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
