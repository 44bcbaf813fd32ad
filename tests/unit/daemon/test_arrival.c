/* daemon/laminad/arrival.h: groups of objects are committed together, and one that cannot be stored harms no
 * other (promises 1 and 3); duplicates; quarantine. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/io.h"
#include "daemon/laminad/arrival.h"
#include "tests/unit/daemon/fixture.h"

/* An arrival whose file is `meta`, then `data`; `payload` is freed. */
static lam_arrival *arrive(fixture *f, const char *meta, const char *data, char *payload)
{
    lam_error err = {LAM_OK, ""};
    lam_arrival *a = lam_arrival_create();
    char content[4096];
    assert_non_null(a);
    snprintf(content, sizeof content, "%s%s", meta, data);
    fixture_spool(f, content, a->name);
    assert_ok(lam_spool_open(f->store, a->name, &a->index.fd, &a->bytes, &err), err);
    json_t *indexed = json_loads(payload, 0, NULL);
    json_object_set_new(indexed, "dataset_offset", json_integer((json_int_t)strlen(meta)));
    lam_autofree char *text = json_dumps(indexed, 0);
    lam_arrival_indexed(a, text);
    json_decref(indexed);
    free(payload);
    return a;
}

static lam_arrival *arrive_as(fixture *f, const char *sop, const char *meta, const char *data)
{
    return arrive(f, meta, data, fixture_indexed("1.2", "1.2.3", sop, ""));
}

static lam_arrival *garbage(fixture *f)
{
    lam_arrival *a = arrive_as(f, "1.2.3.99", "", "this is no DICOM");
    lam_arrival_refuse(a, LAM_E_CORRUPT, "no DICM prefix");
    return a;
}

static void commit(fixture *f, lam_arrival *const *list, size_t count)
{
    lam_quarantine *quarantine = NULL;
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_quarantine_open(f->directory, &quarantine, &err), err);
    for (size_t i = 0; i + 1 < count; i++)
        list[i]->next = list[i + 1];
    lam_arrival_group group = {.first = list[0], .place = {f->db, f->store, quarantine, &f->config}};
    lam_arrivals_begin(&group);
    lam_arrivals_end(&group);
    lam_quarantine_close(quarantine);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
}

/* Commits one and tells its fate and DICOM status. */
static void commit_one(fixture *f, lam_arrival *a, lam_arrival_fate fate, int dicom_status)
{
    commit(f, &a, 1);
    assert_int_equal(a->fate, fate);
    assert_int_equal(a->result.dicom_status, dicom_status);
    assert_int_equal(a->result.status == LAM_OK, dicom_status == 0);
    assert_int_equal(a->result.reason[0] == '\0', dicom_status == 0);
    lam_arrival_free(a);
}

static void a_bad_one_does_not_spoil_the_group(void **state)
{
    fixture *f = *state;
    lam_arrival *list[] = {arrive_as(f, "1.2.3.1", "", "one"), garbage(f), arrive_as(f, "1.2.3.2", "", "two"),
                           arrive_as(f, "1.2.3.1", "", "one again, but other"),
                           arrive_as(f, "1.2.3.3", "", "three")};
    static const int expected[] = {0, 0xC000, 0, 0x0111, 0};
    commit(f, list, LAM_COUNT(list));
    for (size_t i = 0; i < LAM_COUNT(list); i++) {
        assert_int_equal(list[i]->result.dicom_status, expected[i]);
        lam_arrival_free(list[i]);
    }
    assert_row(f, "SELECT group_concat(uid) FROM instance", "1.2.3.1,1.2.3.2,1.2.3.3");
    assert_int_equal(fixture_integer(f, "SELECT instances FROM series"), 3);
    assert_int_equal(fixture_count_files(f, "store"), 3);
}

