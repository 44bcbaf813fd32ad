/* Answers made of pieces of one file: the bytes of a frame, a value or a picture as a single part, or each as
 * a part of multipart/related. The kernel takes them from the file; nothing is copied here and no memory is
 * held that grows with them (promise 8). Internal to api/. */
#ifndef LAMINA_API_PARTS_H
#define LAMINA_API_PARTS_H

#include "api/request.h"
#include "core/base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_BOUNDARY = LAM_RANDOM_TEXT - 1 };

/* Random, so that no object can hold it. False when the system has no random numbers. */
bool lam_parts_boundary(char boundary[LAM_BOUNDARY + 1]);

/* `pixels` is taken. Its pieces are one part of type `media_type`, with ranges and an ETag where they are one
 * piece of a stored file (`stored`), which never changes. */
void lam_reply_pixels(lam_request *request, const char *media_type, lam_pixels *pixels, bool stored);

/* `pixels` is taken: each of its parts is one of the answer. `part_type` is the type parameter, `media_type`
 * the Content-Type of a part. `locations` ends in a slash, and the number of the part's frame follows
 * (`frames`, or counting from 1 when NULL; a frame 0 is not written); NULL: no Content-Location. */
void lam_reply_pixels_multipart(lam_request *request, const char *part_type, const char *media_type,
                                const char *locations, const int64_t *frames, lam_pixels *pixels);

/* Media type of the code streams of a transfer syntax (PS3.18 table 8.7.3-2), or NULL. */
const char *lam_parts_media_type(const char *transfer_syntax);

void lam_pixels_done(lam_pixels *pixels);

/* A failure of lam_backend.pixels: 406 where what is stored cannot be decoded or drawn, whether for its codec
 * or for what is wrong with it: it is there and can be had as it is stored, but in no other form (PS3.18
 * table 10.4.3-1). */
void lam_reply_pixels_error(lam_request *request, const lam_error *error);

#ifdef __cplusplus
}
#endif
#endif
