/* Models trained elsewhere: what PyTorch exports (tests/golden/rnn/make_import.py) and Keras saves gives what
 * PyTorch and Keras computed; what is damaged or not supported is refused by name. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/io.h"
#include "core/rnn/import/import.h"

#define FOLDER    "tests/golden/rnn/"
#define TOLERANCE 1e-5 /* relative to the largest value */

static lam_safetensors *golden;

static void read_model(const char *name, lam_buffer *bytes)
{
    char path[256];
    lam_error err = {0};
    snprintf(path, sizeof path, FOLDER "import/%s.onnx", name);
    lam_buffer_init(bytes, 1 << 20);
    assert_ok(lam_io_read_file(path, bytes, &err), err);
}

static const lam_tensor *stored(const char *name, const char *part)
{
    char key[256];
    snprintf(key, sizeof key, "%s/%s", name, part);
    const lam_tensor *tensor = lam_safetensors_find(golden, key);
    if (!tensor)
        fail_msg("no %s", key);
    return tensor;
}

/* Runs the stored input and compares with the stored output. */
static void compare(const char *name, const lam_weights *weights)
{
    lam_error err = {0};
    lam_session *session;
    const lam_tensor *input = stored(name, "input"), *output = stored(name, "output");
    const float *expected = output->data;
    double largest = 0, worst = 0;
    assert_ok(lam_session_create(weights, LAM_MODE_INFER, NULL, &session, &err), err);
    if (lam_session_plan(session, &input->shape, &err))
        fail_msg("%s: %s", name, err.message);
    memcpy(lam_session_input(session), input->data, input->bytes);
    lam_session_run(session);
    if (!lam_shape_equal(lam_session_output_shape(session), &output->shape)) {
        char text[LAM_SHAPE_TEXT];
        fail_msg("%s: the output has the shape %s", name,
                 lam_shape_text(lam_session_output_shape(session), text));
    }
    for (int64_t i = 0; i < lam_shape_count(&output->shape); i++) {
        double difference = fabs((double)lam_session_output(session)[i] - expected[i]);
        largest = fmax(largest, fabs(expected[i]));
        worst = difference <= worst ? worst : difference; /* keeps a NaN */
    }
    if (!(worst <= TOLERANCE * largest))
        fail_msg("%s: differs by %g of %g", name, worst, largest);
    lam_session_free(session);
}

static void test_what_pytorch_exports(void **state)
{
    static const char *const names[] = {"slices",  "last_states", "steps",      "flat",  "signal",
                                        "outline", "volume",      "arithmetic", "older", "parts"};
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(names); i++) {
        lam_buffer bytes, json;
        lam_network *network;
        lam_weights *weights;
        lam_error err = {0};
        char key[64];
        read_model(names[i], &bytes);
        lam_buffer_init(&json, 1 << 20);
        snprintf(key, sizeof key, "%s/layout", names[i]);
        if (lam_import_onnx(bytes.data, bytes.length, lam_safetensors_metadata(golden, key), NULL, &json,
                            &network, &weights, &err))
            fail_msg("%s: %s", names[i], err.message);
        compare(names[i], weights);
        lam_weights_free(weights);
        lam_network_free(network);
        lam_buffer_done(&json);
        lam_buffer_done(&bytes);
    }
}

static lam_status import(const void *bytes, size_t length, const char *layout, lam_error *err)
{
    lam_buffer json;
    lam_network *network = NULL;
    lam_weights *weights = NULL;
    lam_buffer_init(&json, 1 << 20);
    lam_status status = lam_import_onnx(bytes, length, layout, NULL, &json, &network, &weights, err);
    if (status == LAM_OK) {
        lam_weights_free(weights);
        lam_network_free(network);
    }
    lam_buffer_done(&json);
    return status;
}