static void what_was_announced_must_be_what_came(void **state)
{
    fixture *f = *state;
    static const struct {
        size_t offset;
        const char *announced;
        bool matches;
    } cases[] = {
        {offsetof(lam_arrival, sop_uid), "1.2.3.1", true},
        {offsetof(lam_arrival, sop_uid), "1.2.3.9", false},
        {offsetof(lam_arrival, sop_class_uid), "1.2.840.10008.5.1.4.1.1.2", false},
        {offsetof(lam_arrival, transfer_syntax_uid), "1.2.840.10008.1.2", false},
        {offsetof(lam_arrival, study_uid), "1.9", false},
        {offsetof(lam_arrival, study_uid), "1.2", true},
    };
    lam_autofree char *payload = fixture_indexed("1.2", "1.2.3", "1.2.3.1", "");
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_arrival *a = lam_arrival_create();
        snprintf((char *)a + cases[i].offset, LAM_UID_TEXT, "%s", cases[i].announced);
        lam_arrival_indexed(a, payload);
        assert_int_equal(a->result.dicom_status, cases[i].matches ? 0 : 0xA900);
        assert_string_equal(a->result.sop_instance_uid, "1.2.3.1");
        lam_arrival_free(a);
    }
    (void)f;
}

static void a_data_set_outside_of_its_file_is_refused(void **state)
{
    fixture *f = *state;
    static const char *const offsets[] = {"-1", "8", "9223372036854775807"};
    for (size_t i = 0; i < LAM_COUNT(offsets); i++) {
        char payload[2048], tail[64];
        lam_autofree char *whole = fixture_indexed("1.2", "1.2.3", "1.2.3.1", "");
        snprintf(tail, sizeof tail, "\"dataset_offset\":%s", offsets[i]);
        char *at = strstr(whole, "\"dataset_offset\":0");
        *at = '\0';
        snprintf(payload, sizeof payload, "%s%s%s", whole, tail, at + strlen("\"dataset_offset\":0"));
        lam_arrival *a = lam_arrival_create();
        a->bytes = 7;
        lam_arrival_indexed(a, payload);
        assert_int_equal(a->result.dicom_status, 0xC000);
        lam_arrival_free(a);
    }
    (void)f;
}

/* The same object by another way has another file meta information. */
static void the_same_data_set_is_stored_once(void **state)
{
    fixture *f = *state;
    commit_one(f, arrive_as(f, "1.2.3.1", "meta of A", "pixels"), LAM_ARRIVAL_ADDED, 0);
    commit_one(f, arrive_as(f, "1.2.3.1", "longer meta of B", "pixels"), LAM_ARRIVAL_SAME, 0);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 1);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    commit_one(f, arrive_as(f, "1.2.3.1", "meta of A", "pixelz"), LAM_ARRIVAL_REFUSED, 0x0111);
    commit_one(f, arrive_as(f, "1.2.3.1", "meta of A", "pixels!"), LAM_ARRIVAL_REFUSED, 0x0111);
}

static void the_same_uid_elsewhere_is_another_object(void **state)
{
    fixture *f = *state;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    commit_one(f, arrive(f, "", "pixels", fixture_indexed("1.9", "1.2.3", "1.2.3.1", "")),
               LAM_ARRIVAL_REFUSED, 0x0111);
    commit_one(f, arrive(f, "", "pixels", fixture_indexed("1.2", "1.2.9", "1.2.3.1", "")),
               LAM_ARRIVAL_REFUSED, 0x0111);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM study"), 1);
}

static void other_bytes_replace_if_so_configured(void **state)
{
    fixture *f = *state;
    f->config.duplicates = LAM_DUPLICATES_REPLACE;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "better pixels"), LAM_ARRIVAL_REPLACED, 0);
    assert_row(f, "SELECT count(*) || '-' || max(revision) || '-' || max(bytes) FROM instance", "1-1-13");
    assert_int_equal(fixture_integer(f, "SELECT instances FROM series"), 1);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "best pixels"), LAM_ARRIVAL_REPLACED, 0);
    assert_int_equal(fixture_integer(f, "SELECT revision FROM instance"), 2);
    fixture_restart(f);
    assert_int_equal(fixture_count_files(f, "store"), 1);
}

