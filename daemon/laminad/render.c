#include "daemon/laminad/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/uid.h"
#include "daemon/ipc/ipc.h"
#include "daemon/ipc/messages.h"

enum { MAX_REQUEST = 1 << 20 };

/* The instance that is asked for. */
typedef struct subject {
    int64_t id;
    int object; /* -1: not open */
    int64_t bytes;
    char transfer_syntax[LAM_UID_TEXT];
} subject;

static void subject_done(subject *it)
{
    if (it->object >= 0)
        close(it->object);
}

static lam_status open_instance(lam_db *db, lam_store *store, const lam_pixel_request *r, const char *sop_uid,
                                subject *out, lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(
        db, err,
        "SELECT i.id, i.file, i.transfer_syntax_uid FROM instance i JOIN series s ON s.id = i.series_id"
        " JOIN study t ON t.id = s.study_id WHERE i.uid = ?3 AND t.uid = ?1 AND (?2 IS NULL OR s.uid = ?2)",
        "ttt", r->study_uid, sop_uid == r->sop_uid ? r->series_uid : NULL, sop_uid);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status == LAM_OK && !row)
        status = lam_fail(err, LAM_E_NOT_FOUND, "no such instance is stored");
    if (status != LAM_OK)
        return status;
    int64_t file = sqlite3_column_int64(s, 1);
    out->id = sqlite3_column_int64(s, 0);
    lam_text_copy(out->transfer_syntax, LAM_UID_TEXT, lam_db_text(s, 2));
    sqlite3_reset(s);
    return lam_store_open_file(store, file, &out->object, &out->bytes, err);
}

/* ---- frames from the file ---- */

typedef struct layout {
    int64_t offset, length, frames, frame_bits;
    const lam_jv *fragments; /* NULL: native */
} layout;

