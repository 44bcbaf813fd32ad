/* docs/model.schema.json says the same as the engine: its layer kinds and their options. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/rnn/layer.h"

static const char *const common[] = {"name", "kind", "from", "frozen", NULL};

static bool is_listed(const char *const *list, const char *name)
{
    while (list && *list && strcmp(*list, name) != 0)
        list++;
    return list && *list;
}

static void check_kind(const lam_jv *schema)
{
    const lam_jv *properties = lam_jv_get(schema, "properties");
    const char *name = lam_jv_text(lam_jv_get(lam_jv_get(properties, "kind"), "const"), "?");
    const lam_layer_kind *kind = lam_layer_find_kind(name);
    if (!kind) {
        fail_msg("the schema has a layer kind '%s' that the engine has not", name);
        abort(); /* fail_msg does not return, which not every analyser knows */
    }
    for (size_t i = 0; i < lam_jv_count(properties); i++) {
        const char *option = lam_jv_key_at(properties, i);
        if (!is_listed(common, option) && !is_listed(kind->members, option))
            fail_msg("%s: the engine does not know the option '%s'", name, option);
    }
    for (const char *const *member = kind->members; member && *member; member++)
        if (!lam_jv_get(properties, *member))
            fail_msg("%s: the schema lacks the option '%s'", name, *member);
}

static void test_layer_kinds(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_buffer text;
    lam_json *schema;
    lam_buffer_init(&text, 1 << 20);
    assert_ok(lam_io_read_file("docs/model.schema.json", &text, &err), err);
    assert_ok(lam_json_parse(text.data, text.length, &schema, &err), err);
    const lam_jv *network = lam_jv_get(lam_jv_get(lam_json_root(schema), "properties"), "network");
    const lam_jv *layers = lam_jv_get(lam_jv_get(network, "properties"), "layers");
    const lam_jv *kinds = lam_jv_get(lam_jv_get(layers, "items"), "oneOf");
    size_t count = 0;
    while (lam_layer_kind_at(count))
        count++;
    assert_int_equal(lam_jv_count(kinds), count);
    for (size_t i = 0; i < lam_jv_count(kinds); i++)
        check_kind(lam_jv_at(kinds, i));
    lam_json_free(schema);
    lam_buffer_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
