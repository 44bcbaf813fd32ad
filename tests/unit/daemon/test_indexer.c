/* daemon/laminad/indexer.h: a header that kills or stops its reader is refused, the others go on (promise 6).
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "daemon/laminad/indexer.h"
#include "tests/unit/daemon/fake_child.h"
#include "tests/unit/daemon/fixture.h"

enum {
    MAX_OBJECTS = 64,
    PATIENCE_MS = 60000,
    HANG_MS = 1500, /* longer than a reader takes on a busy machine */
};

typedef struct object {
    lam_index_request request; /* first: the indexer hands this back */
    int answers;
    lam_status status;
    char text[256];
} object;

static object objects[MAX_OBJECTS];
static size_t object_count, answered;

static void on_answer(void *context, lam_index_request *request, lam_status status, const char *text)
{
    object *o = (object *)request;
    assert_ptr_equal(context, objects);
    o->answers++;
    o->status = status;
    snprintf(o->text, sizeof o->text, "%s", text);
    answered++;
}

static lam_indexer *start(const fixture *f, int processes, int64_t answer_ms, int64_t stall_ms)
{
    lam_error err = {LAM_OK, ""};
    lam_indexer *indexer = NULL;
    const lam_indexer_options options = {processes, answer_ms, stall_ms, on_answer, objects};
    fake_child_install(f->directory);
    object_count = answered = 0;
    assert_ok(lam_indexer_create(&options, &indexer, &err), err);
    return indexer;
}

static object *submit(lam_indexer *indexer, const char *content)
{
    object *o = &objects[object_count++];
    *o = (object){.request.fd = memfd_create("object", MFD_CLOEXEC)};
    assert_true(o->request.fd >= 0);
    assert_int_equal(lam_io_write_all(o->request.fd, content, strlen(content), NULL), LAM_OK);
    lam_indexer_submit(indexer, &o->request);
    return o;
}

/* As the intake's thread does. Gives how often it turned. */
static int run(lam_indexer *indexer, size_t until)
{
    int64_t deadline = lam_clock_monotonic_ms() + PATIENCE_MS;
    int turns = 0;
    for (; answered < until && lam_clock_monotonic_ms() < deadline; turns++) {
        struct pollfd polls[LAM_INDEXER_POLLS];
        int64_t timeout_ms = 1000;
        lam_indexer_turn(indexer);
        size_t count = lam_indexer_poll(indexer, polls, &timeout_ms);
        if (answered < until)
            poll(polls, count, (int)timeout_ms);
    }
    assert_int_equal(answered, until);
    return turns;
}

static void end(lam_indexer *indexer)
{
    lam_indexer_free(indexer);
    for (size_t i = 0; i < object_count; i++) {
        assert_true(objects[i].answers <= 1);
        close(objects[i].request.fd);
    }
}

static void expect(const object *o, lam_status status, const char *text)
{
    assert_int_equal(o->answers, 1);
    assert_int_equal(o->status, status);
    if (!strstr(o->text, text))
        fail_msg("\"%s\" instead of \"%s\"", o->text, text);
}

static void gives_each_its_own_answer(void **state)
{
    lam_indexer *indexer = start(*state, 2, 0, 0);
    for (int i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "{\"n\":%d}", i);
        submit(indexer, text);
    }
    const object *refused = submit(indexer, FAKE_REFUSE);
    run(indexer, 41);
    for (int i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "{\"n\":%d}", i);
        expect(&objects[i], LAM_OK, text);
    }
    expect(refused, LAM_E_CORRUPT, "refused as told");
    end(indexer);
}

static void promise_6_a_crash_harms_no_other(void **state)
{
    lam_indexer *indexer = start(*state, 2, 0, 0);
    for (int i = 0; i < 8; i++)
        submit(indexer, "{}");
    const object *bad = submit(indexer, FAKE_CRASH);
    for (int i = 0; i < 8; i++)
        submit(indexer, "{}");
    run(indexer, 17);
    for (size_t i = 0; i < 17; i++)
        if (&objects[i] != bad)
            expect(&objects[i], LAM_OK, "{}");
    expect(bad, LAM_E_CORRUPT, "crashed or hung");
    end(indexer);
}

static void promise_6_two_crashes_side_by_side(void **state)
{
    lam_indexer *indexer = start(*state, 1, 0, 0);
    const object *a = submit(indexer, FAKE_CRASH), *b = submit(indexer, FAKE_CRASH);
    const object *good = submit(indexer, "{}");
    run(indexer, 3);
    expect(a, LAM_E_CORRUPT, "crashed or hung");
    expect(b, LAM_E_CORRUPT, "crashed or hung");
    expect(good, LAM_OK, "{}");
    end(indexer);
}

