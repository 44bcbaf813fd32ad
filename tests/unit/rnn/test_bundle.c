/* Bundles: the shipped model loads and reproduces its reference; whatever is wrong in a manifest or in
 * weights is an error that says where. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/rnn/bundle.h"

#define MODEL   "models/hippocampus/1.0.0"
#define VECTORS "../shared/models/hippocampus/vectors.safetensors"

/* The reference's own bound on how far another implementation may be off, relative to the range of the
 * logits. */
#define LOGIT_TOLERANCE 1e-4

static lam_buffer manifest;

/* Of images at several phases. */
#define CODE "\"quantity\": {\"scheme\": \"LN\", \"value\": \"1\", \"meaning\": \"M\"}"
#define CYCLE(segment, phase)                                                                                \
    "\"unit\": \"ml\", \"cycle\": {\"segment\": \"" segment                                                  \
    "\", \"largest\": {\"name\": \"l\", \"phase\": \"" phase "\", " CODE                                     \
    "}, \"smallest\": {\"name\": \"s\", \"phase\": \"end\", " CODE                                           \
    "}, \"fraction\": {\"name\": \"f\", " CODE "}}"

static int temporary(const char *text, size_t length)
{
    char path[] = "/tmp/lamina-bundle-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(lam_io_write_all(fd, text, length, NULL), LAM_OK);
    return fd;
}

static lam_status load_with(const char *text, const char *weights, lam_bundle **out, lam_error *err)
{
    int manifest_fd = temporary(text, strlen(text)), weights_fd = open(weights, O_RDONLY | O_CLOEXEC);
    lam_status status = lam_bundle_load(manifest_fd, weights_fd, -1, out, err);
    close(manifest_fd);
    close(weights_fd);
    return status;
}

/* The shipped manifest with one piece of text replaced. */
static char *edited(const char *from, const char *to)
{
    char *at = strstr(manifest.data, from);
    char *text = malloc(manifest.length + strlen(to) + 1);
    if (!at || !text) {
        fail_msg("the manifest no longer holds: %s", from);
        abort(); /* fail_msg does not return, which not every analyser knows */
    }
    size_t before = (size_t)(at - manifest.data);
    memcpy(text, manifest.data, before);
    strcpy(text + before, to);
    strcat(text, at + strlen(from));
    return text;
}

static void test_reads_the_manifest(void **state)
{
    (void)state;
    lam_error err = {0};
    lam_manifest *m;
    assert_ok(lam_manifest_parse(manifest.data, manifest.length, &m, &err), err);
    assert_string_equal(m->name, "hippocampus");
    assert_string_equal(m->version, "1.0.0");
    assert_int_equal(m->task, LAM_TASK_SEGMENTATION);
    assert_string_equal(m->selector.modality, "MR");
    assert_int_equal(m->selector.match_count, 1);
    assert_string_equal(m->selector.matches[0].keyword, "SeriesDescription");
    assert_true(m->selector.matches[0].ignore_case);
    assert_int_equal(m->selector.minimum_slices, 8);
    assert_string_equal(m->preprocessing.orientation, "RAS");
    assert_int_equal(m->preprocessing.pad_multiple[2], 2);
    assert_int_equal(m->segment_count, 2);
    assert_string_equal(m->segments[1].type.value, "5366008");
    assert_string_equal(m->segments[1].type_modifier.meaning, "Posterior");
    assert_null(m->segments[1].anatomy.value);
    lam_manifest_free(m);
}

