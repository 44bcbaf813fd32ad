#include "daemon/cli/predict_roles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A series among the files. */
struct run {
    size_t first, count;
    uint32_t suits; /* bit i: role i */
    bool taken;
};

struct search {
    const lam_manifest *manifest;
    const lam_dicom_files *files;
    struct run *runs;
    size_t count;
};

/* The roles that a series suits, from the header of its first object. */
static lam_status find_roles(const struct search *s, struct run *run, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *header = NULL;
    const char *path = s->files->items[run->first].path;
    lam_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", path);
    lam_status status = lam_dataset_read(fd, LAM_DATASET_HEADER, &header, err);
    if (status == LAM_OK && lam_dicom_files_select(&s->manifest->selector, header, NULL) != LAM_OK)
        return LAM_OK;
    for (size_t role = 0; role < s->manifest->role_count && status == LAM_OK; role++) {
        const lam_model_role *wanted = &s->manifest->roles[role];
        if (!wanted->prior && lam_dicom_files_select(&wanted->selector, header, NULL) == LAM_OK)
            run->suits |= 1u << role;
    }
    return status;
}

static lam_status find_runs(struct search *s, lam_error *err)
{
    lam_status status = LAM_OK;
    s->runs = calloc(s->files->count + 1, sizeof *s->runs);
    if (!s->runs)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t first = 0, next; first < s->files->count && status == LAM_OK; first = next) {
        next = lam_dicom_files_end(s->files, first);
        if (s->files->items[first].kind == LAM_DICOM_REPORT)
            continue;
        struct run *run = &s->runs[s->count++];
        *run = (struct run){.first = first, .count = next - first};
        if (s->manifest->role_count)
            status = find_roles(s, run, err);
    }
    return status;
}

/* The first series of the study that suits the role and is not among the `count` that are chosen. */
static struct run *find_partner(const struct search *s, const char *study, size_t role, struct run **chosen,
                                size_t count)
{
    for (size_t i = 0; i < s->count; i++) {
        struct run *run = &s->runs[i];
        bool used = run->taken || !(run->suits >> role & 1);
        for (size_t k = 0; k < count; k++)
            used |= chosen[k] == run;
        if (!used && strcmp(s->files->items[run->first].study_uid, study) == 0)
            return run;
    }
    return NULL;
}

static lam_status add(const struct search *s, struct run *const *runs, size_t count, lam_readings *out,
                      lam_error *err)
{
    lam_reading *reading = &out->items[out->count];
    size_t files = 0;
    for (size_t i = 0; i < count; i++)
        files += runs[i]->count;
    reading->files = calloc(files + 1, sizeof *reading->files);
    if (!reading->files)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    out->count++;
    reading->alone = count == 1 && s->manifest->role_count > 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(reading->files + reading->count, s->files->items + runs[i]->first,
               runs[i]->count * sizeof *reading->files);
        reading->count += runs[i]->count;
        runs[i]->taken = true;
    }
    return LAM_OK;
}

/* The reading that this series is part of. */
static lam_status compose(const struct search *s, struct run *run, lam_readings *out, lam_error *err)
{
    struct run *chosen[LAM_MANIFEST_MAX_ROLES] = {NULL};
    const char *study = s->files->items[run->first].study_uid;
    size_t roles = s->manifest->role_count, filled = 0;
    while (run->suits && filled < roles &&
           (chosen[filled] = find_partner(s, study, filled, chosen, filled)) != NULL)
        filled++;
    return roles && filled == roles ? add(s, chosen, roles, out, err) : add(s, &run, 1, out, err);
}

lam_status lam_readings_find(const lam_manifest *manifest, const lam_dicom_files *files, lam_readings *out,
                             lam_error *err)
{
    struct search s = {.manifest = manifest, .files = files};
    lam_readings readings = {.items = calloc(files->count + 1, sizeof *readings.items)};
    lam_status status = readings.items ? find_runs(&s, err) : lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < s.count && status == LAM_OK; i++)
        if (!s.runs[i].taken)
            status = compose(&s, &s.runs[i], &readings, err);
    free(s.runs);
    if (status)
        lam_readings_done(&readings);
    else
        *out = readings;
    return status;
}

void lam_readings_done(lam_readings *readings)
{
    for (size_t i = 0; i < readings->count; i++)
        free(readings->items[i].files);
    free(readings->items);
    *readings = (lam_readings){.items = NULL};
}
