/* daemon/dimse/settings: CONFIGURE understood or refused, and who may come in. */
#include "daemon/dimse/settings.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/sop_class.h"
#include "tests/unit/unit.h"

#define LIMITS                                                                                               \
    "\"max_associations\":10,\"max_associations_per_peer\":5,\"max_pdu\":65536,"                             \
    "\"association_timeout_ms\":1000,\"idle_timeout_ms\":2000,\"max_object_bytes\":4294967296,"              \
    "\"reserve_bytes\":1073741824,\"last_association\":17"
#define PEERS                                                                                                \
    "\"peers\":[{\"name\":\"ct\",\"ae_title\":\"CT1\",\"host\":\"10.0.0.5\"},"                               \
    "{\"name\":\"any\",\"ae_title\":\"ROAMER\",\"host\":\"\"}]"

static lam_scp_settings *parse(const char *json)
{
    lam_error err = {0};
    lam_scp_settings *settings = NULL;
    assert_ok(lam_scp_settings_parse(json, strlen(json), &settings, &err), err);
    return settings;
}

static lam_associate association(const char *called, const char *calling)
{
    lam_associate a = {.protocol_version = 1};
    strcpy(a.called_ae, called);
    strcpy(a.calling_ae, calling);
    strcpy(a.application_context, LAM_APPLICATION_CONTEXT);
    return a;
}

static void test_reads_all(void **state)
{
    (void)state;
    lam_scp_settings *s =
        parse("{\"ae_title\":\"LAMINA\",\"accept\":\"known\"," PEERS "," LIMITS ",\"later\":[1]}");
    assert_string_equal(s->ae_title, "LAMINA");
    assert_false(s->any_caller);
    assert_false(s->private_classes);
    assert_int_equal(s->peer_count, 2);
    assert_int_equal(s->max_associations, 10);
    assert_int_equal(s->max_associations_per_peer, 5);
    assert_int_equal(s->max_pdu, 65536);
    assert_int_equal(s->association_timeout_ms, 1000);
    assert_int_equal(s->idle_timeout_ms, 2000);
    assert_int_equal(s->max_object_bytes, 4294967296);
    assert_int_equal(s->reserve_bytes, 1073741824);
    assert_int_equal(s->last_association, 17);
    lam_scp_settings_unref(lam_scp_settings_ref(s));
    lam_scp_settings_unref(s);
    lam_scp_settings_unref(NULL);
}

/* Promise 10: unknown AE titles are refused at association. */
static void test_who_may_come_in(void **state)
{
    (void)state;
    static const struct {
        const char *called, *calling, *address;
        const lam_rejection *expected;
    } cases[] = {
        {"LAMINA", "CT1", "10.0.0.5", NULL},
        {"LAMINA", "CT1", "::ffff:10.0.0.5", NULL},
        {"LAMINA", "CT1", "10.0.0.6", &LAM_REJECT_CALLING_AE},
        {"LAMINA", "ROAMER", "10.0.0.6", NULL},
        {"LAMINA", "STRANGER", "10.0.0.5", &LAM_REJECT_CALLING_AE},
        {"LAMINA", "ct1", "10.0.0.5", &LAM_REJECT_CALLING_AE},
        {"OTHER", "CT1", "10.0.0.5", &LAM_REJECT_CALLED_AE},
        {"", "", "", &LAM_REJECT_CALLED_AE},
    };
    lam_scp_settings *s = parse("{\"ae_title\":\"LAMINA\",\"accept\":\"known\"," PEERS "," LIMITS "}");
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        const lam_associate a = association(cases[i].called, cases[i].calling);
        assert_ptr_equal(lam_scp_settings_refuse(s, &a, cases[i].address), cases[i].expected);
    }
    lam_associate a = association("LAMINA", "CT1");
    a.protocol_version = 2;
    assert_ptr_equal(lam_scp_settings_refuse(s, &a, "10.0.0.5"), &LAM_REJECT_PROTOCOL_VERSION);
    a = association("LAMINA", "CT1");
    strcpy(a.application_context, "1.2.840.10008.3.1.1.2");
    assert_ptr_equal(lam_scp_settings_refuse(s, &a, "10.0.0.5"), &LAM_REJECT_APPLICATION_CONTEXT);
    lam_scp_settings_unref(s);

    s = parse("{\"ae_title\":\"LAMINA\",\"accept\":\"any\",\"peers\":[]," LIMITS "}");
    a = association("LAMINA", "STRANGER");
    assert_null(lam_scp_settings_refuse(s, &a, "10.0.0.9"));
    a = association("LAMINA", ""); /* blank in the request */
    assert_ptr_equal(lam_scp_settings_refuse(s, &a, "10.0.0.9"), &LAM_REJECT_CALLING_AE);
    lam_scp_settings_unref(s);
    s = parse("{\"ae_title\":\"LAMINA\",\"accept\":\"ANY?\",\"peers\":[]," LIMITS "}");
    assert_ptr_equal(lam_scp_settings_refuse(s, &a, "10.0.0.9"), &LAM_REJECT_CALLING_AE); /* the closed way */
    lam_scp_settings_unref(s);
}

static void test_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *json, *named;
    } cases[] = {
        {"{}", "ae_title"},
        {"{\"ae_title\":\"\",\"accept\":\"any\",\"peers\":[]," LIMITS "}", "ae_title"},
        {"{\"ae_title\":\"SEVENTEEN LETTERS\",\"accept\":\"any\",\"peers\":[]," LIMITS "}", "ae_title"},
        {"{\"ae_title\":\"A\",\"peers\":[]," LIMITS "}", "accept"},
        {"{\"ae_title\":\"A\",\"accept\":\"any\"," LIMITS "}", "peers"},
        {"{\"ae_title\":\"A\",\"accept\":\"any\",\"peers\":[{}]," LIMITS "}", "ae_title"},
        {"{\"ae_title\":\"A\",\"accept\":\"any\",\"peers\":[]}", "max_associations"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_error err;
        lam_scp_settings *settings = NULL;
        assert_fails(lam_scp_settings_parse(cases[i].json, strlen(cases[i].json), &settings, &err),
                     LAM_E_INVALID, err);
        assert_non_null(strstr(err.message, cases[i].named));
        assert_null(settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_all),
        cmocka_unit_test(test_who_may_come_in),
        cmocka_unit_test(test_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