static void test_an_operator_without_a_counterpart_is_named(void **state)
{
    (void)state;
    lam_buffer bytes;
    lam_error err = {0};
    read_model("flat", &bytes);
    char *at = memmem(bytes.data, bytes.length, "Sigmoid", 7);
    for (char *p; (p = memmem(at + 1, (size_t)(bytes.data + bytes.length - at - 1), "Sigmoid", 7));)
        at = p; /* the last one is the operator of the last node, or of its name */
    for (char *p = bytes.data; (p = memmem(p, (size_t)(bytes.data + bytes.length - p), "Sigmoid", 7)); p++)
        memcpy(p, "Segment", 7);
    assert_int_equal(import(bytes.data, bytes.length, NULL, &err), LAM_E_UNSUPPORTED);
    if (!strstr(err.message, "Segment"))
        fail_msg("%s", err.message);
    lam_buffer_done(&bytes);
}

static void test_an_input_without_a_name_is_refused(void **state)
{
    (void)state;
    lam_buffer bytes;
    lam_error err = {0};
    lam_buffer_init(&bytes, 1 << 16);
    assert_ok(lam_io_read_file("tests/fuzz/corpus/fuzz_onnx/input-without-name.onnx", &bytes, &err), err);
    assert_fails(import(bytes.data, bytes.length, NULL, &err), LAM_E_INVALID, err);
    lam_buffer_done(&bytes);
}

/* Found by reading and by the fuzzer: sizes whose products have no 64 bits, an axis that is made twice. */
static void test_shapes_that_no_array_has_are_refused(void **state)
{
    static const struct {
        const char *name;
        lam_status status;
    } cases[] = {{"axis-named-twice", LAM_E_INVALID},
                 {"sizes-without-bound", LAM_E_LIMIT},
                 {"grows-without-bound", LAM_E_INVALID}};
    (void)state;
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        lam_buffer bytes;
        lam_error err = {0};
        char path[256];
        snprintf(path, sizeof path, "tests/fuzz/corpus/fuzz_onnx/%s.onnx", cases[i].name);
        lam_buffer_init(&bytes, 1 << 16);
        assert_ok(lam_io_read_file(path, &bytes, &err), err);
        assert_fails(import(bytes.data, bytes.length, NULL, &err), cases[i].status, err);
        lam_buffer_done(&bytes);
    }
}

static void test_no_room_leaves_nothing_behind(void **state)
{
    (void)state;
    lam_buffer bytes, json;
    lam_error err = {0};
    lam_network *network = NULL;
    lam_weights *weights = NULL;
    read_model("signal", &bytes);
    lam_buffer_init(&json, 16);
    assert_fails(lam_import_onnx(bytes.data, bytes.length, NULL, NULL, &json, &network, &weights, &err),
                 LAM_E_LIMIT, err);
    assert_null(network);
    assert_null(weights);
    lam_buffer_done(&json);
    lam_buffer_done(&bytes);
}

static void test_a_layout_must_fit(void **state)
{
    static const char *const wrong[] = {"NC", "NTCHWD", "ntchw", "NTTHW", "CTHWX"};
    (void)state;
    lam_buffer bytes;
    read_model("slices", &bytes);
    for (size_t i = 0; i < LAM_COUNT(wrong); i++) {
        lam_error err = {0};
        assert_int_not_equal(import(bytes.data, bytes.length, wrong[i], &err), LAM_OK);
        assert_true(*err.message);
    }
    lam_buffer_done(&bytes);
}

/* No prefix and no flipped byte may crash or be accepted without sense; run under the sanitizers. */
static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    lam_buffer bytes;
    read_model("signal", &bytes);
    for (size_t length = 0; length < bytes.length; length += 7) {
        lam_error err = {0};
        lam_status status = import(bytes.data, length, NULL, &err);
        assert_int_not_equal(status, LAM_OK);
        assert_int_not_equal(status, LAM_E_INTERNAL);
    }
    for (size_t i = 0; i < bytes.length; i += 3) {
        lam_error err = {0};
        bytes.data[i] ^= 0x15;
        (void)import(bytes.data, bytes.length, NULL, &err);
        bytes.data[i] ^= 0x15;
    }
    lam_buffer_done(&bytes);
}

/* ---- states ---- */

static void make_network(const char *text, lam_json **json, lam_network **network)
{
    lam_error err = {0};
    assert_ok(lam_json_parse(text, strlen(text), json, &err), err);
    assert_ok(lam_network_create(lam_json_root(*json), network, &err), err);
}