/* An object whose UID comes again in another place leaves nothing empty behind. */
static void an_object_that_moves_leaves_no_empty_place(void **state)
{
    fixture *f = *state;
    f->config.duplicates = LAM_DUPLICATES_REPLACE;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    commit_one(f, arrive_as(f, "1.2.3.2", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE series SET state = 'done'", ""), LAM_OK);
    commit_one(f, arrive(f, "", "pixels", fixture_indexed("1.9", "1.9.3", "1.2.3.1", "")),
               LAM_ARRIVAL_REPLACED, 0);
    assert_row(
        f,
        "SELECT group_concat(t.uid || ' ' || t.instance_count || ' ' || s.uid || ' ' || s.instances || ' '"
        " || s.state) FROM study t JOIN series s ON s.study_id = t.id",
        "1.2 1 1.2.3 1 receiving,1.9 1 1.9.3 1 receiving");
    commit_one(f, arrive(f, "", "pixels", fixture_indexed("1.9", "1.9.3", "1.2.3.2", "")),
               LAM_ARRIVAL_REPLACED, 0);
    assert_row(f,
               "SELECT group_concat(t.uid || ' ' || t.instance_count || ' ' || t.series_count) FROM study t",
               "1.9 2 1");
    commit_one(f, arrive(f, "", "pixels", fixture_indexed("1.9", "1.9.4", "1.2.3.2", "")),
               LAM_ARRIVAL_REPLACED, 0);
    assert_row(f, "SELECT group_concat(uid || ' ' || instances) FROM series", "1.9.3 1,1.9.4 1");
    assert_int_equal(fixture_count_files(f, "store"), 2);
    fixture_restart(f);
    assert_int_equal(fixture_count_files(f, "store"), 2);
}

static void a_result_is_never_replaced(void **state)
{
    fixture *f = *state;
    f->config.duplicates = LAM_DUPLICATES_REPLACE;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    assert_int_equal(lam_db_run(f->db, NULL, "UPDATE series SET state = 'result'", ""), LAM_OK);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "other pixels"), LAM_ARRIVAL_REFUSED, 0x0111);
}

static void what_cannot_be_compared_is_not_called_different(void **state)
{
    fixture *f = *state;
    f->config.duplicates = LAM_DUPLICATES_REPLACE;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    lam_store_remove(f->store, 0);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_REFUSED, 0x0110);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 1);
}

/* ---- quarantine ---- */

static void both_are_kept_if_so_configured(void **state)
{
    fixture *f = *state;
    f->config.duplicates = LAM_DUPLICATES_QUARANTINE;
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_ADDED, 0);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "other pixels"), LAM_ARRIVAL_QUARANTINED, 0x0111);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "pixels"), LAM_ARRIVAL_SAME, 0);
    assert_int_equal(fixture_integer(f, "SELECT bytes FROM instance"), 6);
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 4096);
    assert_int_equal(lam_io_read_file(fixture_path(f, "quarantine/00000000.dcm"), &text, NULL), LAM_OK);
    assert_string_equal(lam_buffer_text(&text), "other pixels");
    lam_buffer_clear(&text);
    assert_int_equal(lam_io_read_file(fixture_path(f, "quarantine/00000000.txt"), &text, NULL), LAM_OK);
    assert_non_null(strstr(lam_buffer_text(&text), "status 0111H"));
    assert_non_null(strstr(lam_buffer_text(&text), "stored already with other content"));
    assert_non_null(strstr(lam_buffer_text(&text), "sop_instance_uid 1.2.3.1"));
}

static void what_cannot_be_understood_is_kept_aside(void **state)
{
    fixture *f = *state;
    commit_one(f, garbage(f), LAM_ARRIVAL_QUARANTINED, 0xC000);
    assert_int_equal(fixture_count_files(f, "quarantine"), 2);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 0);
}

static void a_quarantine_of_no_bytes_keeps_nothing(void **state)
{
    fixture *f = *state;
    f->config.quarantine_bytes = 0;
    commit_one(f, garbage(f), LAM_ARRIVAL_REFUSED, 0xC000);
    f->config.quarantine_bytes = 5; /* too small for it */
    commit_one(f, garbage(f), LAM_ARRIVAL_REFUSED, 0xC000);
    assert_int_equal(fixture_count_files(f, "quarantine"), 0);
}

/* ---- faults ---- */

/* SQLite gives up the transaction in the middle of the group. What came before and after must go the same
 * way: no row without its file, no file without its row, nobody told that it is stored. */
