#include "daemon/cli/dicom_labels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "dicom/seg_read.h"
#include "dicom/tag.h"

enum { MAX_NAMES = 1 << 16 };

static bool is_code(const lam_code *drawn, const lam_model_code *wanted)
{
    return drawn->value && wanted->value && strcmp(drawn->value, wanted->value) == 0 &&
           strcmp(drawn->scheme, wanted->scheme) == 0;
}

/* An attribute that only one of the two gives does not speak against it. */
static bool may_be(const lam_code *drawn, const lam_model_code *wanted)
{
    return !drawn->value || !wanted->value || is_code(drawn, wanted);
}

static bool is_called(const char *text, const char *label, const char *name)
{
    return strcasecmp(text, label) == 0 || strcasecmp(text, name) == 0;
}

/* ---- segments ---- */

static bool has_codes(const lam_drawn_segment *drawn, const lam_model_segment *wanted)
{
    return is_code(&drawn->type, &wanted->type) && may_be(&drawn->type_modifier, &wanted->type_modifier) &&
           may_be(&drawn->anatomy, &wanted->anatomy) &&
           may_be(&drawn->anatomy_modifier, &wanted->anatomy_modifier);
}

static lam_status fail_unknown(const lam_manifest *manifest, const lam_drawn_segment *drawn, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer names;
    lam_buffer_init(&names, MAX_NAMES);
    for (size_t i = 0; i < manifest->segment_count; i++)
        lam_buffer_printf(&names, "%s%s (%s %s)", i ? ", " : "", manifest->segments[i].label,
                          manifest->segments[i].type.scheme, manifest->segments[i].type.value);
    return lam_fail(
        err, LAM_E_INVALID, "segment %lld, \"%.64s\" (%.16s %.64s), is none of the model's: %.300s",
        (long long)drawn->number, drawn->label, drawn->type.value ? drawn->type.scheme : "no code",
        drawn->type.value ? drawn->type.value : "", lam_buffer_text(&names));
}

/* NULL: none of them. */
static const lam_model_segment *match_segment(const lam_manifest *manifest, const lam_drawn_segment *drawn)
{
    const lam_model_segment *by_code = NULL, *by_name = NULL;
    size_t coded = 0;
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const lam_model_segment *segment = &manifest->segments[i];
        if (has_codes(drawn, segment)) {
            coded++;
            by_code = segment;
        }
        if (is_called(drawn->label, segment->label, segment->name))
            by_name = segment;
    }
    return coded == 1 ? by_code : by_name;
}

/* What has been drawn so far. */
typedef struct drawing {
    const lam_manifest *manifest;
    const lam_grid *grid;
    uint8_t *labels;
    const lam_dicom_file *drawn_by[LAM_MANIFEST_MAX_SEGMENTS + 1]; /* by the manifest's numbers */
    int64_t overlap;
} drawing;

static lam_status draw_segments(drawing *d, const lam_dicom_file *file, lam_frames *seg, lam_error *err)
{
    uint8_t values[256] = {0};
    lam_drawn_segment drawn;
    for (size_t i = 0; lam_seg_read_description(seg, i, &drawn); i++) {
        const lam_model_segment *segment = match_segment(d->manifest, &drawn);
        if (!segment)
            return fail_unknown(d->manifest, &drawn, err);
        const lam_dicom_file *other = d->drawn_by[segment->number];
        if (other && other != file)
            return lam_fail(err, LAM_E_INVALID,
                            "%s is drawn by segmentation %s, too; leave the one to learn from",
                            segment->label, other->sop_uid);
        d->drawn_by[segment->number] = file;
        if (drawn.number > 0 && drawn.number < 256)
            values[drawn.number] = (uint8_t)segment->number;
    }
    return lam_seg_read_map(seg, d->grid, values, d->labels, &d->overlap, err);
}

static lam_status draw_file(drawing *d, const lam_dicom_file *file, lam_error *err)
{
    lam_frames seg;
    lam_autoclose int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", file->path);
    lam_status status = lam_frames_open(fd, &seg, err);
    if (status == LAM_OK) {
        status = draw_segments(d, file, &seg, err);
        lam_frames_close(&seg);
    }
    if (status)
        lam_error_prefix(err, "segmentation %s", file->sop_uid);
    return status;
}

