/* dicom/uid: what is a UID, and that derived ones are the same everywhere (promise 5). */
#include <string.h>

#include "core/base/uid.h"
#include "tests/unit/unit.h"

static void valid_uids(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "1",
        "0",
        "1.2.840.10008.1.1",
        "2.25.329800735698586629295641978511506172918",
        "1.2.03.4", /* as real senders write them */
        "1234567890123456789012345678901234567890123456789012345678901234",
    };
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        if (!lam_uid_is_valid(valid[i]))
            fail_msg("%s was refused", valid[i]);
}

static void what_is_no_uid(void **state)
{
    (void)state;
    static const char *const invalid[] = {
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2 ",
        " 1.2",
        "1.2\n",
        "1.a",
        "1.2/../3",
        "../../etc/passwd",
        "1.-2",
        "1.2%00",
        "1,2",
        "\xd9\xa1",
        "1.2\\3",
        "12345678901234567890123456789012345678901234567890123456789012345",
    };
    assert_false(lam_uid_is_valid(NULL));
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        if (lam_uid_is_valid(invalid[i]))
            fail_msg("%s was accepted", invalid[i]);
}

/* Computed with Python's hashlib and uuid, not with this code. */
static void derivation_is_fixed_for_all_time(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.2.3", "hippocampus", "1.0.0"};
    char uid[LAM_UID_TEXT];
    lam_uid_derive(texts, 3, uid);
    assert_string_equal(uid, "2.25.217977333588454583524234985686817838309");
    lam_uid_derive(texts, 0, uid);
    assert_string_equal(uid, "2.25.302652579918966106791432553938847512868");
}

static void derived_uids_are_valid_and_differ(void **state)
{
    (void)state;
    char before[LAM_UID_TEXT] = "";
    for (int i = 0; i < 1000; i++) {
        char number[2] = {(char)(1 + i % 255), '\0'};
        const char *texts[] = {number, before};
        char uid[LAM_UID_TEXT];
        lam_uid_derive(texts, 2, uid);
        assert_true(lam_uid_is_valid(uid));
        assert_memory_equal(uid, "2.25.", 5);
        assert_int_not_equal(uid[5], '0');
        assert_string_not_equal(uid, before);
        memcpy(before, uid, sizeof before);
    }
}

static void texts_do_not_run_together(void **state)
{
    (void)state;
    static const char *const one[] = {"ab", "c"}, *const other[] = {"a", "bc"};
    char a[LAM_UID_TEXT], b[LAM_UID_TEXT];
    lam_uid_derive(one, 2, a);
    lam_uid_derive(other, 2, b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_uids),
        cmocka_unit_test(what_is_no_uid),
        cmocka_unit_test(derivation_is_fixed_for_all_time),
        cmocka_unit_test(derived_uids_are_valid_and_differ),
        cmocka_unit_test(texts_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