static void promise_1_a_full_disk_refuses_all_and_leaves_nothing(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    char *large = malloc(60000);
    assert_non_null(large);
    size_t used = (size_t)sprintf(large, ",\"00101010\":{\"Value\":[\"");
    memset(large + used, 'x', 50000);
    strcpy(large + used + 50000, "\"]}");
    lam_arrival *list[] = {arrive_as(f, "1.2.3.1", "", "one"),
                           arrive(f, "", "two", fixture_indexed("1.2", "1.2.3", "1.2.3.2", large)),
                           arrive_as(f, "1.2.3.3", "", "three"), garbage(f)};
    free(large);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1", ""), err);
    commit(f, list, LAM_COUNT(list));
    static const int expected[] = {0xA700, 0xA700, 0xA700, 0xC000};
    for (size_t i = 0; i < LAM_COUNT(list); i++) {
        assert_int_equal(list[i]->result.dicom_status, expected[i]);
        lam_arrival_free(list[i]);
    }
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 0);
    assert_ok(lam_db_run(f->db, &err, "PRAGMA max_page_count=1000000", ""), err);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "one"), LAM_ARRIVAL_ADDED, 0); /* and it recovers */
}

static void promise_1_a_database_that_is_gone_refuses_all(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_arrival *list[] = {arrive_as(f, "1.2.3.1", "", "one"), arrive_as(f, "1.2.3.2", "", "two")};
    assert_ok(lam_db_run(f->db, &err, "ALTER TABLE metadata RENAME TO elsewhere", ""), err);
    commit(f, list, LAM_COUNT(list));
    for (size_t i = 0; i < LAM_COUNT(list); i++) {
        assert_int_equal(list[i]->fate, LAM_ARRIVAL_REFUSED);
        assert_int_equal(list[i]->result.dicom_status, 0x0110);
        lam_arrival_free(list[i]);
    }
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 0);
    assert_ok(lam_db_run(f->db, &err, "ALTER TABLE elsewhere RENAME TO metadata", ""), err);
}

/* The commit itself fails: a deferred constraint stands in for a log that cannot be synced. */
static void promise_1_a_failed_commit_keeps_the_files_until_the_next(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    assert_ok(lam_db_run(f->db, &err,
                         "CREATE TABLE trap (x INTEGER REFERENCES study (id) DEFERRABLE INITIALLY DEFERRED)",
                         ""),
              err);
    assert_ok(
        lam_db_run(f->db, &err,
                   "CREATE TRIGGER spring AFTER INSERT ON instance BEGIN INSERT INTO trap VALUES (99); END",
                   ""),
        err);
    lam_arrival *a = arrive_as(f, "1.2.3.1", "", "one");
    commit(f, &a, 1);
    assert_int_equal(a->fate, LAM_ARRIVAL_REFUSED);
    lam_arrival_free(a);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 0);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    assert_ok(lam_db_run(f->db, &err, "DROP TRIGGER spring", ""), err);
    commit_one(f, arrive_as(f, "1.2.3.1", "", "one"), LAM_ARRIVAL_ADDED, 0);
    assert_int_equal(fixture_count_files(f, "store"), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_one_does_not_spoil_the_group),
        TEST(what_was_announced_must_be_what_came),
        TEST(a_data_set_outside_of_its_file_is_refused),
        TEST(the_same_data_set_is_stored_once),
        TEST(the_same_uid_elsewhere_is_another_object),
        TEST(other_bytes_replace_if_so_configured),
        TEST(an_object_that_moves_leaves_no_empty_place),
        TEST(a_result_is_never_replaced),
        TEST(what_cannot_be_compared_is_not_called_different),
        TEST(both_are_kept_if_so_configured),
        TEST(what_cannot_be_understood_is_kept_aside),
        TEST(a_quarantine_of_no_bytes_keeps_nothing),
        TEST(promise_1_a_full_disk_refuses_all_and_leaves_nothing),
        TEST(promise_1_a_database_that_is_gone_refuses_all),
        TEST(promise_1_a_failed_commit_keeps_the_files_until_the_next),
    };
    return cmocka_run_group_tests_name("arrival", tests, NULL, NULL);
}
