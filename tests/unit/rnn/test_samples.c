/* Sets that say whose a sample is: samples of one patient are in one group, wherever they stand, and stay
 * together when the data is parted. Numbers may be of any type. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/rnn/safetensors.h"
#include "core/rnn/train/samples.h"

enum { SAMPLES = 6, SIDE = 4, NAME = 2 };

static const char model[] =
    "{\"schema\": 1, \"name\": \"dots\", \"version\": \"1\", \"task\": \"classification\","
    "\"network\": {\"input\": {\"axes\": [\"y\", \"x\"], \"channels\": 1}, \"layers\": ["
    "{\"name\": \"pool\", \"kind\": \"global_pool\", \"function\": \"max\"},"
    "{\"name\": \"logits\", \"kind\": \"dense\", \"units\": 2}]},"
    "\"outputs\": {\"classes\": [{\"name\": \"a\", \"label\": \"A\"}, {\"name\": \"b\", \"label\": \"B\"}]}}";

static void test_patients_stay_together(void **state)
{
    (void)state;
    static const uint8_t images[SAMPLES][SIDE][SIDE], labels[SAMPLES] = {0, 1, 0, 1, 0, 1};
    static const char patients[SAMPLES][NAME] = {"P", "Q", "P", "R", "Q", "P"}; /* with their NUL */
    static const int groups[SAMPLES] = {0, 1, 0, 2, 1, 0};
    const lam_tensor tensors[] = {
        {"images", LAM_DTYPE_U8, {3, {SAMPLES, SIDE, SIDE}}, images, sizeof images},
        {"labels", LAM_DTYPE_U8, {1, {SAMPLES}}, labels, sizeof labels},
        {"patients", LAM_DTYPE_U8, {2, {SAMPLES, NAME}}, patients, sizeof patients},
    };
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_samples) *all = NULL, *part = NULL, *rest = NULL;
    lam_error err = {0};
    char path[32];
    lam_autoclose int fd = memfd_create("samples", MFD_CLOEXEC);
    const char *const paths[] = {path};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_ok(lam_safetensors_write(fd, tensors, 3, NULL, 0, &err), err);
    assert_ok(lam_manifest_parse(model, strlen(model), &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_samples_load(manifest, network, paths, 1, &all, &err), err);
    assert_int_equal(lam_samples_groups(all), 3);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_int_equal(lam_samples_at(all, i)->group, groups[i]);
    assert_ok(lam_samples_fold(all, 0, 3, false, &part, &err), err);
    assert_ok(lam_samples_fold(all, 0, 3, true, &rest, &err), err);
    assert_int_equal(lam_samples_count(part), 3);
    assert_int_equal(lam_samples_count(rest), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lam_samples_at(part, i)->group, 0);
        assert_int_not_equal(lam_samples_at(rest, i)->group, 0);
    }
    assert_int_equal(lam_samples_fold(all, 0, 4, false, &part, &err), LAM_E_INVALID);
    LAM_AUTO_PTR(lam_json) *names = NULL;
    LAM_AUTO_PTR(lam_samples) *trusted = NULL;
    static const char list[] = "[\"0\", \"4\", \"44\"]";
    assert_ok(lam_json_parse(list, strlen(list), &names, &err), err);
    assert_ok(lam_samples_without(all, lam_json_root(names), &trusted, &err), err);
    assert_int_equal(lam_samples_count(trusted), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_not_equal(lam_samples_at(trusted, i)->id, "0");
        assert_string_not_equal(lam_samples_at(trusted, i)->id, "4");
    }
}

