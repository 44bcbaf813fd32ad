/* daemon/laminad/rule.h: parsing of conditions and what they mean for a series. */
#include <string.h>

#include "daemon/laminad/rule.h"
#include "tests/unit/unit.h"

typedef struct attribute {
    const char *keyword, *value;
} attribute;

static const attribute series[] = {
    {"Modality", "MR"},
    {"SeriesDescription", " T1 HippoCrop "},
    {"ImageType", "ORIGINAL\\PRIMARY\\M_FFE"},
    {"SliceThickness", "1.50 "},
    {"EchoTime", "fast"},
    {"ProtocolName", ""},
    {"BodyPartExamined", "Gehirn \xc3\xa4"},
};

static const char *get(void *context, const char *keyword)
{
    (void)context;
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++)
        if (strcmp(series[i].keyword, keyword) == 0)
            return series[i].value;
    return NULL;
}

static void evaluates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        {"Modality = MR", true},
        {"Modality=MR", true},
        {"Modality = mr", false},
        {"Modality != CT", true},
        {"Modality != MR", false},
        {"SeriesDescription = \"T1 HippoCrop\"", true},
        {"SeriesDescription ~ /^t1.*crop$/i", true},
        {"SeriesDescription ~ /hippo/", false},
        {"Modality = MR and SeriesDescription ~ /Hippo/", true},
        {"Modality = MR and SeriesDescription ~ /spine/i", false},
        {"ImageType = PRIMARY", true},
        {"ImageType ~ /^PRIMARY$/", true},
        {"ImageType != PRIMARY", false},
        {"ImageType != LOCALIZER", true},
        {"SliceThickness < 2", true},
        {"SliceThickness <= 1.5", true},
        {"SliceThickness >= 1.5", true},
        {"SliceThickness > 1.5", false},
        {"EchoTime > 0", false},
        {"EchoTime < 0", false},
        {"StudyDate = 20200101", false},
        {"StudyDate != 20200101", true},
        {"StudyDate ~ /.*/", false},
        {"ProtocolName ~ /.*/", false},
        {"ProtocolName = x", false},
        {"  Modality   =   MR  ", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        LAM_AUTO_PTR(lam_rule) *rule = NULL;
        lam_error err;
        if (lam_rule_parse(cases[i].text, &rule, &err) != LAM_OK)
            fail_msg("%s: %s", cases[i].text, err.message);
        if (lam_rule_matches(rule, get, NULL, NULL) != cases[i].holds)
            fail_msg("%s: should be %d", cases[i].text, cases[i].holds);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "column 1: expected a DICOM attribute keyword, found the end"},
        {"Modality", "column 9: expected one of = != < > <= >= ~, found the end"},
        {"Modality == MR", NULL},
        {"Modality = ", "column 12: expected a value, found the end"},
        {"Modality = MR or Modality = CT",
         "column 15: expected 'and' and another term, found 'or Modality = CT'"},
        {"Modality = MR and", NULL},
        {"Modality = MR and ", NULL},
        {"Modality = \"MR", "column 12: expected text that ends with a quotation mark, found '\"MR'"},
        {"Modality = \"MR\"x", NULL},
        {"modality = MR", NULL},
        {"SliceThickness < thin", "SliceThickness < needs a number, not 'thin'"},
        {"SliceThickness < inf", NULL},
        {"SliceThickness < 0x10", NULL},
        {"SeriesDescription ~ hippo", NULL},
        {"SeriesDescription ~ /hippo", NULL},
        {"SeriesDescription ~ /hip(po/", NULL},
        {"SeriesDescription ~ /hippo/g", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lam_rule *rule = NULL;
        lam_error err = {0};
        if (lam_rule_parse(cases[i].text, &rule, &err) != LAM_E_INVALID || rule)
            fail_msg("'%s' was taken", cases[i].text);
        if (cases[i].message)
            assert_string_equal(err.message, cases[i].message);
    }
}

static void says_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"Modality = MR and ImageType = X", "ImageType is \"ORIGINAL\\PRIMARY\\M_FFE\", wanted = X"},
        {"StudyDate > 20200101", "StudyDate is absent, wanted > 20200101"},
        {"Modality ~ /^ct$/i", "Modality is \"MR\", wanted ~ /^ct$/i"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        LAM_AUTO_PTR(lam_rule) *rule = NULL;
        char reason[LAM_RULE_REASON] = "";
        assert_int_equal(lam_rule_parse(cases[i].text, &rule, NULL), LAM_OK);
        assert_false(lam_rule_matches(rule, get, NULL, reason));
        assert_string_equal(reason, cases[i].reason);
    }
}

static const char *get_long(void *context, const char *keyword)
{
    (void)keyword;
    return context;
}

/* A reason becomes JSON, so it must not end within a character, wherever the value is cut. */
static void cuts_reasons_between_characters(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_rule) *rule = NULL;
    assert_int_equal(lam_rule_parse("Modality = MR", &rule, NULL), LAM_OK);
    for (size_t lead = 0; lead < 4; lead++) {
        char value[200] = "";
        memset(value, 'x', lead);
        for (size_t i = 0; i < 60; i++)
            memcpy(value + lead + 3 * i, "\xe2\x82\xac", 4);
        char reason[LAM_RULE_REASON];
        assert_false(lam_rule_matches(rule, get_long, value, reason));
        const char *end = strrchr(reason, '"');
        size_t bytes = (size_t)(end - strchr(reason, '"')) - 1;
        assert_true(bytes <= 72);
        assert_int_equal((bytes - lead) % 3, 0);
    }
}

static void escapes(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_rule) *rule = NULL;
    assert_int_equal(lam_rule_parse("Modality ~ /a\\/b\\.c/ and Modality = \"a/b.c\"", &rule, NULL), LAM_OK);
    assert_true(lam_rule_matches(rule, get_long, "a/b.c", NULL));
    assert_false(lam_rule_matches(rule, get_long, "a/bxc", NULL));
}

static void counts_terms(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_rule) *rule = lam_rule_create();
    assert_true(lam_rule_matches(rule, get, NULL, NULL));
    for (int i = 0; i < LAM_RULE_MAX_TERMS; i++)
        assert_int_equal(lam_rule_add(rule, "Modality", LAM_RULE_EQUAL, "MR", NULL), LAM_OK);
    assert_int_equal(lam_rule_add(rule, "Modality", LAM_RULE_EQUAL, "MR", NULL), LAM_E_LIMIT);
    assert_true(lam_rule_matches(rule, get, NULL, NULL));
}

/* A configuration must not take all memory by a few bytes. */
static void refuses_expressions_that_explode(void **state)
{
    (void)state;
    lam_rule *rule = NULL;
    lam_error err = {0};
    assert_int_equal(lam_rule_parse("Modality ~ /((((a{200}){200}){200}){200})/", &rule, &err), LAM_E_LIMIT);
    assert_null(rule);
    assert_string_equal(err.message, "Modality: the regular expression '((((a{200}){200}){200}){200})' "
                                     "repeats too many repetitions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluates),
        cmocka_unit_test(refuses),
        cmocka_unit_test(says_why_not),
        cmocka_unit_test(cuts_reasons_between_characters),
        cmocka_unit_test(escapes),
        cmocka_unit_test(counts_terms),
        cmocka_unit_test(refuses_expressions_that_explode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