static void a_suspect_gets_a_second_chance(void **state)
{
    const fixture *f = *state;
    lam_indexer *indexer = start(f, 1, 0, 0);
    char content[600];
    snprintf(content, sizeof content, FAKE_ONCE "%s\n{\"late\":1}", fixture_path(f, "marker"));
    const object *o = submit(indexer, content);
    run(indexer, 1);
    expect(o, LAM_OK, "{\"late\":1}");
    end(indexer);
}

/* While one process hangs the other serves, and nobody turns in circles meanwhile. */
static void promise_6_a_hang_harms_no_other(void **state)
{
    lam_indexer *indexer = start(*state, 2, HANG_MS, 0);
    const object *bad = submit(indexer, FAKE_HANG);
    for (int i = 0; i < 20; i++)
        submit(indexer, "{}");
    int turns = run(indexer, 21);
    for (size_t i = 1; i < 21; i++)
        expect(&objects[i], LAM_OK, "{}");
    expect(bad, LAM_E_CORRUPT, "crashed or hung");
    if (turns > 500)
        fail_msg("%d turns for 21 objects: it does not wait", turns);
    end(indexer);
}

static void what_waits_behind_a_suspect_waits_quietly(void **state)
{
    lam_indexer *indexer = start(*state, 1, HANG_MS, 0);
    submit(indexer, FAKE_HANG);
    submit(indexer, FAKE_HANG);
    submit(indexer, "{}");
    int turns = run(indexer, 3);
    expect(&objects[2], LAM_OK, "{}");
    if (turns > 200)
        fail_msg("%d turns for 3 objects: it does not wait", turns);
    end(indexer);
}

static void a_reader_that_breaks_the_protocol_is_replaced(void **state)
{
    lam_indexer *indexer = start(*state, 1, 0, 0);
    const object *bad = submit(indexer, FAKE_BABBLE), *good = submit(indexer, "{}");
    run(indexer, 2);
    expect(bad, LAM_E_CORRUPT, "crashed or hung");
    expect(good, LAM_OK, "{}");
    end(indexer);
}

/* A broken installation is no object's fault: whoever sends may send again. */
static void a_program_that_cannot_start_refuses_nothing_for_ever(void **state)
{
    static const char *const programs[] = {"/bin/false", NULL, "/etc/passwd"};
    const fixture *f = *state;
    for (size_t i = 0; i < LAM_COUNT(programs); i++) {
        lam_indexer *indexer = start(f, 2, 0, 300);
        fake_child_replace(f->directory, "lamina-worker", programs[i]);
        const object *o = submit(indexer, "{}");
        int turns = run(indexer, 1);
        expect(o, LAM_E_BUSY, "again later");
        if (turns > 100)
            fail_msg("%d turns in 300 ms: it does not wait", turns);
        end(indexer);
    }
}

static void a_program_that_comes_back_serves(void **state)
{
    const fixture *f = *state;
    lam_indexer *indexer = start(f, 1, 0, 0);
    fake_child_replace(f->directory, "lamina-worker", NULL);
    const object *o = submit(indexer, "{}");
    lam_indexer_turn(indexer);
    fake_child_install(f->directory);
    run(indexer, 1);
    expect(o, LAM_OK, "{}");
    end(indexer);
}

static void abandoned_requests_are_answered(void **state)
{
    lam_indexer *indexer = start(*state, 1, 0, 0);
    submit(indexer, FAKE_HANG);
    for (int i = 0; i < 20; i++)
        submit(indexer, "{}");
    lam_indexer_turn(indexer);
    lam_indexer_abandon(indexer, LAM_E_BUSY, "the end");
    assert_int_equal(answered, 21);
    expect(&objects[0], LAM_E_BUSY, "the end");
    expect(&objects[20], LAM_E_BUSY, "the end");
    end(indexer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(int argc, char **argv)
{
    (void)argc;
    fake_child_play(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(gives_each_its_own_answer),
        TEST(promise_6_a_crash_harms_no_other),
        TEST(promise_6_two_crashes_side_by_side),
        TEST(a_suspect_gets_a_second_chance),
        TEST(promise_6_a_hang_harms_no_other),
        TEST(what_waits_behind_a_suspect_waits_quietly),
        TEST(a_reader_that_breaks_the_protocol_is_replaced),
        TEST(a_program_that_cannot_start_refuses_nothing_for_ever),
        TEST(a_program_that_comes_back_serves),
        TEST(abandoned_requests_are_answered),
    };
    return cmocka_run_group_tests_name("indexer", tests, NULL, NULL);
}
