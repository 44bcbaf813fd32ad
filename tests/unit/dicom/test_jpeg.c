/* The shape that a JPEG stream names, before any of it is decoded. */
#include "dicom/jpeg.h"

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static void shapes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *stream;
        size_t length;
        bool found;
    } cases[] = {
#define STREAM(bytes) bytes, sizeof(bytes) - 1
        {STREAM("\xff\xd8\xff\xc3\0\x0b\x0c\0\x20\0\x11\x01\1\x11\0"), true},
        {STREAM("\xff\xd8\xff\xff\xf7\0\x0b\x0c\0\x20\0\x11\x01\1\x11\0"), true}, /* filled, JPEG-LS */
        {STREAM("\xff\xd8\xff\xe0\0\4ab\xff\xc4\0\2\xff\xc1\0\x0b\x0c\0\x20\0\x11\x01\1\x11\0"), true},
        {STREAM("\xff\xd8\xff\xda\0\2\xff\xc3\0\x0b\x0c\0\x20\0\x11\x01\1\x11\0"), false}, /* after a scan */
        {STREAM("\xff\xd8\xff\xe0\0\1\xff\xc3\0\x0b\x0c\0\x20\0\x11\x01\1\x11\0"), false},
        {STREAM("\xff\xd8\0\0\0\0\0\0\0\0\0\0"), false},
        {STREAM("\xff\xd8"), false},
        {STREAM(""), false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        const unsigned char *stream = (const unsigned char *)cases[i].stream;
        lam_jpeg_shape shape = {0};
        assert_int_equal(lam_jpeg_read(stream, cases[i].length, &shape), cases[i].found);
        if (!cases[i].found)
            continue;
        assert_true(shape.rows == 32 && shape.columns == 17 && shape.samples == 1 && shape.precision == 12);
        assert_false(lam_jpeg_read(stream, cases[i].length - 1, &shape)); /* its segment is cut */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_read),
    };
    return cmocka_run_group_tests_name("jpeg", tests, NULL, NULL);
}