/* Each file pads the names to the longest of its own. */
static void test_patients_of_two_files(void **state)
{
    (void)state;
    enum { EACH = 2, WIDE = 5 };
    static const uint8_t images[EACH][SIDE][SIDE], labels[EACH] = {0, 1};
    static const char narrow[EACH][NAME] = {"P", "Q"}, wide[EACH][WIDE] = {"Long", "P"}, none[EACH][NAME];
    static const int groups[] = {0, 1, 2, 0, 3, 4};
    const lam_tensor names[] = {
        {"patients", LAM_DTYPE_U8, {2, {EACH, NAME}}, narrow, sizeof narrow},
        {"patients", LAM_DTYPE_U8, {2, {EACH, WIDE}}, wide, sizeof wide},
        {"patients", LAM_DTYPE_U8, {2, {EACH, NAME}}, none, sizeof none},
    };
    char text[LAM_COUNT(names)][32];
    const char *paths[LAM_COUNT(names)];
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    LAM_AUTO_PTR(lam_samples) *all = NULL;
    lam_error err = {0};
    int files[LAM_COUNT(names)];
    for (size_t i = 0; i < LAM_COUNT(names); i++) {
        const lam_tensor tensors[] = {
            {"images", LAM_DTYPE_U8, {3, {EACH, SIDE, SIDE}}, images, sizeof images},
            {"labels", LAM_DTYPE_U8, {1, {EACH}}, labels, sizeof labels},
            names[i],
        };
        files[i] = memfd_create("samples", MFD_CLOEXEC);
        snprintf(text[i], sizeof text[i], "/proc/self/fd/%d", files[i]);
        paths[i] = text[i];
        assert_ok(lam_safetensors_write(files[i], tensors, LAM_COUNT(tensors), NULL, 0, &err), err);
    }
    assert_ok(lam_manifest_parse(model, strlen(model), &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    assert_ok(lam_samples_load(manifest, network, paths, LAM_COUNT(paths), &all, &err), err);
    for (size_t i = 0; i < LAM_COUNT(groups); i++)
        assert_int_equal(lam_samples_at(all, i)->group, groups[i]);
    assert_int_equal(lam_samples_groups(all), 5);
    for (size_t i = 0; i < LAM_COUNT(files); i++)
        close(files[i]);
}

/* `train --fold 1/3` of a recipe that cross-validates with three members: a part is parted again, and every
 * part of it has patients. */
static void test_parts_can_be_parted(void **state)
{
    (void)state;
    enum { PATIENTS = 9, FOLDS = 3 };
    static const uint8_t images[PATIENTS][SIDE][SIDE], labels[PATIENTS] = {0, 1, 0, 1, 0, 1, 0, 1, 0};
    static const char patients[PATIENTS + 1] = "ABCDEFGHI";
    const lam_tensor tensors[] = {
        {"images", LAM_DTYPE_U8, {3, {PATIENTS, SIDE, SIDE}}, images, sizeof images},
        {"labels", LAM_DTYPE_U8, {1, {PATIENTS}}, labels, sizeof labels},
        {"patients", LAM_DTYPE_U8, {2, {PATIENTS, 1}}, patients, PATIENTS},
    };
    for (size_t named = 0; named < 2; named++) {
        LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
        LAM_AUTO_PTR(lam_network) *network = NULL;
        LAM_AUTO_PTR(lam_samples) *all = NULL, *rest = NULL, *too_many = NULL;
        lam_error err = {0};
        char path[32];
        lam_autoclose int fd = memfd_create("samples", MFD_CLOEXEC);
        const char *const paths[] = {path};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        assert_ok(lam_safetensors_write(fd, tensors, 2 + named, NULL, 0, &err), err);
        assert_ok(lam_manifest_parse(model, strlen(model), &manifest, &err), err);
        assert_ok(lam_network_create(manifest->network, &network, &err), err);
        assert_ok(lam_samples_load(manifest, network, paths, 1, &all, &err), err);
        assert_ok(lam_samples_fold(all, 1, FOLDS, true, &rest, &err), err);
        assert_int_equal(lam_samples_count(rest), 6);
        for (int i = 0; i < FOLDS; i++) {
            LAM_AUTO_PTR(lam_samples) *judged = NULL, *learnt = NULL;
            assert_ok(lam_samples_fold(rest, i, FOLDS, false, &judged, &err), err);
            assert_ok(lam_samples_fold(rest, i, FOLDS, true, &learnt, &err), err);
            assert_int_equal(lam_samples_count(judged), 2);
            assert_int_equal(lam_samples_count(learnt), 4);
        }
        assert_int_equal(lam_samples_fold(rest, 0, 7, false, &too_many, &err), LAM_E_INVALID);
    }
}

/* What others save: numbers of any type are the same numbers; a label that is no class is refused. */
static void test_numbers_of_any_type(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    static const uint8_t bytes[COUNT] = {1, 0, 1};
    static const int8_t i8[COUNT] = {1, 0, 1};
    static const int16_t i16[COUNT] = {1, 0, 1};
    static const uint16_t u16[COUNT] = {1, 0, 1}, half[COUNT] = {0x3c00, 0, 0x3c00};
    static const uint16_t brain[COUNT] = {0x3f80, 0, 0x3f80};
    static const int32_t i32[COUNT] = {1, 0, 1}, negative[COUNT] = {1, -1, 0}, beyond[COUNT] = {1, 2, 0};
    static const uint32_t u32[COUNT] = {1, 0, 1};
    static const int64_t i64[COUNT] = {1, 0, 1}, wrapped[COUNT] = {1, 256, 0};
    static const uint64_t u64[COUNT] = {1, 0, 1};
    static const float f32[COUNT] = {1, 0, 1}, broken[COUNT] = {1, 0.5F, 0};
    static const double f64[COUNT] = {1, 0, 1}, missing[COUNT] = {1, NAN, 0};
    static const struct {
        lam_dtype type;
        const void *data;
        lam_status expected;
    } cases[] = {
        {LAM_DTYPE_U8, bytes, LAM_OK},
        {LAM_DTYPE_BOOL, bytes, LAM_OK},
        {LAM_DTYPE_I8, i8, LAM_OK},
        {LAM_DTYPE_I16, i16, LAM_OK},
        {LAM_DTYPE_U16, u16, LAM_OK},
        {LAM_DTYPE_F16, half, LAM_OK},
        {LAM_DTYPE_BF16, brain, LAM_OK},
        {LAM_DTYPE_I32, i32, LAM_OK},
        {LAM_DTYPE_U32, u32, LAM_OK},
        {LAM_DTYPE_I64, i64, LAM_OK},
        {LAM_DTYPE_U64, u64, LAM_OK},
        {LAM_DTYPE_F32, f32, LAM_OK},
        {LAM_DTYPE_F64, f64, LAM_OK},
        {LAM_DTYPE_I32, negative, LAM_E_INVALID},
        {LAM_DTYPE_I32, beyond, LAM_E_INVALID},
        {LAM_DTYPE_I64, wrapped, LAM_E_INVALID},
        {LAM_DTYPE_F32, broken, LAM_E_INVALID},
        {LAM_DTYPE_F64, missing, LAM_E_INVALID},
    };
    LAM_AUTO_PTR(lam_manifest) *manifest = NULL;
    LAM_AUTO_PTR(lam_network) *network = NULL;
    lam_error err = {0};
    assert_ok(lam_manifest_parse(model, strlen(model), &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &network, &err), err);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        LAM_AUTO_PTR(lam_samples) *all = NULL;
        size_t size = COUNT * lam_dtype_size(cases[i].type);
        const lam_tensor tensors[] = {
            {"images", cases[i].type, {3, {COUNT, 1, 1}}, cases[i].data, size},
            {"labels", cases[i].type, {2, {COUNT, 1}}, cases[i].data, size},
        };
        char path[32];
        lam_autoclose int fd = memfd_create("samples", MFD_CLOEXEC);
        const char *const paths[] = {path};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        assert_ok(lam_safetensors_write(fd, tensors, LAM_COUNT(tensors), NULL, 0, &err), err);
        if (cases[i].expected != LAM_OK) {
            assert_fails(lam_samples_load(manifest, network, paths, 1, &all, &err), cases[i].expected, err);
            continue;
        }
        assert_ok(lam_samples_load(manifest, network, paths, 1, &all, &err), err);
        for (size_t k = 0; k < COUNT; k++) {
            assert_int_equal(lam_samples_at(all, k)->truth.label, bytes[k]);
            assert_true(lam_samples_at(all, k)->raw[0] == (float)bytes[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patients_stay_together),
        cmocka_unit_test(test_patients_of_two_files),
        cmocka_unit_test(test_parts_can_be_parted),
        cmocka_unit_test(test_numbers_of_any_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
