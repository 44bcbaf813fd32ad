/* `lamina generate`: draws images with a generative bundle, as a set with pictures, or as DICOM studies that
 * are marked as synthetic. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/rnn/generate.h"
#include "core/rnn/safetensors.h"
#include "daemon/cli/cli.h"
#include "daemon/cli/options.h"
#include "dicom/canvas.h"
#include "dicom/resample.h"
#include "dicom/synthetic.h"
#include "dicom/transfer_syntax.h"

enum { MAX_COUNT = 1000000, MAX_SIDE = 4096, MAX_PATH_TEXT = 4096, MONTAGE_COLUMNS = 8, MAX_PNG = 256 << 20 };
#define MAX_SET_BYTES ((int64_t)4 << 30)

struct generate_options {
    const char *bundle, *out, *class_name;
    int64_t count, size[3], matrix[3]; /* sizes: 0: not given */
    int64_t seed, threads;
    double temperature; /* 0: the bundle's */
    bool dicom, json;
};

/* ---- options ---- */

/* "36x50x35" or, of one slice, "28x28". */
static bool read_size(const char *text, void *value)
{
    int64_t *out = value;
    int64_t side[3];
    int count = 0;
    for (char *end;; text = end + 1) {
        long long number = strtoll(text, &end, 10);
        if (end == text || number < 1 || number > MAX_SIDE || count == 3)
            return false;
        side[count++] = number;
        if (*end != 'x') {
            if (*end || count < 2)
                return false;
            break;
        }
    }
    out[0] = count == 3 ? side[0] : 1;
    out[1] = side[count - 2];
    out[2] = side[count - 1];
    return true;
}

static bool read_temperature(const char *text, void *value)
{
    char *end;
    double *out = value;
    *out = strtod(text, &end);
    return end > text && !*end && *out >= 0.01 && *out <= 10;
}

static int parse_arguments(int argc, char **argv, struct generate_options *out)
{
    static const char size[] = "sides such as 28x28 or 36x50x35";
    const lam_option known[] = {
        {"bundle", .text = &out->bundle},
        {"out", .text = &out->out},
        {"class", .text = &out->class_name},
        {"count", .number = &out->count, .least = 1, .most = MAX_COUNT},
        {"seed", .number = &out->seed, .least = 0, .most = INT64_MAX},
        {"threads", .number = &out->threads, .least = 1, .most = 256},
        {"size", .read = read_size, .into = out->size, .takes = size},
        {"matrix", .read = read_size, .into = out->matrix, .takes = size},
        {"temperature", .read = read_temperature, .into = &out->temperature,
         .takes = "a number from 0.01 to 10"},
        {"dicom", .flag = &out->dicom},
        {"json", .flag = &out->json},
        {0},
    };
    char **rest;
    int status = lam_options_read(argc, argv, known, &rest);
    if (status != LAM_CLI_OK)
        return status;
    if (!out->bundle || !out->out || *rest)
        return lam_cli_usage(argv[0], "--bundle and --out are needed, and nothing else");
    return LAM_CLI_OK;
}

/* ---- what is drawn ---- */

/* A run of the command. */
struct work {
    const struct generate_options *options;
    lam_bundle *bundle;
    const lam_manifest *manifest;
    lam_drawing drawing;
    lam_pool *pool;
    int64_t matrix[3]; /* z, y, x: of a series */
    int64_t pixels;    /* of an image as drawn */
    int64_t chunk;     /* images drawn at a time */
    uint8_t *levels;
    char date[9]; /* of the model, which keeps the same drawing the same on any day */
};

static void work_done(struct work *work)
{
    free(work->levels);
    lam_pool_free(work->pool);
    lam_bundle_free(work->bundle);
}

static lam_status find_class(const lam_manifest *manifest, const char *name, int *label, lam_error *err)
{
    for (size_t i = 0; name && i < manifest->class_count; i++)
        if (strcmp(manifest->classes[i].name, name) == 0) {
            *label = (int)i;
            return LAM_OK;
        }
    if (name)
        return lam_fail(err, LAM_E_NOT_FOUND, "%s has no class '%.64s'", manifest->name, name);
    *label = -1;
    return LAM_OK;
}