static void test_refuses_what_is_wrong_in_a_manifest(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"\"schema\": 1", "\"schema\": 2", "schema"},
        {"\"name\": \"hippocampus\"", "\"name\": \"../etc\"", "name"},
        {"\"version\": \"1.0.0\"", "\"version\": \"..\"", "version"},
        {"\"task\": \"segmentation\"", "\"task\": \"divination\"", "task"},
        {"\"modality\"", "\"modalities\"", "modalities"},
        {"\"pattern\": \"hippo\"", "\"pattern\": \"hip(po\"", "pattern"},
        {"\"minimum_slices\": 8", "\"minimum_slices\": 0", "minimum_slices"},
        {"\"orientation\": \"RAS\"", "\"orientation\": \"RLS\"", "orientation"},
        {"\"spacing_mm\": [1, 1, 1]", "\"spacing_mm\": [1, 1]", "spacing_mm"},
        {"\"clip_percentile\": 99.5", "\"clip_percentile\": 101", "clip_percentile"},
        {"\"pad_multiple\": 2", "\"pad_multiple\": 1", "size of the input"},
        {"\"number\": 2", "\"number\": 3", "number"},
        {"\"value\": \"5366008\"", "\"value\": 5366008", "value"},
        {"\"colour\": [220, 90, 70]", "\"colour\": [256, 0, 0]", "colour"},
        {"\"kind\": \"conv\"", "\"kind\": \"convolve\"", "convolve"},
        {"\"channels\": 64", "\"channels\": 63", "stem.weight|differ|seen"},
        {"\"units\": 16", "\"units\": 0", "units"},
        {"\"cell\": \"gru\"", "\"cell\": \"lstm\"", "weight_ih"},
        {"\"z-\"", "\"z+\"", "twice"},
        {"\"z-\"", "\"w-\"", "w-"},
        {"\"from\": [\"stem\"", "\"from\": [\"head\"", "head"},
        {"\"name\": \"blocks.0.mix\"", "\"name\": \"stem\"", "twice"},
        {"\"factor\": 2", "\"factor\": 3", "multiple"},
        {"\"outputs\": {", "\"drawing\": {}, \"outputs\": {", "drawing"},
        {"\"output\": \"logits\"", "\"output\": \"head\"", "size of the input"},
        {"\"units\": 24", "\"units\": 32", "head.weight"},
        {"\"temperature\": 1.5", "\"temperature\": 0", "temperature"},
        {"\"temperature\": 1.5", "\"average_flips\": \"x\"", "average_flips"},
        {"\"temperature\": 1.5", "\"average_turns\": 35", "average_turns"},
        {"\"temperature\": 1.5", "\"average_turns\": [35, 181]", "average_turns"},
        {"\"temperature\": 1.5", "\"average_turns\": [1, 2, 3, 4, 5, 6, 7, 8, 9]", "average_turns"},
        {"\"unit\": \"ml\"", "\"unit\": \"ml\", \"cycle\": {\"segment\": \"anterior\"}", "largest"},
        {"\"unit\": \"ml\"", CYCLE("cavity", "end"), "names none"},
        {"\"unit\": \"ml\"", CYCLE("anterior", ""), "phase"},
        {"\"weights_sha256\": \"", "\"weights_sha256\": \"0", "weights_sha256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lam_error err = {0};
        lam_bundle *bundle = NULL;
        char *text = edited(cases[i].from, cases[i].to), says[128];
        if (load_with(text, MODEL "/weights.safetensors", &bundle, &err) == LAM_OK)
            fail_msg("accepted: %s", cases[i].to);
        assert_null(bundle);
        bool said = false;
        snprintf(says, sizeof says, "%s", cases[i].says);
        for (char *word = strtok(says, "|"); word; word = strtok(NULL, "|"))
            said = said || strstr(err.message, word);
        if (!said)
            fail_msg("%s: the message does not say `%s`: %s", cases[i].to, cases[i].says, err.message);
        free(text);
    }
}

static void test_refuses_another_files_weights(void **state)
{
    (void)state;
    lam_error err;
    lam_bundle *bundle = NULL;
    char *at = strstr(manifest.data, "\"weights_sha256\": \""), *text = strdup(manifest.data);
    char *digit = text + (at - manifest.data) + strlen("\"weights_sha256\": \"");
    *digit = *digit == '0' ? '1' : '0';
    assert_fails(load_with(text, MODEL "/weights.safetensors", &bundle, &err), LAM_E_CORRUPT, err);
    assert_fails(load_with(manifest.data, MODEL "/model.json", &bundle, &err), LAM_E_LIMIT, err);
    assert_fails(load_with(manifest.data, "tests/golden/rnn/layers.safetensors", &bundle, &err),
                 LAM_E_INVALID, err);
    free(text);
}

/* Cut or damaged anywhere, a manifest is an error or, where the damage is harmless, a model: never a crash.
 */
static void test_damaged_manifests(void **state)
{
    (void)state;
    size_t end = manifest.length - 1; /* the last byte is a line feed, which may go */
    for (size_t i = 0; i < end; i++) {
        lam_manifest *m = NULL;
        assert_int_not_equal(lam_manifest_parse(manifest.data, i, &m, NULL), LAM_OK);
        char *text = malloc(manifest.length);
        memcpy(text, manifest.data, manifest.length);
        text[i] = (char)(text[i] ^ 0x11);
        lam_network *network = NULL;
        if (lam_manifest_parse(text, manifest.length, &m, NULL) == LAM_OK &&
            lam_network_create(m->network, &network, NULL) == LAM_OK)
            lam_network_free(network);
        lam_manifest_free(m);
        free(text);
    }
}

