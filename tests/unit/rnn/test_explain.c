/* Explanations: gradients that are derivatives, integrals that are complete, attention that sums to 1; and
 * the spread of answers. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rnn/explain.h"

#define HEAD                                                                                                 \
    "{\"schema\":1,\"name\":\"t\",\"version\":\"1\",\"title\":\"t\",\"description\":\"\",\"task\":\"%s\","   \
    "\"selector\":{\"modality\":\"MR\"},\"preprocessing\":{%s},"                                             \
    "\"postprocessing\":{},\"outputs\":{%s},\"provenance\":{\"weights_sha256\":\"\"},\"network\":%s}"

#define SIZES     "\"minimum_size\":[4,3,3],\"maximum_size\":[9,9,9]"
#define ONE_SIZE  "\"minimum_size\":[4,5,3],\"maximum_size\":[4,5,3]"
#define OF_SLICES "\"minimum_size\":[1,3,3],\"maximum_size\":[9,9,9]"

#define CLASSES "\"classes\":[{\"name\":\"a\",\"label\":\"A\"},{\"name\":\"b\",\"label\":\"B\"}]"
#define INPUT   "{\"input\":{\"axes\":[\"z\",\"y\",\"x\"],\"channels\":1},\"layers\":["

static const char smooth[] = INPUT
    "{\"name\":\"c\",\"kind\":\"conv\",\"channels\":5,\"kernel\":3,\"padding\":1,\"activation\":\"tanh\"},"
    "{\"name\":\"n\",\"kind\":\"batch_norm\"},"
    "{\"name\":\"d\",\"kind\":\"dropout\",\"rate\":0.5},"
    "{\"name\":\"s\",\"kind\":\"sweep\",\"cell\":\"gru\",\"units\":4,\"directions\":[\"z+\",\"y-\"]},"
    "{\"name\":\"p\",\"kind\":\"attention_pool\",\"units\":3},"
    "{\"name\":\"o\",\"kind\":\"dense\",\"units\":2}]}";

static const char plain[] =
    INPUT "{\"name\":\"g\",\"kind\":\"global_pool\"},{\"name\":\"o\",\"kind\":\"dense\",\"units\":2}]}";

/* Every voxel has a weight of its own, so that what it contributes is known. */
static const char linear[] =
    "{\"input\":{\"axes\":[\"z\",\"y\",\"x\"],\"channels\":1,\"size\":[4,5,3]},\"layers\":["
    "{\"name\":\"m\",\"kind\":\"merge\",\"count\":3},{\"name\":\"o\",\"kind\":\"dense\",\"units\":2}]}";

/* A head of one cell a pixel and two classes. */
static const char head[] = "{\"input\":{\"axes\":[\"y\",\"x\"],\"channels\":1},\"layers\":["
                           "{\"name\":\"c\",\"kind\":\"conv\",\"channels\":6,\"kernel\":3,\"padding\":1,"
                           "\"activation\":\"tanh\"},{\"name\":\"o\",\"kind\":\"dense\",\"units\":8}]}";

struct model {
    lam_bundle *bundle;
    float voxels[4 * 5 * 3];
    lam_volume volume;
};

/* A bundle is loaded from files only: so that hashes and checks are the real ones. */
static void set_up_for(struct model *m, const char *task, const char *sizes, const char *network)
{
    char folder[] = "/tmp/lamina-explain-XXXXXX", path[128], text[8192];
    lam_manifest *manifest;
    lam_network *built;
    lam_weights *weights;
    lam_error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, HEAD, task, sizes, CLASSES, network);
    assert_ok(lam_manifest_parse(text, strlen(text), &manifest, &err), err);
    assert_ok(lam_network_create(manifest->network, &built, &err), err);
    assert_ok(lam_weights_create(built, 5, &weights, &err), err);
    snprintf(path, sizeof path, "%s/model.json", folder);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    file = fopen(path, "w");
    const lam_weights *const members[] = {weights};
    assert_ok(lam_weights_save(members, 1, fileno(file), NULL, 0, &err), err);
    fclose(file);
    assert_ok(lam_bundle_load_path(folder, &m->bundle, &err), err);
    lam_weights_free(weights);
    lam_network_free(built);
    lam_manifest_free(manifest);
    for (size_t i = 0; i < sizeof m->voxels / sizeof m->voxels[0]; i++)
        m->voxels[i] = sinf((float)i * 1.7f);
    m->volume = (lam_volume){.voxels = m->voxels, .size = {4, 5, 3}, .spacing_mm = {1, 1, 1}};
    unlink(path);
    snprintf(path, sizeof path, "%s/model.json", folder);
    unlink(path);
    rmdir(folder);
}

