/* Pictures written as PNG and JPEG, also where there is no room for them. */
#include "dicom/canvas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

enum { SIDE = 512, QUALITY = 100 };

/* Noise, which no encoder makes small. */
static lam_canvas noise(int side)
{
    lam_canvas c = {0, 0, NULL};
    uint32_t state = 1;
    assert_int_equal(lam_canvas_init(&c, side, side, NULL), LAM_OK);
    for (size_t i = 0; i < 3 * (size_t)side * (size_t)side; i++)
        c.rgb[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    return c;
}

static lam_status png(const lam_canvas *c, lam_buffer *out, lam_error *err)
{
    return lam_canvas_png(c, out, err);
}

static lam_status jpeg(const lam_canvas *c, lam_buffer *out, lam_error *err)
{
    return lam_canvas_jpeg(c, QUALITY, out, err);
}

static const struct {
    lam_status (*encode)(const lam_canvas *c, lam_buffer *out, lam_error *err);
    const char *begin, *end;
    size_t begin_length, end_length;
} forms[] = {{png, "\x89PNG\r\n\x1a\n", "IEND\xae\x42\x60\x82", 8, 8},
             {jpeg, "\xff\xd8\xff", "\xff\xd9", 3, 2}};

static void whole_pictures_are_appended(void **state)
{
    (void)state;
    LAM_AUTO(lam_canvas_done) lam_canvas c = noise(SIDE);
    for (size_t i = 0; i < LAM_COUNT(forms); i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer out;
        lam_buffer_init(&out, 64 << 20);
        lam_buffer_append(&out, "before", 6);
        assert_int_equal(forms[i].encode(&c, &out, NULL), LAM_OK);
        assert_true(out.length > SIDE * SIDE); /* more than a piece of any encoder */
        assert_memory_equal(out.data, "before", 6);
        assert_memory_equal(out.data + 6, forms[i].begin, forms[i].begin_length);
        assert_memory_equal(out.data + out.length - forms[i].end_length, forms[i].end, forms[i].end_length);
    }
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    LAM_AUTO(lam_canvas_done) lam_canvas c = noise(SIDE);
    for (size_t i = 0; i < LAM_COUNT(forms); i++)
        for (size_t room = 0; room <= 256 * 1024; room += 64 * 1024) {
            LAM_AUTO(lam_buffer_done) lam_buffer out;
            lam_buffer_init(&out, room);
            assert_int_equal(forms[i].encode(&c, &out, NULL), LAM_E_LIMIT);
        }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static size_t bytes_in_use(void)
{
    size_t pages = 0;
    FILE *about = fopen("/proc/self/statm", "re");
    assert_non_null(about);
    assert_int_equal(fscanf(about, "%zu", &pages), 1);
    fclose(about);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* In a process of its own, which must come to a regular end. */
static void no_memory_is_no_crash(void **state)
{
    (void)state;
    enum { LARGE = 2048, ROOM = 3 << 20 };
    LAM_AUTO(lam_canvas_done) lam_canvas c = noise(LARGE);
    for (size_t i = 0; i < LAM_COUNT(forms); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            lam_buffer out;
            lam_buffer_init(&out, (size_t)1 << 30);
            const rlim_t most = bytes_in_use() + ROOM;
            setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
            _exit(forms[i].encode(&c, &out, NULL));
        }
        int ended = 0;
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFEXITED(ended));
        assert_int_equal(WEXITSTATUS(ended), LAM_E_NO_MEMORY);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pictures_are_appended),
        cmocka_unit_test(a_full_buffer_is_a_limit),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(no_memory_is_no_crash),
#endif
    };
    return cmocka_run_group_tests_name("canvas", tests, NULL, NULL);
}
