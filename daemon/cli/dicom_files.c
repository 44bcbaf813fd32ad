#include "daemon/cli/dicom_files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/base/uid.h"
#include "daemon/laminad/header.h"
#include "daemon/laminad/selection.h"
#include "dicom/part10.h"
#include "dicom/tag.h"

/* ---- the files ---- */

/* The same number of two hospitals is not the same patient; without a number each study is of its own. */
static void hash_patient(lam_dataset *header, uint8_t digest[LAM_SHA256_BYTES])
{
    static const lam_tag issuer = LAM_TAG(0x0010, 0x0021);
    lam_sha256 hash;
    lam_sha256_init(&hash);
    lam_sha256_update_text(&hash, lam_dataset_text(header, LAM_TAG_PATIENT_ID, ""));
    lam_sha256_update_text(&hash, lam_dataset_text(header, issuer, ""));
    if (!lam_dataset_has(header, LAM_TAG_PATIENT_ID))
        lam_sha256_update_text(&hash, lam_dataset_text(header, LAM_TAG_STUDY, ""));
    lam_sha256_final(&hash, digest);
}

static lam_status add_file(lam_dicom_files *files, const char *path, lam_dataset *header, lam_dicom_kind kind,
                           lam_error *err)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? 2 * files->capacity : 256;
        lam_dicom_file *grown = realloc(files->items, capacity * sizeof *grown);
        if (!grown)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu files", capacity);
        files->items = grown;
        files->capacity = capacity;
    }
    lam_dicom_file *file = &files->items[files->count];
    file->path = strdup(path);
    if (!file->path)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_text_copy(file->series_uid, sizeof file->series_uid, lam_dataset_text(header, LAM_TAG_SERIES, ""));
    lam_text_copy(file->study_uid, sizeof file->study_uid, lam_dataset_text(header, LAM_TAG_STUDY, ""));
    lam_text_copy(file->sop_uid, sizeof file->sop_uid, lam_dataset_text(header, LAM_TAG_SOP_INSTANCE, ""));
    file->kind = kind;
    hash_patient(header, file->patient);
    files->count++;
    return LAM_OK;
}

static bool kind_of(lam_dataset *header, lam_dicom_kind *kind)
{
    if (!lam_dataset_has(header, LAM_TAG_SERIES))
        return false;
    *kind = LAM_DICOM_IMAGE;
    if (lam_dataset_has(header, LAM_TAG_SEGMENTATION_TYPE))
        *kind = LAM_DICOM_SEGMENTATION;
    else if (lam_dataset_items(header, LAM_TAG_CONTENT) > 0)
        *kind = LAM_DICOM_REPORT;
    return *kind == LAM_DICOM_REPORT || lam_dataset_has(header, LAM_TAG_ROWS);
}

/* The identifiers become names of files and references in results: one that is not a UID becomes neither. */
static bool has_valid_uids(lam_dataset *header)
{
    static const lam_tag uids[] = {LAM_TAG_SERIES, LAM_TAG_STUDY, LAM_TAG_SOP_INSTANCE};
    bool valid = true;
    for (size_t i = 0; i < LAM_COUNT(uids) && valid; i++)
        valid = !lam_dataset_has(header, uids[i]) || lam_uid_is_valid(lam_dataset_text(header, uids[i], ""));
    return valid;
}

static lam_status look_at(lam_dicom_files *files, const char *path, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *header = NULL;
    lam_error why = {0};
    lam_dicom_kind kind;
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", path);
    if (lam_dataset_read(fd, LAM_DATASET_HEADER, &header, &why) != LAM_OK) {
        fprintf(stderr, "skipped: %s: %s\n", path, why.message);
        return LAM_OK;
    }
    if (!kind_of(header, &kind))
        return LAM_OK;
    if (!has_valid_uids(header)) {
        fprintf(stderr, "skipped: %s: its study, series or instance has no valid UID\n", path);
        return LAM_OK;
    }
    return add_file(files, path, header, kind, err);
}

static int by_series(const void *a, const void *b)
{
    const lam_dicom_file *left = a, *right = b;
    int order = strcmp(left->series_uid, right->series_uid);
    if (order == 0)
        order = strcmp(left->sop_uid, right->sop_uid);
    return order ? order : strcmp(left->path, right->path);
}

