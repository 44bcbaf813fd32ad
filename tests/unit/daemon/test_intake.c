/* daemon/laminad/intake.h with stand-ins for its children: objects by DIMSE and by HTTP, what happens when a
 * child ends at the wrong moment, and that nobody waits for an answer that does not come (promises 1 and 6).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "daemon/laminad/intake.h"
#include "daemon/laminad/upload.h"
#include "tests/unit/daemon/fake_child.h"
#include "tests/unit/daemon/fixture.h"

enum { PATIENCE_MS = 60000 };

static _Atomic int commits;

static void on_stored(void *context)
{
    (void)context;
    commits++;
}

static int listener = -1;
static struct sockaddr_in address;

static void listen_somewhere(void)
{
    socklen_t length = sizeof address;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
}

static lam_intake *start(fixture *f)
{
    lam_error err = {LAM_OK, ""};
    lam_intake *intake = NULL;
    fake_child_install(f->directory);
    listen_somewhere();
    commits = 0;
    const lam_intake_options options = {.config = &f->config,
                                        .database = f->database,
                                        .store = f->store,
                                        .dicom_socket = listener,
                                        .stored = on_stored};
    assert_ok(lam_intake_start(&options, &intake, &err), err);
    return intake;
}

static void end(lam_intake *intake, int64_t grace_ms)
{
    lam_intake_stop(intake, grace_ms);
    close(listener);
}

static void wait_ready(const lam_intake *intake)
{
    int64_t deadline = lam_clock_monotonic_ms() + PATIENCE_MS;
    while (!lam_intake_ready(intake) && lam_clock_monotonic_ms() < deadline)
        usleep(2000);
    assert_true(lam_intake_ready(intake));
}

/* ---- by DIMSE ---- */

static int call(const char *word, const char *object)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {PATIENCE_MS / 1000, 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(lam_io_write_all(fd, word, strlen(word), NULL), LAM_OK);
    assert_int_equal(lam_io_write_all(fd, object, strlen(object), NULL), LAM_OK);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    return fd;
}

/* The answer, "" when the connection just ended. */
static void hang_up(int fd, char answer[256])
{
    size_t used = 0;
    for (ssize_t got; used < 255 && (got = read(fd, answer + used, 255 - used)) > 0;)
        used += (size_t)got;
    answer[used] = '\0';
    close(fd);
}

static void store(const char *object, const char *expected)
{
    char answer[256];
    hang_up(call(FAKE_STORE, object), answer);
    if (strncmp(answer, expected, strlen(expected)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", answer, expected);
}

static char *object_numbered(int number)
{
    char sop[32];
    snprintf(sop, sizeof sop, "1.2.3.%d", number);
    return fixture_indexed("1.2", "1.2.3", sop, "");
}

static void store_numbered(int number, const char *expected)
{
    lam_autofree char *object = object_numbered(number);
    store(object, expected);
}

static void promise_1_stores_what_it_acknowledges(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    store_numbered(1, "0000 ");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 1);
    assert_row(f, "SELECT sender FROM instance", "FAKE");
    assert_int_equal(fixture_count_files(f, "store"), 1);
    store_numbered(1, "0000 "); /* the same again */
    store(FAKE_REFUSE, "C000 refused as told");
    store_numbered(2, "0000 ");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 2);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    assert_int_equal(fixture_count_files(f, "quarantine"), 2);
    end(intake, 5000);
    assert_in_range(commits, 1, 2); /* notices within a moment are one */
    assert_int_equal(fixture_restart(f), 0);
}

static void a_nearly_full_database_is_no_lie(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    store_numbered(1, "0000 ");
    assert_int_equal(lam_db_run(f->db, NULL, "ALTER TABLE metadata RENAME TO elsewhere", ""), LAM_OK);
    store_numbered(2, "0110 ");
    assert_int_equal(lam_db_run(f->db, NULL, "ALTER TABLE elsewhere RENAME TO metadata", ""), LAM_OK);
    store_numbered(2, "0000 ");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 2);
    assert_int_equal(fixture_count_files(f, "store"), 2);
    end(intake, 5000);
}

/* What the process handed over before it died is stored, though nobody can be told; the next one serves. */
static void dimse_that_ends_with_an_object_pending(void **state)
{
    fixture *f = *state;
    char answer[256];
    lam_intake *intake = start(f);
    lam_autofree char *object = object_numbered(1);
    hang_up(call(FAKE_VANISH, object), answer);
    assert_string_equal(answer, "");
    store_numbered(1, "0000 ");
    store_numbered(2, "0000 ");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 2);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    end(intake, 5000);
}

static void dimse_that_leaves_litter(void **state)
{
    fixture *f = *state;
    char answer[256];
    lam_intake *intake = start(f);
    hang_up(call(FAKE_LITTER, "half an obj"), answer);
    store_numbered(1, "0000 ");
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    hang_up(call(FAKE_NONSENSE, ""), answer);
    store_numbered(2, "0000 ");
    end(intake, 5000);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 2);
}

static void promise_6_a_poisoned_header_harms_no_other(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    store(FAKE_CRASH, "C000 reading the header crashed");
    store_numbered(1, "0000 ");
    end(intake, 5000);
    assert_int_equal(fixture_count_files(f, "quarantine"), 2);
}

