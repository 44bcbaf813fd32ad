/* The pull parser: nesting, lengths and what real files do to them. */
#include "dicom/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const lam_transfer_syntax explicit_little = {.explicit_vr = true};
static const lam_transfer_syntax implicit_little = {.explicit_vr = false};
static const lam_transfer_syntax explicit_big = {.explicit_vr = true, .big_endian = true};

/* The kinds of all events as letters, upper case where something opens; stops at an error with '!'. */
static void story(const void *bytes, size_t length, lam_transfer_syntax syntax, char out[64])
{
    static const char letters[] = {
        [LAM_WALK_ELEMENT] = 'e',  [LAM_WALK_SEQUENCE] = 'S',     [LAM_WALK_ITEM] = 'I',
        [LAM_WALK_ITEM_END] = 'i', [LAM_WALK_SEQUENCE_END] = 's', [LAM_WALK_END] = '.'};
    lam_walk walk;
    lam_walk_event event;
    size_t n = 0;
    lam_walk_init(&walk, bytes, length, syntax);
    do {
        lam_error err;
        if (lam_walk_next(&walk, &event, &err) != LAM_OK) {
            out[n++] = '!';
            break;
        }
        out[n++] = letters[event.kind];
    } while (event.kind != LAM_WALK_END && n < 62);
    out[n] = '\0';
}

#define STORY(expected, syntax, bytes)                                                                       \
    do {                                                                                                     \
        char told[64];                                                                                       \
        story(bytes, sizeof(bytes) - 1, syntax, told);                                                       \
        assert_string_equal(told, expected);                                                                 \
    } while (0)

static void test_elements(void **state)
{
    (void)state;
    STORY(".", explicit_little, "");
    STORY("e.", explicit_little, "\x08\0\x60\0CS\x02\0MR");
    STORY("e.", explicit_big,
          "\0\x08\0\x60"
          "CS\0\x02MR");
    STORY("e.", implicit_little, "\x08\0\x60\0\x02\0\0\0MR");
    STORY("e.", explicit_little, "\x08\0\x60\0\x02\0\0\0MR"); /* one implicit element in an explicit file */
    STORY("e.", explicit_little, "\x09\0\x10\x10UN\0\0\x02\0\0\0ab");
}

static void test_sequences_with_and_without_lengths(void **state)
{
    (void)state;
    STORY("SIeis.", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x12\0\0\0"
          "\xfe\xff\0\xe0\x0a\0\0\0"
          "\x08\0\x60\0CS\x02\0MR");
    STORY("SIeis.", explicit_little,
          "\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
          "\xfe\xff\0\xe0\xff\xff\xff\xff"
          "\x08\0\x60\0CS\x02\0MR"
          "\xfe\xff\x0d\xe0\0\0\0\0"
          "\xfe\xff\xdd\xe0\0\0\0\0");
    STORY("SIis.", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x08\0\0\0"
          "\xfe\xff\0\xe0\0\0\0\0");
    STORY("Ss.", explicit_little, "\x08\0\x40\x11SQ\0\0\0\0\0\0");
    /* UN of undefined length is implicit inside (PS3.5 6.2.2). */
    STORY("SIeis.", explicit_little,
          "\x09\0\x10\x10UN\0\0\xff\xff\xff\xff"
          "\xfe\xff\0\xe0\x0a\0\0\0"
          "\x08\0\x60\0\x02\0\0\0MR"
          "\xfe\xff\xdd\xe0\0\0\0\0");
}

static void test_lengths_that_lie(void **state)
{
    (void)state;
    STORY("!", explicit_little, "\x08\0\x60\0CS\x04\0MR");
    STORY("!", explicit_little, "\x08\0\x60\0C");
    STORY("!", explicit_little, "\x09\0\x10\x10UN\0\0\x02");
    STORY("!", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x13\0\0\0"
          "\xfe\xff\0\xe0\x0a\0\0\0"
          "\x08\0\x60\0CS\x02\0MR");
    STORY("S!", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x12\0\0\0"
          "\xfe\xff\0\xe0\x0b\0\0\0"
          "\x08\0\x60\0CS\x02\0MR");
    STORY("SI!", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x10\0\0\0"
          "\xfe\xff\0\xe0\x08\0\0\0"
          "\x08\0\x60\0CS\x02\0MR");
    STORY("S!", explicit_little,
          "\x08\0\x40\x11SQ\0\0\x08\0\0\0"
          "\x08\0\x60\0\0\0\0\0");
    STORY("S!", explicit_little,
          "\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
          "\xfe\xff");
    STORY("!", explicit_little, "\xfe\xff\x0d\xe0\0\0\0\0");
}

static void test_pixel_data(void **state)
{
    (void)state;
    static const char native[] = "\xe0\x7f\x10\0OW\0\0\x04\0\0\0abcd";
    static const char fragments[] = "\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
                                    "\xfe\xff\0\xe0\0\0\0\0"
                                    "\xfe\xff\0\xe0\x04\0\0\0abcd"
                                    "\xfe\xff\xdd\xe0\0\0\0\0";
    size_t checked = 0;
    STORY("e.", explicit_little, native);
    STORY("e.", explicit_little, fragments);
    assert_int_equal(lam_walk_check((const void *)native, 16, explicit_little, true, &checked, NULL), LAM_OK);
    assert_int_equal(checked, 16);
    assert_int_equal(lam_walk_check((const void *)native, 15, explicit_little, true, &checked, NULL),
                     LAM_E_CORRUPT);
    assert_int_equal(lam_walk_check((const void *)native, 15, explicit_little, false, &checked, NULL),
                     LAM_OK);
    assert_int_equal(checked, 0);
    assert_int_equal(
        lam_walk_check((const void *)fragments, sizeof fragments - 1, explicit_little, true, &checked, NULL),
        LAM_OK);
    for (size_t n = 12; n < sizeof fragments - 1; n++)
        assert_int_equal(lam_walk_check((const void *)fragments, n, explicit_little, true, &checked, NULL),
                         LAM_E_CORRUPT);
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    static const char level[] = "\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
                                "\xfe\xff\0\xe0\xff\xff\xff\xff";
    enum { BYTES = sizeof level - 1, LEVELS = 100000 };
    char *deep = malloc((size_t)BYTES * LEVELS);
    assert_non_null(deep);
    for (size_t i = 0; i < LEVELS; i++)
        memcpy(deep + i * BYTES, level, BYTES);
    size_t checked;
    lam_error err;
    assert_int_equal(
        lam_walk_check((void *)deep, (size_t)BYTES * LEVELS, explicit_little, true, &checked, &err),
        LAM_E_LIMIT);
    assert_non_null(strstr(err.message, "16 deep"));
    free(deep);
}

/* Whatever the bytes are, the walk ends and stays inside. */
static void test_noise(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[96];
        size_t checked;
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1664525 + 1013904223;
            static const unsigned char likely[] = {0xfe, 0xff, 0,    0xe0, 0x0d, 0xdd,
                                                   'S',  'Q',  0x08, 0x40, 0x7f, 0x10};
            bytes[i] = seed >> 30 ? likely[(seed >> 16) % sizeof likely] : (unsigned char)(seed >> 16);
        }
        lam_walk_check(bytes, sizeof bytes, round % 2 ? explicit_little : implicit_little, true, &checked,
                       NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),           cmocka_unit_test(test_sequences_with_and_without_lengths),
        cmocka_unit_test(test_lengths_that_lie),   cmocka_unit_test(test_pixel_data),
        cmocka_unit_test(test_nesting_is_bounded), cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
