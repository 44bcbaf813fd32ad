/* lamina-objects: every kind of result object over a series, from findings that are made up. What the objects
 * hold is a function of the grid alone, so a test can say which voxel must be where; no model is needed.
 *
 *     lamina-objects OUT PROFILE[+FORM] FILE…
 *
 * FORM overrides the profile's form of segmentation: binary, occupancy, probability or labelmap. Segments: 1
 * is a corner block, 2 the diagonal of each slice, 3 empty; with the form "overlap" the two share voxels.
 * Images without a place get none, and neither SEG nor parametric map. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/key_objects.h"
#include "dicom/parametric_map.h"
#include "dicom/presentation_state.h"
#include "dicom/secondary_capture.h"
#include "dicom/seg.h"
#include "dicom/sr.h"
#include "dicom/transfer_syntax.h"
#include "dicom/validate.h"

typedef struct made {
    uint8_t *labels, *probabilities[3], *masks[3];
    float *voxels, *heat;
} made;

static void made_done(made *m)
{
    free(m->labels);
    free(m->voxels);
    free(m->heat);
    for (int i = 0; i < 3; i++) {
        free(m->masks[i]);
        free(m->probabilities[i]);
    }
}

static bool in_block(const int64_t size[3], int64_t z, int64_t y, int64_t x)
{
    return z <= size[0] / 2 && y < (size[1] + 2) / 3 && x < (size[2] + 1) / 2;
}

static void fill(const int64_t size[3], made *m, int64_t voxels[3])
{
    for (int64_t z = 0, i = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++)
            for (int64_t x = 0; x < size[2]; x++, i++) {
                bool block = in_block(size, z, y, x), diagonal = x == y;
                m->labels[i] = block ? 1 : diagonal ? 2 : 0;
                m->masks[0][i] = block;
                m->masks[1][i] = diagonal;
                for (int k = 0; k < 2; k++)
                    m->probabilities[k][i] = m->labels[i] == k + 1 ? 200 : 0;
                m->heat[i] = (float)(x + y) / (float)(size[1] + size[2]);
                voxels[0] += m->labels[i] == 1;
                voxels[1] += m->labels[i] == 2;
            }
}

static lam_status make(const lam_series *series, made *m, int64_t voxels[3], lam_error *err)
{
    const int64_t *size = lam_series_grid(series)->size;
    size_t count = (size_t)(size[0] * size[1] * size[2]);
    m->labels = calloc(count, 1);
    m->voxels = calloc(count, sizeof *m->voxels);
    m->heat = calloc(count, sizeof *m->heat);
    bool all = m->labels && m->voxels && m->heat;
    for (int i = 0; i < 3; i++)
        all &= (m->masks[i] = calloc(count, 1)) && (m->probabilities[i] = calloc(count, 1));
    if (!all)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    fill(size, m, voxels);
    return LAM_OK;
}

static void hear(void *context, const lam_problem *problem)
{
    printf("%s: %s %s (%s)\n", (const char *)context, problem->attribute, problem->message, problem->clause);
}

static lam_status write_one(const lam_result *result, const char *folder, const char *name,
                            lam_status (*create)(const lam_result *, lam_dataset **, lam_error *),
                            lam_error *err)
{
    char path[4096];
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_status status = create(result, &object, err);
    if (status == LAM_E_STATE)
        return LAM_OK; /* there is none for such a source */
    if (status != LAM_OK)
        return status;
    snprintf(path, sizeof path, "%s/%s.dcm", folder, name);
    lam_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return lam_fail(err, LAM_E_IO, "cannot write %s", path);
    lam_dataset *source = lam_series_object(result->series, 0);
    lam_dataset *const sources[] = {source};
    lam_validate(object, sources, lam_series_objects(result->series) == 1, hear, path);
    return lam_dataset_write(object, fd, LAM_TS_EXPLICIT_LITTLE, err);
}

