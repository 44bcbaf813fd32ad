/* What the HTTP side may ask of the daemon: a table of functions that laminad fills and tests fake. api/
 * includes this and nothing else of the daemon. Every function may be called from any HTTP thread at once;
 * none blocks longer than stated.
 *
 * JSON results are jansson values given to the caller (json_decref). Their members are those of DESIGN.md
 * section 4. */
#ifndef LAMINA_API_BACKEND_H
#define LAMINA_API_BACKEND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/transfers.h"
#include "core/base/buffer.h"
#include "core/base/status.h"
#include "core/base/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One object on its way in by HTTP. */
typedef struct lam_upload lam_upload;

/* A zip archive on its way in by HTTP. */
typedef struct lam_archive lam_archive;

/* What became of it. UIDs are "" as far as they are unknown. */
typedef struct lam_store_result {
    lam_status status;
    uint16_t dicom_status;  /* 0000H, or the failure reason of PS3.4 annex B / PS3.18 table 10.5.3-2 (A700H,
                               A900H, C000H, 0110H …) */
    uint16_t dicom_warning; /* 0, or a warning reason (B000H …) */
    char reason[256];       /* for people; "" on success */
    char sop_class_uid[LAM_UID_TEXT];
    char sop_instance_uid[LAM_UID_TEXT];
    char study_uid[LAM_UID_TEXT];
    char series_uid[LAM_UID_TEXT];
} lam_store_result;

/* A file of an archive. `name` is a label for people, cut where it is long. */
typedef struct lam_archive_file {
    const char *name;
    const char *ignored;            /* why it was not taken for an object, or NULL */
    const lam_store_result *result; /* otherwise */
} lam_archive_file;

typedef void lam_archive_report(void *context, const lam_archive_file *file);

/* One client that follows what changes. */
typedef struct lam_feed lam_feed;

/* A stored object, opened for reading. */
typedef struct lam_stored_object {
    int fd;        /* the caller closes it */
    int64_t bytes; /* a Part 10 file, exactly as it was received (promise 3) */
    char sop_class_uid[LAM_UID_TEXT];
    char sop_instance_uid[LAM_UID_TEXT];
    char transfer_syntax_uid[LAM_UID_TEXT];
} lam_stored_object;

/* Which of a list: NULL or 0 members do not filter. */
typedef struct lam_list_query {
    const char *state;
    int64_t limit; /* 1 … 1000 */
    int64_t offset;
} lam_list_query;

typedef enum lam_level {
    LAM_LEVEL_STUDY,
    LAM_LEVEL_SERIES,
    LAM_LEVEL_INSTANCE,
    LAM_LEVEL_WORKITEM,
    LAM_LEVEL_INPUT, /* of a workitem: for conditions only */
    LAM_LEVELS
} lam_level;

/* What a URL names: a study, one of its series, one instance; NULL members name all. */
typedef struct lam_place {
    const char *study_uid, *series_uid, *sop_uid;
} lam_place;

/* A search (QIDO-RS, PS3.18 section 10.6; of workitems, section 11.9). */
typedef struct lam_search_term {
    const char *name; /* keyword or tag, in sequences joined by dots: "PatientID", "00400275.00400009" */
    const char *value;
} lam_search_term;

typedef struct lam_search {
    lam_level level; /* what is looked for */
    lam_place within;
    const lam_search_term *terms;
    size_t term_count;
    const char *const *include; /* keywords or tags to be returned besides */
    size_t include_count;
    bool include_all;
    bool fuzzy; /* names: words in any order, as beginnings */
    int64_t limit;
    int64_t offset;
    const char *root; /* the URL of /dicom-web as clients see it */
} lam_search;

typedef struct lam_search_answer {
    lam_buffer *out; /* initialised by the caller: gets a JSON array of data sets */
    int64_t count;
    bool more;         /* there are others after the last one */
    int64_t remaining; /* then: how many; -1: too many to be counted */
} lam_search_answer;

/* Where the reading of metadata stands; zero at the beginning. */
typedef struct lam_metadata_cursor {
    int64_t series, instance; /* database numbers of the last one given */
    bool end;
} lam_metadata_cursor;

