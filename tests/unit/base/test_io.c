/* core/base/io: whole reads and writes, limits, and mappings, on files, pipes and odd descriptors. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "tests/unit/unit.h"

static int memory_file(const char *bytes, size_t length)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void *drain(void *argument)
{
    size_t total = 0;
    char chunk[1000];
    ssize_t got;
    while ((got = read(*(int *)argument, chunk, sizeof chunk)) > 0)
        total += (size_t)got;
    return (void *)total;
}

/* A pipe takes far less at once than is written. */
static void writes_all_into_a_slow_pipe(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    size_t length = 3 << 20;
    lam_autofree char *bytes = calloc(1, length);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, drain, &ends[0]), 0);
    lam_error err;
    assert_ok(lam_io_write_all(ends[1], bytes, length, &err), err);
    close(ends[1]);
    void *total;
    pthread_join(reader, &total);
    close(ends[0]);
    assert_int_equal((size_t)total, length);
}

static void failing_writes_say_so(void **state)
{
    (void)state;
    lam_error err;
    lam_autoclose int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_fails(lam_io_write_all(full, "x", 1, &err), LAM_E_NO_SPACE, err);
    assert_fails(lam_io_write_all(-1, "x", 1, &err), LAM_E_IO, err);
    assert_ok(lam_io_write_all(full, NULL, 0, &err), err);
}

static void pread_is_exact(void **state)
{
    (void)state;
    lam_autoclose int fd = memory_file("0123456789", 10);
    char bytes[11] = {0};
    lam_error err;
    assert_ok(lam_io_pread_all(fd, bytes, 4, 6, &err), err);
    assert_string_equal(bytes, "6789");
    assert_fails(lam_io_pread_all(fd, bytes, 5, 6, &err), LAM_E_CORRUPT, err);
    assert_fails(lam_io_pread_all(fd, bytes, 1, 10, &err), LAM_E_CORRUPT, err);
    assert_ok(lam_io_pread_all(fd, bytes, 0, 10, &err), err);
}

static void reads_to_the_end_within_the_limit(void **state)
{
    (void)state;
    lam_autoclose int fd = memory_file("0123456789", 10);
    lam_error err;
    LAM_AUTO(lam_buffer_done) lam_buffer exact;
    lam_buffer_init(&exact, 10);
    assert_ok(lam_io_read_to_end(fd, &exact, &err), err);
    assert_string_equal(lam_buffer_text(&exact), "0123456789");
    LAM_AUTO(lam_buffer_done) lam_buffer small;
    lam_buffer_init(&small, 9);
    lseek(fd, 0, SEEK_SET);
    assert_fails(lam_io_read_to_end(fd, &small, &err), LAM_E_LIMIT, err);
}

static void an_endless_file_meets_the_limit(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100000);
    lam_error err;
    assert_fails(lam_io_read_file("/dev/zero", &b, &err), LAM_E_LIMIT, err);
    assert_non_null(strstr(err.message, "/dev/zero"));
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer b;
    lam_buffer_init(&b, 100);
    lam_error err;
    assert_fails(lam_io_read_file("/nonexistent/file", &b, &err), LAM_E_NOT_FOUND, err);
    assert_non_null(strstr(err.message, "/nonexistent/file"));
}

static void makes_directories_and_finds_them(void **state)
{
    (void)state;
    char root[] = "/tmp/lamina-test-io-XXXXXX";
    assert_non_null(mkdtemp(root));
    char path[128];
    snprintf(path, sizeof path, "%s/a/b//c", root);
    lam_error err;
    assert_ok(lam_io_make_directories(path, 0700, &err), err);
    assert_ok(lam_io_make_directories(path, 0700, &err), err);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0700);

    char file[128], below[140];
    snprintf(file, sizeof file, "%s/file", root);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(below, sizeof below, "%s/x", file);
    assert_fails(lam_io_make_directories(below, 0700, &err), LAM_E_IO, err);
    unlink(file);
    for (int i = 0; i < 3; i++) {
        rmdir(path);
        *strrchr(path, '/') = '\0';
    }
    rmdir(path);
    rmdir(root);
}

static void a_path_without_end_is_refused(void **state)
{
    (void)state;
    static char path[10000];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    lam_error err;
    assert_fails(lam_io_make_directories(path, 0700, &err), LAM_E_LIMIT, err);
}

static void maps_whole_files(void **state)
{
    (void)state;
    const void *bytes = "untouched";
    size_t length = 1;
    lam_error err;
    lam_autoclose int fd = memory_file("0123456789", 10);
    assert_fails(lam_io_map(fd, 9, &bytes, &length, &err), LAM_E_LIMIT, err);
    assert_string_equal((const char *)bytes, "untouched");
    assert_ok(lam_io_map(fd, 10, &bytes, &length, &err), err);
    assert_int_equal(length, 10);
    assert_memory_equal(bytes, "0123456789", 10);
    lam_io_unmap(bytes, length);

    lam_autoclose int empty = memory_file("", 0);
    assert_ok(lam_io_map(empty, 10, &bytes, &length, &err), err);
    assert_ptr_equal(bytes, NULL);
    assert_int_equal(length, 0);
    lam_io_unmap(bytes, length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_all_into_a_slow_pipe),
        cmocka_unit_test(failing_writes_say_so),
        cmocka_unit_test(pread_is_exact),
        cmocka_unit_test(reads_to_the_end_within_the_limit),
        cmocka_unit_test(an_endless_file_meets_the_limit),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(makes_directories_and_finds_them),
        cmocka_unit_test(a_path_without_end_is_refused),
        cmocka_unit_test(maps_whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
