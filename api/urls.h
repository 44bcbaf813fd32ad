/* URLs in answers: from the configured public URL, else relative to the server's root, so that they survive a
 * proxy. Never from the Host header, which some clients send without its port. Internal to api/. */
#ifndef LAMINA_API_URLS_H
#define LAMINA_API_URLS_H

#include <stdio.h>

#include "api/server.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_URL_TEXT = 512 };

/* The DICOMweb root: "https://host/path/dicom-web" or "/dicom-web". */
static inline void lam_url_root(const lam_http_options *options, char url[LAM_URL_TEXT])
{
    snprintf(url, LAM_URL_TEXT, "%s/dicom-web", options->public_url ? options->public_url : "");
}

#ifdef __cplusplus
}
#endif
#endif
