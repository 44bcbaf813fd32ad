/* core/base/json_scan.h: the same grammar as lam_json_parse, and the members of the outermost object. */
#include "core/base/json_scan.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "tests/unit/unit.h"

static lam_status note(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    char *seen = user;
    (void)err;
    snprintf(seen + strlen(seen), 256 - strlen(seen), "%.*s=%.*s;", (int)key.length, key.bytes,
             (int)value.length, value.bytes);
    return LAM_OK;
}

static lam_status scan(const char *text, char seen[256], lam_error *err)
{
    seen[0] = '\0';
    return lam_json_scan((lam_json_span){text, strlen(text)}, note, seen, err);
}

static void visits_members_as_they_are_written(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    char seen[256];
    assert_ok(scan(" { \"a\" : [1, {\"x\":2}] ,\"b\\n\":\"q\\\"\", \"c\":{} , \"d\":-0.5e+3}\n", seen, &err),
              err);
    assert_string_equal(seen, "a=[1, {\"x\":2}];b\\n=\"q\\\"\";c={};d=-0.5e+3;");
    assert_ok(scan("{}", seen, &err), err);
    assert_string_equal(seen, "");
}

static const char *const texts[] = {
    "",
    "[]",
    "{",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\":1}}",
    "{\"a\":1} x",
    "{a:1}",
    "{\"a\":01}",
    "{\"a\":1.}",
    "{\"a\":-}",
    "{\"a\":1e}",
    "{\"a\":+1}",
    "{\"a\":nul}",
    "{\"a\":\"\\x\"}",
    "{\"a\":\"\\u12g4\"}",
    "{\"a\":\"b}",
    "{\"a\":\"\x01\"}",
    "{\"a\":\"\xc3\"}",
    "{\"a\":\"\xed\xa0\x80\"}",
    "{\"a\":[1 2]}",
    "{\"a\":[1,]}",
    "{\"a\":1}",
    "{\"a\":[true,false,null,0,-1.5E-3,\"\\u00e9\xf0\x9f\x98\x80\"]}",
};

static void agrees_with_the_parser(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(texts); i++) {
        char seen[256];
        LAM_AUTO_PTR(lam_json) *document = NULL;
        bool parsed = lam_json_parse(texts[i], strlen(texts[i]), &document, NULL) == LAM_OK &&
                      lam_jv_is(lam_json_root(document), LAM_JSON_OBJECT);
        lam_error err = {LAM_OK, ""};
        lam_status status = scan(texts[i], seen, &err);
        assert_int_equal(status == LAM_OK, parsed);
        if (status != LAM_OK)
            assert_non_null(strstr(err.message, "JSON byte"));
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static char deep[200000];
    char seen[256];
    lam_error err = {LAM_OK, ""};
    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"a\":", 5);
    assert_fails(scan(deep, seen, &err), LAM_E_LIMIT, err);
}

static lam_status refuse(void *user, lam_json_span key, lam_json_span value, lam_error *err)
{
    (void)user, (void)key, (void)value;
    return lam_fail(err, LAM_E_EXISTS, "enough");
}

static void a_visitor_can_end_it(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    assert_fails(lam_json_scan((lam_json_span){"{\"a\":1,", 7}, refuse, NULL, &err), LAM_E_EXISTS, err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(visits_members_as_they_are_written),
        cmocka_unit_test(agrees_with_the_parser),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_visitor_can_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