/* What a worker says is checked like anything from outside: all of it lies in the file. */
static lam_status read_layout(const lam_jv *root, int64_t bytes, layout *out, lam_error *err)
{
    layout l = {.fragments = lam_jv_get(root, "fragments")};
    lam_status status = lam_jv_need_integer(root, "offset", 0, bytes, &l.offset, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(root, "length", 0, bytes - l.offset, &l.length, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(root, "frames", 1, INT32_MAX, &l.frames, err);
    if (status == LAM_OK)
        status = lam_jv_need_integer(root, "frame_bits", 1, INT64_C(1) << 45, &l.frame_bits, err);
    if (status == LAM_OK && !l.fragments && l.frame_bits > l.length * 8 / l.frames)
        status = lam_fail(err, LAM_E_CORRUPT, "the frames reach past their pixel data");
    if (status == LAM_OK)
        *out = l;
    return status;
}

static lam_status add_piece(lam_pixels *out, size_t *room, lam_piece piece, lam_error *err)
{
    if (out->count == *room) {
        *room = *room ? 2 * *room : 16;
        lam_piece *more = realloc(out->pieces, *room * sizeof *more);
        if (!more)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for %zu frames", *room);
        out->pieces = more;
    }
    out->pieces[out->count++] = piece;
    return LAM_OK;
}

static size_t first_fragment(const lam_jv *fragments, int64_t frame)
{
    size_t low = 0, high = lam_jv_count(fragments);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lam_jv_integer(lam_jv_at(lam_jv_at(fragments, middle), 0), INT64_MAX) < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The pieces of frame `frame` (from 0), which becomes part `part` of the answer. */
static lam_status place_frame(const layout *l, int64_t bytes, int64_t frame, size_t part, lam_pixels *out,
                              size_t *room, lam_error *err)
{
    lam_status status = LAM_OK;
    if (!l->fragments) {
        int64_t length = l->frame_bits / 8;
        return add_piece(out, room, (lam_piece){part, l->offset + frame * length, length}, err);
    }
    for (size_t i = first_fragment(l->fragments, frame); status == LAM_OK; i++) {
        const lam_jv *fragment = lam_jv_at(l->fragments, i);
        if (lam_jv_integer(lam_jv_at(fragment, 0), -1) != frame)
            return LAM_OK;
        int64_t offset = lam_jv_integer(lam_jv_at(fragment, 1), -1);
        int64_t length = lam_jv_integer(lam_jv_at(fragment, 2), -1);
        if (offset < 0 || length < 0 || offset > bytes || length > bytes - offset)
            return lam_fail(err, LAM_E_CORRUPT, "a frame reaches past its file");
        status = add_piece(out, room, (lam_piece){part, offset, length}, err);
    }
    return status;
}

static lam_status place_frames(const layout *l, int64_t bytes, const lam_pixel_request *r, lam_pixels *out,
                               lam_error *err)
{
    size_t room = 0, count = r->frame_count ? r->frame_count : (size_t)l->frames;
    lam_status status = LAM_OK;
    for (size_t i = 0; i < count && status == LAM_OK; i++) {
        int64_t frame = r->frame_count ? r->frames[i] : (int64_t)i + 1;
        if (frame < 1 || frame > l->frames)
            return lam_fail(err, LAM_E_NOT_FOUND, "there is no frame %lld; the object has %lld",
                            (long long)frame, (long long)l->frames);
        status = place_frame(l, bytes, frame - 1, i, out, &room, err);
    }
    return status;
}

static lam_status stored_layout(lam_db *db, lam_render_pool *pool, const subject *it, lam_buffer *text,
                                lam_error *err)
{
    sqlite3_stmt *s = lam_db_prepare(db, err, "SELECT layout FROM pixels WHERE instance_id = ?", "i", it->id);
    bool row = false;
    lam_status status = lam_db_step(db, s, &row, err);
    if (status == LAM_OK && row)
        status = lam_buffer_append_text(text, lam_db_text(s, 0));
    if (status == LAM_OK && row)
        sqlite3_reset(s);
    if (status == LAM_OK && !row)
        status = lam_render_pool_ask(pool, LAM_MESSAGE_LAYOUT, "{}", &it->object, 1, text, err);
    return status;
}

/* Nothing that a deflated object holds lies in its file, and big endian pixels are for who names that. */
static bool is_plain(const char *transfer_syntax)
{
    return strcmp(transfer_syntax, "1.2.840.10008.1.2") == 0 ||
           strcmp(transfer_syntax, "1.2.840.10008.1.2.1") == 0;
}

/* LAM_E_UNSUPPORTED, without a message, when they cannot be taken from the file. */
static lam_status frames_from_file(lam_db *db, lam_render_pool *pool, const lam_pixel_request *r, subject *it,
                                   lam_pixels *out, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO_PTR(lam_json) *json = NULL;
    layout l = {0};
    lam_buffer_init(&text, LAM_IPC_MAX_PAYLOAD);
    if (!r->stored && !is_plain(it->transfer_syntax))
        return LAM_E_UNSUPPORTED;
    if (strstr(it->transfer_syntax, "1.2.840.10008.1.2.1.99"))
        return LAM_E_UNSUPPORTED;
    lam_status status = stored_layout(db, pool, it, &text, err);
    if (status == LAM_OK)
        status = lam_json_parse(text.data, text.length, &json, err);
    if (status == LAM_OK)
        status = read_layout(lam_json_root(json), it->bytes, &l, err);
    if (status == LAM_OK && !l.fragments && l.frame_bits % 8 != 0)
        return LAM_E_UNSUPPORTED; /* frames begin within a byte */
    if (status == LAM_OK)
        status = place_frames(&l, it->bytes, r, out, err);
    if (status == LAM_OK)
        out->fd = LAM_TAKE_FD(it->object);
    return status;
}

/* ---- from a worker ---- */

static void write_window(lam_json_writer *w, const lam_picture_request *p)
{
    const double *list[] = {p->window, p->viewport, p->region};
    static const char *const names[] = {"window", "viewport", "region"};
    const size_t counts[] = {2, 2, 4};
    const bool given[] = {p->has_window, p->has_viewport, p->has_region};
    for (size_t i = 0; i < LAM_COUNT(list); i++) {
        if (!given[i])
            continue;
        lam_jw_array(w, names[i]);
        for (size_t j = 0; j < counts[i]; j++)
            lam_jw_number(w, NULL, list[i][j]);
        lam_jw_end(w);
    }
}

static void write_request(const lam_pixel_request *r, bool alone, lam_buffer *text)
{
    const lam_picture_request *p = &r->picture;
    lam_json_writer w = lam_json_write_to(text);
    lam_jw_object(&w, NULL);
    if (r->form == LAM_PIXELS_FRAMES) {
        lam_jw_bool(&w, "stored", r->stored);
        lam_jw_array(&w, "frames");
        for (size_t i = 0; i < r->frame_count; i++)
            lam_jw_integer(&w, NULL, r->frames[i]);
        lam_jw_end(&w);
    } else if (r->form == LAM_PIXELS_VALUE) {
        lam_jw_text(&w, "path", r->path);
    } else if (r->form == LAM_PIXELS_PICTURE) {
        lam_jw_integer(&w, "frame", r->frame_count ? r->frames[0] : 0);
        lam_jw_text(&w, "media_type", p->media_type);
        write_window(&w, p);
        lam_jw_text(&w, "function", p->function);
        lam_jw_integer(&w, "quality", p->quality);
        lam_jw_bool(&w, "patient", p->patient);
        lam_jw_bool(&w, "technique", p->technique);
        lam_jw_bool(&w, "alone", alone);
    }
    lam_jw_end(&w);
}

static lam_status read_pieces(const lam_jv *root, int64_t bytes, lam_pixels *out, lam_error *err)
{
    const lam_jv *list = lam_jv_get(root, "pieces");
    size_t room = 0;
    lam_status status = LAM_OK;
    if (lam_jv_count(list) == 0)
        return lam_fail(err, LAM_E_INTERNAL, "the worker answers without content");
    for (size_t i = 0; i < lam_jv_count(list) && status == LAM_OK; i++) {
        int64_t offset = lam_jv_integer(lam_jv_at(lam_jv_at(list, i), 0), -1);
        int64_t length = lam_jv_integer(lam_jv_at(lam_jv_at(list, i), 1), -1);
        if (offset < 0 || length < 0 || offset > bytes || length > bytes - offset)
            return lam_fail(err, LAM_E_INTERNAL, "the worker's answer reaches past its file");
        status = add_piece(out, &room, (lam_piece){i, offset, length}, err);
    }
    return status;
}

static lam_status ask_once(lam_render_pool *pool, const lam_pixel_request *r, const int *fds, size_t fd_count,
                           bool alone, lam_json **json, lam_error *err)
{
    static const uint32_t types[] = {
        [LAM_PIXELS_FRAMES] = LAM_MESSAGE_FRAMES,
        [LAM_PIXELS_OBJECT] = LAM_MESSAGE_TRANSCODE,
        [LAM_PIXELS_VALUE] = LAM_MESSAGE_VALUE,
        [LAM_PIXELS_PICTURE] = LAM_MESSAGE_RENDER,
    };
    LAM_AUTO(lam_buffer_done) lam_buffer question;
    LAM_AUTO(lam_buffer_done) lam_buffer answer;
    lam_buffer_init(&question, MAX_REQUEST);
    lam_buffer_init(&answer, LAM_IPC_MAX_PAYLOAD);
    write_request(r, alone, &question);
    lam_status status = question.status;
    if (status != LAM_OK)
        return lam_fail(err, status, "too many frames in one request");
    status =
        lam_render_pool_ask(pool, types[r->form], lam_buffer_text(&question), fds, fd_count, &answer, err);
    return status == LAM_OK ? lam_json_parse(answer.data, answer.length, json, err) : status;
}

/* A segmentation is drawn over its image, which the worker names when it sees the segmentation. */
static lam_status ask_for_picture(lam_db *db, lam_store *store, lam_render_pool *pool,
                                  const lam_pixel_request *r, int *fds, lam_json **json, lam_error *err)
{
    LAM_AUTO(subject_done) subject related = {.object = -1};
    lam_status status = LAM_OK;
    bool overlay = r->picture.overlay_uid != NULL;
    if (overlay)
        status = open_instance(db, store, r, r->picture.overlay_uid, &related, err);
    fds[2] = related.object;
    if (status == LAM_OK)
        status = ask_once(pool, r, fds, overlay ? 3 : 2, false, json, err);
    const char *needs =
        status == LAM_OK ? lam_jv_text(lam_jv_get(lam_json_root(*json), "needs"), NULL) : NULL;
    if (!needs || overlay)
        return status;
    bool found = lam_uid_is_valid(needs) && open_instance(db, store, r, needs, &related, NULL) == LAM_OK;
    fds[2] = related.object;
    lam_json_free(LAM_TAKE_PTR(*json));
    return ask_once(pool, r, fds, found ? 3 : 2, !found, json, err);
}

static lam_status ask_worker(lam_db *db, lam_store *store, lam_render_pool *pool, const lam_pixel_request *r,
                             subject *it, lam_pixels *out, lam_error *err)
{
    lam_autoclose int output = -1;
    LAM_AUTO_PTR(lam_json) *json = NULL;
    lam_status status = lam_spool_create_unnamed(store, &output, err);
    if (status != LAM_OK)
        return status;
    int fds[3] = {it->object, output, -1};
    status = r->form == LAM_PIXELS_PICTURE ? ask_for_picture(db, store, pool, r, fds, &json, err)
                                           : ask_once(pool, r, fds, 2, false, &json, err);
    bool tells = r->form == LAM_PIXELS_VALUE || r->form == LAM_PIXELS_PICTURE;
    if (status == LAM_E_INVALID && !tells)
        err->status = status = LAM_E_CORRUPT; /* the fault is the object's, not the request's */
    if (status != LAM_OK)
        return status;
    const lam_jv *root = lam_json_root(json);
    bool in_object = lam_jv_bool(lam_jv_get(root, "in_object"), false);
    int64_t bytes = in_object ? it->bytes : lseek(output, 0, SEEK_END);
    status = read_pieces(root, bytes, out, err);
    if (status == LAM_OK)
        out->fd = in_object ? LAM_TAKE_FD(it->object) : LAM_TAKE_FD(output);
    return status;
}

lam_status lam_render(lam_db *db, lam_store *store, lam_render_pool *pool, const lam_pixel_request *request,
                      lam_pixels *out, lam_error *err)
{
    LAM_AUTO(subject_done) subject it = {.object = -1};
    lam_error own = {LAM_OK, ""};
    lam_pixels pixels = {.fd = -1};
    lam_status status = open_instance(db, store, request, request->sop_uid, &it, &own);
    bool asked = false;
    if (status == LAM_OK && request->form == LAM_PIXELS_FRAMES) {
        status = frames_from_file(db, pool, request, &it, &pixels, &own);
        asked = status == LAM_OK || own.status != LAM_OK;
    }
    if ((status == LAM_OK || status == LAM_E_UNSUPPORTED) && !asked)
        status = ask_worker(db, store, pool, request, &it, &pixels, &own);
    if (status == LAM_OK) {
        *out = pixels;
        return LAM_OK;
    }
    free(pixels.pieces);
    return lam_fail(err, status, "%s", own.message);
}
