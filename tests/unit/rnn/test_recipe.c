/* core/rnn/train/recipe.h and stack_names.h: what `training` of a manifest may say. */
#include "core/rnn/train/recipe.h"

#include <stdio.h>
#include <string.h>

#include "core/rnn/train/stack_names.h"
#include "tests/unit/unit.h"

/* A manifest that has only `training`; the document is the caller's to free. */
static lam_manifest with_training(const char *training, lam_json **document)
{
    lam_error err = {0};
    assert_ok(lam_json_parse(training, strlen(training), document, &err), err);
    return (lam_manifest){.training = lam_json_root(*document)};
}

/* The correction of Adam divides by 1 - beta^step. */
static void a_moment_that_never_moves_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{\"epochs\":1,\"optimiser\":{\"kind\":\"adam\",\"beta1\":1}}",
                                        "{\"epochs\":1,\"optimiser\":{\"kind\":\"adamw\",\"beta2\":1}}"};
    for (size_t i = 0; i < LAM_COUNT(wrong); i++) {
        LAM_AUTO_PTR(lam_json) *document = NULL;
        lam_manifest manifest = with_training(wrong[i], &document);
        lam_recipe recipe;
        lam_error err = {0};
        assert_fails(lam_recipe_parse(&manifest, &recipe, &err), LAM_E_INVALID, err);
        assert_non_null(strstr(err.message, "must be below 1"));
    }
}

static lam_stack_names *names_by(const char *stacks, lam_json **document)
{
    lam_stack_names *names = NULL;
    lam_manifest manifest = with_training(stacks, document);
    lam_error err = {0};
    assert_ok(lam_stack_names_create(&manifest, &names, &err), err);
    return names;
}

static void the_number_of_a_slice_is_that_of_its_group(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = NULL;
    LAM_AUTO_PTR(lam_stack_names) *names =
        names_by("{\"stacks\":{\"pattern\":\"^(P[0-9])([0-9][0-9])[0-9]*$\",\"phases\":2}}", &document);
    lam_slice_place place;
    lam_error err = {0};
    assert_ok(lam_stack_names_read(names, "P107999", &place, &err), err);
    assert_string_equal(place.patient, "P1");
    assert_int_equal(place.number, 3);
    assert_int_equal(place.phase, 0);
    assert_fails(lam_stack_names_read(names, "P100", &place, &err), LAM_E_INVALID, err);
}

/* Cut, the two would be one patient and stand on both sides of a split. */
static void a_patient_is_not_cut(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = NULL;
    LAM_AUTO_PTR(lam_stack_names) *names =
        names_by("{\"stacks\":{\"pattern\":\"^(.*)_([0-9]+)$\",\"phases\":1}}", &document);
    lam_slice_place place;
    lam_error err = {0};
    char name[128];
    snprintf(name, sizeof name, "%095d_1", 7);
    assert_ok(lam_stack_names_read(names, name, &place, &err), err);
    assert_int_equal(strlen(place.patient), 95);
    snprintf(name, sizeof name, "%096d_1", 7);
    assert_fails(lam_stack_names_read(names, name, &place, &err), LAM_E_LIMIT, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_that_never_moves_is_refused),
        cmocka_unit_test(the_number_of_a_slice_is_that_of_its_group),
        cmocka_unit_test(a_patient_is_not_cut),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
