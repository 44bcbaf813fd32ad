/* model.json's `drawing`: what a generator draws. */
#include "core/rnn/manifest_parts.h"
#include "core/rnn/options.h"

/* A generator sees images as they are: where there is no pixel, there is no likelihood of one. */
static lam_status check_whole(const lam_model_preprocessing *preprocessing, lam_error *err)
{
    for (int i = 0; i < 3; i++)
        if (preprocessing->crop[i] > 0 || preprocessing->pad_multiple[i] > 1)
            return lam_fail(err, LAM_E_INVALID,
                            "`preprocessing.crop` and `pad_multiple` are not for generation");
    return LAM_OK;
}

lam_status lam_manifest_read_drawing(const lam_jv *root, lam_manifest *out, lam_error *err)
{
    static const char *const members[] = {"size",      "enlarge", "temperature", "series_description",
                                          "body_part", "slope",   NULL};
    enum { MAX_SIDE = 4096, MAX_ENLARGEMENT = 64, MAX_SLOPE = 16 /* 255 levels in 12 bits */ };
    lam_model_drawing *drawing = &out->drawing;
    const lam_jv *object;
    lam_status status;
    if ((status = lam_manifest_object(root, "drawing", members, &object, err)) ||
        (status = lam_options_integers(object, "size", 0, 1, MAX_SIDE, 3, drawing->size, err)) ||
        (status = lam_options_integers(object, "enlarge", 1, 1, MAX_ENLARGEMENT, 3, drawing->enlarge, err)) ||
        (status = lam_options_number(object, "temperature", 1, 0.01, 10, &drawing->temperature, err)) ||
        (status = lam_options_text(object, "series_description", "", &drawing->series_description, err)) ||
        (status = lam_options_text(object, "body_part", "", &drawing->body_part, err)) ||
        (status = lam_options_number(object, "slope", 1, 1, MAX_SLOPE, &drawing->slope, err)))
        return status;
    if (object && out->task != LAM_TASK_GENERATION)
        return lam_fail(err, LAM_E_INVALID, "`drawing` is for generation");
    return out->task == LAM_TASK_GENERATION ? check_whole(&out->preprocessing, err) : LAM_OK;
}
