/* RLE frames: what PS3.5 annex G says, and streams that say too little. */
#include "dicom/rle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

enum { PIXELS = 6 };

/* Header and segments, all of them in one array of bytes. */
static size_t make(unsigned char out[256], size_t segments, const unsigned char *const *parts,
                   const size_t *lengths)
{
    size_t at = 64;
    memset(out, 0, 64);
    out[0] = (unsigned char)segments;
    for (size_t i = 0; i < segments; i++) {
        out[4 + 4 * i] = (unsigned char)at;
        memcpy(out + at, parts[i], lengths[i]);
        at += lengths[i];
    }
    return at;
}

/* A run of two, one that says nothing, three as they are, a run that goes on too long. */
static const unsigned char high[] = {0xff, 7, 0x80, 2, 1, 2, 3, 0xfe, 9};
static const unsigned char low[] = {5, 10, 11, 12, 13, 14, 15, 0};
static const unsigned char *const parts[] = {high, low};
static const size_t lengths[] = {sizeof high, sizeof low};

static void segments_are_bytes_of_samples(void **state)
{
    (void)state;
    static const uint16_t expected[PIXELS] = {0x070a, 0x070b, 0x010c, 0x020d, 0x030e, 0x090f};
    const lam_rle_shape shape = {PIXELS, 1, 2, false};
    unsigned char stream[256];
    uint16_t pixels[PIXELS];
    lam_error err;
    size_t length = make(stream, 2, parts, lengths);
    assert_ok(lam_rle_decode(stream, length, &shape, (unsigned char *)pixels, &err), err);
    assert_memory_equal(pixels, expected, sizeof expected);
}

static void samples_lie_by_pixel_or_by_plane(void **state)
{
    (void)state;
    static const unsigned char by_pixel[] = {7, 10, 7, 11, 1, 12, 2, 13, 3, 14, 9, 15};
    static const unsigned char by_plane[] = {7, 7, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15};
    unsigned char stream[256], pixels[2 * PIXELS];
    lam_error err;
    size_t length = make(stream, 2, parts, lengths);
    for (int plane = 0; plane < 2; plane++) {
        const lam_rle_shape shape = {PIXELS, 2, 1, plane};
        assert_ok(lam_rle_decode(stream, length, &shape, pixels, &err), err);
        assert_memory_equal(pixels, plane ? by_plane : by_pixel, sizeof pixels);
    }
}

/* Every shorter stream is refused and none is read past its end (the sanitizers see). */
static void streams_that_end_early_are_refused(void **state)
{
    (void)state;
    const lam_rle_shape shape = {PIXELS, 1, 2, false};
    unsigned char stream[256];
    uint16_t pixels[PIXELS];
    size_t length = make(stream, 2, parts, lengths) - 1; /* the last byte is padding */
    assert_int_equal(lam_rle_decode(stream, length, &shape, (unsigned char *)pixels, NULL), LAM_OK);
    for (size_t cut = 1; cut <= length; cut++) {
        unsigned char *exact = malloc(length - cut + 1);
        memcpy(exact, stream, length - cut);
        assert_int_equal(lam_rle_decode(exact, length - cut, &shape, (unsigned char *)pixels, NULL),
                         LAM_E_CORRUPT);
        free(exact);
    }
}

static void segments_must_be_those_of_the_shape(void **state)
{
    (void)state;
    unsigned char stream[256], pixels[4 * PIXELS];
    size_t length = make(stream, 2, parts, lengths);
    const lam_rle_shape fewer = {PIXELS, 1, 1, false}, more = {PIXELS, 3, 1, false};
    assert_int_equal(lam_rle_decode(stream, length, &fewer, pixels, NULL), LAM_E_CORRUPT);
    assert_int_equal(lam_rle_decode(stream, length, &more, pixels, NULL), LAM_E_CORRUPT);
    const lam_rle_shape shape = {PIXELS, 1, 2, false};
    static const unsigned char begins[] = {0, 63, 74, 255};
    for (size_t i = 0; i < LAM_COUNT(begins); i++) { /* in the header, past the second one, past the end */
        stream[4] = begins[i];
        assert_int_equal(lam_rle_decode(stream, length, &shape, pixels, NULL), LAM_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_bytes_of_samples),
        cmocka_unit_test(samples_lie_by_pixel_or_by_plane),
        cmocka_unit_test(streams_that_end_early_are_refused),
        cmocka_unit_test(segments_must_be_those_of_the_shape),
    };
    return cmocka_run_group_tests_name("rle", tests, NULL, NULL);
}
