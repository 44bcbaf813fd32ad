/* Headers as DICOM JSON, from bytes made here. */
#include "dicom/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "dicom/file_meta.h"
#include "dicom/transfer_syntax.h"

#define UIDS                                                                                                 \
    "\x08\0\x16\0UI\x04\0"                                                                                   \
    "1.1\0"                                                                                                  \
    "\x08\0\x18\0UI\x04\0"                                                                                   \
    "1.2\0"                                                                                                  \
    "\x20\0\x0d\0UI\x04\0"                                                                                   \
    "1.3\0"                                                                                                  \
    "\x20\0\x0e\0UI\x04\0"                                                                                   \
    "1.4\0"

/* Indexes a file with this data set; the attributes, or NULL and the reason. */
static lam_status index_bytes(const void *data, size_t length, lam_json **out, lam_error *err)
{
    lam_file_meta meta = {"1.1", "1.2", LAM_TS_EXPLICIT_LITTLE};
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_buffer json;
    lam_buffer_init(&json, LAM_INDEX_MAX_BYTES);
    assert_int_equal(lam_io_write_all(file, head, lam_file_meta_write(&meta, head), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, data, length, NULL), LAM_OK);
    lam_status status = lam_index_file(file, &json, err);
    if (status == LAM_OK)
        assert_int_equal(lam_json_parse(json.data, json.length, out, NULL), LAM_OK);
    else
        assert_int_equal(json.length, 0);
    lam_buffer_done(&json);
    return status;
}

/* At whatever place the room ends, it is said, and nothing is left behind. */
static void test_no_room(void **state)
{
    (void)state;
    lam_file_meta meta = {"1.1", "1.2", LAM_TS_EXPLICIT_LITTLE};
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    lam_autoclose int file = memfd_create("test", MFD_CLOEXEC);
    lam_buffer json;
    lam_buffer_init(&json, LAM_INDEX_MAX_BYTES);
    assert_int_equal(lam_io_write_all(file, head, lam_file_meta_write(&meta, head), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(file, UIDS, sizeof UIDS - 1, NULL), LAM_OK);
    assert_int_equal(lam_index_file(file, &json, NULL), LAM_OK);
    size_t needed = json.length;
    lam_buffer_done(&json);
    for (size_t room = 0; room < needed; room++) {
        lam_error err = {LAM_OK, ""};
        lam_buffer_init(&json, room);
        assert_int_equal(lam_index_file(file, &json, &err), LAM_E_LIMIT);
        assert_int_equal(err.status, LAM_E_LIMIT);
        assert_true(*err.message);
        assert_int_equal(json.length, 0);
        lam_buffer_done(&json);
    }
}

static lam_json *indexed(const void *data, size_t length)
{
    lam_json *document = NULL;
    lam_error err = {LAM_OK, ""};
    if (index_bytes(data, length, &document, &err) != LAM_OK)
        fail_msg("%s", err.message);
    return document;
}

#define INDEXED(bytes) indexed(bytes, sizeof(bytes) - 1)

static const lam_jv *attribute(const lam_json *document, const char *tag)
{
    return lam_jv_get(lam_jv_get(lam_json_root(document), "attributes"), tag);
}

static const lam_jv *value(const lam_json *document, const char *tag, size_t index)
{
    return lam_jv_at(lam_jv_get(attribute(document, tag), "Value"), index);
}

static void test_kinds_of_values(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = INDEXED("\x08\0\x05\0CS\x0a\0ISO_IR 100" UIDS "\x10\0\x10\0PN\x0a\0"
                                               "A^B=C  \\D "
                                               "\x10\0\x30\0DA\0\0"
                                               "\x28\0\x06\0US\x04\0\x01\0\xff\xff"
                                               "\x28\0\x09\0AT\x04\0\x54\0\x10\0"
                                               "\x28\0\x30\0DS\x0e\0+.5\\0012.50e-3"
                                               "\x28\0\x06\x01SS\x02\0\xff\xff"
                                               "\x28\0\x50\x10"
                                               "DS\x04\0many");
    assert_string_equal(lam_jv_text(lam_jv_get(lam_json_root(document), "transfer_syntax_uid"), ""),
                        LAM_TS_EXPLICIT_LITTLE);
    assert_string_equal(lam_jv_text(lam_jv_get(value(document, "00100010", 0), "Alphabetic"), ""), "A^B");
    assert_string_equal(lam_jv_text(lam_jv_get(value(document, "00100010", 0), "Ideographic"), ""), "C");
    assert_string_equal(lam_jv_text(lam_jv_get(value(document, "00100010", 1), "Alphabetic"), ""), "D");
    assert_null(value(document, "00100030", 0));
    assert_string_equal(lam_jv_text(lam_jv_get(attribute(document, "00100030"), "vr"), ""), "DA");
    assert_int_equal(lam_jv_integer(value(document, "00280006", 1), 0), 65535);
    assert_string_equal(lam_jv_text(value(document, "00280009", 0), ""), "00540010");
    assert_true(lam_jv_number(value(document, "00280030", 0), 0) == 0.5);
    assert_true(lam_jv_number(value(document, "00280030", 1), 0) == 0.0125);
    assert_int_equal(lam_jv_integer(value(document, "00280106", 0), 0), -1);
    assert_string_equal(lam_jv_text(value(document, "00281050", 0), ""), "many");
}

static void test_binary_is_inline_or_bulk(void **state)
{
    (void)state;
    static const char head[] = UIDS "\x29\0\x10\x10OB\0\0\x05\0\0\0hello"
                                    "\x29\0\x11\x10OB\0\0\x00\x08\0\0";
    char bytes[sizeof head - 1 + 2048] = {0};
    memcpy(bytes, head, sizeof head - 1);
    LAM_AUTO_PTR(lam_json) *document = indexed(bytes, sizeof bytes);
    assert_string_equal(lam_jv_text(lam_jv_get(attribute(document, "00291010"), "InlineBinary"), ""),
                        "aGVsbG8=");
    assert_string_equal(lam_jv_text(lam_jv_get(attribute(document, "00291011"), "BulkDataURI"), ""),
                        "bulk/00291011");
}

static void test_sequences(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = INDEXED("\x08\0\x40\x11SQ\0\0\x1a\0\0\0"
                                               "\xfe\xff\0\xe0\x0a\0\0\0"
                                               "\x08\0\x60\0CS\x02\0MR"
                                               "\xfe\xff\0\xe0\0\0\0\0"
                                               "\x08\0\x41\x11SQ\0\0\0\0\0\0" UIDS);
    assert_int_equal(lam_jv_count(lam_jv_get(attribute(document, "00081140"), "Value")), 2);
    assert_string_equal(
        lam_jv_text(lam_jv_at(lam_jv_get(lam_jv_get(value(document, "00081140", 0), "00080060"), "Value"), 0),
                    ""),
        "MR");
    assert_string_equal(lam_jv_text(lam_jv_get(attribute(document, "00081141"), "vr"), ""), "SQ");
}

/* JSON keys are unique even where elements are not; the first one counts. */
static void test_repeated_elements(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = INDEXED(UIDS "\x28\0\x10\0US\x02\0\x01\0"
                                                    "\x08\0\x60\0CS\x02\0MR"
                                                    "\x28\0\x10\0US\x02\0\x02\0"
                                                    "\x08\0\x40\x11SQ\0\0\x08\0\0\0\xfe\xff\0\xe0\0\0\0\0"
                                                    "\x08\0\x40\x11SQ\0\0\0\0\0\0");
    assert_int_equal(lam_jv_integer(value(document, "00280010", 0), 0), 1);
    assert_string_equal(lam_jv_text(value(document, "00080060", 0), ""), "MR");
    assert_int_equal(lam_jv_count(lam_jv_get(attribute(document, "00081140"), "Value")), 1);
}

/* A damaged tag can make a sequence of a group length; it is left out with its items. */
static void test_a_group_length_with_items(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_json) *document = INDEXED("\x08\0\0\0SQ\0\0\x08\0\0\0\xfe\xff\0\xe0\0\0\0\0" UIDS);
    assert_null(attribute(document, "00080000"));
    assert_string_equal(lam_jv_text(value(document, "00080018", 0), ""), "1.2");
}

