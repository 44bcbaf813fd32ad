/* WADO-RS frames (PS3.18 section 10.4.1.1.6): as they are stored, or as native little endian pixels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/negotiate.h"
#include "api/parts.h"
#include "api/reply.h"
#include "api/urls.h"
#include "core/base/cleanup.h"

#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define IMPLICIT_LITTLE "1.2.840.10008.1.2"
#define OCTETS          "application/octet-stream"

bool lam_wado_read_frames(lam_request *request, const char *text, int64_t *frames, size_t *count)
{
    size_t found = 0;
    for (const char *at = text; found < LAM_WADO_MAX_FRAMES; at++) {
        size_t digits = strspn(at, "0123456789");
        int64_t frame = digits >= 1 && digits <= 9 ? strtoll(at, NULL, 10) : 0;
        if (frame < 1)
            break;
        frames[found++] = frame;
        at += digits;
        if (*at == '\0') {
            *count = found;
            return true;
        }
        if (*at != ',')
            break;
    }
    lam_reply_problem(request, MHD_HTTP_BAD_REQUEST,
                      "\"%.60s\" is not a list of frame numbers: they count from 1, with commas between, at "
                      "most %d of them",
                      text, LAM_WADO_MAX_FRAMES);
    return false;
}

/* The transfer syntax of the object, "" when there is none and that was answered. */
static bool find_syntax(lam_request *request, char syntax[LAM_UID_TEXT])
{
    lam_stored_object object = {.fd = -1};
    lam_error error = {0};
    const lam_backend *backend = request->backend;
    lam_status status =
        backend->instance_open(backend->context, request->parameters[0], request->parameters[1],
                               request->parameters[2], &object, &error);
    if (status != LAM_OK) {
        lam_reply_error(request, &error);
        return false;
    }
    close(object.fd);
    memcpy(syntax, object.transfer_syntax_uid, LAM_UID_TEXT);
    return true;
}

static bool is_plain(const char *syntax)
{
    return strcmp(syntax, EXPLICIT_LITTLE) == 0 || strcmp(syntax, IMPLICIT_LITTLE) == 0;
}

typedef struct choice {
    bool multipart, stored;
    const char *type; /* of a part */
    const char *syntax;
} choice;

/* What there is: the stored code streams under their own media type and, for who names a transfer syntax, as
 * octets; native pixels as octets. False when none will do, which is answered with 406. */
static bool choose(lam_request *request, const char *stored, choice *out)
{
    const char *own = lam_parts_media_type(stored);
    bool plain = is_plain(stored);
    choice choices[8];
    lam_offer offers[8];
    size_t count = 0;
    for (int single = 0; single < 2; single++) {
        const choice all[] = {{!single, true, own, stored},
                              {!single, true, OCTETS, stored},
                              {!single, plain, OCTETS, EXPLICIT_LITTLE}};
        for (size_t i = 0; i < LAM_COUNT(all); i++) {
            if (!all[i].type || (plain && i < 2))
                continue;
            choices[count] = all[i];
            offers[count++] = (lam_offer){single ? all[i].type : "multipart/related",
                                          single ? NULL : all[i].type, all[i].syntax, .by_name = i == 1};
        }
    }
    LAM_AUTO(lam_buffer_done) lam_buffer scratch = {0};
    int chosen = lam_negotiate(lam_request_accept(request, &scratch), offers, count);
    if (chosen >= 0)
        *out = choices[chosen];
    else
        lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE,
                          "on offer here: %s%sin transfer syntax %s; " OCTETS
                          " in transfer syntax " EXPLICIT_LITTLE ", or * for the stored one; each also as "
                          "multipart/related of that type",
                          own ? own : OCTETS, " ", stored);
    return chosen >= 0;
}

static void refuse_single(lam_request *request)
{
    lam_reply_problem(request, MHD_HTTP_NOT_ACCEPTABLE,
                      "several frames are only to be had as multipart/related");
}

/* No frames are all. */
static void reply_frames(lam_request *request, const int64_t *frames, size_t count, const choice *how)
{
    const lam_backend *backend = request->backend;
    char type[160], locations[LAM_URL_TEXT + 512], root[LAM_URL_TEXT];
    lam_pixels pixels = {.fd = -1};
    lam_error error = {0};
    const lam_pixel_request wanted = {.study_uid = request->parameters[0],
                                      .series_uid = request->parameters[1],
                                      .sop_uid = request->parameters[2],
                                      .form = LAM_PIXELS_FRAMES,
                                      .frames = frames,
                                      .frame_count = count,
                                      .stored = how->stored};
    lam_request_wait_begin(request);
    lam_status status = backend->pixels(backend->context, &wanted, &pixels, &error);
    lam_request_wait_end(request);
    if (status != LAM_OK) {
        lam_reply_pixels_error(request, &error);
        return;
    }
    lam_url_root(request->options, root);
    snprintf(type, sizeof type, "%s; transfer-syntax=%s", how->type, how->syntax);
    snprintf(locations, sizeof locations, "%s/studies/%s/series/%s/instances/%s/frames/", root,
             request->parameters[0], request->parameters[1], request->parameters[2]);
    if (how->multipart) {
        lam_reply_pixels_multipart(request, how->type, type, locations, frames, &pixels);
    } else if (pixels.count && pixels.pieces[pixels.count - 1].part > 0) {
        lam_pixels_done(&pixels);
        refuse_single(request);
    } else {
        lam_reply_pixels(request, type, &pixels, how->stored);
    }
}

bool lam_wado_pixel_data(lam_request *request)
{
    char syntax[LAM_UID_TEXT];
    choice how;
    if (!find_syntax(request, syntax))
        return true;
    if (is_plain(syntax))
        return false;
    if (choose(request, syntax, &how))
        reply_frames(request, NULL, 0, &how);
    return true;
}

void lam_wado_frames(lam_request *request)
{
    lam_autofree int64_t *frames = calloc(LAM_WADO_MAX_FRAMES, sizeof *frames);
    size_t count = 0;
    char syntax[LAM_UID_TEXT];
    choice how;
    if (!frames) {
        lam_reply_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    if (!lam_wado_read_frames(request, request->parameters[3], frames, &count) ||
        !find_syntax(request, syntax) || !choose(request, syntax, &how))
        return;
    if (!how.multipart && count > 1)
        refuse_single(request);
    else
        reply_frames(request, frames, count, &how);
}