/* The tensors under NAME/state/, as a file of their own. */
static lam_safetensors *state_of(const char *name)
{
    char prefix[64], path[] = "/tmp/lamina-state-XXXXXX";
    lam_tensor tensors[64];
    size_t count = 0;
    lam_error err = {0};
    lam_safetensors *file;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    snprintf(prefix, sizeof prefix, "%s/state/", name);
    for (size_t i = 0; i < lam_safetensors_count(golden); i++) {
        const lam_tensor *tensor = lam_safetensors_at(golden, i);
        if (strncmp(tensor->name, prefix, strlen(prefix)) != 0)
            continue;
        tensors[count] = *tensor;
        tensors[count++].name = tensor->name + strlen(prefix);
    }
    assert_ok(lam_safetensors_write(fd, tensors, count, NULL, 0, &err), err);
    assert_ok(lam_safetensors_map(fd, &file, &err), err);
    close(fd);
    return file;
}

static const char slices_network[] =
    "{\"input\":{\"axes\":[\"t\",\"y\",\"x\"],\"channels\":1},\"layers\":["
    "{\"name\":\"a\",\"kind\":\"conv\",\"channels\":4,\"kernel\":[1,3,3],\"padding\":[0,1,1],\"bias\":false},"
    "{\"name\":\"n\",\"kind\":\"batch_norm\"},{\"name\":\"r\",\"kind\":\"activation\",\"function\":\"relu\"},"
    "{\"name\":\"p\",\"kind\":\"pool\",\"kernel\":[1,2,2]},"
    "{\"name\":\"b\",\"kind\":\"conv\",\"channels\":6,\"kernel\":[1,3,3],\"padding\":[0,1,1],"
    "\"stride\":[1,2,2],\"activation\":\"relu\"},"
    "{\"name\":\"g\",\"kind\":\"global_pool\",\"over\":[\"y\",\"x\"]},"
    "{\"name\":\"rnn\",\"kind\":\"sweep\",\"cell\":\"lstm\",\"units\":5,\"directions\":[\"t+\",\"t-\"]},"
    "{\"name\":\"m\",\"kind\":\"global_pool\"},{\"name\":\"head\",\"kind\":\"dense\",\"units\":3},"
    "{\"name\":\"s\",\"kind\":\"softmax\"}]}";

static void test_a_pytorch_state_by_a_map(void **state)
{
    static const char map_text[] = "{\"a\":\"cnn.0\",\"n\":\"cnn.1\",\"b\":{\"from\":\"cnn.4\"}}";
    (void)state;
    lam_json *json, *map;
    lam_network *network;
    lam_weights *weights;
    lam_error err = {0};
    lam_safetensors *file = state_of("slices");
    make_network(slices_network, &json, &network);
    assert_ok(lam_json_parse(map_text, strlen(map_text), &map, &err), err);
    assert_ok(lam_import_state(network, file, LAM_STATE_PYTORCH, lam_json_root(map), &weights, &err), err);
    compare("slices", weights);
    lam_weights_free(weights);
    assert_int_equal(lam_import_state(network, file, LAM_STATE_PYTORCH, NULL, &weights, &err),
                     LAM_E_NOT_FOUND);
    if (!strstr(err.message, "a.weight"))
        fail_msg("%s", err.message);
    lam_network_free(network);
    lam_json_free(map);
    lam_json_free(json);
    lam_safetensors_free(file);
}

static const char keras_network[] =
    "{\"input\":{\"axes\":[\"y\",\"x\"],\"channels\":2,\"size\":[6,5]},\"layers\":["
    "{\"name\":\"conv\",\"kind\":\"conv\",\"channels\":3,\"kernel\":[3,2],\"activation\":\"relu\"},"
    "{\"name\":\"pool\",\"kind\":\"global_pool\",\"function\":\"average\",\"over\":[\"x\"]},"
    "{\"name\":\"both\",\"kind\":\"sweep\",\"cell\":\"lstm\",\"units\":4,\"directions\":[\"y+\",\"y-\"]},"
    "{\"name\":\"gru\",\"kind\":\"sweep\",\"cell\":\"gru\",\"units\":5,\"reset_before\":true},"
    "{\"name\":\"rnn\",\"kind\":\"sweep\",\"cell\":\"elman\",\"units\":3,\"return\":\"last\"},"
    "{\"name\":\"out\",\"kind\":\"dense\",\"units\":2,\"activation\":\"softmax\"}]}";

