#include "daemon/cli/dicom_samples.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/bundle.h"
#include "core/rnn/safetensors.h"
#include "daemon/cli/dicom_labels.h"
#include "daemon/worker/passage.h"
#include "dicom/tag.h"

enum { FIELDS = 3, MAX_ID = LAM_UID_TEXT + 32 }; /* image, label, patient */

/* Which series a label speaks of. */
struct link {
    const lam_dicom_file *label;
    char series_uid[LAM_UID_TEXT];
};

/* A series as it goes into the set. */
struct volume {
    const lam_dicom_file *file;
    int64_t size[3];
    float *image;
    uint8_t *labels; /* of image's size, or one: the class */
};

struct gathering {
    lam_manifest *manifest;
    int axes; /* of the network: 3, or 2 and each slice is a sample */
    lam_dicom_kind wanted;
    lam_dicom_files files;
    struct link *links;
    size_t link_count, link_room;
    struct volume *volumes;
    size_t count, slices;
    size_t unlabelled, unwanted;
    double spacing_mm[3];
};

static void gathering_done(struct gathering *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->volumes[i].image);
        free(g->volumes[i].labels);
    }
    free(g->volumes);
    free(g->links);
    lam_dicom_files_done(&g->files);
    lam_manifest_free(g->manifest);
}

void lam_dicom_set_done(lam_dicom_set *set)
{
    if (set->fd >= 0)
        close(set->fd);
    set->fd = -1;
}

/* ---- which label is of which series ---- */

