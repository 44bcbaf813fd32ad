/* Many files to one peer, and `lamina send` and `lamina echo` as they are used: against the real
 * lamina-dimse. */
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/send.h"
#include "dicom/sop_class.h"
#include "dicom/transfer_syntax.h"
#include "tests/unit/daemon/dimse_harness.h"
#include "tests/unit/unit.h"

enum { FILES = 150 };

static dimse_harness h;
static char folder[256];
static char paths[FILES][512];
static lam_send_file files[FILES];

/* Writes file `i` with a data set of `bytes` bytes. */
static void make_file(int i, const char *sop_class, size_t bytes)
{
    lam_send_file *file = &files[i];
    uint8_t head[LAM_FILE_META_MAX_BYTES];
    *file = (lam_send_file){.path = paths[i], .bytes = bytes};
    snprintf(paths[i], sizeof paths[i], "%s/%03d.dcm", folder, i);
    snprintf(file->meta.sop_class, LAM_UID_TEXT, "%s", sop_class);
    snprintf(file->meta.sop_instance, LAM_UID_TEXT, "1.2.3.%d", i);
    strcpy(file->meta.transfer_syntax, LAM_TS_EXPLICIT_LITTLE);
    file->offset = lam_file_meta_write(&file->meta, head);
    lam_autoclose int fd = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(lam_io_write_all(fd, head, file->offset, NULL), LAM_OK);
    assert_int_equal(ftruncate(fd, (off_t)(file->offset + bytes)), 0);
}

static void make_files(int count, size_t bytes)
{
    for (int i = 0; i < count; i++)
        make_file(i, "1.2.840.10008.5.1.4.1.1.2", bytes);
}

static lam_net_peer peer(void)
{
    return (lam_net_peer){.host = "localhost",
                          .port = h.port,
                          .called_ae = "LAMINA",
                          .calling_ae = "PEER",
                          .connect_timeout_ms = 5000,
                          .response_timeout_ms = 10000};
}

static void count_outcomes(void *user, const lam_send_file *file)
{
    ((int *)user)[file->outcome]++;
}

static void test_more_contexts_than_an_association_has(void **state)
{
    (void)state;
    lam_error err = {0};
    int outcomes[4] = {0};
    dimse_harness_start(&h, NULL);
    for (int i = 0; i < FILES; i++) {
        char sop_class[LAM_UID_TEXT];
        snprintf(sop_class, sizeof sop_class, "1.2.840.10008.5.1.4.1.1.1000.%d", i);
        make_file(i, sop_class, 1000);
    }
    const lam_net_peer to = peer();
    assert_ok(lam_send_files(&to, files, FILES, 1, count_outcomes, outcomes, &err), err);
    assert_int_equal(outcomes[LAM_SEND_SENT], FILES);
    assert_int_equal(h.stored, FILES);
    assert_true(dimse_harness_saw(&h, "\"event\":\"released\",\"association\":2"));
    dimse_harness_stop(&h);
}

static void test_associations_side_by_side(void **state)
{
    (void)state;
    lam_error err = {0};
    int outcomes[4] = {0};
    dimse_harness_start(&h, NULL);
    make_files(FILES, 20000);
    const lam_net_peer to = peer();
    assert_ok(lam_send_files(&to, files, FILES, 8, count_outcomes, outcomes, &err), err);
    assert_int_equal(outcomes[LAM_SEND_SENT], FILES);
    assert_int_equal(h.stored, FILES);
    dimse_harness_stop(&h);
}

static void test_one_bad_file_costs_only_itself(void **state)
{
    (void)state;
    lam_error err;
    int outcomes[4] = {0};
    dimse_harness_start(&h, "\"max_object_bytes\":1000000");
    make_files(10, 1000);
    make_file(4, "1.2.840.10008.5.1.4.1.1.2", 50000000); /* the peer breaks the association */
    make_file(6, "1.2.840.10008.5.1.4.1.2.1.1", 1000);   /* not a class that it takes */
    unlink(paths[8]);
    const lam_net_peer to = peer();
    assert_fails(lam_send_files(&to, files, 10, 1, count_outcomes, outcomes, &err), LAM_E_PEER, err);
    assert_int_equal(outcomes[LAM_SEND_SENT], 7);
    assert_int_equal(outcomes[LAM_SEND_FAILED], 3);
    assert_non_null(strstr(files[6].reason, "does not take SOP class"));
    assert_non_null(strstr(files[8].reason, "cannot open"));
    dimse_harness_stop(&h);
}

