/* daemon/laminad/fold.h: names as searches compare them. */
#include "daemon/laminad/fold.h"

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static const struct {
    const char *name, *key;
} names[] = {
    {"Müller^Eva", "muller^eva^="},
    {"SMITH^JOHN", "smith^john^="},
    {"Smith^John^^^", "smith^john^="},
    {"Ångström^Ößø", NULL},
    {"Yamada^Tarou=山田^太郎", "yamada^tarou^=山田^太郎^="},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(names); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1024);
        lam_fold_name(names[i].name, &out);
        assert_int_equal(out.status, LAM_OK);
        if (names[i].key)
            assert_string_equal(lam_buffer_text(&out), names[i].key);
    }
}

/* Bytes that are not UTF-8 pass, cut sequences at the end included. */
static void test_what_is_not_text(void **state)
{
    (void)state;
    static const char *const odd[] = {"\xff\xfe", "a\xc3", "\xe5\xb1", "\xf0\x9f\x98", ""};
    for (size_t i = 0; i < LAM_COUNT(odd); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 1024);
        lam_fold_text(odd[i], &out);
        assert_string_equal(lam_buffer_text(&out), odd[i]);
    }
}

static void test_case_and_accents_do_not_count(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer upper;
    LAM_AUTO(lam_buffer_done) lam_buffer lower;
    lam_buffer_init(&upper, 1024);
    lam_buffer_init(&lower, 1024);
    lam_fold_text("ÀÉÎÕÜÇÑ ŠŽŁ ΣΔ ЖД", &upper);
    lam_fold_text("aeioucn szl σδ жд", &lower);
    assert_string_equal(lam_buffer_text(&upper), lam_buffer_text(&lower));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_is_not_text),
        cmocka_unit_test(test_case_and_accents_do_not_count),
    };
    return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
