/* Bits of BINARY segmentations: frames follow each other without regard to bytes (PS3.5 8.2). */
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/profile.h"
#include "dicom/seg.h"
#include "tests/unit/unit.h"

/* The rule itself, a pixel at a time. */
static void pack_slowly(const uint8_t *labels, size_t count, uint8_t label, uint8_t *bits, uint64_t offset)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i] == label)
            bits[(offset + i) / 8] |= (uint8_t)(1u << (offset + i) % 8);
}

/* Every length and offset about the size of a byte and of a word, with labels of all values. */
static void packs_as_the_rule_says(void **state)
{
    (void)state;
    enum { MOST = 67 };
    uint8_t labels[MOST] = {0};
    unsigned random = 1;
    for (size_t count = 0; count <= MOST; count++)
        for (uint64_t offset = 0; offset < 17; offset++)
            for (int label = 0; label < 256; label += 51) {
                uint8_t expected[16] = {0}, packed[16] = {0};
                for (size_t i = 0; i < count; i++) {
                    random = random * 1103515245 + 12345;
                    labels[i] = (uint8_t)((random >> 16) % 6 * 51);
                }
                pack_slowly(labels, count, (uint8_t)label, expected, offset);
                lam_seg_pack(labels, count, (uint8_t)label, packed, offset);
                assert_memory_equal(packed, expected, sizeof packed);
            }
}

/* A frame of 7 × 7 pixels ends in the middle of a byte, which the next one shares. */
static void frames_share_a_byte(void **state)
{
    (void)state;
    uint8_t ones[49], bits[13] = {0};
    memset(ones, 1, sizeof ones);
    lam_seg_pack(ones, sizeof ones, 1, bits, 0);
    assert_int_equal(bits[6], 0x01);
    lam_seg_pack(ones, sizeof ones, 1, bits, 49);
    for (int i = 0; i < 12; i++)
        assert_int_equal(bits[i], 0xff);
    assert_int_equal(bits[12], 0x03);
}

/* Each row of the table is read, has a value for each profile and says why. */
static void profiles_are_their_table(void **state)
{
    (void)state;
    size_t count = 0;
    const lam_profile_row *rows = lam_profile_rows(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(strlen(rows[i].reason) > 40);
        for (int p = 0; p < LAM_PROFILE_COUNT; p++)
            assert_non_null(rows[i].values[p]);
    }
    for (int p = 0; p < LAM_PROFILE_COUNT; p++) {
        lam_profile found = LAM_PROFILE_COUNT;
        assert_true(lam_profile_find(lam_profile_name((lam_profile)p), &found));
        assert_int_equal(found, p);
    }
    assert_int_equal(lam_profile_choose(LAM_PROFILE_STRICT).seg_form, LAM_SEG_BINARY);
    assert_int_equal(lam_profile_choose(LAM_PROFILE_OHIF).seg_form, LAM_SEG_OCCUPANCY);
    assert_true(lam_profile_choose(LAM_PROFILE_OHIF).region_contours);
}

/* A model has its way where a profile leaves the form open, and nowhere else. */
static void models_prefer_forms(void **state)
{
    (void)state;
    static const struct {
        lam_profile profile;
        const char *preferred;
        lam_seg_form form;
    } cases[] = {
        {LAM_PROFILE_STRICT, "probability", LAM_SEG_PROBABILITY},
        {LAM_PROFILE_STRICT, "labelmap", LAM_SEG_LABELMAP},
        {LAM_PROFILE_STRICT, "", LAM_SEG_BINARY},
        {LAM_PROFILE_STRICT, NULL, LAM_SEG_BINARY},
        {LAM_PROFILE_STRICT, "nonsense", LAM_SEG_BINARY},
        {LAM_PROFILE_OHIF, "probability", LAM_SEG_OCCUPANCY},
        {LAM_PROFILE_SLICER, "labelmap", LAM_SEG_BINARY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lam_profile_choices choices = lam_profile_choose(cases[i].profile);
        lam_profile_prefer(&choices, cases[i].preferred);
        assert_int_equal(choices.seg_form, cases[i].form);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_as_the_rule_says),
        cmocka_unit_test(frames_share_a_byte),
        cmocka_unit_test(profiles_are_their_table),
        cmocka_unit_test(models_prefer_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
