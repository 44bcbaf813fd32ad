#include "daemon/worker/outputs.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/index.h"
#include "dicom/key_objects.h"
#include "dicom/parametric_map.h"
#include "dicom/picture.h"
#include "dicom/presentation_state.h"
#include "dicom/secondary_capture.h"
#include "dicom/seg.h"
#include "dicom/sr.h"
#include "dicom/transfer_syntax.h"
#include "dicom/validate.h"

typedef lam_status create_function(const lam_result *result, lam_dataset **out, lam_error *err);
typedef lam_status draw_function(const lam_result *result, const float *voxels, lam_buffer *png,
                                 lam_error *err);

/* An output is a DICOM object or a picture. */
static const struct output {
    const char *name;
    create_function *create;
    draw_function *draw;
} outputs[] = {
    {"SEG", lam_seg_create, NULL},
    {"SR", lam_sr_create, NULL},
    {"SC", lam_secondary_capture_create, NULL},
    {"PR", lam_presentation_state_create, NULL},
    {"KO", lam_key_objects_create, NULL},
    {"PM", lam_parametric_map_create, NULL},
    {"montage", NULL, lam_picture_montage},
    {"heat", NULL, lam_picture_heat},
};

/* What a name asks for: KIND[@PROFILE[+FORM][+rle]]. */
typedef struct request {
    const struct output *output;
    lam_profile profile;
    lam_profile_choices choices;
    bool rle;
} request;

static lam_status parse_options(char *options, request *out)
{
    char *rest = NULL;
    char *word = strtok_r(options, "+", &rest);
    if (!lam_profile_find(word, &out->profile))
        return LAM_E_UNSUPPORTED;
    out->choices = lam_profile_choose(out->profile);
    while ((word = strtok_r(NULL, "+", &rest))) {
        bool rle = strcmp(word, "rle") == 0;
        if (!rle && !lam_seg_form_find(word, &out->choices.seg_form))
            return LAM_E_UNSUPPORTED;
        out->choices.form_is_open &= rle;
        out->rle |= rle;
    }
    return LAM_OK;
}

static lam_status parse_name(const char *name, request *out, lam_error *err)
{
    char text[64];
    request r = {.choices = lam_profile_choose(LAM_PROFILE_STRICT)};
    snprintf(text, sizeof text, "%s", name);
    char *options = strchr(text, '@');
    if (options)
        *options++ = '\0';
    for (size_t i = 0; i < LAM_COUNT(outputs); i++)
        if (strcmp(outputs[i].name, text) == 0)
            r.output = &outputs[i];
    if (!r.output || (options && parse_options(options, &r) != LAM_OK))
        return lam_fail(err, LAM_E_UNSUPPORTED, "there is no output \"%.48s\"", name);
    *out = r;
    return LAM_OK;
}

bool lam_outputs_want(const lam_jv *names, const char *preferred, lam_seg_form form)
{
    bool wanted = false;
    for (size_t i = 0; i < lam_jv_count(names); i++) {
        request r = {.output = NULL};
        if (parse_name(lam_jv_text(lam_jv_at(names, i), ""), &r, NULL) != LAM_OK)
            continue;
        lam_profile_prefer(&r.choices, preferred);
        wanted |= r.output->create == lam_seg_create && r.choices.seg_form == form;
    }
    return wanted;
}

/* ---- the gate ---- */

static void hear(void *context, const lam_problem *problem)
{
    char line[400];
    snprintf(line, sizeof line, "%s (%04x,%04x) %s (%s)", problem->attribute, LAM_TAG_ARGS(problem->tag),
             problem->message, problem->clause);
    lam_jw_text(context, NULL, line);
}

/* What is wrong with the object, against the images it was made from: laminad keeps such an object and never
 * sends it. */
static lam_status write_problems(const lam_result *result, lam_dataset *object, lam_json_writer *w,
                                 lam_error *err)
{
    size_t count = lam_series_objects(result->series);
    lam_autofree lam_dataset **sources = calloc(count, sizeof(lam_dataset *));
    if (!sources)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        sources[i] = lam_series_object(result->series, i);
    lam_jw_array(w, "problems");
    lam_validate(object, sources, count, hear, w);
    lam_jw_end(w);
    return LAM_OK;
}

/* ---- writing ---- */