static lam_status add_link(struct gathering *g, const lam_dicom_file *label, const char *series_uid,
                           lam_error *err)
{
    if (g->link_count == g->link_room) {
        size_t room = g->link_room ? 2 * g->link_room : 64;
        struct link *grown = realloc(g->links, room * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
        g->links = grown;
        g->link_room = room;
    }
    struct link *added = &g->links[g->link_count++];
    added->label = label;
    snprintf(added->series_uid, sizeof added->series_uid, "%s", series_uid);
    return LAM_OK;
}

/* The series of ReferencedSeriesSequence in `where`. */
static lam_status add_referenced(struct gathering *g, const lam_dicom_file *label, lam_dataset *where,
                                 lam_error *err)
{
    lam_dataset *item;
    lam_status status = LAM_OK;
    for (size_t i = 0; status == LAM_OK && (item = lam_dataset_item(where, LAM_TAG_REFERENCED_SERIES, i));
         i++)
        status = add_link(g, label, lam_dataset_text(item, LAM_TAG_SERIES, ""), err);
    return status;
}

/* Where a segmentation does not name its series: that of the image which its first frame derives from. */
static lam_status add_source(struct gathering *g, const lam_dicom_file *label, lam_dataset *header,
                             lam_error *err)
{
    lam_dataset *frame = lam_dataset_item(header, LAM_TAG_FRAME_GROUPS, 0);
    lam_dataset *derivation = frame ? lam_dataset_item(frame, LAM_TAG_DERIVATION_IMAGES, 0) : NULL;
    lam_dataset *source = derivation ? lam_dataset_item(derivation, LAM_TAG_SOURCE_IMAGES, 0) : NULL;
    const char *uid = source ? lam_dataset_text(source, LAM_TAG_REFERENCED_INSTANCE, "") : "";
    for (size_t i = 0; i < g->files.count; i++)
        if (strcmp(g->files.items[i].sop_uid, uid) == 0)
            return add_link(g, label, g->files.items[i].series_uid, err);
    return LAM_OK;
}

static lam_status link_label(struct gathering *g, const lam_dicom_file *label, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *header = NULL;
    size_t before = g->link_count;
    lam_dataset *study;
    lam_autoclose int fd = open(label->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", label->path);
    lam_status status = lam_dataset_read(fd, LAM_DATASET_HEADER, &header, err);
    if (status == LAM_OK)
        status = add_referenced(g, label, header, err);
    for (size_t i = 0; status == LAM_OK && (study = lam_dataset_item(header, LAM_TAG_EVIDENCE, i)); i++)
        status = add_referenced(g, label, study, err);
    if (status == LAM_OK && g->link_count == before)
        status = add_source(g, label, header, err);
    return status;
}

static bool is_here(const struct gathering *g, const lam_dicom_file *label)
{
    for (size_t i = 0; i < g->link_count; i++)
        for (size_t f = 0; g->links[i].label == label && f < g->files.count; f++)
            if (g->files.items[f].kind == LAM_DICOM_IMAGE &&
                strcmp(g->files.items[f].series_uid, g->links[i].series_uid) == 0)
                return true;
    return false;
}

static lam_status link_labels(struct gathering *g, lam_error *err)
{
    for (size_t i = 0; i < g->files.count; i++) {
        const lam_dicom_file *file = &g->files.items[i];
        if (file->kind != g->wanted)
            continue;
        lam_status status = link_label(g, file, err);
        if (status)
            return status;
        if (!is_here(g, file))
            fprintf(stderr, "note: %s %s is about no series that is here\n",
                    g->wanted == LAM_DICOM_REPORT ? "report" : "segmentation", file->sop_uid);
    }
    return LAM_OK;
}

/* ---- one series ---- */

static lam_status read_map(const struct gathering *g, const lam_passage *p,
                           const lam_dicom_file *const *labels, size_t count, struct volume *volume,
                           lam_error *err)
{
    const int64_t *size = p->grid->size;
    lam_autofree uint8_t *drawn = calloc((size_t)(size[0] * size[1] * size[2]), 1);
    volume->labels = calloc((size_t)(p->size[0] * p->size[1] * p->size[2]), 1);
    if (!drawn || !volume->labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a label map");
    lam_status status = lam_dicom_labels_draw(g->manifest, labels, count, p->grid, drawn, err);
    return status ? status : lam_passage_prepare_labels(p, drawn, volume->labels, err);
}

static lam_status read_class(const struct gathering *g, const lam_dicom_file *const *labels, size_t count,
                             struct volume *volume, lam_error *err)
{
    size_t class;
    lam_status status = lam_dicom_labels_class(g->manifest, labels, count, &class, err);
    if (status)
        return status;
    if (class > UINT8_MAX)
        return lam_fail(err, LAM_E_LIMIT, "sets have at most 256 classes");
    if (!(volume->labels = malloc(1)))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    volume->labels[0] = (uint8_t) class;
    return LAM_OK;
}

static lam_status read_image(lam_series *series, lam_passage *p, struct volume *volume, lam_error *err)
{
    const int64_t *size = p->grid->size;
    lam_autofree float *voxels = calloc((size_t)(size[0] * size[1] * size[2]), sizeof *voxels);
    if (!voxels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a volume");
    lam_status status = lam_series_voxels(series, voxels, NULL, NULL, err);
    if (status == LAM_OK)
        status = lam_passage_prepare(p, voxels, err);
    if (status != LAM_OK)
        return status;
    memcpy(volume->size, p->size, sizeof volume->size);
    volume->image = p->input; /* handed over */
    if (p->turned == p->input)
        p->turned = NULL;
    p->input = NULL;
    return LAM_OK;
}

/* Distances of a set are in one spacing (samples.h). */
static void note_spacing(struct gathering *g, const lam_passage *p)
{
    if (g->count == 0) {
        memcpy(g->spacing_mm, p->spacing_mm, sizeof g->spacing_mm);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (fabs(p->spacing_mm[i] - g->spacing_mm[i]) > 0.05 * g->spacing_mm[i]) {
            fprintf(stderr, "note: its voxels differ in size from those of the first series, and scores in "
                            "millimetres are in those of the first\n");
            return;
        }
}

static lam_status take_series(struct gathering *g, lam_series *series, const lam_dicom_file *file,
                              const lam_dicom_file *const *labels, size_t count, lam_error *err)
{
    LAM_AUTO(lam_passage_done) lam_passage p = {.resampled = false};
    struct volume *volume = &g->volumes[g->count];
    *volume = (struct volume){.file = file};
    lam_status status = lam_series_arrange(series, err);
    if (status == LAM_OK)
        status = lam_passage_plan(series, g->manifest, &p, err);
    if (status != LAM_OK)
        return status;
    note_spacing(g, &p);
    g->count++; /* from here on it is freed with the others */
    status = read_image(series, &p, volume, err);
    if (status != LAM_OK)
        return status;
    g->slices += (size_t)volume->size[0];
    return g->wanted == LAM_DICOM_REPORT ? read_class(g, labels, count, volume, err)
                                         : read_map(g, &p, labels, count, volume, err);
}

/* Whether the model wants the series: by the header of one of its files. */
static lam_status is_wanted(const struct gathering *g, const lam_dicom_file *file, bool *wanted,
                            lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *header = NULL;
    lam_error why = {0};
    lam_autoclose int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", file->path);
    lam_status status = lam_dataset_read(fd, LAM_DATASET_HEADER, &header, err);
    if (status == LAM_OK &&
        (status = lam_dicom_files_select(&g->manifest->selector, header, &why)) != LAM_OK &&
        status != LAM_E_NOT_FOUND)
        return lam_fail(err, status, "%s", why.message);
    *wanted = status == LAM_OK;
    return status == LAM_E_NOT_FOUND ? LAM_OK : status;
}

static lam_status look_at_series(struct gathering *g, size_t first, size_t end, lam_error *err)
{
    const lam_dicom_file *file = &g->files.items[first];
    LAM_AUTO_PTR(lam_series) *series = NULL;
    size_t count = 0;
    bool wanted;
    lam_autofree const lam_dicom_file **labels = calloc(g->link_count + 1, sizeof *labels);
    if (!labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = is_wanted(g, file, &wanted, err);
    if (status != LAM_OK)
        return status;
    if (!wanted) {
        g->unwanted++;
        return LAM_OK;
    }
    for (size_t i = 0; i < g->link_count; i++)
        if (strcmp(g->links[i].series_uid, file->series_uid) == 0)
            labels[count++] = g->links[i].label;
    if (count == 0) {
        fprintf(stderr, "note: series %s has no %s; skipped\n", file->series_uid,
                g->wanted == LAM_DICOM_REPORT ? "report" : "segmentation");
        g->unlabelled++;
        return LAM_OK;
    }
    status = lam_dicom_files_read(file, end - first, &series, err);
    return status ? status : take_series(g, series, file, labels, count, err);
}

static lam_status take_all(struct gathering *g, lam_error *err)
{
    g->volumes = calloc(g->files.count + 1, sizeof *g->volumes);
    if (!g->volumes)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t first = 0, end; first < g->files.count; first = end) {
        end = lam_dicom_files_end(&g->files, first);
        if (g->files.items[first].kind != LAM_DICOM_IMAGE)
            continue;
        lam_status status = look_at_series(g, first, end, err);
        if (status) {
            lam_error_prefix(err, "series %s", g->files.items[first].series_uid);
            return status;
        }
    }
    fprintf(stderr,
            "DICOM: %zu labelled series; left out: %zu without a label, %zu that the model does not "
            "want\n",
            g->count, g->unlabelled, g->unwanted);
    return LAM_OK;
}

/* ---- the set ---- */

static lam_tensor tensor_of(char (*name)[MAX_ID], const char *id, const char *field, const lam_shape *shape,
                            const void *data, lam_dtype dtype)
{
    snprintf(*name, sizeof *name, "%s.%s", id, field);
    return (lam_tensor){.name = *name,
                        .dtype = dtype,
                        .shape = *shape,
                        .data = data,
                        .bytes = (size_t)lam_shape_count(shape) * lam_dtype_size(dtype)};
}

/* Sample `part` of the volume: all of it, or slice number `part` for networks that see slices. */
static void describe(const struct gathering *g, const struct volume *v, int64_t part, char (*names)[MAX_ID],
                     lam_tensor out[FIELDS])
{
    char id[LAM_UID_TEXT + 21];
    lam_shape image = {.rank = g->axes}, one = {.rank = 1, .dim = {1}};
    lam_shape patient = {.rank = 1, .dim = {LAM_SHA256_BYTES}};
    bool map = g->wanted == LAM_DICOM_SEGMENTATION;
    for (int i = 0; i < g->axes; i++)
        image.dim[i] = v->size[3 - g->axes + i];
    size_t from = (size_t)(part * v->size[1] * v->size[2]);
    if (g->axes == 3)
        snprintf(id, sizeof id, "%s", v->file->series_uid);
    else
        snprintf(id, sizeof id, "%s/%lld", v->file->series_uid, (long long)part);
    out[0] = tensor_of(&names[0], id, "image", &image, v->image + from, LAM_DTYPE_F32);
    out[1] =
        tensor_of(&names[1], id, "label", map ? &image : &one, v->labels + (map ? from : 0), LAM_DTYPE_U8);
    out[2] = tensor_of(&names[2], id, "patient", &patient, v->file->patient, LAM_DTYPE_U8);
}

static lam_status write_set(const struct gathering *g, int fd, lam_error *err)
{
    char spacing[96];
    const char *const metadata[][2] = {{"spacing_mm", spacing}};
    size_t samples = g->axes == 3 ? g->count : g->slices, at = 0;
    lam_autofree lam_tensor *tensors = calloc(samples * FIELDS, sizeof *tensors);
    char(*names)[MAX_ID] = calloc(samples * FIELDS, sizeof *names);
    lam_autofree void *owned = names;
    if (!tensors || !owned)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < g->count; i++)
        for (int64_t part = 0; part < (g->axes == 3 ? 1 : g->volumes[i].size[0]); part++, at += FIELDS)
            describe(g, &g->volumes[i], part, &names[at], &tensors[at]);
    snprintf(spacing, sizeof spacing, "%.9g,%.9g,%.9g", g->spacing_mm[0], g->spacing_mm[1], g->spacing_mm[2]);
    return lam_safetensors_write(fd, tensors, at, metadata, 1, err);
}

/* ---- the whole ---- */

static lam_status read_manifest(const char *bundle, struct gathering *g, lam_error *err)
{
    char path[4096];
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, LAM_MANIFEST_MAX_BYTES);
    snprintf(path, sizeof path, "%s/" LAM_BUNDLE_MANIFEST, bundle);
    lam_status status = lam_io_read_file(path, &text, err);
    if (status == LAM_OK)
        status = lam_manifest_parse(lam_buffer_text(&text), text.length, &g->manifest, err);
    if (status != LAM_OK)
        return status;
    g->axes = (int)lam_jv_count(lam_jv_get(lam_jv_get(g->manifest->network, "input"), "axes"));
    bool map = g->manifest->task == LAM_TASK_SEGMENTATION;
    if ((!map && g->manifest->task != LAM_TASK_CLASSIFICATION) || g->axes < 2 || g->axes > 3 ||
        lam_jv_get(g->manifest->training, "stacks"))
        return lam_fail(
            err, LAM_E_UNSUPPORTED,
            "folders of DICOM are for segmentation and classification by networks with the axes y, "
            "x or z, y, x, without `training.stacks`");
    g->wanted = map ? LAM_DICOM_SEGMENTATION : LAM_DICOM_REPORT;
    return LAM_OK;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static lam_status make_set(const char *bundle, char *const *folders, lam_dicom_set *set, lam_error *err)
{
    LAM_AUTO(gathering_done) struct gathering g = {.manifest = NULL};
    pthread_once(&prepared, lam_dicom_prepare); /* --data and --val may both be folders */
    lam_status status = read_manifest(bundle, &g, err);
    if (status == LAM_OK)
        status = lam_dicom_files_find(folders, &g.files, err);
    if (status == LAM_OK)
        status = link_labels(&g, err);
    if (status == LAM_OK)
        status = take_all(&g, err);
    if (status != LAM_OK)
        return status;
    if (g.count == 0)
        return lam_fail(err, LAM_E_NOT_FOUND, "%s holds no series that the model wants and that has a %s",
                        folders[0], g.wanted == LAM_DICOM_REPORT ? "structured report" : "segmentation");
    lam_autoclose int fd = memfd_create("lamina-samples", MFD_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "cannot make a set in memory");
    status = write_set(&g, fd, err);
    if (status != LAM_OK)
        return status;
    set->fd = LAM_TAKE_FD(fd);
    snprintf(set->path, sizeof set->path, "/proc/self/fd/%d", set->fd);
    return LAM_OK;
}

lam_status lam_dicom_samples_replace(const char *bundle, const char **paths, size_t *count,
                                     lam_dicom_set *set, lam_error *err)
{
    size_t folders = 0, files = 0;
    lam_autofree char **list = calloc(*count + 1, sizeof *list);
    if (!list)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < *count; i++)
        if (is_folder(paths[i]))
            list[folders++] = (char *)(uintptr_t)paths[i];
    if (folders == 0)
        return LAM_OK;
    lam_status status = make_set(bundle, list, set, err);
    if (status != LAM_OK)
        return status;
    for (size_t i = 0; i < *count; i++)
        if (!is_folder(paths[i]))
            paths[files++] = paths[i];
    paths[files++] = set->path;
    *count = files;
    return LAM_OK;
}