static void test_what_the_peer_says(void **state)
{
    (void)state;
    lam_error err = {0};
    int outcomes[4] = {0};
    dimse_harness_start(&h, NULL);
    make_files(2, 1000);
    const lam_net_peer to = peer();
    h.status = 0xb007;
    assert_ok(lam_send_files(&to, files, 1, 1, count_outcomes, outcomes, &err), err);
    h.status = 0xa700;
    assert_ok(lam_send_files(&to, files + 1, 1, 1, count_outcomes, outcomes, &err), err);
    assert_int_equal(outcomes[LAM_SEND_WARNED], 1);
    assert_int_equal(outcomes[LAM_SEND_FAILED], 1);
    assert_int_equal(files[1].dimse_status, 0xa700);
    assert_string_equal(files[1].reason, "the peer answered status A700H: by the test");
    dimse_harness_stop(&h);
}

static void test_nobody_there(void **state)
{
    (void)state;
    lam_error err;
    int outcomes[4] = {0};
    dimse_harness_start(&h, NULL);
    make_files(5, 1000);
    lam_net_peer to = peer();
    to.called_ae = "OTHER";
    assert_fails(lam_send_files(&to, files, 5, 2, count_outcomes, outcomes, &err), LAM_E_PEER, err);
    assert_int_equal(outcomes[LAM_SEND_FAILED], 5);
    assert_non_null(strstr(files[4].reason, "called AE title not recognized"));
    dimse_harness_stop(&h);
}

/* The stored object has the data set of the file that was sent, byte for byte (promise 3). */
static void compare_with_stored(void *user, const lam_send_file *file)
{
    ((int *)user)[file->outcome]++;
    if (file->outcome != LAM_SEND_SENT)
        return;
    lam_error err = {0};
    lam_autoclose int sent = open(file->path, O_RDONLY), stored = openat(h.spool_fd, h.last_name, O_RDONLY);
    lam_file_meta meta;
    uint64_t offset = 0;
    const void *a = NULL, *b = NULL;
    size_t a_length = 0, b_length = 0;
    assert_ok(lam_file_meta_read(stored, &meta, &offset, &err), err);
    assert_memory_equal(&meta, &file->meta, sizeof meta);
    assert_ok(lam_io_map(sent, SIZE_MAX, &a, &a_length, &err), err);
    assert_ok(lam_io_map(stored, SIZE_MAX, &b, &b_length, &err), err);
    assert_int_equal(b_length - offset, a_length - file->offset);
    assert_memory_equal((const char *)a + file->offset, (const char *)b + offset, b_length - offset);
    lam_io_unmap(a, a_length);
    lam_io_unmap(b, b_length);
    unlinkat(h.spool_fd, h.last_name, 0);
}

static void test_real_files_arrive_byte_for_byte(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    static lam_send_file real[MOST];
    char *const roots[] = {"../shared/data/dicom/fixtures", NULL};
    if (access(roots[0], R_OK) != 0) {
        print_message("skipped: %s is not here\n", roots[0]);
        skip();
    }
    size_t count = 0;
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; (entry = fts_read(walk)) && count < MOST;) {
        lam_autoclose int fd = entry->fts_info == FTS_F ? open(entry->fts_accpath, O_RDONLY) : -1;
        if (fd < 0 || lam_file_meta_read(fd, &real[count].meta, &real[count].offset, NULL) != LAM_OK ||
            !lam_sop_class_is_storage(real[count].meta.sop_class))
            continue;
        real[count++].path = strdup(entry->fts_path);
    }
    fts_close(walk);
    int outcomes[4] = {0};
    lam_error err = {0};
    dimse_harness_start(&h, NULL);
    h.keep = true;
    const lam_net_peer to = peer();
    assert_ok(lam_send_files(&to, real, count, 1, compare_with_stored, outcomes, &err), err);
    assert_true(count > 100);
    assert_int_equal(outcomes[LAM_SEND_SENT], count);
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)real[i].path);
    dimse_harness_stop(&h);
}