/* Bits are not run-length coded (PS3.5 annex G works on bytes), nor is anything that is not a segmentation.
 */
static const char *syntax_of(lam_dataset *object, bool rle)
{
    int64_t bits = 0;
    bool bytes = lam_dataset_integer(object, LAM_TAG_BITS_ALLOCATED, 0, &bits) && bits == 8;
    return rle && bytes && lam_dataset_has(object, LAM_TAG_SEGMENTATION_TYPE) ? LAM_TS_RLE
                                                                              : LAM_TS_EXPLICIT_LITTLE;
}

/* The members of one object; what was appended to `w` is of no use after a failure. */
static lam_status describe(const lam_result *result, const request *r, lam_dataset *object, size_t number,
                           int fd, lam_json_writer *w, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer index;
    lam_buffer_init(&index, LAM_INDEX_MAX_BYTES);
    lam_jw_object(w, NULL);
    lam_jw_integer(w, "output", (int64_t)number);
    lam_jw_text(w, "type", r->output->name);
    lam_jw_text(w, "profile", lam_profile_name(r->profile));
    lam_jw_text(w, "sop_class_uid", lam_dataset_text(object, LAM_TAG_SOP_CLASS, ""));
    lam_jw_text(w, "series_uid", lam_dataset_text(object, LAM_TAG_SERIES, ""));
    lam_jw_text(w, "sop_uid", lam_dataset_text(object, LAM_TAG_SOP_INSTANCE, ""));
    lam_status status = write_problems(result, object, w, err);
    if (status == LAM_OK)
        status = lam_dataset_write(object, fd, syntax_of(object, r->rle), err);
    if (status == LAM_OK)
        status = lam_index_file(fd, &index, err);
    if (status != LAM_OK)
        return status;
    lam_jw_raw(w, "index", lam_buffer_text(&index));
    lam_jw_end(w);
    return LAM_OK;
}

static lam_status write_object(const lam_result *result, const request *r, size_t number, int fd,
                               lam_json_writer *w, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_status status = r->output->create(result, &object, err);
    if (status == LAM_E_STATE)
        return LAM_OK; /* nothing was found that this kind of object holds */
    if (status == LAM_OK)
        status = describe(result, r, object, number, fd, w, err);
    if (status != LAM_OK)
        lam_error_prefix(err, "result object %s", r->output->name);
    return status;
}

static lam_status write_picture(const lam_result *result, const struct output *output, size_t number, int fd,
                                lam_json_writer *w, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer png;
    lam_buffer_init(&png, LAM_PICTURE_MAX_BYTES);
    lam_status status = output->draw(result, result->voxels, &png, err);
    if (status == LAM_E_STATE)
        return LAM_OK; /* nothing to be seen */
    if (status == LAM_OK)
        status = lam_io_write_all(fd, png.data, png.length, err);
    if (status != LAM_OK)
        return status;
    lam_jw_object(w, NULL);
    lam_jw_integer(w, "output", (int64_t)number);
    lam_jw_text(w, "name", output->name);
    lam_jw_text(w, "media_type", "image/png");
    lam_jw_end(w);
    return LAM_OK;
}

static lam_status write_output(const lam_result *result, const char *name, size_t number, int fd,
                               bool pictures, lam_json_writer *w, lam_error *err)
{
    request r = {.output = NULL};
    lam_result variant = *result;
    lam_status status = parse_name(name, &r, err);
    if (status != LAM_OK || !r.output->create != pictures)
        return status;
    variant.profile = r.profile;
    variant.choices = r.choices;
    lam_profile_prefer(&variant.choices, result->algorithm.seg_form);
    return pictures ? write_picture(&variant, r.output, number, fd, w, err)
                    : write_object(&variant, &r, number, fd, w, err);
}

lam_status lam_outputs_write(const lam_result *result, const lam_jv *names, const int *fds,
                             lam_json_writer *w, lam_error *err)
{
    for (int pictures = 0; pictures < 2; pictures++) {
        lam_jw_array(w, pictures ? "pictures" : "objects");
        for (size_t i = 0; i < lam_jv_count(names); i++) {
            lam_status status =
                write_output(result, lam_jv_text(lam_jv_at(names, i), ""), i, fds[i], pictures, w, err);
            if (status != LAM_OK)
                return status;
        }
        lam_jw_end(w);
    }
    return LAM_OK;
}