static void an_ending_intake_drains(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    wait_ready(intake);
    int64_t before = lam_clock_monotonic_ms();
    end(intake, 20000);
    assert_true(lam_clock_monotonic_ms() - before < 15000); /* of the 20 s that it may take */
}

/* ---- by HTTP ---- */

static lam_upload *upload(lam_intake *intake, const char *object)
{
    lam_error err = {LAM_OK, ""};
    lam_upload *u = NULL;
    assert_ok(lam_upload_open(intake, "127.0.0.1", &u, &err), err);
    assert_ok(lam_upload_write(u, object, strlen(object), &err), err);
    return u;
}

static void uploads_share_commits(void **state)
{
    enum { COUNT = 600 }; /* more than may be open at a time */
    fixture *f = *state;
    lam_intake *intake = start(f);
    static lam_upload *uploads[COUNT];
    for (int i = 0; i < COUNT; i++) {
        lam_autofree char *object = object_numbered(i);
        uploads[i] = upload(intake, object);
    }
    for (int i = 0; i < COUNT; i++)
        lam_upload_submit(uploads[i], "1.2");
    for (int i = 0; i < COUNT; i++) {
        lam_store_result result;
        char sop[32];
        snprintf(sop, sizeof sop, "1.2.3.%d", i);
        lam_upload_wait(uploads[i], &result);
        assert_int_equal(result.dicom_status, 0);
        assert_string_equal(result.sop_instance_uid, sop);
    }
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), COUNT);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    assert_true(commits < COUNT);
    end(intake, 5000);
}

static void an_upload_into_another_study(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    lam_store_result result;
    lam_autofree char *object = object_numbered(1);
    lam_upload *u = upload(intake, object);
    lam_upload_submit(u, "1.9");
    lam_upload_wait(u, &result);
    assert_int_equal(result.dicom_status, 0xA900);
    end(intake, 5000);
    assert_int_equal(fixture_count_files(f, "store"), 0);
}

static void an_upload_that_is_too_large(void **state)
{
    fixture *f = *state;
    lam_error err;
    f->config.max_object_bytes = 10;
    lam_config full = f->config;
    full.reserve_bytes = INT64_MAX;
    lam_intake *intake = start(f);
    lam_upload *u = upload(intake, "0123456789");
    assert_fails(lam_upload_write(u, "!", 1, &err), LAM_E_LIMIT, err);
    lam_upload_discard(u);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
    lam_intake_reload(intake, &full);
    assert_fails(lam_upload_open(intake, "x", &u, &err), LAM_E_NO_SPACE, err);
    end(intake, 5000);
}

/* The client is gone after the object was handed over: the object is stored, and nobody is told. */
static void an_upload_discarded_after_submission(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    for (int i = 0; i < 50; i++) {
        lam_autofree char *object = object_numbered(i);
        lam_upload *u = upload(intake, object);
        lam_upload_submit(u, NULL);
        lam_upload_discard(u);
    }
    lam_upload_discard(NULL);
    end(intake, 20000);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 50);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
}

static void *wait_for_result(void *argument)
{
    static lam_store_result result;
    lam_upload_wait(argument, &result);
    return &result;
}

/* Its header hangs the reader: when the daemon's patience is over, the client gets an answer. */
static void what_is_undecided_at_the_end_is_refused(void **state)
{
    fixture *f = *state;
    lam_intake *intake = start(f);
    pthread_t thread;
    void *answer = NULL;
    lam_upload *u = upload(intake, FAKE_HANG);
    lam_upload_submit(u, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_result, u), 0);
    lam_intake_stop(intake, 100);
    close(listener);
    pthread_join(thread, &answer);
    const lam_store_result *result = answer;
    assert_int_equal(result->dicom_status, 0xA700);
    assert_int_equal(result->status, LAM_E_BUSY);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 0);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
}

static void reload_changes_what_applies(void **state)
{
    fixture *f = *state;
    lam_error err;
    lam_config other = f->config;
    lam_intake *intake = start(f);
    wait_ready(intake);
    other.max_object_bytes = 3;
    lam_intake_reload(intake, &other);
    lam_upload *u = NULL;
    assert_int_equal(lam_upload_open(intake, "x", &u, NULL), LAM_OK);
    assert_fails(lam_upload_write(u, "1234", 4, &err), LAM_E_LIMIT, err);
    lam_upload_discard(u);
    end(intake, 20000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(int argc, char **argv)
{
    (void)argc;
    fake_child_play(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(promise_1_stores_what_it_acknowledges),
        TEST(a_nearly_full_database_is_no_lie),
        TEST(dimse_that_ends_with_an_object_pending),
        TEST(dimse_that_leaves_litter),
        TEST(promise_6_a_poisoned_header_harms_no_other),
        TEST(an_ending_intake_drains),
        TEST(uploads_share_commits),
        TEST(an_upload_into_another_study),
        TEST(an_upload_that_is_too_large),
        TEST(an_upload_discarded_after_submission),
        TEST(what_is_undecided_at_the_end_is_refused),
        TEST(reload_changes_what_applies),
    };
    return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