static lam_status write_all(lam_series *series, const char *folder, lam_profile profile, const char *form,
                            lam_error *err)
{
    static const struct {
        const char *name;
        lam_status (*create)(const lam_result *, lam_dataset **, lam_error *);
    } kinds[] = {{"seg", lam_seg_create},
                 {"sr", lam_sr_create},
                 {"sc", lam_secondary_capture_create},
                 {"pr", lam_presentation_state_create},
                 {"ko", lam_key_objects_create},
                 {"pm", lam_parametric_map_create}};
    static const char *const forms[] = {"binary", "occupancy", "probability", "labelmap"};
    const lam_code category = {"123037004", "SCT", "Anatomical Structure"},
                   type = {"10200004", "SCT", "Liver"};
    const lam_code morphology = {"49755003", "SCT", "Morphologically Abnormal Structure"};
    const lam_code mass = {"4147007", "SCT", "Mass"}, none = {"1", "UCUM", "no units"};
    made m LAM_AUTO(made_done) = {NULL};
    int64_t voxels[3] = {0};
    lam_status status = make(series, &m, voxels, err);
    if (status != LAM_OK)
        return status;
    const lam_grid *grid = lam_series_grid(series);
    lam_segment segments[3];
    for (int i = 0; i < 3; i++)
        segments[i] = (lam_segment){.number = i + 1,
                                    .label = "Part",
                                    .category = category,
                                    .type = type,
                                    .rgb = {(uint8_t)(200 - 60 * i), 80, 90},
                                    .lab = {40000, 30000, 30000},
                                    .probabilities = m.probabilities[i],
                                    .mask = strcmp(form, "overlap") == 0 ? m.masks[i] : NULL,
                                    .voxels = voxels[i],
                                    .volume_ml = (double)voxels[i] * lam_grid_voxel_ml(grid)};
    const lam_class_score classes[] = {
        {.name = "normal", .label = "Normal", .probability = 0.2},
        {.name = "mass", .label = "Mass", .code = mass, .probability = 0.8},
    };
    size_t last = (size_t)grid->size[0] - 1;
    const lam_box boxes[] = {{0, 1, 1, 4, 5, 0.7}, {last, 1.5, 1, 4, 5, 0.9}};
    const lam_detection detections[] = {
        {1, "mass", "Mass", morphology, mass, {NULL, NULL, NULL}, {250, 200, 0}, boxes, last ? 2 : 1, 0, 0.9},
        {2, "mass", "Mass", morphology, mass, type, {250, 200, 0}, boxes, 1, 0, 0.7}};
    const lam_measurement measurements[] = {{"fraction",
                                             "Ejection fraction",
                                             {"10230-1", "LN", "Left ventricular Ejection fraction"},
                                             {"%", "UCUM", "percent"},
                                             61.5,
                                             0}};
    lam_result result = {.series = series,
                         .input_set = "a test",
                         .device = {"Lamina", "test", "1", "test"},
                         .algorithm = {"objects", "1.0.0", "0123456789abcdef", "Objects"},
                         .findings = {.labels = m.labels,
                                      .segments = segments,
                                      .segment_count = lam_series_is_placed(series) ? 3 : 0,
                                      .classification = {"Mass", {NULL, NULL, NULL}, type, classes, 2, 1},
                                      .detections = detections,
                                      .detection_count = 2,
                                      .measurements = measurements,
                                      .measurement_count = 1,
                                      .heat = {"Saliency", {NULL, NULL, NULL}, none, m.heat}},
                         .voxels = m.voxels,
                         .profile = profile,
                         .choices = lam_profile_choose(profile),
                         .made_ms = 1};
    for (size_t i = 0; i < LAM_COUNT(forms); i++)
        if (strcmp(forms[i], form) == 0)
            result.choices.seg_form = (lam_seg_form)i;
    for (size_t i = 0; i < LAM_COUNT(kinds) && status == LAM_OK; i++)
        status = write_one(&result, folder, kinds[i].name, kinds[i].create, err);
    return status;
}

static lam_status run(int count, char **arguments, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    char name[32] = "";
    const char *form = strchr(arguments[2], '+');
    lam_profile profile = LAM_PROFILE_STRICT;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(arguments[2], "+"), arguments[2]);
    if (!lam_profile_find(name, &profile))
        return lam_fail(err, LAM_E_INVALID, "there is no profile %s", name);
    lam_status status = lam_series_create(&series, err);
    for (int i = 3; i < count && status == LAM_OK; i++) {
        lam_autoclose int fd = open(arguments[i], O_RDONLY | O_CLOEXEC);
        status = lam_series_add(series, fd, err);
    }
    if (status == LAM_OK)
        status = lam_series_arrange(series, err);
    return status == LAM_OK ? write_all(series, arguments[1], profile, form ? form + 1 : "", err) : status;
}

int main(int argc, char **argv)
{
    lam_error err = {LAM_OK, ""};
    if (argc < 4) {
        fprintf(stderr, "usage: lamina-objects OUT PROFILE[+FORM] FILE...\n");
        return 2;
    }
    lam_dicom_prepare();
    if (run(argc, argv, &err) != LAM_OK) {
        fprintf(stderr, "lamina-objects: %s\n", err.message);
        return 1;
    }
    return 0;
}
