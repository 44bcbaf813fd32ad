/* Answers that are data sets: as DICOM JSON or as multipart/related of the Native DICOM Model, whichever the
 * client prefers (PS3.18 section 8.7.3). Internal to api/. */
#ifndef LAMINA_API_DATA_SETS_H
#define LAMINA_API_DATA_SETS_H

#include <stdbool.h>

#include "api/request.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is on offer, as a route's `produces` would say it. */
#define LAM_DATA_SETS_TYPES                                                                                  \
    "application/dicom+json, application/json, multipart/related; type=\"application/dicom+xml\""

/* The media type of the answer: 0 and 1 JSON, 2 XML; -1 when the request has been answered with 406. */
int lam_data_sets_choose(lam_request *request);

/* Sends `array`, the text of a JSON array of data sets, which is emptied, in the chosen form. */
void lam_data_sets_reply(lam_request *request, int chosen, lam_buffer *array);

#ifdef __cplusplus
}
#endif
#endif