/* Runs build/lamina with `arguments`; its standard output goes to `out`. Returns its exit status. */
static int lamina(const char *arguments, char *out, size_t size)
{
    char command[8192], program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(length > 0);
    program[length] = '\0';
    for (int i = 0; i < 4; i++)
        *strrchr(program, '/') = '\0';
    snprintf(command, sizeof command, "%s/lamina %s 2>/dev/null", program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(out, 1, size - 1, pipe);
    out[got] = '\0';
    return WEXITSTATUS(pclose(pipe));
}

static void test_command_line(void **state)
{
    (void)state;
    char out[65536], arguments[1024];
    dimse_harness_start(&h, NULL);
    make_files(3, 1000);
    snprintf(paths[3], sizeof paths[3], "%s/notes.txt", folder);
    fclose(fopen(paths[3], "w"));

    snprintf(arguments, sizeof arguments, "send --aet PEER --json localhost:%u %s", h.port, folder);
    assert_int_equal(lamina(arguments, out, sizeof out), 0);
    json_t *json = json_loads(out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(json, "sent")), 3);
    assert_int_equal(json_integer_value(json_object_get(json, "failed")), 0);
    assert_int_equal(json_integer_value(json_object_get(json, "skipped")), 1);
    assert_int_equal(json_integer_value(json_object_get(json, "bytes")), 3000);
    assert_int_equal(json_array_size(json_object_get(json, "files")), 0);
    json_decref(json);

    h.status = 0xa700;
    assert_int_equal(lamina(arguments, out, sizeof out), 1);
    json = json_loads(out, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "files")), 3);
    json_t *first = json_array_get(json_object_get(json, "files"), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "status")), 0xa700);
    json_decref(json);

    snprintf(arguments, sizeof arguments, "echo --aet PEER --json localhost:%u/LAMINA", h.port);
    assert_int_equal(lamina(arguments, out, sizeof out), 0);
    assert_non_null(strstr(out, "\"ok\":true"));
    snprintf(arguments, sizeof arguments, "echo --json localhost:%u", h.port);
    assert_int_equal(lamina(arguments, out, sizeof out), 1);
    assert_non_null(strstr(out, "calling AE title not recognized"));

    static const char *const wrong[] = {"send",
                                        "send localhost:1",
                                        "echo",
                                        "echo localhost",
                                        "echo localhost:0",
                                        "echo localhost:1/",
                                        "echo localhost:1/ABCDEFGHIJKLMNOPQ",
                                        "send --jobs 0 localhost:1 /",
                                        "echo --nonsense localhost:1",
                                        "echo --jobs 2 localhost:1"};
    for (size_t i = 0; i < LAM_COUNT(wrong); i++)
        assert_int_equal(lamina(wrong[i], out, sizeof out), 2);
    unlink(paths[3]);
    dimse_harness_stop(&h);
}

static int set_up(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lamina-send-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? (int)lam_net_start(NULL) : -1;
}

static int empty_folder(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%03d.dcm", folder, i);
        unlink(path);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_more_contexts_than_an_association_has, empty_folder),
        cmocka_unit_test_teardown(test_associations_side_by_side, empty_folder),
        cmocka_unit_test_teardown(test_one_bad_file_costs_only_itself, empty_folder),
        cmocka_unit_test_teardown(test_what_the_peer_says, empty_folder),
        cmocka_unit_test_teardown(test_nobody_there, empty_folder),
        cmocka_unit_test(test_real_files_arrive_byte_for_byte),
        cmocka_unit_test_teardown(test_command_line, empty_folder),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
