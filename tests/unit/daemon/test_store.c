/* daemon/laminad/store.h, recovery.h, quarantine.h: names from outside, numbers, orphans (promise 1). */
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/io.h"
#include "daemon/laminad/quarantine.h"
#include "daemon/laminad/recovery.h"
#include "tests/unit/daemon/fixture.h"

static int64_t adopt(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    char name[LAM_SPOOL_NAME];
    int64_t number = -1;
    fixture_spool(f, "content", name);
    assert_ok(lam_store_adopt(f->store, name, &number, &err), err);
    return number;
}

static void refuses_names_that_are_none(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"",
                                        ".",
                                        "..",
                                        "../lamina.db",
                                        "/etc/passwd",
                                        "a/b",
                                        ".hidden",
                                        "a b",
                                        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < LAM_COUNT(names); i++) {
        lam_error err;
        int fd = -1;
        int64_t number = -1, bytes;
        assert_fails(lam_spool_open(f->store, names[i], &fd, &bytes, &err), LAM_E_INVALID, err);
        assert_fails(lam_store_adopt(f->store, names[i], &number, &err), LAM_E_INVALID, err);
        lam_spool_remove(f->store, names[i]);
        assert_int_equal(fd, -1);
        assert_int_equal(number, -1);
    }
    assert_int_equal(access(fixture_path(f, "lamina.db"), F_OK), 0);
    assert_int_equal(adopt(f), 0); /* a refused name costs no number */
}

static void refuses_what_is_no_plain_file(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int fd = -1;
    int64_t bytes;
    assert_int_equal(symlink("/etc/passwd", fixture_path(f, "spool/link")), 0);
    assert_int_equal(mkdir(fixture_path(f, "spool/folder"), 0755), 0);
    assert_int_equal(mkfifo(fixture_path(f, "spool/fifo"), 0600), 0);
    assert_int_not_equal(lam_spool_open(f->store, "link", &fd, &bytes, &err), LAM_OK);
    assert_fails(lam_spool_open(f->store, "folder", &fd, &bytes, &err), LAM_E_INVALID, err);
    assert_fails(lam_spool_open(f->store, "fifo", &fd, &bytes, &err), LAM_E_INVALID, err);
    assert_fails(lam_spool_open(f->store, "absent", &fd, &bytes, &err), LAM_E_NOT_FOUND, err);
    assert_int_equal(fd, -1);
}

static void gives_numbers_in_order(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    for (int64_t i = 0; i < 1030; i++) /* into the second directory */
        assert_int_equal(adopt(f), i);
    assert_ok(lam_store_sync(f->store, NULL, 0, &err), err);
    assert_int_equal(fixture_count_files(f, "store/00000"), 1024);
    assert_int_equal(fixture_count_files(f, "store/00001"), 6);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    lam_autoclose int fd = -1;
    int64_t bytes = 0;
    assert_ok(lam_store_open_file(f->store, 1029, &fd, &bytes, &err), err);
    assert_int_equal(bytes, 7);
    lam_store_remove(f->store, 1029);
    assert_int_equal(fixture_count_files(f, "store"), 1029);
}

static void recover_to(fixture *f, int64_t last, size_t expected)
{
    lam_error err = {LAM_OK, ""};
    size_t removed = 99;
    lam_store_close(f->store);
    f->store = NULL;
    assert_ok(lam_store_open(f->directory, &f->store, &err), err);
    assert_ok(lam_store_recover(f->store, last, &removed, &err), err);
    assert_int_equal(removed, expected);
}

static void promise_1_removes_exactly_the_orphans(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 1030; i++)
        adopt(f);
    char name[LAM_SPOOL_NAME];
    fixture_spool(f, "half received", name);
    recover_to(f, 1020, 9);
    assert_int_equal(fixture_count_files(f, "store"), 1021);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    assert_int_equal(adopt(f), 1021);
    recover_to(f, 1021, 0);
    assert_int_equal(adopt(f), 1022);
}

