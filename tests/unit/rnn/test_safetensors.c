/* Reading safetensors: what is right is read, what is wrong is an error and never a crash. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rnn/safetensors.h"

/* A file of this header and so many zero bytes of data. */
static lam_status parse(const char *header, size_t data, lam_safetensors **out, lam_error *err)
{
    static char bytes[1 << 16];
    size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    return lam_safetensors_parse(bytes, 8 + length + data, out, err);
}

static void test_reads_tensors_and_metadata(void **state)
{
    (void)state;
    lam_safetensors *file = NULL;
    const char *header = "{\"__metadata__\":{\"licence\":\"CC0\"},"
                         "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
                         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    assert_int_equal(parse(header, 28, &file, NULL), LAM_OK);
    assert_int_equal(lam_safetensors_count(file), 2);
    assert_string_equal(lam_safetensors_at(file, 0)->name, "b");
    assert_string_equal(lam_safetensors_metadata(file, "licence"), "CC0");
    const lam_tensor *b = lam_safetensors_find(file, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, LAM_DTYPE_F32);
    assert_int_equal(b->bytes, 24);
    assert_int_equal(b->shape.dim[1], 3);
    assert_int_equal((uintptr_t)b->data % 4, 0);
    assert_null(lam_safetensors_find(file, "c"));
    lam_safetensors_free(file);
}

static void test_refuses_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
    } cases[] = {
        {"", 0},
        {"[]", 0},
        {"{", 0},
        {"{\"a\":1}", 0},
        {"{\"a\":{}}", 0},
        {"{\"__metadata__\":[]}", 0},
        {"{\"__metadata__\":{\"a\":1}}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3}, /* too short */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5}, /* a byte too many */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8}, /* a gap */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4}, /* shape too large */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"Q7\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
         0},                                                                                /* overflow */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1}, /* rank */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3}, /* overlap */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2}, /* the same name twice */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lam_safetensors *file = NULL;
        lam_error err = {0};
        lam_status status = parse(cases[i].header, cases[i].data, &file, &err);
        if (status == LAM_OK)
            fail_msg("accepted: %s", cases[i].header);
        assert_null(file);
        assert_int_equal(err.status == LAM_OK, 0);
        assert_true(strlen(err.message) > 0);
    }
}

static void test_refuses_wrong_lengths(void **state)
{
    (void)state;
    lam_safetensors *file = NULL;
    uint8_t bytes[16] = {0};
    for (size_t length = 0; length < 8; length++)
        assert_int_equal(lam_safetensors_parse(bytes, length, &file, NULL), LAM_E_CORRUPT);
    memset(bytes, 0xff, 8);
    assert_int_equal(lam_safetensors_parse(bytes, sizeof bytes, &file, NULL), LAM_E_LIMIT);
    memset(bytes, 0, 8);
    bytes[0] = 200;
    assert_int_equal(lam_safetensors_parse(bytes, sizeof bytes, &file, NULL), LAM_E_CORRUPT);
    assert_null(file);
}

static void test_every_prefix_of_a_file_is_an_error(void **state)
{
    (void)state;
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    size_t length = strlen(header), whole = 8 + length + 8;
    char *bytes = calloc(1, whole);
    bytes[0] = (char)length;
    memcpy(bytes + 8, header, length);
    for (size_t cut = 0; cut <= whole; cut++) {
        char *part = malloc(cut ? cut : 1); /* of its own, so that a sanitiser sees a read past the end */
        lam_safetensors *file = NULL;
        memcpy(part, bytes, cut);
        lam_status status = lam_safetensors_parse(part, cut, &file, NULL);
        assert_int_equal(status == LAM_OK, cut == whole);
        lam_safetensors_free(file);
        free(part);
    }
    free(bytes);
}

static void test_writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const metadata[][2] = {{"format", "pt"}};
    float values[6] = {1, -2, 3.5f, 0, 1e-30f, 1e30f};
    uint8_t bytes[3] = {7, 8, 9};
    lam_tensor tensors[2] = {
        {.name = "odd", .dtype = LAM_DTYPE_U8, .shape = {1, {3}}, .data = bytes, .bytes = sizeof bytes},
        {.name = "x", .dtype = LAM_DTYPE_F32, .shape = {2, {2, 3}}, .data = values, .bytes = sizeof values},
    };
    char path[] = "/tmp/lamina-safetensors-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(lam_safetensors_write(fd, tensors, 2, metadata, 1, NULL), LAM_OK);
    lam_safetensors *file = NULL;
    assert_int_equal(lam_safetensors_map(fd, &file, NULL), LAM_OK);
    close(fd);
    const lam_tensor *x = lam_safetensors_find(file, "x");
    assert_non_null(x);
    assert_memory_equal(x->data, values, sizeof values); /* unaligned in the file, aligned here */
    assert_int_equal((uintptr_t)x->data % sizeof(float), 0);
    assert_memory_equal(lam_safetensors_find(file, "odd")->data, bytes, sizeof bytes);
    assert_string_equal(lam_safetensors_metadata(file, "format"), "pt");
    lam_safetensors_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_tensors_and_metadata),
        cmocka_unit_test(test_refuses_what_is_wrong),
        cmocka_unit_test(test_refuses_wrong_lengths),
        cmocka_unit_test(test_every_prefix_of_a_file_is_an_error),
        cmocka_unit_test(test_writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