/* Made by tests/golden/rnn/make_keras.js: layers of Keras's kind in TensorFlow.js. */
static void test_a_keras_state(void **state)
{
    (void)state;
    lam_json *json;
    lam_network *network;
    lam_weights *weights;
    lam_error err = {0};
    lam_safetensors *whole = golden;
    assert_ok(lam_safetensors_open(FOLDER "keras.safetensors", &golden, &err), err);
    lam_safetensors *file = state_of("keras");
    make_network(keras_network, &json, &network);
    assert_ok(lam_import_state(network, file, LAM_STATE_KERAS, NULL, &weights, &err), err);
    compare("keras", weights);
    lam_weights_free(weights);
    lam_network_free(network);
    lam_json_free(json);
    lam_safetensors_free(file);
    lam_safetensors_free(golden);
    golden = whole;
}

/* Keras 3 numbers its variables; GRU with reset_after has two rows of biases. */
static void test_keras_names_of_today(void **state)
{
    static const char text[] = "{\"input\":{\"axes\":[\"t\"],\"channels\":1},\"layers\":["
                               "{\"name\":\"gru\",\"kind\":\"sweep\",\"cell\":\"gru\",\"units\":1}]}";
    static const float kernel[] = {1, 2, 3}, recurrent[] = {4, 5, 6}, bias[] = {7, 8, 9, 10, 11, 12};
    const lam_tensor tensors[] = {
        {"layers/gru/cell/vars/0", LAM_DTYPE_F32, {2, {1, 3}}, kernel, sizeof kernel},
        {"layers/gru/cell/vars/1", LAM_DTYPE_F32, {2, {1, 3}}, recurrent, sizeof recurrent},
        {"layers/gru/cell/vars/2", LAM_DTYPE_F32, {2, {2, 3}}, bias, sizeof bias},
    };
    static const char map_text[] = "{\"gru\":\"layers/gru\"}";
    static const float expected[][3] = {{2, 1, 3}, {5, 4, 6}, {8, 7, 9}, {11, 10, 12}};
    (void)state;
    char path[] = "/tmp/lamina-state-XXXXXX";
    lam_json *json, *map;
    lam_network *network;
    lam_weights *weights;
    lam_safetensors *file;
    lam_error err = {0};
    int fd = mkstemp(path);
    unlink(path);
    assert_ok(lam_safetensors_write(fd, tensors, 3, NULL, 0, &err), err);
    assert_ok(lam_safetensors_map(fd, &file, &err), err);
    close(fd);
    make_network(text, &json, &network);
    assert_ok(lam_json_parse(map_text, strlen(map_text), &map, &err), err);
    assert_ok(lam_import_state(network, file, LAM_STATE_KERAS, lam_json_root(map), &weights, &err), err);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(lam_weights_view(weights) + lam_network_parameter(network, i)->offset,
                            expected[i], sizeof expected[i]);
    lam_weights_free(weights);
    lam_network_free(network);
    lam_json_free(map);
    lam_json_free(json);
    lam_safetensors_free(file);
}

static int open_golden(void **state)
{
    (void)state;
    lam_error err = {0};
    return lam_safetensors_open(FOLDER "import.safetensors", &golden, &err);
}

static int close_golden(void **state)
{
    (void)state;
    lam_safetensors_free(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_pytorch_exports),
        cmocka_unit_test(test_an_operator_without_a_counterpart_is_named),
        cmocka_unit_test(test_an_input_without_a_name_is_refused),
        cmocka_unit_test(test_shapes_that_no_array_has_are_refused),
        cmocka_unit_test(test_no_room_leaves_nothing_behind),
        cmocka_unit_test(test_a_layout_must_fit),
        cmocka_unit_test(test_damaged_files_are_refused),
        cmocka_unit_test(test_a_pytorch_state_by_a_map),
        cmocka_unit_test(test_a_keras_state),
        cmocka_unit_test(test_keras_names_of_today),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
