/* dicom/file_meta: the header that a received data set is stored with. */
#include "dicom/file_meta.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "tests/unit/unit.h"

static const lam_file_meta ct = {"1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5", "1.2.840.10008.1.2.1"};

static int file_of(const void *bytes, size_t length)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(lam_io_write_all(fd, bytes, length, NULL), LAM_OK);
    return fd;
}

static void test_round_trip(void **state)
{
    (void)state;
    lam_error err = {0};
    uint8_t bytes[LAM_FILE_META_MAX_BYTES + 8], again[LAM_FILE_META_MAX_BYTES];
    size_t length = lam_file_meta_write(&ct, bytes);
    assert_int_equal(length % 2, 0);
    memcpy(bytes + length, "\x08\0\x05\0CS\0\0", 8);
    lam_autoclose int fd = file_of(bytes, length + 8);
    lam_file_meta read;
    uint64_t offset = 0;
    assert_ok(lam_file_meta_read(fd, &read, &offset, &err), err);
    assert_int_equal(offset, length);
    assert_memory_equal(&read, &ct, sizeof read);
    assert_int_equal(lam_file_meta_write(&read, again), length);
    assert_memory_equal(again, bytes, length);
}

static void test_longest_fits(void **state)
{
    (void)state;
    lam_file_meta longest;
    uint8_t bytes[LAM_FILE_META_MAX_BYTES];
    memset(&longest, 0, sizeof longest);
    memset(longest.sop_class, '1', 64);
    memset(longest.sop_instance, '1', 64);
    memset(longest.transfer_syntax, '1', 64);
    assert_true(lam_file_meta_write(&longest, bytes) <= sizeof bytes);
}

static void test_refuses_what_is_no_dicom_file(void **state)
{
    (void)state;
    lam_error err;
    lam_file_meta read;
    uint64_t offset = 0;
    uint8_t bytes[LAM_FILE_META_MAX_BYTES];
    size_t length = lam_file_meta_write(&ct, bytes);
    for (size_t cut = 0; cut < length; cut++) { /* the last element, the version, may be missing whole */
        lam_autoclose int fd = file_of(bytes, cut);
        if (lam_file_meta_read(fd, &read, &offset, &err) == LAM_OK)
            assert_true(offset <= cut);
    }
    bytes[128] = 'X';
    lam_autoclose int other = file_of(bytes, length);
    assert_fails(lam_file_meta_read(other, &read, &offset, &err), LAM_E_INVALID, err);
    bytes[128] = 'D';
    lam_file_meta no_uid = ct;
    strcpy(no_uid.sop_instance, "../../etc");
    length = lam_file_meta_write(&no_uid, bytes);
    lam_autoclose int path = file_of(bytes, length);
    assert_fails(lam_file_meta_read(path, &read, &offset, &err), LAM_E_INVALID, err);
}

static void test_survives_random_changes(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[LAM_FILE_META_MAX_BYTES];
        size_t length = lam_file_meta_write(&ct, bytes);
        for (int i = 0; i < 3; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[132 + (random >> 33) % (length - 132)] = (uint8_t)(random >> 25);
        }
        lam_autoclose int fd = file_of(bytes, length);
        lam_file_meta read;
        uint64_t offset = 0;
        if (lam_file_meta_read(fd, &read, &offset, NULL) == LAM_OK)
            assert_true(offset <= length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_longest_fits),
        cmocka_unit_test(test_refuses_what_is_no_dicom_file),
        cmocka_unit_test(test_survives_random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