static bool have_same_bytes(const char *path, const char *other)
{
    const char *const paths[2] = {path, other};
    const void *bytes[2] = {NULL, NULL};
    size_t lengths[2] = {0, 0};
    bool same = true;
    for (int i = 0; i < 2 && same; i++) {
        lam_autoclose int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        same = fd >= 0 && lam_io_map(fd, LAM_PART10_MAX_BYTES, &bytes[i], &lengths[i], NULL) == LAM_OK;
    }
    same = same && lengths[0] == lengths[1] && memcmp(bytes[0], bytes[1], lengths[0]) == 0;
    for (int i = 0; i < 2; i++)
        lam_io_unmap(bytes[i], lengths[i]);
    return same;
}

/* Of files that are there twice, as in exports with a copy beside, one is enough. */
static void drop_copies(lam_dicom_files *files)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        lam_dicom_file *file = &files->items[i], *last = kept ? &files->items[kept - 1] : NULL;
        if (last && strcmp(last->sop_uid, file->sop_uid) == 0 && have_same_bytes(last->path, file->path)) {
            fprintf(stderr, "skipped: %s: a copy of %s\n", file->path, last->path);
            free(file->path);
            continue;
        }
        files->items[kept++] = *file;
    }
    files->count = kept;
}

lam_status lam_dicom_files_find(char *const *paths, lam_dicom_files *out, lam_error *err)
{
    FTS *walk = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return lam_fail_errno(err, errno, "cannot walk through the folders");
    lam_status status = LAM_OK;
    for (FTSENT *entry; status == LAM_OK && (entry = fts_read(walk));)
        if (entry->fts_info == FTS_F)
            status = look_at(out, entry->fts_path, err);
        else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            status = lam_fail_errno(err, entry->fts_errno, "%s", entry->fts_path);
    fts_close(walk);
    if (status == LAM_OK && out->count > 0)
        qsort(out->items, out->count, sizeof out->items[0], by_series);
    drop_copies(out);
    return status;
}

void lam_dicom_files_done(lam_dicom_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->items[i].path);
    free(files->items);
    *files = (lam_dicom_files){.items = NULL};
}

size_t lam_dicom_files_end(const lam_dicom_files *files, size_t first)
{
    size_t end = first + 1;
    while (end < files->count && strcmp(files->items[end].series_uid, files->items[first].series_uid) == 0)
        end++;
    return end;
}

lam_status lam_dicom_files_read(const lam_dicom_file *files, size_t count, lam_series **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    lam_status status = lam_series_create(&series, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++) {
        lam_autoclose int fd = open(files[i].path, O_RDONLY | O_CLOEXEC);
        status = fd < 0 ? lam_fail_errno(err, errno, "%s", files[i].path) : lam_series_add(series, fd, err);
    }
    if (status)
        return status;
    *out = LAM_TAKE_PTR(series);
    return LAM_OK;
}

/* ---- does the model want it ---- */

/* An attribute as DICOM JSON has it, all values as text. */
static void add_attribute(json_t *attributes, lam_dataset *header, const char *tag)
{
    const char *text = lam_dataset_text(header, (lam_tag)strtoul(tag, NULL, 16), NULL);
    if (!text || json_object_get(attributes, tag))
        return;
    json_t *values = json_array();
    for (const char *end; text; text = *end ? end + 1 : NULL) {
        end = text + strcspn(text, "\\");
        json_array_append_new(values, json_stringn(text, (size_t)(end - text)));
    }
    json_object_set_new(attributes, tag, json_pack("{s:o}", "Value", values));
}

/* What the selector asks about. How many slices there are is seen when they are arranged. */
static json_t *attributes_of(const lam_model_selector *selector, lam_dataset *header)
{
    static const char *const tags[] = {"00080016", "00080060", "00180015", "00180050",
                                       "00180088", "00200037", "00280030"};
    json_t *attributes = json_object();
    for (size_t i = 0; i < LAM_COUNT(tags); i++)
        add_attribute(attributes, header, tags[i]);
    for (size_t i = 0; i < selector->match_count; i++) {
        const char *tag = lam_header_tag(selector->matches[i].keyword);
        if (tag)
            add_attribute(attributes, header, tag);
    }
    return attributes;
}

lam_status lam_dicom_files_select(const lam_model_selector *selector, lam_dataset *header, lam_error *err)
{
    LAM_AUTO_PTR(lam_selection) *selection = NULL;
    char reason[LAM_RULE_REASON];
    lam_status status = lam_selection_create(selector, &selection, err);
    if (status)
        return status;
    json_t *attributes = attributes_of(selector, header);
    const lam_series_facts facts = {.attributes = attributes, .slices = selector->minimum_slices};
    bool wanted = lam_selection_wants(selection, &facts, reason);
    json_decref(attributes);
    return wanted ? LAM_OK : lam_fail(err, LAM_E_NOT_FOUND, "%s", reason);
}