/* "2026-11-23" as DICOM has it. */
static void set_date(const char *iso, char out[9])
{
    bool known = strlen(iso) == 10;
    snprintf(out, 9, "%.4s%.2s%.2s", known ? iso : "2000", known ? iso + 5 : "01", known ? iso + 8 : "01");
}

static lam_status prepare(const struct generate_options *options, struct work *out, lam_error *err)
{
    lam_status status = lam_bundle_load_path(options->bundle, &out->bundle, err);
    if (status)
        return status;
    out->options = options;
    out->manifest = lam_bundle_manifest(out->bundle);
    const lam_model_drawing *usual = &out->manifest->drawing;
    out->drawing.seed = (uint64_t)options->seed;
    out->drawing.temperature = options->temperature > 0 ? options->temperature : usual->temperature;
    memcpy(out->drawing.size, options->size[0] ? options->size : usual->size, sizeof out->drawing.size);
    if (out->manifest->task != LAM_TASK_GENERATION)
        return lam_fail(err, LAM_E_UNSUPPORTED, "%s is a model for %s; it does not draw", out->manifest->name,
                        lam_task_name(out->manifest->task));
    if (out->drawing.size[0] == 0)
        return lam_fail(err, LAM_E_INVALID, "%s does not say how large its images are: give --size",
                        out->manifest->name);
    for (int i = 0; i < 3; i++)
        out->matrix[i] = options->matrix[0] ? options->matrix[i] : out->drawing.size[i] * usual->enlarge[i];
    if ((status = find_class(out->manifest, options->class_name, &out->drawing.label, err)) ||
        (status = lam_pool_create((size_t)options->threads, &out->pool, err)))
        return status;
    set_date(out->manifest->provenance.date, out->date);
    out->pixels = out->drawing.size[0] * out->drawing.size[1] * out->drawing.size[2];
    out->chunk = (int64_t)lam_pool_threads(out->pool) * LAM_GENERATE_LANES;
    int64_t kept = options->dicom ? out->chunk : options->count + out->chunk;
    if (kept > MAX_SET_BYTES / out->pixels)
        return lam_fail(err, LAM_E_LIMIT,
                        "so many images of that size are more than %lld GiB: draw fewer at a time",
                        (long long)(MAX_SET_BYTES >> 30));
    out->levels = malloc((size_t)(kept * out->pixels));
    return out->levels ? LAM_OK : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
}

/* ---- pictures and a set ---- */

/* The slices side by side. */
static lam_status draw_picture(const struct work *work, const uint8_t *levels, lam_buffer *png,
                               lam_error *err)
{
    const int64_t *size = work->drawing.size;
    int64_t columns = size[0] < MONTAGE_COLUMNS ? size[0] : MONTAGE_COLUMNS;
    int64_t rows = (size[0] + columns - 1) / columns;
    LAM_AUTO(lam_canvas_done) lam_canvas canvas = {0};
    lam_status status = lam_canvas_init(&canvas, (int)(columns * size[2]), (int)(rows * size[1]), err);
    if (status)
        return status;
    for (int64_t i = 0; i < work->pixels; i++) {
        int64_t z = i / (size[1] * size[2]), y = i / size[2] % size[1], x = i % size[2];
        const uint8_t grey[3] = {levels[i], levels[i], levels[i]};
        lam_canvas_set(&canvas, (int)(z % columns * size[2] + x), (int)(z / columns * size[1] + y), grey);
    }
    return lam_canvas_png(&canvas, png, err);
}

static lam_status write_buffer(void *context, int fd, lam_error *err)
{
    const lam_buffer *buffer = context;
    return lam_io_write_all(fd, buffer->data, buffer->length, err);
}

static lam_status write_picture(const struct work *work, int folder, int64_t number, const uint8_t *levels,
                                lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer png;
    char name[32];
    lam_buffer_init(&png, MAX_PNG);
    snprintf(name, sizeof name, "%06lld.png", (long long)number + 1);
    lam_status status = draw_picture(work, levels, &png, err);
    return status ? status : lam_io_replace(folder, name, write_buffer, &png, err);
}

