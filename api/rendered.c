/* Rendered resources and thumbnails (PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4): pictures for people, drawn
 * by a worker. Of a study or a series as a single part there is the picture of one instance that represents
 * it; as multipart/related there are those of all its images. Several frames are several parts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/parts.h"
#include "api/reply.h"
#include "core/base/cleanup.h"
#include "core/base/uid.h"

enum { MAX_VIEWPORT = 8192, THUMBNAIL = 160, DEFAULT_QUALITY = 90, MAX_TRIES = 8, PART_HEADER = 256 };

/* ---- the query (PS3.18 section 8.3.5) ---- */

/* `most` numbers at the most, by commas, an empty one NaN; the number of them. *rest is what follows the
 * last. */
static size_t read_numbers(const char *text, double *out, size_t most, const char **rest)
{
    size_t count = 0;
    const char *at = text;
    *rest = text;
    while (count < most) {
        char *end = NULL;
        bool empty = *at == ',' || *at == '\0';
        double value = empty ? NAN : strtod(at, &end);
        if (!empty && (end == at || !isfinite(value) || (*end != ',' && *end != '\0')))
            return count;
        out[count++] = value;
        at = empty ? at : end;
        *rest = at;
        if (*at == '\0')
            return count;
        *rest = ++at;
    }
    return count;
}

static bool read_viewport(const char *text, bool thumbnail, lam_picture_request *p)
{
    double v[6];
    const char *rest;
    size_t count = read_numbers(text, v, 6, &rest);
    if (*rest != '\0' || (count != 2 && (thumbnail || count != 6)))
        return false;
    if (!(v[0] >= 1 && v[0] <= MAX_VIEWPORT && v[1] >= 1 && v[1] <= MAX_VIEWPORT))
        return false;
    p->has_viewport = true;
    memcpy(p->viewport, v, sizeof p->viewport);
    p->has_region = count == 6;
    for (size_t i = 2; i < count; i++)
        p->region[i - 2] = isnan(v[i]) ? 0 : v[i];
    return true;
}

static bool read_window(const char *text, lam_picture_request *p)
{
    static const struct {
        const char *name, *function;
    } functions[] = {{"linear", "LINEAR"}, {"linear-exact", "LINEAR_EXACT"}, {"sigmoid", "SIGMOID"}};
    const char *rest;
    if (read_numbers(text, p->window, 2, &rest) != 2 || isnan(p->window[0]) || !(p->window[1] > 0))
        return false;
    p->has_window = true;
    if (*rest == '\0')
        return true;
    for (size_t i = 0; i < LAM_COUNT(functions); i++)
        if (strcmp(rest, functions[i].name) == 0) {
            p->function = functions[i].function;
            return true;
        }
    return false;
}

static bool read_quality(const char *text, lam_picture_request *p)
{
    char *end = NULL;
    long value = strtol(text, &end, 10);
    p->quality = (int)value;
    return end != text && *end == '\0' && value >= 1 && value <= 100;
}

static bool read_annotation(const char *text, lam_picture_request *p)
{
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        if (length == 7 && strncmp(at, "patient", 7) == 0)
            p->patient = true;
        else if (length == 9 && strncmp(at, "technique", 9) == 0)
            p->technique = true;
        else
            return false;
        at += length + (at[length] == ',');
    }
    return true;
}

