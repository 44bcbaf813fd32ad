/* api/coding.h: who takes which coding, and that what goes out comes back. */
#include "api/coding.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static void test_who_takes_it(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        lam_coding coding;
    } cases[] = {
        {NULL, LAM_CODING_NONE},
        {"", LAM_CODING_NONE},
        {"gzip", LAM_CODING_GZIP},
        {"GZIP", LAM_CODING_GZIP},
        {"zstd", LAM_CODING_ZSTD},
        {"gzip, deflate, br, zstd", LAM_CODING_ZSTD},
        {"zstd;q=0.5, gzip", LAM_CODING_GZIP},
        {"zstd;q=0, gzip;q=0.1", LAM_CODING_GZIP},
        {"zstd;q=0, *", LAM_CODING_GZIP},
        {"br, gzip;q=0.5", LAM_CODING_GZIP},
        {"gzip;q=0", LAM_CODING_NONE},
        {"gzip; q=0.000", LAM_CODING_NONE},
        {"gzip ; Q=0", LAM_CODING_NONE},
        {"identity", LAM_CODING_NONE},
        {"identity;q=0.1, *;q=0", LAM_CODING_NONE},
        {"*", LAM_CODING_ZSTD},
        {"gzipped", LAM_CODING_NONE},
        {";q=1,,", LAM_CODING_NONE},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        if (lam_coding_choose(cases[i].header) != cases[i].coding)
            fail_msg("Accept-Encoding: %s", cases[i].header ? cases[i].header : "(none)");
    assert_string_equal(lam_coding_name(LAM_CODING_ZSTD), "zstd");
    assert_true(lam_coding_helps("application/dicom+json"));
    assert_false(lam_coding_helps("image/png"));
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

static void unpack(lam_coding coding, const lam_buffer *packed, lam_buffer *back)
{
    if (coding == LAM_CODING_GZIP) {
        inflate_all(packed->data, packed->length, back);
        return;
    }
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {packed->data, packed->length, 0};
    char block[4096];
    for (size_t left = 1; left;) {
        ZSTD_outBuffer out = {block, sizeof block, 0};
        left = ZSTD_decompressStream(context, &out, &in);
        assert_false(ZSTD_isError(left));
        lam_buffer_append(back, block, out.pos);
        assert_true(out.pos || !left);
    }
    ZSTD_freeDCtx(context);
}

enum { TEXT = 300000, PIECE = 997 };

static void fill(char *text)
{
    for (size_t i = 0; i < TEXT; i++)
        text[i] = (char)('a' + (i * i / 7) % 26);
}

static void check_text(lam_coding coding)
{
    static char text[TEXT];
    LAM_AUTO(lam_buffer_done) lam_buffer packed;
    LAM_AUTO(lam_buffer_done) lam_buffer back;
    lam_buffer_init(&packed, 1 << 20);
    lam_buffer_init(&back, 1 << 20);
    fill(text);
    assert_int_equal(lam_coding_text(coding, text, TEXT, &packed), LAM_OK);
    assert_true(packed.length < TEXT);
    unpack(coding, &packed, &back);
    assert_int_equal(back.length, TEXT);
    assert_memory_equal(back.data, text, TEXT);
}

static void test_a_text(void **state)
{
    (void)state;
    check_text(LAM_CODING_GZIP);
    check_text(LAM_CODING_ZSTD);
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

static ssize_t read_all(lam_coding coding, source *from, lam_buffer *packed)
{
    lam_encoder *encoder = lam_encoder_create(coding, read_source, from);
    assert_non_null(encoder);
    char block[100];
    ssize_t got;
    while ((got = lam_encoder_read(encoder, block, sizeof block)) > 0)
        lam_buffer_append(packed, block, (size_t)got);
    lam_encoder_free(encoder);
    return got;
}

static void check_stream(lam_coding coding)
{
    static char text[TEXT];
    LAM_AUTO(lam_buffer_done) lam_buffer packed;
    LAM_AUTO(lam_buffer_done) lam_buffer back;
    lam_buffer_init(&packed, 1 << 20);
    lam_buffer_init(&back, 1 << 20);
    fill(text);
    source from = {.text = text, .left = TEXT};
    assert_int_equal(read_all(coding, &from, &packed), 0);
    unpack(coding, &packed, &back);
    assert_int_equal(back.length, TEXT);
    assert_memory_equal(back.data, text, TEXT);
    source broken = {.text = text, .left = TEXT, .breaks = true};
    assert_int_equal(read_all(coding, &broken, &packed), -1);
    source empty = {.text = text, .left = 0};
    lam_buffer_clear(&packed);
    lam_buffer_clear(&back);
    assert_int_equal(read_all(coding, &empty, &packed), 0);
    unpack(coding, &packed, &back);
    assert_int_equal(back.length, 0);
}

static void test_a_stream(void **state)
{
    (void)state;
    check_stream(LAM_CODING_GZIP);
    check_stream(LAM_CODING_ZSTD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_takes_it),
        cmocka_unit_test(test_a_text),
        cmocka_unit_test(test_a_stream),
    };
    return cmocka_run_group_tests_name("coding", tests, NULL, NULL);
}
