#include "daemon/worker/render.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "daemon/worker/hook.h"
#include "dicom/overlay.h"
#include "dicom/overlay_plane.h"
#include "dicom/presentation_draw.h"
#include "dicom/render.h"
#include "dicom/result.h"

enum { MAX_PICTURE = 512 * 1024 * 1024, TEXT_LINE = 130 };

/* What is drawn: an image, a segmentation, or both; or a presentation state with its image. */
typedef struct scene {
    const lam_jv *wish;
    lam_frames object, related;
    lam_dataset *state; /* then there is no object */
    bool has_related;
    int64_t frame; /* of the object, from 0 */
    lam_canvas canvas;
} scene;

static void scene_done(scene *s)
{
    lam_frames_close(&s->object);
    lam_frames_close(&s->related);
    lam_dataset_free(s->state);
    lam_canvas_done(&s->canvas);
}

static bool numbers(const lam_jv *list, double *out, size_t count)
{
    if (lam_jv_count(list) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        out[i] = lam_jv_number(lam_jv_at(list, i), 0);
    return true;
}

/* LAM_E_INVALID is left for what the request asks; an image that makes no sense is another matter. */
static lam_status blame_image(lam_status status, lam_error *err)
{
    if (status == LAM_E_INVALID && err)
        err->status = LAM_E_CORRUPT;
    return status == LAM_E_INVALID ? LAM_E_CORRUPT : status;
}

static lam_status draw_image(scene *s, lam_frames *image, int64_t frame, lam_error *err)
{
    double list[2];
    lam_window window = {0, 1, LAM_VOI_LINEAR};
    bool given = numbers(lam_jv_get(s->wish, "window"), list, 2);
    if (given)
        window = (lam_window){list[0], list[1], LAM_VOI_LINEAR};
    lam_voi_function_of(lam_jv_text(lam_jv_get(s->wish, "function"), ""), &window.function);
    lam_status status = lam_render_frame(image, frame, given ? &window : NULL, &s->canvas, err);
    if (status == LAM_OK)
        lam_overlay_planes_draw(image->header, frame, &s->canvas);
    return blame_image(status, err);
}

/* A segmentation over its image; alone on black where that is not to be had. */
static lam_status draw_segmentation(scene *s, bool all, lam_error *err)
{
    int64_t frame = 0;
    const char *uid = lam_overlay_source(&s->object, s->frame, &frame);
    lam_status status;
    if (s->has_related)
        status = draw_image(s, &s->related, frame, err);
    else
        status = lam_canvas_init(&s->canvas, (int)s->object.layout.columns, (int)s->object.layout.rows, err);
    if (status != LAM_OK)
        return status;
    return lam_overlay_draw(&s->object, uid, frame, all && uid ? -1 : s->frame, &s->canvas, err);
}

static lam_status draw_with_overlay(scene *s, lam_error *err)
{
    lam_status status = draw_image(s, &s->object, s->frame, err);
    if (status != LAM_OK || !s->has_related)
        return status;
    return lam_overlay_draw(&s->related, lam_dataset_text(s->object.header, LAM_TAG_SOP_INSTANCE, ""),
                            s->frame, -1, &s->canvas, err);
}

/* In the state's own window, unless the request names one. */
static lam_status draw_state(scene *s, const char *uid, int64_t frame, lam_error *err)
{
    lam_window window;
    bool own = !lam_jv_get(s->wish, "window") && lam_presentation_window(s->state, uid, frame, &window);
    if (!s->has_related)
        return lam_fail(err, LAM_E_NOT_FOUND, "the image that the presentation state is for is not stored");
    lam_status status = own ? blame_image(lam_render_frame(&s->related, frame, &window, &s->canvas, err), err)
                            : draw_image(s, &s->related, frame, err);
    if (status != LAM_OK)
        return status;
    return lam_presentation_draw(s->state, uid, frame, lam_render_inverts(&s->related), &s->canvas, err);
}

/* ---- what is written into the picture (PS3.18 section 8.3.5.1.1) ---- */

static void write_line(scene *s, int *y, lam_tag first, lam_tag second)
{
    static const uint8_t yellow[3] = {255, 230, 120}, black[3] = {0, 0, 0};
    char a[61], b[61], line[TEXT_LINE];
    lam_dataset *header = s->state ? s->state : s->object.header;
    lam_result_ascii(lam_dataset_text(header, first, ""), 60, a);
    lam_result_ascii(lam_dataset_text(header, second, ""), 60, b);
    snprintf(line, sizeof line, "%s %s", a, b);
    int scale = s->canvas.width >= 512 ? 2 : 1;
    for (int shift = 1; shift >= 0; shift--)
        lam_canvas_text(&s->canvas, 4 + shift, *y + shift, scale, shift ? black : yellow, line);
    *y += 10 * scale;
}

static void annotate(scene *s)
{
    int y = 4;
    if (lam_jv_bool(lam_jv_get(s->wish, "patient"), false)) {
        write_line(s, &y, LAM_TAG_PATIENT_NAME, LAM_TAG_PATIENT_ID);
        write_line(s, &y, LAM_TAG_BIRTH_DATE, LAM_TAG_SEX);
    }
    if (lam_jv_bool(lam_jv_get(s->wish, "technique"), false)) {
        write_line(s, &y, LAM_TAG_MODALITY, LAM_TAG_STUDY_DATE);
        write_line(s, &y, LAM_TAG_SERIES_DESCRIPTION, LAM_TAG_INSTANCE_NUMBER);
        write_line(s, &y, LAM_TAG_WINDOW_CENTRE, LAM_TAG_WINDOW_WIDTH);
    }
}

/* ---- the request ---- */

/* What has no pixels may be a presentation state. `status` is what came of opening it as an image. */
static lam_status open_state(int fd, scene *s, lam_status status, lam_error *err)
{
    if (status != LAM_E_UNSUPPORTED || lam_dataset_read(fd, LAM_DATASET_WHOLE, &s->state, NULL) != LAM_OK)
        return status;
    if (lam_presentation_is_state(s->state))
        return LAM_OK;
    lam_dataset_free(s->state);
    s->state = NULL;
    return err ? err->status : status;
}

static lam_status open_scene(const lam_ipc_message *message, const lam_jv *wish, scene *s, lam_error *err)
{
    s->wish = wish;
    if (message->fd_count != 2 && message->fd_count != 3)
        return lam_fail(err, LAM_E_PEER, "RENDER with %zu descriptors", message->fd_count);
    lam_status status = blame_image(lam_frames_open(message->fds[0], &s->object, err), err);
    status = open_state(message->fds[0], s, status, err);
    if (status == LAM_OK && message->fd_count == 3) {
        status = blame_image(lam_frames_open(message->fds[2], &s->related, err), err);
        s->has_related = status == LAM_OK;
    }
    if (status != LAM_OK || s->state)
        return status;
    if (lam_overlay_is_segmentation(&s->object) && s->has_related) /* one of another grid is shown alone */
        s->has_related = s->related.layout.rows == s->object.layout.rows &&
                         s->related.layout.columns == s->object.layout.columns;
    lam_worker_hook(lam_dataset_text(s->object.header, LAM_TAG_PATIENT_ID, NULL), false);
    int64_t frame = lam_jv_integer(lam_jv_get(wish, "frame"), 0);
    s->frame = frame > 0 ? frame - 1 : s->object.layout.frames / 2;
    if (s->frame >= s->object.layout.frames)
        return lam_fail(err, LAM_E_NOT_FOUND, "there is no frame %lld; the object has %lld", (long long)frame,
                        (long long)s->object.layout.frames);
    return LAM_OK;
}

static lam_status fit(scene *s, lam_error *err)
{
    lam_viewport v = {.width = 0};
    double size[2], region[4];
    if (numbers(lam_jv_get(s->wish, "viewport"), size, 2)) {
        v.width = (int)size[0];
        v.height = (int)size[1];
    }
    v.has_region = numbers(lam_jv_get(s->wish, "region"), region, 4);
    if (v.has_region) {
        v.x = region[0];
        v.y = region[1];
        v.region_width = region[2];
        v.region_height = region[3];
    }
    return lam_render_fit(&s->canvas, &v, err);
}

static lam_status write_picture(const scene *s, int fd, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer picture;
    lam_buffer_init(&picture, MAX_PICTURE);
    bool jpeg = strcmp(lam_jv_text(lam_jv_get(s->wish, "media_type"), ""), "image/jpeg") == 0;
    int quality = (int)lam_jv_integer(lam_jv_get(s->wish, "quality"), 90);
    lam_status status = jpeg ? lam_canvas_jpeg(&s->canvas, quality, &picture, err)
                             : lam_canvas_png(&s->canvas, &picture, err);
    if (status == LAM_OK)
        status = lam_io_write_all(fd, picture.data, picture.length, err);
    if (status == LAM_OK)
        lam_buffer_printf(answer, "{\"pieces\":[[0,%zu]]}", picture.length);
    return status;
}

/* The image that is needed besides: what the object is drawn over. NULL: none. */
static const char *needed(scene *s, int64_t *frame)
{
    if (s->state)
        return lam_presentation_source(s->state, lam_jv_integer(lam_jv_get(s->wish, "frame"), 0) - 1, frame);
    return lam_overlay_is_segmentation(&s->object) ? lam_overlay_source(&s->object, s->frame, frame) : NULL;
}

static lam_status draw(scene *s, const char *source, int64_t frame, lam_error *err)
{
    if (s->state && !source)
        return lam_fail(err, LAM_E_NOT_FOUND, "the presentation state refers to no such image");
    if (s->state)
        return draw_state(s, source, frame, err);
    if (lam_overlay_is_segmentation(&s->object))
        return draw_segmentation(s, lam_jv_integer(lam_jv_get(s->wish, "frame"), 0) == 0, err);
    return draw_with_overlay(s, err);
}

lam_status lam_work_render(const lam_ipc_message *message, lam_buffer *answer, lam_error *err)
{
    LAM_AUTO_PTR(lam_json) *json = NULL;
    LAM_AUTO(scene_done) scene s = {.frame = 0};
    lam_status status = lam_json_parse(message->payload, message->length, &json, err);
    if (status == LAM_OK)
        status = open_scene(message, lam_json_root(json), &s, err);
    if (status != LAM_OK)
        return status;
    int64_t frame = 0;
    bool alone = lam_jv_bool(lam_jv_get(s.wish, "alone"), false);
    const char *source = needed(&s, &frame);
    if (source && message->fd_count == 2 && !alone) {
        lam_json_writer w = lam_json_write_to(answer);
        lam_jw_object(&w, NULL);
        lam_jw_text(&w, "needs", source);
        lam_jw_end(&w);
        return LAM_OK;
    }
    status = draw(&s, source, frame, err);
    if (status == LAM_OK)
        status = fit(&s, err);
    if (status != LAM_OK)
        return status;
    annotate(&s);
    return write_picture(&s, message->fds[1], answer, err);
}