/* False when a parameter is wrong, which is answered with 400; the connection stays. */
static bool read_query(lam_request *request, bool thumbnail, lam_picture_request *p)
{
    const char *viewport = lam_request_query(request, "viewport");
    const char *window = thumbnail ? NULL : lam_request_query(request, "window");
    const char *quality = thumbnail ? NULL : lam_request_query(request, "quality");
    const char *annotation = thumbnail ? NULL : lam_request_query(request, "annotation");
    const char *wrong = NULL, *should = NULL;
    p->overlay_uid = thumbnail ? NULL : lam_request_query(request, "overlay");
    if (viewport && !read_viewport(viewport, thumbnail, p)) {
        wrong = "viewport";
        should = thumbnail ? "width,height" : "width,height or width,height,x,y,width,height";
    } else if (window && !read_window(window, p)) {
        wrong = "window";
        should = "centre,width or centre,width,linear|linear-exact|sigmoid, the width above 0";
    } else if (quality && !read_quality(quality, p)) {
        wrong = "quality";
        should = "a number from 1 to 100";
    } else if (annotation && !read_annotation(annotation, p)) {
        wrong = "annotation";
        should = "patient, technique, or both with a comma";
    } else if (p->overlay_uid && !lam_uid_is_valid(p->overlay_uid)) {
        wrong = "overlay";
        should = "the SOP Instance UID of a segmentation";
    }
    if (wrong)
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "the parameter %s is not as it has to be: %s", wrong,
                          should);
    return wrong == NULL;
}

/* ---- what there is ---- */

typedef struct wish {
    const lam_backend *backend;
    char study[LAM_UID_TEXT];
    lam_picture_request picture;
    char overlay[LAM_UID_TEXT]; /* what picture points to, kept for after the request */
    json_t *instances;          /* of a study or series, or */
    char series[LAM_UID_TEXT], sop[LAM_UID_TEXT];
    int64_t *frames; /* of this instance */
    size_t frame_count;
    size_t next;
    char boundary[LAM_BOUNDARY + 1];
    char header[PART_HEADER];
    size_t header_length, header_sent;
    lam_pixels pixels;
    int64_t sent;
    bool ended;
} wish;

static void free_wish(void *context)
{
    wish *w = context;
    json_decref(w->instances);
    lam_pixels_done(&w->pixels);
    free(w->frames);
    free(w);
}

static const char *text_at(const json_t *list, size_t index, const char *key)
{
    return json_string_value(json_object_get(json_array_get(list, index), key));
}

static lam_status draw(const wish *w, const char *series, const char *sop, const int64_t *frame,
                       lam_pixels *out, lam_error *err)
{
    const lam_pixel_request request = {.study_uid = w->study,
                                       .series_uid = series,
                                       .sop_uid = sop,
                                       .form = LAM_PIXELS_PICTURE,
                                       .frames = frame,
                                       .frame_count = frame ? 1 : 0,
                                       .picture = w->picture};
    return w->backend->pixels(w->backend->context, &request, out, err);
}

/* The one in the middle, or the next that is an image. */
static lam_status draw_representative(const wish *w, lam_pixels *out, lam_error *err)
{
    size_t count = json_array_size(w->instances);
    lam_status status = LAM_E_NOT_FOUND;
    for (size_t i = 0; i < count && i < MAX_TRIES; i++) {
        size_t at = (count / 2 + i * (count / MAX_TRIES + 1)) % count;
        status = draw(w, text_at(w->instances, at, "series_uid"), text_at(w->instances, at, "sop_uid"), NULL,
                      out, err);
        if (status == LAM_OK || status == LAM_E_BUSY)
            return status;
    }
    return status;
}

/* ---- all of them, one after the other ---- */

/* The next instance that is an image. False at the end. */
static bool draw_next_instance(wish *w)
{
    size_t count = json_array_size(w->instances);
    while (w->next < count) {
        size_t at = w->next++;
        if (draw(w, text_at(w->instances, at, "series_uid"), text_at(w->instances, at, "sop_uid"), NULL,
                 &w->pixels, NULL) == LAM_OK)
            return true;
    }
    return false;
}

/* The next frame that was asked for; *status says why one cannot be drawn. False at the end. */
static bool draw_next_frame(wish *w, lam_status *status)
{
    if (w->next == w->frame_count)
        return false;
    *status = draw(w, w->series, w->sop, &w->frames[w->next++], &w->pixels, NULL);
    return *status == LAM_OK;
}