static void set_up(struct model *m, const char *network)
{
    set_up_for(m, "classification", SIZES, network);
}

static lam_status explain(const struct model *m, lam_explain_method method, int target, int steps,
                          lam_explanation *out, lam_error *err)
{
    const lam_explain_options options = {.method = method, .target = target, .steps = steps};
    return lam_explain(m->bundle, NULL, &m->volume, &options, out, err);
}

static double sum_of(const lam_explanation *e)
{
    double sum = 0;
    for (int64_t i = 0; i < e->size[0] * e->size[1] * e->size[2]; i++)
        sum += (double)e->map[i];
    return sum;
}

static void test_integrated_gradients_are_complete(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    set_up(&m, smooth);
    for (int target = 0; target < 2; target++) {
        assert_ok(explain(&m, LAM_EXPLAIN_INTEGRATED, target, 64, &e, &err), err);
        double error = fabs(sum_of(&e) - (e.score - e.baseline));
        if (!(error < 1e-3 * (fabs(e.score - e.baseline) + 1e-3)))
            fail_msg("the parts sum to %g, not to %g", sum_of(&e), e.score - e.baseline);
        lam_explanation_done(&e);
    }
    lam_bundle_free(m.bundle);
}

/* |dF/dx| of one voxel against the difference that moving it makes. */
static void test_gradients_are_derivatives(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e, up, down;
    lam_error err = {0};
    const float step = 0.01f;
    set_up(&m, smooth);
    assert_ok(explain(&m, LAM_EXPLAIN_GRADIENT, 1, 1, &e, &err), err);
    for (size_t i = 0; i < 60; i += 7) {
        float kept = m.voxels[i];
        m.voxels[i] = kept + step;
        assert_ok(explain(&m, LAM_EXPLAIN_GRADIENT, 1, 1, &up, &err), err);
        m.voxels[i] = kept - step;
        assert_ok(explain(&m, LAM_EXPLAIN_GRADIENT, 1, 1, &down, &err), err);
        m.voxels[i] = kept;
        double expected = fabs(up.score - down.score) / (2 * (double)step);
        if (!(fabs((double)e.map[i] - expected) < 1e-4 + 0.02 * expected))
            fail_msg("voxel %zu: %g, not %g", i, (double)e.map[i], expected);
        lam_explanation_done(&up);
        lam_explanation_done(&down);
    }
    lam_explanation_done(&e);
    lam_bundle_free(m.bundle);
}

static void test_attention_is_a_distribution(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    set_up(&m, smooth);
    assert_ok(explain(&m, LAM_EXPLAIN_ATTENTION, -1, 1, &e, &err), err);
    if (!(fabs(sum_of(&e) - 1) < 1e-5))
        fail_msg("the weights sum to %g", sum_of(&e));
    lam_explanation_done(&e);
    lam_bundle_free(m.bundle);
    set_up(&m, plain);
    assert_fails(explain(&m, LAM_EXPLAIN_ATTENTION, -1, 1, &e, &err), LAM_E_UNSUPPORTED, err);
    lam_bundle_free(m.bundle);
}

/* Of a linear network a voxel's share is what the score loses without it. */
static void test_shares_of_a_linear_network_are_known(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e, without;
    lam_error err = {0};
    set_up_for(&m, "classification", ONE_SIZE, linear);
    assert_ok(explain(&m, LAM_EXPLAIN_INTEGRATED, 1, 4, &e, &err), err);
    for (size_t i = 0; i < 60; i += 11) {
        float kept = m.voxels[i];
        m.voxels[i] = 0;
        assert_ok(explain(&m, LAM_EXPLAIN_INTEGRATED, 1, 1, &without, &err), err);
        m.voxels[i] = kept;
        if (!(fabs(e.score - without.score - (double)e.map[i]) < 1e-5))
            fail_msg("voxel %zu: %g, not %g", i, (double)e.map[i], e.score - without.score);
        lam_explanation_done(&without);
    }
    lam_explanation_done(&e);
    lam_bundle_free(m.bundle);
}

