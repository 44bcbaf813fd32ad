/* Character sets: the examples of PS3.5 annexes H, I, J and K. */
#include "dicom/charset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *sets, const char *text, const char *utf8)
{
    lam_charset charset = lam_charset_parse(sets, strlen(sets));
    lam_buffer out;
    lam_buffer_init(&out, 4096);
    lam_charset_to_utf8(&charset, text, strlen(text), &out);
    assert_string_equal(lam_buffer_text(&out), utf8);
    lam_buffer_done(&out);
}

static void test_single_byte(void **state)
{
    (void)state;
    expect("", "Plain^Name", "Plain^Name");
    expect("ISO_IR 100", "Buc^J\xe9r\xf4me", "Buc^Jérôme");
    expect("ISO_IR 144", "\xbb\xee", "Лю");
    expect("ISO_IR 192", "Wáng^XiǎoDōng", "Wáng^XiǎoDōng");
    expect("unknown", "J\xe9r", "Jér");
    expect("", "J\xe9r", "Jér");
}

static void test_japanese(void **state)
{
    (void)state;
    expect("\\ISO 2022 IR 87",
           "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
           "Yamada^Tarou=山田^太郎=やまだ^たろう");
    expect("ISO 2022 IR 13\\ISO 2022 IR 87",
           "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎");
}

static void test_korean(void **state)
{
    (void)state;
    expect("\\ISO 2022 IR 149", "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
           "Hong^Gildong=洪^吉洞");
}

/* The second byte of a Chinese character may be a backslash, which separates nothing. */
static void test_chinese(void **state)
{
    (void)state;
    expect("GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东");
    expect("GBK", "\x81\x5c\\b", "乗\\b");
}

static void test_bytes_that_are_no_characters(void **state)
{
    (void)state;
    expect("\\ISO 2022 IR 149",
           "a\x1b$)C\xff"
           "b",
           "a\xef\xbf\xbd"
           "b");
    expect("\\ISO 2022 IR 87", "\x1b$B;", ";");
    expect("ISO_IR 100", "a\x1b", "a");
}

/* Defined terms as they are found in files that do not spell them as the standard does. */
static void test_misspelt_terms(void **state)
{
    (void)state;
    static const char *const utf8[] = {"ISO_IR192",  "ISO IR 192", "ISO-IR 192", "iso_ir 192",
                                       "ISO_IR_192", "UTF-8",      "utf8",       "192"};
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++)
        expect(utf8[i], "山田^太郎", "山田^太郎");
    expect("ISO_2022_IR_144\\ISO 2022-IR 100", "\xbb\xee", "Лю");
    expect("gb18030", "\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东");
    expect("ISO", "J\xe9r", "Jér");
    expect("ISO_IR ", "J\xe9r", "Jér");
    expect("ISO 2022 IR", "J\xe9r", "Jér");
}

/* A value after a backslash begins with the sets it would begin with alone. */
static void test_values_reset(void **state)
{
    (void)state;
    expect("ISO 2022 IR 100\\ISO 2022 IR 144", "\x1b-L\xbb\\\xe9", "Л\\é");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_byte),
        cmocka_unit_test(test_japanese),
        cmocka_unit_test(test_korean),
        cmocka_unit_test(test_chinese),
        cmocka_unit_test(test_bytes_that_are_no_characters),
        cmocka_unit_test(test_misspelt_terms),
        cmocka_unit_test(test_values_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
