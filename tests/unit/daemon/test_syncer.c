/* daemon/laminad/syncer.h: any number of descriptors, of files and folders; one that cannot be synced is an
 * error. */
#include "daemon/laminad/syncer.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

static lam_status run(lam_syncer *syncer, const int *fds, size_t count, lam_error *err)
{
    lam_syncer_begin(syncer, fds, count);
    return lam_syncer_end(syncer, err);
}

static void syncs_many_at_once(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    lam_syncer *syncer = NULL;
    int fds[200];
    assert_ok(lam_syncer_create(&syncer, &err), err);
    fds[0] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 1; i < LAM_COUNT(fds); i++) {
        fds[i] = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        assert_true(fds[i] >= 0);
        assert_int_equal(write(fds[i], "x", 1), 1);
    }
    const size_t counts[] = {0, 1, 2, 64, 65, LAM_COUNT(fds)};
    for (size_t i = 0; i < LAM_COUNT(counts); i++)
        assert_ok(run(syncer, fds, counts[i], &err), err);
    for (size_t i = 0; i < LAM_COUNT(counts); i++) {
        lam_syncer_begin(syncer, fds, counts[i]);
        struct pollfd event = {.fd = lam_syncer_event(syncer), .events = POLLIN};
        while (!lam_syncer_is_done(syncer))
            assert_int_equal(poll(&event, 1, 60000), 1);
        assert_ok(lam_syncer_end(syncer, &err), err);
    }
    for (size_t i = 0; i < LAM_COUNT(fds); i++)
        close(fds[i]);
    lam_syncer_free(syncer);
    lam_syncer_free(NULL);
}

static void promise_1_says_what_could_not_be_synced(void **state)
{
    (void)state;
    lam_error err = {LAM_OK, ""};
    lam_syncer *syncer = NULL;
    int ends[2];
    assert_int_equal(pipe(ends), 0); /* cannot be synced at all */
    assert_ok(lam_syncer_create(&syncer, &err), err);
    const int one_bad[] = {ends[1]}, first_bad[] = {ends[0], STDIN_FILENO}, closed[] = {9999};
    assert_int_not_equal(run(syncer, one_bad, 1, &err), LAM_OK);
    assert_int_not_equal(run(syncer, first_bad, 2, &err), LAM_OK);
    assert_int_not_equal(run(syncer, closed, 1, &err), LAM_OK);
    lam_syncer_free(syncer);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syncs_many_at_once),
        cmocka_unit_test(promise_1_says_what_could_not_be_synced),
    };
    return cmocka_run_group_tests_name("syncer", tests, NULL, NULL);
}