/* ---- pixels ---- */

/* How a picture is to look (PS3.18 section 8.3.5). */
typedef struct lam_picture_request {
    const char *media_type; /* "image/png", "image/jpeg" */
    bool has_window, has_viewport, has_region;
    double window[2];        /* centre and width, of modality values */
    const char *function;    /* "LINEAR", "LINEAR_EXACT", "SIGMOID" */
    double viewport[2];      /* largest width and height of the picture */
    double region[4];        /* x, y, width, height in the image; a negative size flips it */
    int quality;             /* of JPEG, 1 … 100 */
    bool patient, technique; /* what is written into the picture */
    const char *overlay_uid; /* SOP instance UID of a segmentation to draw on it, or NULL */
} lam_picture_request;

typedef enum lam_pixel_form {
    LAM_PIXELS_FRAMES,  /* native little endian, or as stored */
    LAM_PIXELS_OBJECT,  /* the instance in Explicit VR Little Endian */
    LAM_PIXELS_VALUE,   /* the value at `path` */
    LAM_PIXELS_PICTURE, /* of one frame; of one that represents the instance when none is named */
} lam_pixel_form;

typedef struct lam_pixel_request {
    const char *study_uid, *series_uid, *sop_uid;
    lam_pixel_form form;
    const int64_t *frames; /* from 1 */
    size_t frame_count;    /* 0: all */
    bool stored;           /* frames in the transfer syntax of the object */
    const char *path;      /* "00420011", "00081199/0/00081150" */
    lam_picture_request picture;
} lam_pixel_request;

/* Bytes of a file. Those of the same part follow each other. */
typedef struct lam_piece {
    size_t part; /* from 0: which of the frames that were asked for */
    int64_t offset, length;
} lam_piece;

typedef struct lam_pixels {
    int fd;            /* the caller closes it */
    lam_piece *pieces; /* the caller frees them */
    size_t count;
} lam_pixels;

/* What a client wants of a workitem (UPS-RS, PS3.18 section 11). */
typedef struct lam_workitem_request {
    const char *uid;             /* NULL where a new one has none in the URL */
    const char *transaction_uid; /* of the URL, or NULL */
    json_t *data_set;            /* the body, which may be changed; NULL: none */
    const char *who;             /* for the log */
} lam_workitem_request;

/* ---- the audit trail ---- */

/* Who asks. */
typedef struct lam_client {
    const char *address; /* numeric */
    const char *user;    /* the name of its token or certificate; "" when it has shown none */
} lam_client;

typedef enum lam_deed_kind {
    LAM_DEED_NONE,   /* nothing of patients, or noted by the backend function itself */
    LAM_DEED_QUERY,  /* lists studies, series, instances or workitems, or gives a workitem */
    LAM_DEED_ACCESS, /* gives something of a study or of a job */
    LAM_DEED_STORE   /* brought objects */
} lam_deed_kind;

/* What a client has done, or was kept from doing. */
typedef struct lam_deed {
    lam_deed_kind kind;
    lam_client client;
    lam_place place;    /* that it concerns, as far as the URL says */
    int64_t job;        /* 0: none */
    const char *target; /* path and query, percent-encoded */
    unsigned status;    /* of the answer; 0: it was not sent whole */
    bool refused;       /* because of who the client is, or is not */
    const lam_transfers *transfers;
} lam_deed;