static lam_status begin_part(wish *w)
{
    lam_status status = LAM_OK;
    bool drawn = w->frames ? draw_next_frame(w, &status) : draw_next_instance(w);
    if (status != LAM_OK)
        return status;
    int length = drawn ? snprintf(w->header, sizeof w->header, "\r\n--%s\r\nContent-Type: %s\r\n\r\n",
                                  w->boundary, w->picture.media_type)
                       : snprintf(w->header, sizeof w->header, "\r\n--%s--\r\n", w->boundary);
    w->ended = !drawn;
    w->header_length = (size_t)length;
    w->header_sent = 0;
    w->sent = 0;
    return LAM_OK;
}

static ssize_t read_parts(void *context, uint64_t position, char *bytes, size_t size)
{
    (void)position;
    wish *w = context;
    if (w->header_sent == w->header_length && w->pixels.fd < 0) {
        if (w->ended)
            return 0;
        if (begin_part(w) != LAM_OK)
            return -1;
    }
    if (w->header_sent < w->header_length) {
        size_t left = w->header_length - w->header_sent, take = left < size ? left : size;
        memcpy(bytes, w->header + w->header_sent, take);
        w->header_sent += take;
        return (ssize_t)take;
    }
    int64_t left = w->pixels.pieces[0].length - w->sent;
    ssize_t got = pread(w->pixels.fd, bytes, left < (int64_t)size ? (size_t)left : size,
                        w->pixels.pieces[0].offset + w->sent);
    w->sent += got > 0 ? got : 0;
    if (got > 0 && w->sent == w->pixels.pieces[0].length)
        lam_pixels_done(&w->pixels);
    return got > 0 ? got : -1;
}

static void reply_all(lam_request *request, wish **w)
{
    char type[160];
    if (!lam_parts_boundary((*w)->boundary)) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no random numbers from the system");
        return;
    }
    snprintf(type, sizeof type, "multipart/related; type=\"%s\"; boundary=%s", (*w)->picture.media_type,
             (*w)->boundary);
    lam_reply_stream(request, type, -1, read_parts, LAM_TAKE_PTR(*w), free_wish);
}

/* ---- requests ---- */

/* Single part before multipart, PNG before JPEG where both are as welcome. Answered with 406 when neither. */
static bool choose(lam_request *request, bool thumbnail, wish *w, bool *multipart)
{
    size_t first = w->frame_count > 1 ? 2 : 0;
    static const lam_offer offers[] = {{"image/jpeg", NULL, NULL, false},
                                       {"image/png", NULL, NULL, false},
                                       {"multipart/related", "image/jpeg", NULL, false},
                                       {"multipart/related", "image/png", NULL, false}};
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    int chosen =
        lam_negotiate(lam_request_accept(request, &scratch), offers + first, thumbnail ? 2 : 4 - first);
    if (chosen < 0) {
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE, "on offer here%s: %s%s",
                          first ? ", for several frames" : "",
                          first ? "multipart/related of image/jpeg or image/png" : "image/jpeg, image/png",
                          thumbnail || first ? "" : ", and multipart/related of these types");
        return false;
    }
    chosen += (int)first;
    w->picture.media_type = chosen % 2 ? "image/png" : "image/jpeg";
    *multipart = chosen >= 2;
    return true;
}

static lam_status find_instances(const lam_request *request, wish *w, lam_error *err)
{
    const char *series = request->parameters[1][0] ? request->parameters[1] : NULL;
    return w->backend->instances(w->backend->context, w->study, series, NULL, &w->instances, err);
}

/* The last of them is drawn beforehand: where there is that one, there are all. */
static void reply_frames(lam_request *request, wish **owned)
{
    wish *w = *owned;
    lam_error error = {0};
    lam_pixels pixels = {.fd = -1};
    int64_t last = 0;
    for (size_t i = 0; i < w->frame_count; i++)
        last = w->frames[i] > last ? w->frames[i] : last;
    lam_request_wait_begin(request);
    lam_status status = draw(w, w->series, w->sop, &last, &pixels, &error);
    lam_request_wait_end(request);
    lam_pixels_done(&pixels);
    if (status != LAM_OK)
        lam_reply_pixels_error(request, &error);
    else
        reply_all(request, owned);
}

