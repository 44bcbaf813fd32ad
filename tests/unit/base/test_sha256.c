/* core/base/sha256 against the examples of FIPS 180-4 and NIST's CAVP short messages. */
#include <string.h>

#include "core/base/sha256.h"
#include "tests/unit/unit.h"

static const struct {
    const char *message;
    const char *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrs"
     "t"
     "nopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void digest_of(const char *bytes, size_t length, size_t step, char text[LAM_SHA256_TEXT])
{
    lam_sha256 hash;
    uint8_t digest[LAM_SHA256_BYTES];
    lam_sha256_init(&hash);
    for (size_t at = 0; at < length; at += step)
        lam_sha256_update(&hash, bytes + at, length - at < step ? length - at : step);
    lam_sha256_final(&hash, digest);
    lam_sha256_hex(digest, text);
}

static void standard_vectors(void **state)
{
    (void)state;
    char text[LAM_SHA256_TEXT];
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        digest_of(vectors[i].message, strlen(vectors[i].message), 1000, text);
        assert_string_equal(text, vectors[i].digest);
        assert_string_equal(lam_sha256_text(vectors[i].message, strlen(vectors[i].message), text),
                            vectors[i].digest);
    }
}

static void a_million_bytes_in_any_portions(void **state)
{
    (void)state;
    static char bytes[1000000];
    memset(bytes, 'a', sizeof bytes);
    static const size_t steps[] = {1, 3, 63, 64, 65, 4096, sizeof bytes};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char text[LAM_SHA256_TEXT];
        digest_of(bytes, sizeof bytes, steps[i], text);
        assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

/* 55, 56, 63, 64 bytes: where the padding changes from one block to two. */
static void lengths_around_the_padding(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        const char *digest;
    } cases[] = {
        {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
    };
    char bytes[64];
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[LAM_SHA256_TEXT];
        digest_of(bytes, cases[i].length, 7, text);
        assert_string_equal(text, cases[i].digest);
    }
}

static void texts_do_not_run_together(void **state)
{
    (void)state;
    uint8_t digests[3][LAM_SHA256_BYTES];
    static const char *const pairs[3][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", NULL}};
    for (int i = 0; i < 3; i++) {
        lam_sha256 hash;
        lam_sha256_init(&hash);
        lam_sha256_update_text(&hash, pairs[i][0]);
        lam_sha256_update_text(&hash, pairs[i][1]);
        lam_sha256_final(&hash, digests[i]);
    }
    assert_memory_not_equal(digests[0], digests[1], LAM_SHA256_BYTES);
    assert_memory_not_equal(digests[0], digests[2], LAM_SHA256_BYTES);
    assert_memory_not_equal(digests[1], digests[2], LAM_SHA256_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_vectors),
        cmocka_unit_test(a_million_bytes_in_any_portions),
        cmocka_unit_test(lengths_around_the_padding),
        cmocka_unit_test(texts_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
