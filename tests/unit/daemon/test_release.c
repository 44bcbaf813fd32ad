/* daemon/laminad/release.h: the release of associations brings the end of a series forward. */
#include <stdio.h>

#include "daemon/laminad/release.h"
#include "daemon/laminad/routing.h"
#include "tests/unit/daemon/fixture.h"

enum { QUIET = 10000, AFTER_RELEASE = 2000 };

static int set_up(void **state)
{
    int status = fixture_set_up(state);
    ((fixture *)*state)->config.stable_after_ms = QUIET;
    return status;
}

/* An object of the one series, as an association brings it. */
static void receive(fixture *f, int64_t association, int64_t now_ms)
{
    static int number;
    char sop[32];
    snprintf(sop, sizeof sop, "1.2.3.%d", ++number);
    fixture_receive_by(f, association, "1.2", "1.2.3", sop, "", now_ms);
}

static void release(fixture *f, int64_t association, int64_t quiet_ms)
{
    lam_error err = {LAM_OK, ""};
    const lam_release one = {association, quiet_ms};
    assert_ok(lam_release_take(f->db, &one, 1, f->config.stable_after_ms, &err), err);
}

static void settle(fixture *f, int64_t now_ms, int64_t expected_wait)
{
    lam_error err = {LAM_OK, ""};
    int64_t wait = -7;
    lam_models *models = fixture_models(f);
    assert_ok(lam_routing_settle_due(f->db, models, &f->config, now_ms, &wait, &err), err);
    lam_models_unref(models);
    assert_int_equal(wait, expected_wait);
}

static void a_released_association_leaves_a_shorter_wait(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000);
    receive(f, 7, 6000);
    settle(f, 6000, QUIET);
    release(f, 7, AFTER_RELEASE);
    settle(f, 6000, AFTER_RELEASE);
    settle(f, 8000, -1);
    assert_row(f, "SELECT state FROM series", "no_model");
}

static void all_that_brought_something_must_be_released(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000);
    receive(f, 8, 5000);
    release(f, 7, AFTER_RELEASE);
    settle(f, 6000, QUIET - 1000);
    release(f, 9, AFTER_RELEASE); /* which brought nothing */
    settle(f, 6000, QUIET - 1000);
    release(f, 8, AFTER_RELEASE);
    settle(f, 6000, AFTER_RELEASE - 1000);
}

/* An abort is no message at all: its association simply never is released, nor is an upload. */
static void one_that_never_is_released_is_no_hint(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000);
    receive(f, LAM_NO_ASSOCIATION, 5000);
    release(f, 7, AFTER_RELEASE);
    settle(f, 6000, QUIET - 1000);
}

static void numbers_of_another_life_are_not_taken_for_those_of_this(void **state)
{
    fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    receive(f, 7, 5000);
    receive(f, 8, 5000);
    assert_ok(lam_release_lose(f->db, &err), err);
    receive(f, 7, 5000);
    release(f, 7, AFTER_RELEASE);
    release(f, 8, AFTER_RELEASE);
    settle(f, 6000, QUIET - 1000);
}

static void what_comes_later_makes_it_wait_again(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000);
    release(f, 7, AFTER_RELEASE);
    receive(f, 8, 6000);
    settle(f, 6000, QUIET);
    release(f, 8, AFTER_RELEASE);
    settle(f, 6000, AFTER_RELEASE);
}

/* Once complete, a series forgets what had brought it. */
static void a_series_that_grows_begins_anew(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000); /* never released */
    settle(f, 5000 + QUIET, -1);
    assert_int_equal(fixture_integer(f, "SELECT count(*) FROM series_association"), 0);
    receive(f, 8, 20000);
    release(f, 8, AFTER_RELEASE);
    settle(f, 20000, AFTER_RELEASE);
}

static void the_wait_never_becomes_longer(void **state)
{
    fixture *f = *state;
    receive(f, 7, 5000);
    release(f, 7, 2 * QUIET);
    settle(f, 5000, QUIET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_released_association_leaves_a_shorter_wait, set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(all_that_brought_something_must_be_released, set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(one_that_never_is_released_is_no_hint, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(numbers_of_another_life_are_not_taken_for_those_of_this, set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(what_comes_later_makes_it_wait_again, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(a_series_that_grows_begins_anew, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(the_wait_never_becomes_longer, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