/* The layout that training reads: `images` [n, axes…] and, of classes, `labels` [n]. */
static lam_status write_tensors(void *context, int fd, lam_error *err)
{
    const struct work *work = context;
    const int64_t *size = work->drawing.size, count = work->options->count;
    char seed[24];
    lam_autofree uint8_t *labels = malloc((size_t)count);
    if (!labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++)
        labels[i] = (uint8_t)lam_generate_label(work->manifest, &work->drawing, i);
    lam_tensor tensors[2] = {
        {"images", LAM_DTYPE_U8, {.rank = 1, .dim = {count}}, work->levels, (size_t)(count * work->pixels)},
        {"labels", LAM_DTYPE_U8, {.rank = 1, .dim = {count}}, labels, (size_t)count},
    };
    int axes = lam_network_axes(lam_bundle_network(work->bundle));
    for (int a = 3 - axes; a < 3; a++)
        tensors[0].shape.dim[tensors[0].shape.rank++] = size[a];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)work->drawing.seed);
    const char *const metadata[][2] = {{"synthetic", "YES"},
                                       {"model", work->manifest->name},
                                       {"version", work->manifest->version},
                                       {"weights_sha256", lam_bundle_weights_sha256(work->bundle)},
                                       {"licence", work->manifest->provenance.licence},
                                       {"seed", seed}};
    return lam_safetensors_write(fd, tensors, work->manifest->class_count ? 2 : 1, metadata,
                                 LAM_COUNT(metadata), err);
}

static lam_status write_set(struct work *work, int folder, lam_error *err)
{
    lam_status status = LAM_OK;
    for (int64_t i = 0; i < work->options->count && status == LAM_OK; i++)
        status = write_picture(work, folder, i, work->levels + i * work->pixels, err);
    return status ? status : lam_io_replace(folder, "images.safetensors", write_tensors, work, err);
}

/* ---- DICOM ---- */

