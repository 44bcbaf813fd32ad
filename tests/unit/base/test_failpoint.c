/* core/base/failpoint.h: faults come where, when and as often as the environment says. */
#include "core/base/failpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* The plan is read once in a process, so each case has one of its own. Exit status of `run`, or -signal. */
static int in_child(const char *hooks, const char *plan, int (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("LAMINA_TEST_HOOKS", hooks, 1);
        setenv("LAMINA_FAILPOINTS", plan, 1);
        _exit(run());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int counts(void)
{
    for (int i = 0; i < 2; i++)
        if (lam_failpoint_hit(LAM_FAIL_STORE_RENAME) != 0)
            return 1;
    for (int i = 0; i < 3; i++)
        if (lam_failpoint_hit(LAM_FAIL_STORE_RENAME) != ENOSPC)
            return 2;
    return lam_failpoint_hit(LAM_FAIL_STORE_RENAME) != 0 || lam_failpoint_hit(LAM_FAIL_STORE_SYNC) != EIO ||
           lam_failpoint_hit(LAM_FAIL_STORE_SYNC) != 0;
}

static int nothing(void)
{
    for (int i = 0; i < LAM_FAILPOINT_COUNT; i++)
        if (lam_failpoint_hit((lam_failpoint)i) != 0)
            return 1;
    return 0;
}

static void faults_are_counted(void **state)
{
    (void)state;
    assert_int_equal(in_child("1", "store.rename=ENOSPC*3+2,store.sync=EIO", counts), 0);
}

static void kills(void **state)
{
    (void)state;
    assert_int_equal(in_child("1", "answer=KILL", nothing), -9);
}

static void does_nothing_unless_told(void **state)
{
    (void)state;
    assert_int_equal(in_child("0", "answer=KILL", nothing), 0);
    assert_int_equal(in_child("1", "", nothing), 0);
    assert_int_equal(in_child("1", "answer,=EIO,no.such=EIO,answer=WHAT,answer=EIO*0", nothing), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_counted),
        cmocka_unit_test(kills),
        cmocka_unit_test(does_nothing_unless_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
