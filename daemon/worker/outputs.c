#include "daemon/worker/outputs.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "dicom/index.h"
#include "dicom/picture.h"
#include "dicom/seg.h"
#include "dicom/sr.h"
#include "dicom/transfer_syntax.h"

typedef lam_status create_function(const lam_result *result, lam_dataset **out, lam_error *err);

/* An output is a DICOM object, or a picture where it has no create function. */
static const struct output {
    const char *name;
    create_function *create;
} outputs[] = {
    {"SEG", lam_seg_create},
    {"SR", lam_sr_create},
    {"montage", NULL},
};

static const struct output *find(const char *name)
{
    for (size_t i = 0; i < LAM_COUNT(outputs); i++)
        if (strcmp(outputs[i].name, name) == 0)
            return &outputs[i];
    return NULL;
}

static lam_status write_object(const lam_result *result, const struct output *output, size_t number, int fd,
                               lam_json_writer *w, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer index;
    lam_buffer_init(&index, LAM_INDEX_MAX_BYTES);
    lam_status status = output->create(result, &object, err);
    if (status == LAM_OK)
        status = lam_dataset_write(object, fd, LAM_TS_EXPLICIT_LITTLE, err);
    if (status == LAM_OK)
        status = lam_index_file(fd, &index, err);
    if (status != LAM_OK) {
        lam_error_prefix(err, "result object %s", output->name);
        return status;
    }
    lam_jw_object(w, NULL);
    lam_jw_integer(w, "output", (int64_t)number);
    lam_jw_text(w, "type", output->name);
    lam_jw_text(w, "sop_class_uid", lam_dataset_text(object, LAM_TAG_SOP_CLASS, ""));
    lam_jw_text(w, "series_uid", lam_dataset_text(object, LAM_TAG_SERIES, ""));
    lam_jw_text(w, "sop_uid", lam_dataset_text(object, LAM_TAG_SOP_INSTANCE, ""));
    lam_jw_raw(w, "index", lam_buffer_text(&index));
    lam_jw_end(w);
    return LAM_OK;
}

static lam_status write_picture(const lam_result *result, const float *voxels, const struct output *output,
                                size_t number, int fd, lam_json_writer *w, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer png;
    lam_buffer_init(&png, LAM_PICTURE_MAX_BYTES);
    lam_status status = lam_picture_montage(result, voxels, &png, err);
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

lam_status lam_outputs_write(const lam_result *result, const float *voxels, const lam_jv *names,
                             const int *fds, lam_json_writer *w, lam_error *err)
{
    for (int pictures = 0; pictures < 2; pictures++) {
        lam_jw_array(w, pictures ? "pictures" : "objects");
        for (size_t i = 0; i < lam_jv_count(names); i++) {
            const char *name = lam_jv_text(lam_jv_at(names, i), "");
            const struct output *output = find(name);
            if (!output)
                return lam_fail(err, LAM_E_UNSUPPORTED, "there is no output \"%.32s\"", name);
            lam_status status = LAM_OK;
            if (output->create && !pictures)
                status = write_object(result, output, i, fds[i], w, err);
            else if (!output->create && pictures)
                status = write_picture(result, voxels, output, i, fds[i], w, err);
            if (status != LAM_OK)
                return status;
        }
        lam_jw_end(w);
    }
    return LAM_OK;
}
