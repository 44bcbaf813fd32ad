/* api/negotiate: media types as clients write them, and which offer they get. */
#include "tests/unit/unit.h"

#include <string.h>

#include "api/negotiate.h"
#include "core/base/cleanup.h"

#define STORED "1.2.840.10008.1.2.4.70"

static void parses_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *type; /* NULL: refused */
        const char *name, *value;
        int quality;
    } cases[] = {
        {"application/dicom", "application/dicom", NULL, NULL, 1000},
        {"  Application/DICOM ; q=0.5", "application/dicom", NULL, NULL, 500},
        {"multipart/related;TYPE=\"application/dicom\";boundary=x", "multipart/related", "type",
         "application/dicom", 1000},
        {"multipart/related; type=application/dicom", "multipart/related", "type", "application/dicom", 1000},
        {"multipart/related; Boundary=\"a; b, \\\"c\\\"\"", "multipart/related", "boundary", "a; b, \"c\"",
         1000},
        {"multipart/related ; boundary = abc ;", "multipart/related", "boundary", "abc", 1000},
        {"a/b; q=0", "a/b", NULL, NULL, 0},
        {"a/b; q=2", "a/b", NULL, NULL, 0},
        {"a/b; q=x", "a/b", NULL, NULL, 0},
        {"a/b; q=\"0.25\"", "a/b", NULL, NULL, 250},
        {"*/*", "*/*", NULL, NULL, 1000},
        {"", NULL, NULL, NULL, 0},
        {"text", NULL, NULL, NULL, 0},
        {"/", NULL, NULL, NULL, 0},
        {"a/b/c", NULL, NULL, NULL, 0},
        {"a/b; c", NULL, NULL, NULL, 0},
        {"a/b; c=\"open", NULL, NULL, NULL, 0},
        {"a/b; c=\"x\"y", NULL, NULL, NULL, 0},
        {"a b/c", NULL, NULL, NULL, 0},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_media_type media;
        bool parsed = lam_media_type_parse(cases[i].text, &media, NULL);
        if (parsed != (cases[i].type != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, parsed ? "taken" : "refused");
        if (!parsed)
            continue;
        assert_string_equal(media.type, cases[i].type);
        assert_int_equal(media.quality, cases[i].quality);
        if (cases[i].name)
            assert_string_equal(lam_media_type_get(&media, cases[i].name), cases[i].value);
    }
}

static void long_types_are_refused(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'a', sizeof text);
    memcpy(text, "a/b; c=", 7);
    text[sizeof text - 1] = '\0';
    lam_media_type media;
    assert_false(lam_media_type_parse(text, &media, NULL));
    memcpy(text, "a/bcdefg", 8);
    assert_false(lam_media_type_parse(text, &media, NULL));
    assert_true(lam_media_type_parse("a/b; c=1; d=2; e=3; f=4; g=5; h=6; i=7", &media, NULL));
    assert_int_equal(media.count, LAM_MEDIA_PARAMETERS);
}

/* An instance that is stored as STORED: 0 is multipart, 1 is the single part. */
static void chooses_for_an_instance(void **state)
{
    (void)state;
    static const lam_offer offers[] = {{"multipart/related", "application/dicom", STORED, false},
                                       {"application/dicom", NULL, STORED, false}};
    static const struct {
        const char *accept;
        int chosen;
    } cases[] = {
        {NULL, 0},
        {"", 0},
        {"*/*", 0},
        {"multipart/*", 0},
        {"application/*", 1},
        {"application/dicom", 1},
        {"application/dicom; transfer-syntax=*", 1},
        {"application/dicom; transfer-syntax=" STORED, 1},
        {"application/dicom; transfer-syntax=1.2.840.10008.1.2.1", -1},
        {"multipart/related; type=\"application/dicom\"", 0},
        {"multipart/related; type=application/dicom; transfer-syntax=*", 0},
        {"multipart/related; type=\"application/dicom\"; transfer-syntax=" STORED, 0},
        {"multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.1", -1},
        {"multipart/related; type=\"application/octet-stream\"", -1},
        {"multipart/related; type=\"image/jpeg\", application/dicom", 1},
        {"multipart/related; type=\"application/*\"", 0},
        {"multipart/related; type=\"*/*\"", 0},
        {"multipart/related; type=\"image/*\"", -1},
        {"multipart/related; type=\"application/*\"; q=0.5, multipart/related; type=\"application/dicom\"; "
         "q=0",
         -1},
        {"application/dicom, multipart/related; type=\"application/dicom\"", 0},
        {"application/dicom; q=1, multipart/related; type=\"application/dicom\"; q=0.9", 1},
        {"*/*; q=0.1, application/dicom", 1},
        {"*/*, application/dicom; q=0", 0},
        {"*/*, multipart/related; q=0", 1},
        {"text/html", -1},
        {"text/html, application/xhtml+xml, image/webp, */*;q=0.8", 0},
        {"garbage, , ;, application/dicom", 1},
        {"application/dicom+json", -1},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        if (lam_negotiate(cases[i].accept, offers, 2) != cases[i].chosen)
            fail_msg("Accept: %s chose %d", cases[i].accept ? cases[i].accept : "(none)",
                     lam_negotiate(cases[i].accept, offers, 2));
}

static void equal_ranges_keep_the_higher_quality(void **state)
{
    (void)state;
    static const lam_offer offers[] = {{"a/b", NULL, NULL, false}, {"a/c", NULL, NULL, false}};
    assert_int_equal(lam_negotiate("a/b;q=0.1, a/c;q=0.5, a/b;q=0.9", offers, 2), 0);
    assert_int_equal(lam_negotiate("a/b;q=0.1, a/c;q=0.5", offers, 2), 1);
    assert_int_equal(lam_negotiate("a/b", offers, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_types),
        cmocka_unit_test(long_types_are_refused),
        cmocka_unit_test(chooses_for_an_instance),
        cmocka_unit_test(equal_ranges_keep_the_higher_quality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