static void test_curves_tell_a_map_from_chance(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    lam_explain_areas map, chance, upside_down;
    set_up_for(&m, "classification", ONE_SIZE, linear);
    assert_ok(explain(&m, LAM_EXPLAIN_INTEGRATED, -1, 1, &e, &err), err);
    assert_ok(lam_explain_curves(m.bundle, NULL, &m.volume, e.map, 20, 5, 1, &map, &chance, &err), err);
    if (!(map.deletion < chance.deletion - 0.01 && map.insertion > chance.insertion + 0.01))
        fail_msg("deletion %g, by chance %g; insertion %g, by chance %g", map.deletion, chance.deletion,
                 map.insertion, chance.insertion);
    for (size_t i = 0; i < 60; i++)
        e.map[i] = -e.map[i];
    assert_ok(lam_explain_curves(m.bundle, NULL, &m.volume, e.map, 20, 5, 1, &upside_down, &chance, &err),
              err);
    assert_true(upside_down.deletion > chance.deletion && upside_down.insertion < chance.insertion);
    lam_explanation_done(&e);
    lam_bundle_free(m.bundle);
}

static void count_ticks(void *context, size_t done, size_t total)
{
    size_t *last = context;
    assert_true(done == *last + 1 && done <= total);
    *last = done;
}

static void test_it_gives_signs_of_life(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    size_t ticks = 0;
    set_up(&m, smooth);
    const lam_explain_options options = {
        .method = LAM_EXPLAIN_INTEGRATED, .target = -1, .tick = count_ticks, .context = &ticks};
    assert_ok(lam_explain(m.bundle, NULL, &m.volume, &options, &e, &err), err);
    assert_int_equal(ticks, lam_explain_steps(m.bundle, m.volume.size));
    lam_explanation_done(&e);
    const int64_t large[3] = {64, 512, 512};
    assert_in_range(lam_explain_steps(m.bundle, large), 8, 8);
    lam_bundle_free(m.bundle);
}

/* Slice by slice, and complete. */
static void test_detections_are_explained(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    set_up_for(&m, "detection", OF_SLICES, head);
    assert_ok(explain(&m, LAM_EXPLAIN_INTEGRATED, -1, 64, &e, &err), err);
    assert_true(fabs(e.score) > 1e-3);
    double error = fabs(sum_of(&e) - (e.score - e.baseline));
    if (!(error < 1e-3 * (fabs(e.score - e.baseline) + 1e-3)))
        fail_msg("the parts sum to %g, not to %g", sum_of(&e), e.score - e.baseline);
    lam_explanation_done(&e);
    lam_bundle_free(m.bundle);
}

static void test_spread_comes_from_dropout(void **state)
{
    (void)state;
    struct model m;
    lam_error err = {0};
    double mean[2], again[2], deviation[2];
    set_up(&m, smooth);
    assert_ok(lam_explain_spread(m.bundle, NULL, &m.volume, 50, 1, mean, deviation, &err), err);
    if (!(fabs(mean[0] + mean[1] - 1) < 1e-6 && deviation[0] > 1e-4 && deviation[0] < 0.5))
        fail_msg("mean %g %g, deviation %g", mean[0], mean[1], deviation[0]);
    assert_ok(lam_explain_spread(m.bundle, NULL, &m.volume, 50, 1, again, deviation, &err), err);
    assert_memory_equal(mean, again, sizeof mean);
    lam_bundle_free(m.bundle);
    set_up(&m, plain);
    assert_fails(lam_explain_spread(m.bundle, NULL, &m.volume, 5, 1, mean, deviation, &err),
                 LAM_E_UNSUPPORTED, err);
    lam_bundle_free(m.bundle);
}

static void test_what_cannot_be_explained(void **state)
{
    (void)state;
    struct model m;
    lam_explanation e;
    lam_error err = {0};
    set_up(&m, plain);
    assert_fails(explain(&m, LAM_EXPLAIN_GRADIENT, 2, 1, &e, &err), LAM_E_INVALID, err);
    assert_fails(explain(&m, LAM_EXPLAIN_INTEGRATED, 0, -1, &e, &err), LAM_E_INVALID, err);
    m.volume.size[0] = 1;
    assert_fails(explain(&m, LAM_EXPLAIN_GRADIENT, 0, 1, &e, &err), LAM_E_LIMIT, err);
    lam_bundle_free(m.bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integrated_gradients_are_complete),
        cmocka_unit_test(test_gradients_are_derivatives),
        cmocka_unit_test(test_attention_is_a_distribution),
        cmocka_unit_test(test_shares_of_a_linear_network_are_known),
        cmocka_unit_test(test_curves_tell_a_map_from_chance),
        cmocka_unit_test(test_it_gives_signs_of_life),
        cmocka_unit_test(test_detections_are_explained),
        cmocka_unit_test(test_spread_comes_from_dropout),
        cmocka_unit_test(test_what_cannot_be_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