static void reply_picture(lam_request *request, wish **owned)
{
    wish *w = *owned;
    lam_error error = {0};
    lam_pixels pixels = {.fd = -1};
    bool one = request->parameters[2][0] != '\0';
    int64_t frame = strtoll(request->parameters[3], NULL, 10);
    lam_status status = one ? LAM_OK : find_instances(request, w, &error);
    if (status == LAM_OK) {
        lam_request_wait_begin(request);
        status = one ? draw(w, request->parameters[1], request->parameters[2],
                            request->parameters[3][0] ? &frame : NULL, &pixels, &error)
                     : draw_representative(w, &pixels, &error);
        lam_request_wait_end(request);
    }
    if (status != LAM_OK)
        lam_reply_pixels_error(request, &error);
    else
        lam_reply_pixels(request, w->picture.media_type, &pixels, false);
}

static void reply_multipart(lam_request *request, wish **owned)
{
    wish *w = *owned;
    lam_error error = {0};
    lam_pixels pixels = {.fd = -1};
    if (w->frame_count > 1) {
        reply_frames(request, owned);
        return;
    }
    if (!request->parameters[2][0]) {
        if (find_instances(request, w, &error) != LAM_OK)
            lam_reply_error(request, &error);
        else
            reply_all(request, owned);
        return;
    }
    int64_t frame = strtoll(request->parameters[3], NULL, 10);
    lam_request_wait_begin(request);
    lam_status status = draw(w, request->parameters[1], request->parameters[2],
                             request->parameters[3][0] ? &frame : NULL, &pixels, &error);
    lam_request_wait_end(request);
    if (status != LAM_OK)
        lam_reply_pixels_error(request, &error);
    else
        lam_reply_pixels_multipart(request, w->picture.media_type, w->picture.media_type, NULL, NULL,
                                   &pixels);
}

/* Which frames, if the URL names some; a thumbnail is of one. False: answered. */
static bool read_frames(lam_request *request, bool thumbnail, wish *w)
{
    if (!request->parameters[3][0])
        return true;
    w->frames = calloc(LAM_WADO_MAX_FRAMES, sizeof *w->frames);
    if (!w->frames) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return false;
    }
    if (!lam_wado_read_frames(request, request->parameters[3], w->frames, &w->frame_count))
        return false;
    if (thumbnail && w->frame_count > 1)
        lam_reply_problem(request, MHD_HTTP_BAD_REQUEST, "a thumbnail is of one frame");
    return !thumbnail || w->frame_count == 1;
}

static void render(lam_request *request, bool thumbnail)
{
    wish *w = calloc(1, sizeof *w);
    bool multipart = false;
    if (!w) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    w->backend = request->backend;
    w->pixels.fd = -1;
    w->picture.quality = DEFAULT_QUALITY;
    snprintf(w->study, sizeof w->study, "%.64s", request->parameters[0]);
    snprintf(w->series, sizeof w->series, "%.64s", request->parameters[1]);
    snprintf(w->sop, sizeof w->sop, "%.64s", request->parameters[2]);
    if (thumbnail) {
        w->picture.has_viewport = true;
        w->picture.viewport[0] = w->picture.viewport[1] = THUMBNAIL;
    }
    if (read_frames(request, thumbnail, w) && read_query(request, thumbnail, &w->picture) &&
        choose(request, thumbnail, w, &multipart)) {
        if (w->picture.overlay_uid) {
            snprintf(w->overlay, sizeof w->overlay, "%s", w->picture.overlay_uid);
            w->picture.overlay_uid = w->overlay;
        }
        if (multipart)
            reply_multipart(request, &w);
        else
            reply_picture(request, &w);
    }
    if (w)
        free_wish(w);
}

void lam_wado_rendered(lam_request *request)
{
    render(request, false);
}

void lam_wado_thumbnail(lam_request *request)
{
    render(request, true);
}