/* The levels as stored values at the size that is wanted; `series` gets size and spacing. */
static lam_status make_pixels(const struct work *work, const uint8_t *levels, lam_synthetic *series,
                              uint16_t **out, lam_error *err)
{
    const int64_t *size = work->drawing.size;
    memcpy(series->size, work->matrix, sizeof series->size);
    int64_t count = series->size[0] * series->size[1] * series->size[2];
    lam_autofree float *from = malloc((size_t)work->pixels * sizeof *from);
    lam_autofree float *to = malloc((size_t)count * sizeof *to);
    lam_autofree uint16_t *pixels = malloc((size_t)count * sizeof *pixels);
    if (!from || !to || !pixels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (int64_t i = 0; i < work->pixels; i++)
        from[i] = (float)(levels[i] * work->manifest->drawing.slope);
    lam_status status = lam_resample_floats(from, size, to, series->size, err);
    for (int64_t i = 0; i < count && status == LAM_OK; i++)
        pixels[i] = (uint16_t)(to[i] + 0.5f);
    for (int i = 0; i < 3; i++)
        series->spacing_mm[i] =
            work->manifest->preprocessing.spacing_mm[i] * (double)size[i] / (double)series->size[i];
    *out = LAM_TAKE_PTR(pixels);
    return status;
}

static lam_status write_slice(const lam_synthetic *series, int folder, int64_t index, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *image = NULL;
    char name[32];
    lam_status status = lam_synthetic_create(series, index, &image, err);
    if (status)
        return status;
    snprintf(name, sizeof name, "IM%05lld.dcm", (long long)index + 1);
    lam_autoclose int fd = openat(folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", name);
    return lam_dataset_write(image, fd, LAM_TS_EXPLICIT_LITTLE, err);
}

/* Everything that makes this drawing another one than others of the same weights. */
static void identify(const struct work *work, char *text, size_t room)
{
    const lam_drawing *d = &work->drawing;
    const int64_t *m = work->matrix;
    snprintf(text, room, "%llu %d %.9g %lldx%lldx%lld %lldx%lldx%lld", (unsigned long long)d->seed, d->label,
             d->temperature, (long long)d->size[0], (long long)d->size[1], (long long)d->size[2],
             (long long)m[0], (long long)m[1], (long long)m[2]);
}

static lam_status write_series(struct work *work, int64_t number, const uint8_t *levels, lam_error *err)
{
    const lam_manifest *m = work->manifest;
    int label = lam_generate_label(m, &work->drawing, number);
    char identity[160], path[MAX_PATH_TEXT];
    lam_autofree uint16_t *pixels = NULL;
    identify(work, identity, sizeof identity);
    lam_synthetic series = {
        .algorithm = {m->name, m->version, lam_bundle_weights_sha256(work->bundle), m->title},
        .identity = identity,
        .number = number,
        .modality = m->selector.modality,
        .date = work->date,
        .orientation = m->preprocessing.orientation,
        .series_description = m->drawing.series_description,
        .body_part = m->drawing.body_part,
        .finding = m->class_count ? m->classes[label].label : NULL,
    };
    snprintf(path, sizeof path, "%s/%06lld", work->options->out, (long long)number + 1);
    lam_status status = make_pixels(work, levels, &series, &pixels, err);
    if (status || (status = lam_io_make_directories(path, 0755, err)))
        return status;
    series.pixels = pixels;
    lam_autoclose int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lam_fail_errno(err, errno, "%s", path);
    for (int64_t i = 0; i < series.size[0] && status == LAM_OK; i++)
        status = write_slice(&series, folder, i, err);
    return status;
}

/* ---- the command ---- */

static lam_status draw_all(struct work *work, lam_error *err)
{
    const struct generate_options *options = work->options;
    lam_status status = LAM_OK;
    for (int64_t first = 0; first < options->count && status == LAM_OK; first += work->chunk) {
        int64_t left = options->count - first, count = left < work->chunk ? left : work->chunk;
        int64_t done = first + count;
        uint8_t *levels = work->levels + (options->dicom ? 0 : first * work->pixels);
        status = lam_generate(work->bundle, &work->drawing, first, count, work->pool, levels, err);
        for (int64_t i = 0; options->dicom && i < count && status == LAM_OK; i++)
            status = write_series(work, first + i, levels + i * work->pixels, err);
        if (isatty(STDERR_FILENO) && status == LAM_OK)
            fprintf(stderr, "\r%lld of %lld%s", (long long)done, (long long)options->count,
                    done == options->count ? "\n" : "");
    }
    return status;
}

static lam_status run(struct work *work, lam_error *err)
{
    const char *path = work->options->out;
    lam_status status = lam_io_make_directories(path, 0755, err);
    if (status || (status = draw_all(work, err)) || work->options->dicom)
        return status;
    lam_autoclose int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? lam_fail_errno(err, errno, "%s", path) : write_set(work, folder, err);
}

static void report(const struct work *work)
{
    const struct generate_options *options = work->options;
    long long count = (long long)options->count;
    if (!options->json) {
        printf("%s: %lld synthetic %s drawn by %s %s\n", options->out, count,
               options->dicom ? count == 1 ? "study" : "studies"
               : count == 1   ? "image"
                              : "images",
               work->manifest->name, work->manifest->version);
        return;
    }
    json_t *document = json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:b}", "model", work->manifest->name, "version",
                                 work->manifest->version, "weights_sha256",
                                 lam_bundle_weights_sha256(work->bundle), "count", (json_int_t)count, "seed",
                                 (json_int_t)options->seed, "out", options->out, "dicom", options->dicom);
    lam_autofree char *text = json_dumps(document, JSON_INDENT(2));
    json_decref(document);
    if (text)
        puts(text);
}

int lam_cli_generate(int argc, char **argv)
{
    struct generate_options options = {.count = 1, .seed = 1};
    LAM_AUTO(work_done) struct work work = {.bundle = NULL};
    lam_error err = {0};
    int status = parse_arguments(argc, argv, &options);
    if (status)
        return status;
    lam_dicom_prepare();
    if (prepare(&options, &work, &err) || run(&work, &err))
        return lam_cli_fail_error(&err);
    report(&work);
    return LAM_CLI_OK;
}
