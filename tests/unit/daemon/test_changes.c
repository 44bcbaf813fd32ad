/* What changed lately: order, each thing once, what is forgotten, and that commits publish. */
#include "daemon/laminad/changes.h"

#include <string.h>

#include "daemon/laminad/feed.h"
#include "tests/unit/daemon/fixture.h"

enum { CAPACITY = 8 };

static size_t read_after(lam_changes *changes, int64_t after, lam_change out[CAPACITY])
{
    size_t count = 99;
    assert_int_equal(lam_changes_read(changes, after, 0, out, CAPACITY, &count, NULL), LAM_OK);
    return count;
}

static void publish(lam_changes *changes, lam_change_kind kind, int64_t id)
{
    const lam_change one = {.kind = kind, .id = id};
    lam_changes_publish(changes, &one, 1, false);
}

static void test_each_thing_once(void **state)
{
    (void)state;
    lam_change out[CAPACITY];
    lam_changes *changes = lam_changes_create();
    assert_int_equal(read_after(changes, 0, out), 0);
    publish(changes, LAM_CHANGE_STUDY, 1);
    publish(changes, LAM_CHANGE_JOB, 1);
    publish(changes, LAM_CHANGE_STUDY, 1);
    assert_int_equal(read_after(changes, 0, out), 2);
    assert_int_equal(out[0].kind, LAM_CHANGE_JOB);
    assert_int_equal(out[1].kind, LAM_CHANGE_STUDY);
    assert_int_equal(out[1].sequence, 3);
    assert_int_equal(read_after(changes, 2, out), 1);
    assert_int_equal(read_after(changes, 3, out), 0);
    assert_int_equal(lam_changes_now(changes), 3);
    lam_changes_free(changes);
}

static void test_what_is_too_far_behind_is_told_so(void **state)
{
    (void)state;
    lam_change out[CAPACITY];
    size_t count = 0;
    lam_changes *changes = lam_changes_create();
    for (int64_t id = 1; id <= LAM_CHANGES_KEPT + 5; id++)
        publish(changes, LAM_CHANGE_STUDY, id);
    assert_int_equal(lam_changes_read(changes, 4, 0, out, CAPACITY, &count, NULL), LAM_E_LIMIT);
    assert_int_equal(read_after(changes, 5, out), CAPACITY);
    assert_int_equal(out[0].id, 6);
    assert_int_equal(lam_changes_read(changes, LAM_CHANGES_KEPT + 6, 0, out, CAPACITY, &count, NULL),
                     LAM_E_LIMIT);
    const lam_change one = {.kind = LAM_CHANGE_JOB, .id = 1};
    int64_t before = lam_changes_now(changes);
    lam_changes_publish(changes, &one, 1, true);
    assert_int_equal(lam_changes_read(changes, before, 0, out, CAPACITY, &count, NULL), LAM_E_LIMIT);
    assert_int_equal(read_after(changes, lam_changes_now(changes), out), 0);
    lam_changes_free(changes);
}

static void test_nobody_waits_after_the_end(void **state)
{
    (void)state;
    lam_change out[CAPACITY];
    size_t count = 0;
    lam_changes *changes = lam_changes_create();
    lam_changes_end(changes);
    assert_int_equal(lam_changes_read(changes, 0, 60000, out, CAPACITY, &count, NULL), LAM_E_CANCELLED);
    lam_changes_free(changes);
}

static void test_commits_publish_and_rollbacks_do_not(void **state)
{
    fixture *f = *state;
    lam_change out[CAPACITY];
    lam_changes *changes = lam_database_changes(f->database);
    int64_t before = lam_changes_now(changes);
    fixture_receive(f, "1.2.3", "1.2.3.1", "1.2.3.1.1", "", 1000);
    assert_true(read_after(changes, before, out) >= 1);
    assert_int_equal(out[0].kind, LAM_CHANGE_STUDY);
    before = lam_changes_now(changes);
    assert_int_equal(lam_db_begin(f->db, NULL), LAM_OK);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE study SET updated_ms = 5", ""), LAM_OK);
    assert_int_equal(lam_changes_now(changes), before);
    lam_db_rollback(f->db);
    assert_int_equal(lam_db_begin(f->db, NULL), LAM_OK);
    assert_int_equal(lam_db_commit(f->db, NULL), LAM_OK);
    assert_int_equal(lam_changes_now(changes), before);
}

static void test_events(void **state)
{
    fixture *f = *state;
    lam_feed *feed = NULL;
    lam_buffer text;
    lam_buffer_init(&text, 65536);
    assert_int_equal(lam_feed_open(f->database, NULL, &feed, NULL), LAM_OK);
    assert_int_equal(lam_feed_read(feed, 0, &text, NULL), LAM_OK);
    assert_non_null(strstr(lam_buffer_text(&text), "retry: 2000\nid: "));
    fixture_receive(f, "1.2.3", "1.2.3.1", "1.2.3.1.1", "", 1000);
    lam_buffer_clear(&text);
    assert_int_equal(lam_feed_read(feed, 0, &text, NULL), LAM_OK);
    assert_non_null(strstr(lam_buffer_text(&text),
                           "event: study\ndata: {\"study_uid\":\"1.2.3\",\"state\":\"receiving\"}\n\n"));
    lam_feed_close(feed);
    lam_buffer_done(&text);
}

static void test_a_limited_number_of_feeds(void **state)
{
    fixture *f = *state;
    lam_feed *feeds[LAM_FEEDS + 1] = {0};
    for (size_t i = 0; i < LAM_FEEDS; i++)
        assert_int_equal(lam_feed_open(f->database, NULL, &feeds[i], NULL), LAM_OK);
    assert_int_equal(lam_feed_open(f->database, NULL, &feeds[LAM_FEEDS], NULL), LAM_E_BUSY);
    for (size_t i = 0; i < LAM_FEEDS; i++)
        lam_feed_close(feeds[i]);
    assert_int_equal(lam_feed_open(f->database, "nonsense", &feeds[0], NULL), LAM_OK);
    lam_feed_close(feeds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_thing_once),
        cmocka_unit_test(test_what_is_too_far_behind_is_told_so),
        cmocka_unit_test(test_nobody_waits_after_the_end),
        cmocka_unit_test_setup_teardown(test_commits_publish_and_rollbacks_do_not, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_events, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_limited_number_of_feeds, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