/* Whoever starts with the wrong database must not lose the store to it. */
static void promise_1_keeps_a_store_that_is_not_its_own(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < LAM_STORE_MAX_ORPHANS + 1; i++)
        adopt(f);
    lam_error err;
    size_t removed = 99;
    assert_fails(lam_recovery_run(f->database, f->store, &removed, &err), LAM_E_STATE, err);
    assert_int_equal(removed, 99);
    assert_int_equal(fixture_count_files(f, "store"), LAM_STORE_MAX_ORPHANS + 1);
}

static void promise_1_a_restart_keeps_rows_and_their_files(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", "", 1000);
    adopt(f);
    assert_int_equal(fixture_restart(f), 1);
    assert_int_equal(fixture_count_files(f, "store"), 2);
    assert_int_equal(adopt(f), 2);
}

static void sweeps_the_files_of_replaced_instances(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.1", "", 1000);
    fixture_receive(f, "1.2", "1.2.3", "1.2.3.2", "", 1000);
    const lam_catalog_instance first = {.id = 1, .file = 0};
    assert_ok(lam_db_begin(f->db, &err), err);
    assert_ok(lam_catalog_remove(f->db, &first, &err), err);
    assert_ok(lam_db_commit(f->db, &err), err);
    assert_int_equal(fixture_count_files(f, "store"), 2); /* a crash before the removal */
    fixture_restart(f);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM removed_file"), 0);
    assert_int_equal(fixture_integer(f, "SELECT instances FROM series"), 1);
}

static void doubtful_files_stay_until_a_commit_succeeds(void **state)
{
    fixture *f = *state;
    lam_store_doubt(f->store, adopt(f));
    lam_store_doubt(f->store, adopt(f));
    adopt(f);
    assert_int_equal(fixture_count_files(f, "store"), 3);
    lam_store_settle(f->store);
    assert_int_equal(fixture_count_files(f, "store"), 1);
    lam_store_settle(f->store);
    assert_int_equal(fixture_count_files(f, "store"), 1);
}

static void refuses_when_the_disk_is_nearly_full(void **state)
{
    const fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    int64_t available = lam_store_free_bytes(f->store);
    assert_true(available > 0);
    assert_ok(lam_store_check_space(f->store, 0, &err), err);
    assert_ok(lam_store_check_space(f->store, available / 2, &err), err);
    assert_fails(lam_store_check_space(f->store, INT64_MAX, &err), LAM_E_NO_SPACE, err);
    assert_non_null(strstr(err.message, "reserve"));
}

static void sweeps_the_spool_by_prefix(void **state)
{
    fixture *f = *state;
    char name[LAM_SPOOL_NAME];
    fixture_spool(f, "an upload", name);
    FILE *file = fopen(fixture_path(f, "spool/" LAM_SPOOL_DIMSE "0001"), "w");
    assert_non_null(file);
    fclose(file);
    lam_spool_sweep(f->store, LAM_SPOOL_DIMSE);
    assert_int_equal(fixture_count_files(f, "spool"), 1);
    assert_int_equal(access(fixture_path(f, "spool/" LAM_SPOOL_DIMSE "0001"), F_OK), -1);
}