static void test_reproduces_the_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"hippocampus_007", "hippocampus_020"};
    lam_error err = {0};
    lam_safetensors *vectors;
    lam_bundle *bundle;
    lam_session *session;
    if (access(VECTORS, R_OK) != 0)
        skip();
    assert_ok(lam_safetensors_open(VECTORS, &vectors, &err), err);
    assert_ok(lam_bundle_load_path(MODEL, &bundle, &err), err);
    assert_ok(lam_session_create(lam_bundle_weights(bundle), LAM_MODE_INFER, NULL, &session, &err), err);
    for (size_t n = 0; n < 2; n++) {
        char key[64];
        snprintf(key, sizeof key, "%s.input", names[n]);
        const lam_tensor *input = lam_safetensors_find(vectors, key);
        snprintf(key, sizeof key, "%s.logits", names[n]);
        const lam_tensor *logits = lam_safetensors_find(vectors, key);
        lam_shape shape = {5, {1, input->shape.dim[0], input->shape.dim[1], input->shape.dim[2], 1}};
        assert_ok(lam_session_plan(session, &shape, &err), err);
        memcpy(lam_session_input(session), input->data, input->bytes);
        lam_session_run(session);
        const float *have = lam_session_output(session), *want = logits->data;
        size_t voxels = input->bytes / sizeof(float);
        float low = want[0], high = want[0];
        double worst = 0;
        for (size_t i = 0; i < voxels * 3; i++) {
            double difference = fabs((double)have[i % voxels * 3 + i / voxels] - want[i]);
            low = want[i] < low ? want[i] : low;
            high = want[i] > high ? want[i] : high;
            worst = difference <= worst ? worst : difference;
        }
        if (!(worst <= LOGIT_TOLERANCE * (high - low)))
            fail_msg("%s: logits differ by %g of %g", names[n], worst, high - low);
    }
    lam_session_free(session);
    lam_bundle_free(bundle);
    lam_safetensors_free(vectors);
}

static void test_colours(void **state)
{
    (void)state;
    static const struct {
        uint8_t rgb[3];
        int lab[3]; /* PS3.3 C.10.7.1.1: L 0 … 100 and a, b -128 … 127 over 0 … 65535 */
    } cases[] = {
        {{255, 255, 255}, {65535, 32896, 32896}},
        {{0, 0, 0}, {0, 32896, 32896}},
        {{255, 0, 0}, {35559, 53658, 50858}}, /* L 54.29, a 80.81, b 69.89 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t lab[3];
        lam_manifest_cielab(cases[i].rgb, lab);
        for (int c = 0; c < 3; c++)
            assert_in_range(lab[c], cases[i].lab[c] < 40 ? 0 : cases[i].lab[c] - 40, cases[i].lab[c] + 40);
    }
}

static int read_manifest(void **state)
{
    (void)state;
    lam_buffer_init(&manifest, LAM_MANIFEST_MAX_BYTES);
    return lam_io_read_file(MODEL "/model.json", &manifest, NULL) == LAM_OK ? 0 : -1;
}

static int free_manifest(void **state)
{
    (void)state;
    lam_buffer_done(&manifest);
    return 0;
}

/* A bundle is meant by its own folder, or by that of its model's versions. */
static void test_finds_the_newest_version(void **state)
{
    (void)state;
    static const char *const folders[] = {"m", "m/1.9.0", "m/1.10.0", "m/2.0.0", "m/.3.0.0"};
    static const char *const manifests[] = {"m/1.9.0/model.json", "m/1.10.0/model.json",
                                            "m/.3.0.0/model.json"};
    char root[] = "/tmp/lamina-bundles-XXXXXX", asked[64], wanted[64], found[128];
    lam_error err = {0};
    assert_non_null(mkdtemp(root));
    lam_autoclose int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < LAM_COUNT(folders); i++)
        assert_int_equal(mkdirat(fd, folders[i], 0700), 0);
    for (size_t i = 0; i < LAM_COUNT(manifests); i++)
        close(openat(fd, manifests[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(asked, sizeof asked, "%s/m", root);
    snprintf(wanted, sizeof wanted, "%s/m/1.10.0", root);
    assert_ok(lam_bundle_find(asked, found, sizeof found, &err), err);
    assert_string_equal(found, wanted);
    assert_ok(lam_bundle_find(wanted, found, sizeof found, &err), err);
    assert_string_equal(found, wanted);
    assert_fails(lam_bundle_find(asked, found, strlen(wanted), &err), LAM_E_LIMIT, err);
    assert_fails(lam_bundle_find(root, found, sizeof found, &err), LAM_E_NOT_FOUND, err);
    snprintf(asked, sizeof asked, "%s/absent", root);
    assert_fails(lam_bundle_find(asked, found, sizeof found, &err), LAM_E_NOT_FOUND, err);
    for (size_t i = 0; i < LAM_COUNT(manifests); i++)
        unlinkat(fd, manifests[i], 0);
    for (size_t i = LAM_COUNT(folders); i-- > 0;)
        unlinkat(fd, folders[i], AT_REMOVEDIR);
    rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_the_manifest),
        cmocka_unit_test(test_refuses_what_is_wrong_in_a_manifest),
        cmocka_unit_test(test_refuses_another_files_weights),
        cmocka_unit_test(test_damaged_manifests),
        cmocka_unit_test(test_reproduces_the_reference),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_finds_the_newest_version),
    };
    return cmocka_run_group_tests(tests, read_manifest, free_manifest);
}
