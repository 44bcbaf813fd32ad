/* api/gzip.h: who takes gzip, and that what goes out comes back. */
#include "api/gzip.h"

#include <string.h>
#include <zlib.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static void test_who_takes_it(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool accepted;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"br, gzip;q=0.5", true},
        {"gzip;q=0", false},
        {"gzip; q=0.000", false},
        {"identity", false},
        {"*", true},
        {"*;q=0", false},
        {"gzipped", false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        if (lam_gzip_accepted(cases[i].header) != cases[i].accepted)
            fail_msg("Accept-Encoding: %s", cases[i].header ? cases[i].header : "(none)");
    assert_true(lam_gzip_helps("application/dicom+json"));
    assert_false(lam_gzip_helps("image/png"));
}

static void inflate_all(const char *packed, size_t length, lam_buffer *out)
{
    z_stream z = {.next_in = (unsigned char *)packed, .avail_in = (unsigned)length};
    assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    int code = Z_OK;
    while (code == Z_OK) {
        char block[4096];
        z.next_out = (unsigned char *)block;
        z.avail_out = sizeof block;
        code = inflate(&z, Z_NO_FLUSH);
        lam_buffer_append(out, block, sizeof block - z.avail_out);
    }
    assert_int_equal(code, Z_STREAM_END);
    inflateEnd(&z);
}

enum { TEXT = 300000, PIECE = 997 };

static void fill(char *text)
{
    for (size_t i = 0; i < TEXT; i++)
        text[i] = (char)('a' + (i * i / 7) % 26);
}

static void test_a_text(void **state)
{
    (void)state;
    static char text[TEXT];
    LAM_AUTO(lam_buffer_done) lam_buffer packed;
    LAM_AUTO(lam_buffer_done) lam_buffer back;
    lam_buffer_init(&packed, 1 << 20);
    lam_buffer_init(&back, 1 << 20);
    fill(text);
    assert_int_equal(lam_gzip_text(text, TEXT, &packed), LAM_OK);
    inflate_all(packed.data, packed.length, &back);
    assert_int_equal(back.length, TEXT);
    assert_memory_equal(back.data, text, TEXT);
}

typedef struct source {
    const char *text;
    size_t left;
    bool breaks;
} source;

static ssize_t read_source(void *context, char *bytes, size_t size)
{
    source *from = context;
    size_t length = from->left < PIECE ? from->left : PIECE;
    length = length < size ? length : size;
    if (from->breaks && from->left < TEXT / 2)
        return -1;
    memcpy(bytes, from->text, length);
    from->text += length;
    from->left -= length;
    return (ssize_t)length;
}

static ssize_t read_all(source *from, lam_buffer *packed)
{
    lam_gzip *gzip = lam_gzip_create(read_source, from);
    assert_non_null(gzip);
    char block[100];
    ssize_t got;
    while ((got = lam_gzip_read(gzip, block, sizeof block)) > 0)
        lam_buffer_append(packed, block, (size_t)got);
    lam_gzip_free(gzip);
    return got;
}

static void test_a_stream(void **state)
{
    (void)state;
    static char text[TEXT];
    LAM_AUTO(lam_buffer_done) lam_buffer packed;
    LAM_AUTO(lam_buffer_done) lam_buffer back;
    lam_buffer_init(&packed, 1 << 20);
    lam_buffer_init(&back, 1 << 20);
    fill(text);
    source from = {.text = text, .left = TEXT};
    assert_int_equal(read_all(&from, &packed), 0);
    inflate_all(packed.data, packed.length, &back);
    assert_int_equal(back.length, TEXT);
    assert_memory_equal(back.data, text, TEXT);
    source broken = {.text = text, .left = TEXT, .breaks = true};
    assert_int_equal(read_all(&broken, &packed), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_takes_it),
        cmocka_unit_test(test_a_text),
        cmocka_unit_test(test_a_stream),
    };
    return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