static void test_what_must_be_there(void **state)
{
    (void)state;
    lam_json *document = NULL;
    lam_error err;
    static const char none[] = "\x08\0\x60\0CS\x02\0MR", bad[] = "\x08\0\x16\0UI\x04\0"
                                                                 "1..2";
    assert_int_equal(index_bytes(none, sizeof none - 1, &document, &err), LAM_E_INVALID);
    assert_non_null(strstr(err.message, "SOPClassUID"));
    assert_int_equal(index_bytes(bad, sizeof bad - 1, &document, &err), LAM_E_INVALID);
    assert_non_null(strstr(err.message, "not a valid UID"));
    static const char whole[] = UIDS;
    for (size_t n = 0; n < sizeof whole - 1; n++)
        assert_int_not_equal(index_bytes(whole, n, &document, NULL), LAM_OK);
}

/* A sequence of many megabytes becomes an address; what stands around it stays. */
static void test_a_long_sequence_is_cut(void **state)
{
    (void)state;
    enum { ITEMS = 600000 };
    static const char head[] = "\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff",
                      item[] = "\xfe\xff\0\xe0\x0a\0\0\0\x08\0\x60\0CS\x02\0MR";
    static const char tail[] = "\xfe\xff\xdd\xe0\0\0\0\0" UIDS;
    size_t length = sizeof head - 1 + ITEMS * (sizeof item - 1) + sizeof tail - 1;
    char *bytes = malloc(length), *at = bytes;
    assert_non_null(bytes);
    at = mempcpy(at, head, sizeof head - 1);
    for (int i = 0; i < ITEMS; i++)
        at = mempcpy(at, item, sizeof item - 1);
    memcpy(at, tail, sizeof tail - 1);
    LAM_AUTO_PTR(lam_json) *document = indexed(bytes, length);
    free(bytes);
    assert_string_equal(lam_jv_text(lam_jv_get(attribute(document, "00081140"), "BulkDataURI"), ""),
                        "bulk/00081140");
    assert_string_equal(lam_jv_text(value(document, "00080018", 0), ""), "1.2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_kinds_of_values),
        cmocka_unit_test(test_binary_is_inline_or_bulk),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_repeated_elements),
        cmocka_unit_test(test_a_group_length_with_items),
        cmocka_unit_test(test_what_must_be_there),
        cmocka_unit_test(test_a_long_sequence_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
