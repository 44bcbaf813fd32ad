/* daemon/laminad/archive.h with a stand-in for the worker that unpacks: what it says of an archive is held
 * against what it was given, and each file of the archive has the answer that is its own. */
#include "daemon/laminad/archive.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/laminad/intake.h"
#include "tests/unit/daemon/fake_child.h"
#include "tests/unit/daemon/fixture.h"

typedef struct told {
    char text[512]; /* "name: UID or reason" a line */
} told;

static void on_file(void *context, const lam_archive_file *file)
{
    told *t = context;
    size_t used = strlen(t->text);
    const char *what = file->ignored                    ? file->ignored
                       : file->result->status == LAM_OK ? file->result->sop_instance_uid
                                                        : file->result->reason;
    snprintf(t->text + used, sizeof t->text - used, "%s: %s\n", file->name, what);
}

static void on_stored(void *context)
{
    (void)context;
}

static lam_intake *start(fixture *f, int *listener)
{
    lam_error err = {LAM_OK, ""};
    lam_intake *intake = NULL;
    fake_child_install(f->directory);
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(*listener, 1), 0);
    const lam_intake_options options = {.config = &f->config,
                                        .stored = on_stored,
                                        .database = f->database,
                                        .store = f->store,
                                        .dicom_socket = *listener};
    assert_ok(lam_intake_start(&options, &intake, &err), err);
    return intake;
}

/* An archive is what the stand-in shall say, and the objects that it unpacks, a line each. */
static void each_file_has_its_own_answer(void **state)
{
    fixture *f = *state;
    int listener = -1;
    pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    lam_autofree char *first = fixture_indexed("1.2", "1.2.3", "1.2.3.1", "");
    lam_autofree char *second = fixture_indexed("1.2", "1.2.3", "1.2.3.2", "");
    lam_autofree char *text = NULL;
    lam_archive *archive = NULL;
    lam_error err = {LAM_OK, ""};
    told t = {""};
    assert_true(asprintf(&text,
                         "{\"files\":[{\"name\":\"a\",\"output\":1},{\"name\":\"twice\",\"output\":1},"
                         "{\"name\":\"none\",\"output\":99},{\"name\":\"text\",\"ignored\":\"no DICOM\"},"
                         "{\"name\":\"b\",\"output\":0}],\"end\":true}\n%s\n%s\n",
                         second, first) > 0);
    lam_intake *intake = start(f, &listener);
    assert_ok(lam_archive_open(intake, &turn, "127.0.0.1", &archive, &err), err);
    assert_ok(lam_archive_write(archive, text, strlen(text), &err), err);
    assert_ok(lam_archive_store(archive, on_file, &t, &err), err);
    lam_archive_close(archive);
    lam_intake_stop(intake, 5000);
    close(listener);
    assert_string_equal(t.text, "a: 1.2.3.1\ntwice: it cannot be unpacked\nnone: it cannot be unpacked\n"
                                "text: no DICOM\nb: 1.2.3.2\n");
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM instance"), 2);
    assert_int_equal(fixture_count_files(f, "spool"), 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    fake_child_play(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_file_has_its_own_answer, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
