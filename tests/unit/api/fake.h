/* A backend in memory, for tests of api/: objects are lines "OBJECT study series sop" with anything after
 * them, so that what is stored and why not can be told without DICOM. An archive is "PK" and a name a line:
 * IMn is an object of study 1.2.n, BAD… one that fails, anything else is no object; "BOMB" is too large.
 * Tests only. */
#ifndef LAMINA_TESTS_API_FAKE_H
#define LAMINA_TESTS_API_FAKE_H

#include <pthread.h>
#include <stdbool.h>

#include "api/backend.h"

#define FAKE_CLASS  "1.2.840.10008.5.1.4.1.1.4"
#define FAKE_SYNTAX "1.2.840.10008.1.2.1"
#define FAKE_JPEG   "1.2.840.10008.1.2.4.70"

enum { FAKE_OBJECTS = 64, FAKE_FRAME = 100 };

typedef struct fake_object {
    char study[LAM_UID_TEXT], series[LAM_UID_TEXT], sop[LAM_UID_TEXT], syntax[LAM_UID_TEXT];
    int fd; /* a memfd with the bytes */
    int64_t bytes;
} fake_object;

/* What the last search asked for. */
typedef struct fake_search_seen {
    lam_level level;
    size_t terms, includes;
    bool fuzzy, all;
    int64_t limit, offset;
    char term[96]; /* the first, as "name=value" */
} fake_search_seen;

typedef struct fake {
    pthread_mutex_t mutex;
    fake_object objects[FAKE_OBJECTS];
    size_t count;
    int being_written, most_written; /* uploads open and not ended: now, and at most; under the mutex */
    int opened, submitted, waited,
        discarded; /* uploads; opened == waited + discarded when none is under way */
    /* what to do */
    bool full;         /* upload_open gives LAM_E_NO_SPACE */
    int64_t max_bytes; /* of an upload; 0: no limit */
    int wait_ms;       /* how long upload_wait takes */
    bool not_ready;
    lam_status pixels_fail; /* what `pixels` answers; LAM_OK: pixels */
    char last_state[32], last_model[72], last_sender[64];
    int64_t last_limit, last_offset;
    fake_search_seen last_search;
} fake;

/* A counter of uploads, read while the server runs. */
static inline int fake_count(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

void fake_init(fake *f);
void fake_done(fake *f);
lam_backend fake_backend(fake *f);

/* fake_dicomweb.c: the members of lam_backend of these names. */
lam_status fake_search(void *context, const lam_search *search, lam_search_answer *answer, lam_error *err);
lam_status fake_metadata(void *context, const lam_place *place, const char *root, lam_metadata_cursor *cursor,
                         size_t enough, lam_buffer *out, lam_error *err);
lam_status fake_metadata_version(void *context, const lam_place *place, char text[64], lam_error *err);
lam_status fake_remove(void *context, const lam_place *place, const lam_client *client, lam_error *err);
lam_status fake_pixels(void *context, const lam_pixel_request *request, lam_pixels *out, lam_error *err);

/* Puts an object there as if it had been stored. */
void fake_store(fake *f, const char *study, const char *series, const char *sop, const char *syntax,
                const void *bytes, size_t length);

#endif