lam_status lam_dicom_labels_draw(const lam_manifest *manifest, const lam_dicom_file *const *files,
                                 size_t count, const lam_grid *grid, uint8_t *labels, lam_error *err)
{
    drawing d = {.manifest = manifest, .grid = grid, .labels = labels};
    for (size_t i = 0; i < count; i++) {
        lam_status status = draw_file(&d, files[i], err);
        if (status)
            return status;
    }
    for (size_t i = 0; i < manifest->segment_count; i++)
        if (!d.drawn_by[manifest->segments[i].number])
            fprintf(stderr, "note: segmentation %s: no segment \"%s\" is drawn; taken as not there\n",
                    files[0]->sop_uid, manifest->segments[i].label);
    if (d.overlap > 0)
        fprintf(stderr, "note: segmentation %s: %lld voxels are in two segments\n", files[0]->sop_uid,
                (long long)d.overlap);
    return LAM_OK;
}

/* ---- classes ---- */

/* Classes without a code of their own are written as codes of this device (dicom/sr_groups.c). */
static bool is_class(lam_dataset *code, const lam_model_class *class)
{
    const lam_code said = {lam_dataset_text(code, LAM_TAG_CODE_VALUE, NULL),
                           lam_dataset_text(code, LAM_TAG_CODING_SCHEME, ""),
                           lam_dataset_text(code, LAM_TAG_CODE_MEANING, "")};
    const lam_model_code ours = {"99LAMINA", class->name, class->label};
    return is_code(&said, class->code.value ? &class->code : &ours) ||
           is_called(said.meaning, class->label, class->name);
}

/* Notes in `found` which classes the codes of the tree name. What modifies a number (a certainty) is no
 * answer. Trees are as deep as dicom/walk.h lets them be. */
static void find_classes(const lam_manifest *manifest, lam_dataset *item, bool *found)
{
    lam_dataset *child;
    for (size_t i = 0; (child = lam_dataset_item(item, LAM_TAG_CONTENT, i)); i++) {
        const char *type = lam_dataset_text(child, LAM_TAG_VALUE_TYPE, "");
        lam_dataset *code = lam_dataset_item(child, LAM_TAG_CONCEPT_CODES, 0);
        for (size_t c = 0; code && strcmp(type, "CODE") == 0 && c < manifest->class_count; c++)
            found[c] |= is_class(code, &manifest->classes[c]);
        if (strcmp(type, "NUM") != 0)
            find_classes(manifest, child, found);
    }
}

static lam_status read_report(const lam_manifest *manifest, const lam_dicom_file *file, bool *found,
                              lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *report = NULL;
    lam_autoclose int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", file->path);
    lam_status status = lam_dataset_read(fd, LAM_DATASET_HEADER, &report, err);
    if (status)
        return status;
    find_classes(manifest, report, found);
    return LAM_OK;
}

lam_status lam_dicom_labels_class(const lam_manifest *manifest, const lam_dicom_file *const *files,
                                  size_t count, size_t *out, lam_error *err)
{
    bool found[LAM_MANIFEST_MAX_CLASSES] = {false};
    size_t classes = 0, chosen = 0, other = 0;
    for (size_t i = 0; i < count; i++) {
        lam_status status = read_report(manifest, files[i], found, err);
        if (status) {
            lam_error_prefix(err, "report %s", files[i]->sop_uid);
            return status;
        }
    }
    for (size_t c = 0; c < manifest->class_count; c++)
        if (found[c]) {
            other = chosen;
            chosen = c;
            classes++;
        }
    if (classes == 0)
        return lam_fail(err, LAM_E_INVALID, "report %s: no coded item is one of the model's classes (%s, …)",
                        files[0]->sop_uid, manifest->classes[0].label);
    if (classes > 1)
        return lam_fail(err, LAM_E_INVALID, "report %s: is it %s or %s? The reports say both",
                        files[0]->sop_uid, manifest->classes[other].label, manifest->classes[chosen].label);
    *out = chosen;
    return LAM_OK;
}