static ino_t spool_inode(const fixture *f)
{
    struct stat info;
    assert_int_equal(stat(fixture_path(f, "spool"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0750);
    return info.st_ino;
}

/* ext4 alone puts folders where their names say; what cannot be replaced serves on. */
static void the_spool_is_another_after_a_start(void **state)
{
    fixture *f = *state;
    struct statfs system;
    char name[LAM_SPOOL_NAME];
    assert_int_equal(statfs(f->directory, &system), 0);
    bool ext4 = system.f_type == EXT4_SUPER_MAGIC;
    ino_t first = spool_inode(f);
    assert_int_equal(mkdir(fixture_path(f, "spool.new-0123"), 0750), 0); /* as a crash leaves it */
    fixture_spool(f, "half an object", name);
    fixture_restart(f);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    assert_true((spool_inode(f) != first) == ext4);
    assert_true((access(fixture_path(f, "spool.new-0123"), F_OK) != 0) == ext4);
    ino_t second = spool_inode(f);
    assert_int_equal(mkdir(fixture_path(f, "spool/somebody's"), 0750), 0);
    fixture_restart(f);
    assert_int_equal(spool_inode(f), second);
    assert_int_equal(adopt(f), 0);
}

/* ---- quarantine ---- */

static lam_status put_aside(fixture *f, lam_quarantine *q, const char *content, int64_t most)
{
    char name[LAM_SPOOL_NAME];
    fixture_spool(f, content, name);
    lam_status status =
        lam_quarantine_take(q, f->store, name, (int64_t)strlen(content), "reason unreadable\n", most, NULL);
    lam_spool_remove(f->store, name);
    return status;
}

static void quarantine_keeps_object_and_reason(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_quarantine *q = NULL;
    assert_ok(lam_quarantine_open(f->directory, &q, &err), err);
    assert_int_equal(put_aside(f, q, "garbage", 100), LAM_OK);
    assert_int_equal(lam_quarantine_count(q), 1);
    lam_quarantine_close(q);
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1000);
    assert_ok(lam_io_read_file(fixture_path(f, "quarantine/00000000.dcm"), &text, &err), err);
    assert_string_equal(lam_buffer_text(&text), "garbage");
    lam_buffer_clear(&text);
    assert_ok(lam_io_read_file(fixture_path(f, "quarantine/00000000.txt"), &text, &err), err);
    assert_string_equal(lam_buffer_text(&text), "reason unreadable\n");
    q = NULL;
    assert_ok(lam_quarantine_open(f->directory, &q, &err), err); /* and knows it again */
    assert_int_equal(lam_quarantine_count(q), 1);
    assert_int_equal(lam_quarantine_bytes(q), 7);
    assert_int_equal(put_aside(f, q, "more", 100), LAM_OK);
    assert_int_equal(access(fixture_path(f, "quarantine/00000001.dcm"), F_OK), 0);
    lam_quarantine_close(q);
}

static void quarantine_is_bounded_in_bytes(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_quarantine *q = NULL;
    assert_ok(lam_quarantine_open(f->directory, &q, &err), err);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put_aside(f, q, "0123456789", 25), LAM_OK);
    assert_int_equal(lam_quarantine_count(q), 2);
    assert_int_equal(lam_quarantine_bytes(q), 20);
    assert_int_equal(fixture_count_files(f, "quarantine"), 4);
    assert_int_equal(access(fixture_path(f, "quarantine/00000004.dcm"), F_OK), 0); /* the newest */
    assert_int_equal(put_aside(f, q, "longer than all of it is allowed to be", 25), LAM_E_LIMIT);
    assert_int_equal(lam_quarantine_count(q), 2);
    lam_quarantine_close(q);
}

static void quarantine_is_bounded_in_number(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_quarantine *q = NULL;
    assert_ok(lam_quarantine_open(f->directory, &q, &err), err);
    for (int i = 0; i < LAM_QUARANTINE_MAX_OBJECTS + 3; i++)
        assert_int_equal(put_aside(f, q, "x", 1 << 20), LAM_OK);
    assert_int_equal(lam_quarantine_count(q), LAM_QUARANTINE_MAX_OBJECTS);
    assert_int_equal(fixture_count_files(f, "quarantine"), 2 * LAM_QUARANTINE_MAX_OBJECTS);
    lam_quarantine_close(q);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_names_that_are_none),
        TEST(refuses_what_is_no_plain_file),
        TEST(gives_numbers_in_order),
        TEST(promise_1_removes_exactly_the_orphans),
        TEST(promise_1_keeps_a_store_that_is_not_its_own),
        TEST(promise_1_a_restart_keeps_rows_and_their_files),
        TEST(sweeps_the_files_of_replaced_instances),
        TEST(doubtful_files_stay_until_a_commit_succeeds),
        TEST(refuses_when_the_disk_is_nearly_full),
        TEST(sweeps_the_spool_by_prefix),
        TEST(the_spool_is_another_after_a_start),
        TEST(quarantine_keeps_object_and_reason),
        TEST(quarantine_is_bounded_in_bytes),
        TEST(quarantine_is_bounded_in_number),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
