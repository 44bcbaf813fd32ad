/* The part of the fake that DICOMweb searches and pixel work ask: data sets made of the UIDs of what is
 * stored, and frames cut from the stored bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/api/fake.h"

static bool is_within(const fake_object *o, const lam_place *place)
{
    return (!place->study_uid || strcmp(o->study, place->study_uid) == 0) &&
           (!place->series_uid || strcmp(o->series, place->series_uid) == 0) &&
           (!place->sop_uid || strcmp(o->sop, place->sop_uid) == 0);
}

static void write_data_set(lam_buffer *out, const fake_object *o)
{
    lam_buffer_printf(
        out,
        "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},\"0020000D\":{\"vr\":\"UI\",\"Value\":"
        "[\"%s\"]},\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"%s\"]}}",
        o->sop, o->study, o->series);
}

/* Whether an object before this one stands for the same study or series. */
static bool is_repeated(const fake *f, size_t index, lam_level level)
{
    const fake_object *o = &f->objects[index];
    bool repeated = false;
    for (size_t i = 0; i < index && level != LAM_LEVEL_INSTANCE; i++)
        repeated |= strcmp(f->objects[i].study, o->study) == 0 &&
                    (level == LAM_LEVEL_STUDY || strcmp(f->objects[i].series, o->series) == 0);
    return repeated;
}

lam_status fake_search(void *context, const lam_search *search, lam_search_answer *answer, lam_error *err)
{
    fake *f = context;
    pthread_mutex_lock(&f->mutex);
    f->last_search = (fake_search_seen){.level = search->level,
                                        .terms = search->term_count,
                                        .includes = search->include_count,
                                        .fuzzy = search->fuzzy,
                                        .all = search->include_all,
                                        .limit = search->limit,
                                        .offset = search->offset};
    const lam_search_term *term = search->term_count ? &search->terms[0] : NULL;
    if (term)
        snprintf(f->last_search.term, sizeof f->last_search.term, "%s=%s", term->name, term->value);
    lam_buffer_append_text(answer->out, "[");
    int64_t found = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (!is_within(&f->objects[i], &search->within) || is_repeated(f, i, search->level) ||
            found++ < search->offset)
            continue;
        answer->more = answer->count == search->limit;
        if (answer->more)
            break;
        lam_buffer_append_text(answer->out, answer->count++ ? "," : "");
        write_data_set(answer->out, &f->objects[i]);
    }
    pthread_mutex_unlock(&f->mutex);
    if (term && strcmp(term->name, "Nonsense") == 0)
        return lam_fail(err, LAM_E_INVALID, "there is no attribute Nonsense");
    return lam_buffer_append_text(answer->out, "]");
}

/* One object a call, so that a reader has to go on. */
lam_status fake_metadata(void *context, const lam_place *place, const char *root, lam_metadata_cursor *cursor,
                         size_t enough, lam_buffer *out, lam_error *err)
{
    (void)root, (void)enough;
    fake *f = context;
    bool first = cursor->instance == 0, given = false;
    size_t i = (size_t)cursor->instance;
    pthread_mutex_lock(&f->mutex);
    for (; i < f->count && !given; i++)
        if (is_within(&f->objects[i], place)) {
            lam_buffer_append_text(out, first ? "" : ",");
            write_data_set(out, &f->objects[i]);
            given = true;
        }
    cursor->instance = (int64_t)i;
    cursor->end = true;
    for (; i < f->count; i++)
        if (is_within(&f->objects[i], place))
            cursor->end = false;
    pthread_mutex_unlock(&f->mutex);
    return given ? out->status : lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
}

lam_status fake_metadata_version(void *context, const lam_place *place, char text[64], lam_error *err)
{
    (void)place, (void)err;
    fake *f = context;
    snprintf(text, 64, "%zu", f->count);
    return LAM_OK;
}

lam_status fake_remove(void *context, const lam_place *place, const lam_client *client, lam_error *err)
{
    (void)client;
    fake *f = context;
    size_t kept = 0, before = f->count;
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < before; i++) {
        if (is_within(&f->objects[i], place))
            close(f->objects[i].fd);
        else
            f->objects[kept++] = f->objects[i];
    }
    f->count = kept;
    pthread_mutex_unlock(&f->mutex);
    return kept < before ? LAM_OK : lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
}

/* ---- pixels ---- */

static const fake_object *find(const fake *f, const lam_pixel_request *request)
{
    const lam_place place = {request->study_uid, request->series_uid, request->sop_uid};
    for (size_t i = 0; i < f->count; i++)
        if (is_within(&f->objects[i], &place))
            return &f->objects[i];
    return NULL;
}

/* Frame n is the n-th FAKE_FRAME bytes, in two pieces as fragments are. */
static lam_status give_frames(const fake_object *o, const lam_pixel_request *request, lam_pixels *out,
                              lam_error *err)
{
    lam_piece *pieces = calloc(2 * request->frame_count + 1, sizeof *pieces);
    for (size_t i = 0; i < request->frame_count; i++) {
        int64_t begin = (request->frames[i] - 1) * FAKE_FRAME;
        if (begin + FAKE_FRAME > o->bytes) {
            free(pieces);
            return lam_fail(err, LAM_E_NOT_FOUND, "there is no frame %lld", (long long)request->frames[i]);
        }
        pieces[2 * i] = (lam_piece){i, begin, FAKE_FRAME / 2};
        pieces[2 * i + 1] = (lam_piece){i, begin + FAKE_FRAME / 2, FAKE_FRAME / 2};
    }
    *out = (lam_pixels){dup(o->fd), pieces, 2 * request->frame_count};
    return LAM_OK;
}

/* What was asked for, in words. */
static lam_status give_text(const char *text, lam_pixels *out)
{
    int fd = memfd_create("made", MFD_CLOEXEC);
    lam_piece *pieces = calloc(1, sizeof *pieces);
    *pieces = (lam_piece){0, 0, (int64_t)strlen(text)};
    *out = (lam_pixels){fd, pieces, 1};
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? LAM_OK : LAM_E_IO;
}

lam_status fake_pixels(void *context, const lam_pixel_request *request, lam_pixels *out, lam_error *err)
{
    fake *f = context;
    char text[256];
    const fake_object *o = find(f, request);
    const lam_picture_request *p = &request->picture;
    if (!o)
        return lam_fail(err, LAM_E_NOT_FOUND, "no such instance is stored");
    if (f->pixels_fail != LAM_OK)
        return lam_fail(err, f->pixels_fail, "the pixels are refused");
    switch (request->form) {
    case LAM_PIXELS_FRAMES:
        return give_frames(o, request, out, err);
    case LAM_PIXELS_VALUE:
        if (strcmp(request->path, "00420011") != 0)
            return lam_fail(err, LAM_E_NOT_FOUND, "there is no value at %s", request->path);
        return give_text("a value", out);
    case LAM_PIXELS_OBJECT:
        snprintf(text, sizeof text, "transcoded %s", o->sop);
        return give_text(text, out);
    default:
        snprintf(text, sizeof text, "%s of %s frame %lld in %gx%g window %g,%g quality %d", p->media_type,
                 o->sop, request->frame_count ? (long long)request->frames[0] : 0LL, p->viewport[0],
                 p->viewport[1], p->window[0], p->window[1], p->quality);
        return give_text(text, out);
    }
}
