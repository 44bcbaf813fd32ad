/* dicom/pdata.h: fragments arrive one a PDU, long ones in several, everything else as it came, however it is
 * read; lengths that contradict each other still do so afterwards. */
#include "dicom/pdata.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

enum { MOST = 4096, AGREED = 100000, ANY = 1 << 20 };

static void put_head(lam_buffer *to, uint8_t type, uint32_t length)
{
    const uint8_t head[] = {
        type, 0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    lam_buffer_append(to, head, sizeof head);
}

/* An item of `length` bytes that say where they are; a length that lies is not kept. */
static void put_item(lam_buffer *to, uint8_t id, uint8_t control, uint32_t length)
{
    const uint32_t all = length + 2;
    const uint8_t head[] = {
        (uint8_t)(all >> 24), (uint8_t)(all >> 16), (uint8_t)(all >> 8), (uint8_t)all, id, control};
    lam_buffer_append(to, head, sizeof head);
    for (uint32_t i = 0; i < length && i < AGREED; i++)
        lam_buffer_append(to, &(uint8_t){(uint8_t)(i * 2654435761u >> 11)}, 1);
}

/* What comes out when at most `step` bytes are asked for at a time. */
static void pass(const lam_buffer *from, size_t step, lam_buffer *to)
{
    lam_pdata pdata;
    size_t at = 0;
    uint8_t bytes[ANY];
    lam_pdata_init(&pdata, MOST, AGREED);
    for (;;) {
        size_t made = lam_pdata_made(&pdata, bytes, step);
        lam_buffer_append(to, bytes, made);
        if (made)
            continue;
        size_t through = lam_pdata_through(&pdata), left = from->length - at;
        if (!through && left < LAM_PDATA_HEAD_BYTES)
            return;
        if (!through) {
            lam_pdata_take(&pdata, (const uint8_t *)from->data + at);
            at += LAM_PDATA_HEAD_BYTES;
            continue;
        }
        size_t taken = through < step ? through : step;
        taken = taken < left ? taken : left;
        if (!taken)
            return;
        lam_buffer_append(to, from->data + at, taken);
        lam_pdata_passed(&pdata, (uint32_t)taken);
        at += taken;
    }
}

static uint32_t be32(const char *at)
{
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Joins the fragments of PDUs of one item each, whose lengths must agree, up to the one that is marked as
 * last. */
static void join(const lam_buffer *pdus, uint8_t id, uint8_t control, lam_buffer *data)
{
    bool last = false;
    for (size_t at = 0; at < pdus->length;) {
        uint32_t pdu = be32(pdus->data + at + 2), item = be32(pdus->data + at + 6);
        assert_int_equal(pdus->data[at], 4);
        assert_true(pdu <= MOST);
        assert_int_equal(item, pdu - 4);
        assert_int_equal(pdus->data[at + 10], id);
        assert_false(last);
        last = (pdus->data[at + 11] & 2) != 0;
        assert_int_equal(pdus->data[at + 11] & ~2, control & ~2);
        lam_buffer_append(data, pdus->data + at + 12, item - 2);
        at += 6 + pdu;
    }
    assert_int_equal(last, (control & 2) != 0);
}

static void cuts_long_pdus(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {MOST - 5, MOST, 2 * (MOST - 6), 2 * (MOST - 6) + 1, AGREED - 6};
    static const size_t steps[] = {1, 6, 7, 1000, ANY};
    for (size_t i = 0; i < LAM_COUNT(lengths); i++)
        for (size_t s = 0; s < LAM_COUNT(steps); s++) {
            LAM_AUTO(lam_buffer_done) lam_buffer in, out, data;
            lam_buffer_init(&in, ANY);
            lam_buffer_init(&out, ANY);
            lam_buffer_init(&data, ANY);
            put_head(&in, 4, lengths[i] + 6);
            put_item(&in, 3, i % 2 ? 2 : 0, lengths[i]);
            pass(&in, steps[s], &out);
            join(&out, 3, i % 2 ? 2 : 0, &data);
            assert_int_equal(data.length, lengths[i]);
            assert_memory_equal(data.data, in.data + 12, lengths[i]);
        }
}

static void cuts_between_items(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer in, out;
    lam_buffer_init(&in, ANY);
    lam_buffer_init(&out, ANY);
    put_head(&in, 4, 6 + 100 + 6 + 0 + 6 + 5000);
    put_item(&in, 1, 3, 100);
    put_item(&in, 3, 0, 0);
    put_item(&in, 3, 2, 5000);
    put_head(&in, 5, 4);
    lam_buffer_append(&in, "\0\0\0\0", 4);
    pass(&in, ANY, &out);
    const uint32_t expected[] = {106, 6, MOST, 5000 - (MOST - 6) + 6};
    size_t at = 0;
    for (size_t i = 0; i < LAM_COUNT(expected); i++) {
        assert_int_equal(be32(out.data + at + 2), expected[i]);
        at += 6 + expected[i];
    }
    assert_int_equal(out.length, at + 10); /* the release, untouched */
    assert_int_equal(out.data[at], 5);
}

static void gives_each_fragment_a_pdu_of_its_own(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {78, 500, 0, 1, 300, 7};
    for (size_t step = 1; step < 100; step += 13) {
        LAM_AUTO(lam_buffer_done) lam_buffer in, out, expected;
        lam_buffer_init(&in, ANY);
        lam_buffer_init(&out, ANY);
        lam_buffer_init(&expected, ANY);
        uint32_t all = 0;
        for (size_t i = 0; i < LAM_COUNT(lengths); i++)
            all += 6 + lengths[i];
        put_head(&in, 4, all);
        for (size_t i = 0; i < LAM_COUNT(lengths); i++) {
            put_item(&in, 3, i ? 0 : 3, lengths[i]);
            put_head(&expected, 4, 6 + lengths[i]);
            put_item(&expected, 3, i ? 0 : 3, lengths[i]);
        }
        pass(&in, step, &out);
        assert_int_equal(out.length, expected.length);
        assert_memory_equal(out.data, expected.data, expected.length);
    }
}

static void leaves_the_rest_as_it_is(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer in, out;
    lam_buffer_init(&in, ANY);
    lam_buffer_init(&out, ANY);
    put_head(&in, 4, MOST);
    put_item(&in, 3, 0, MOST - 6);
    put_head(&in, 2, 20000); /* not data */
    put_item(&in, 3, 0, 20000 - 6);
    put_head(&in, 4, AGREED + 1); /* not agreed */
    put_item(&in, 3, 0, AGREED - 5);
    pass(&in, 999, &out);
    assert_int_equal(out.length, in.length);
    assert_memory_equal(out.data, in.data, in.length);
}

static void contradictions_stay_contradictions(void **state)
{
    (void)state;
    static const struct {
        uint32_t pdu, item; /* lengths as they are written */
    } cases[] = {
        {MOST + 1, 0},
        {MOST + 1, 1},
        {MOST + 1, MOST - 2},
        {MOST + 1, UINT32_MAX},
        {MOST + 1, MOST - 7},
        {100, 0},
        {100, 97},
        {100, 91},
        {100, UINT32_MAX - 90},
        {6, 1},
        {6, 3},
        {5, 2},
        {1, 2},
        {0, 2},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer in, out;
        lam_buffer_init(&in, ANY);
        lam_buffer_init(&out, ANY);
        put_head(&in, 4, cases[i].pdu);
        put_item(&in, 3, 0, cases[i].item - 2);
        pass(&in, ANY, &out);
        assert_true(out.length >= 12);
        assert_int_equal(be32(out.data + 2), 6);
        assert_int_equal(be32(out.data + 6), UINT32_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_long_pdus),
        cmocka_unit_test(cuts_between_items),
        cmocka_unit_test(gives_each_fragment_a_pdu_of_its_own),
        cmocka_unit_test(leaves_the_rest_as_it_is),
        cmocka_unit_test(contradictions_stay_contradictions),
    };
    return cmocka_run_group_tests_name("pdata", tests, NULL, NULL);
}