typedef struct lam_backend {
    void *context; /* first argument of every function */

    /* ---- storing: open, write …, submit, wait. discard instead of submit or wait forgets it. ---- */

    /* LAM_E_NO_SPACE when the reserve is reached (promise: A700H before writing). `sender` names the client
     * for the audit. */
    lam_status (*upload_open)(void *context, const char *sender, lam_upload **out, lam_error *err);
    /* Appends; LAM_E_LIMIT past the largest object allowed. */
    lam_status (*upload_write)(lam_upload *upload, const void *bytes, size_t length, lam_error *err);
    /* All is written: gives the descriptor back, so that the objects of one request do not hold one each. For
     * who does not submit at once. */
    void (*upload_end)(lam_upload *upload);
    /* Hands the object to the intake, which syncs, indexes and commits it, and does not wait. `study_uid` (or
     * NULL) is the study it must belong to (STOW-RS /studies/{study}). */
    void (*upload_submit)(lam_upload *upload, const char *study_uid);
    /* Waits until it is committed or refused, then frees the upload. */
    void (*upload_wait)(lam_upload *upload, lam_store_result *out);
    void (*upload_discard)(lam_upload *upload);

    /* ---- storing the objects of a zip archive: open, write …, store, and close in any case ---- */

    /* Both: LAM_E_NO_SPACE when the reserve is reached. */
    lam_status (*archive_open)(void *context, const char *sender, lam_archive **out, lam_error *err);
    lam_status (*archive_write)(lam_archive *archive, const void *bytes, size_t length, lam_error *err);
    /* Unpacks it in a worker process and stores what is in it, object by object; `report` is told of each
     * file, in the order of the archive. One archive at a time: others wait. Nothing was stored on an error:
     * LAM_E_INVALID when it is no whole archive, LAM_E_LIMIT when it unpacks to too much, LAM_E_NO_SPACE,
     * LAM_E_BUSY. */
    lam_status (*archive_store)(lam_archive *archive, lam_archive_report *report, void *context,
                                lam_error *err);
    void (*archive_close)(lam_archive *archive);

    /* ---- reading ---- */

    lam_status (*studies)(void *context, const lam_list_query *query, json_t **out,
                          lam_error *err); /* array */
    lam_status (*study)(void *context, const char *study_uid, json_t **out, lam_error *err);
    lam_status (*results)(void *context, const char *study_uid, json_t **out, lam_error *err);
    /* The same as a FHIR R4 Bundle. */
    lam_status (*results_fhir)(void *context, const char *study_uid, json_t **out, lam_error *err);
    lam_status (*jobs)(void *context, const lam_list_query *query, json_t **out, lam_error *err); /* array */
    lam_status (*job)(void *context, int64_t job, json_t **out, lam_error *err);
    lam_status (*models)(void *context, json_t **out, lam_error *err); /* array */
    lam_status (*model)(void *context, const char *name, json_t **out,
                        lam_error *err); /* manifest, card, hashes */
    /* {"version","uptime_s","ae_title","dicom","http","studies":{state:n},"jobs":{state:n},"workers":[…],"disk_free_bytes"}
     */
    lam_status (*status)(void *context, json_t **out, lam_error *err);
    /* Ready to take objects: database writable, children up, space left. Else LAM_E_BUSY and why. */
    lam_status (*ready)(void *context, lam_error *err);
    /* Prometheus text format, version 0.0.4. */
    lam_status (*metrics)(void *context, lam_buffer *out, lam_error *err);

    /* The objects of a study, of one of its series (series_uid not NULL), or one instance (sop_uid not NULL),
     * in stored order, from the index alone: an array of
     * {"series_uid","sop_uid","sop_class_uid","transfer_syntax_uid","bytes"}, so that a retrieval knows its
     * length and media type before it opens a file. Empty is LAM_E_NOT_FOUND. */
    lam_status (*instances)(void *context, const char *study_uid, const char *series_uid, const char *sop_uid,
                            json_t **out, lam_error *err);
    lam_status (*instance_open)(void *context, const char *study_uid, const char *series_uid,
                                const char *sop_uid, lam_stored_object *out, lam_error *err);
    /* Appends what was found to answer->out. LAM_E_INVALID names the parameter that is wrong; LAM_E_LIMIT:
     * too broad, it took too long or gave more than the buffer takes. */
    lam_status (*search)(void *context, const lam_search *search, lam_search_answer *answer, lam_error *err);
    /* Appends the data sets of a place, without bulk data, as JSON objects joined by commas, in stored order,
     * until `out` holds `enough` bytes or all are there (cursor->end). A first call that finds nothing is
     * LAM_E_NOT_FOUND. */
    lam_status (*metadata)(void *context, const lam_place *place, const char *root,
                           lam_metadata_cursor *cursor, size_t enough, lam_buffer *out, lam_error *err);
    /* A text that changes whenever the metadata of the place do. */
    lam_status (*metadata_version)(void *context, const lam_place *place, char text[64], lam_error *err);
    /* A picture of a job's result, such as "montage"; *media_type is a constant string. */
    lam_status (*picture_open)(void *context, int64_t job, const char *name, int *fd, int64_t *bytes,
                               const char **media_type, lam_error *err);

    /* Frames, values, pictures and transcoded objects. LAM_E_NOT_FOUND (instance, frame, value),
     * LAM_E_UNSUPPORTED (not an image, a codec that nothing here decodes), LAM_E_CORRUPT (what is stored
     * makes no sense), LAM_E_LIMIT, LAM_E_BUSY. Takes as long as decoding does, up to half a minute. */
    lam_status (*pixels)(void *context, const lam_pixel_request *request, lam_pixels *out, lam_error *err);

    /* ---- changes ---- */

    /* From the event `last_id` on, or from now on (NULL). LAM_E_BUSY: too many clients. */
    lam_status (*changes_open)(void *context, const char *last_id, lam_feed **out, lam_error *err);
    /* Appends what changed as text/event-stream, nothing when it was quiet for wait_ms. LAM_E_LIMIT: the
     * client missed some; LAM_E_CANCELLED: the daemon stops. */
    lam_status (*changes_read)(lam_feed *feed, int64_t wait_ms, lam_buffer *out, lam_error *err);
    void (*changes_close)(lam_feed *feed);

    /* ---- doing ---- */

    /* Queues the study's series now. `model` (or NULL) limits it to one. Gives the study as `study` does. */
    lam_status (*analyze)(void *context, const char *study_uid, const char *model, json_t **out,
                          lam_error *err);
    /* Removes what the place names, jobs and results over it, and frees their files. Jobs under way are
     * stopped. `client` is for the log and the audit trail. */
    lam_status (*remove)(void *context, const lam_place *place, const lam_client *client, lam_error *err);
    /* LAM_E_STATE, naming the state, when not legal. Both give the job as `job` does. */
    lam_status (*job_retry)(void *context, int64_t job, json_t **out, lam_error *err);
    lam_status (*job_cancel)(void *context, int64_t job, json_t **out, lam_error *err);

    /* ---- the worklist. `warning` becomes a constant text for the Warning header, or NULL, on success and on
     * failure. LAM_E_INVALID names what is wrong in the data set, LAM_E_STATE what the state does not allow.
     * ----
     */

    /* `uid` becomes that of the new workitem. LAM_E_EXISTS; LAM_E_BUSY: too many are open. */
    lam_status (*workitem_create)(void *context, const lam_workitem_request *request, char uid[LAM_UID_TEXT],
                                  lam_error *err);
    /* Appends it as a JSON array of one data set. */
    lam_status (*workitem)(void *context, const char *uid, lam_buffer *out, lam_error *err);
    lam_status (*workitem_update)(void *context, const lam_workitem_request *request, const char **warning,
                                  lam_error *err);
    lam_status (*workitem_change_state)(void *context, const lam_workitem_request *request,
                                        const char **warning, lam_error *err);
    lam_status (*workitem_request_cancel)(void *context, const lam_workitem_request *request,
                                          const char **warning, lam_error *err);

    /* ---- the audit trail ---- */

    /* Notes it; waits for nothing. NULL: nobody is interested. */
    void (*deed)(void *context, const lam_deed *deed);

    /* ---- the outbox ---- */

    /* `destination` NULL does not filter. */
    lam_status (*deliveries)(void *context, const lam_list_query *query, const char *destination,
                             json_t **out, lam_error *err); /* array */
    lam_status (*delivery)(void *context, int64_t delivery, json_t **out, lam_error *err);
    /* LAM_E_STATE, naming the state, unless it has failed. */
    lam_status (*delivery_retry)(void *context, int64_t delivery, json_t **out, lam_error *err);
    lam_status (*destinations)(void *context, json_t **out, lam_error *err); /* array */
    /* Gives the destinations as above. */
    lam_status (*destination_pause)(void *context, const char *destination, bool paused, json_t **out,
                                    lam_error *err);
} lam_backend;

#ifdef __cplusplus
}
#endif
#endif
