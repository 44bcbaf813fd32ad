/* The functions behind the routes, by the file they are in. Each replies exactly once. Internal to api/. */
#ifndef LAMINA_API_HANDLERS_H
#define LAMINA_API_HANDLERS_H

#include "api/request.h"
#include "api/routes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* stow.c: PS3.18 section 10.5 */
extern const lam_body_functions lam_stow_body;
void lam_stow_handle(lam_request *request);

/* upload.c */
extern const lam_body_functions lam_upload_body;
void lam_upload_handle(lam_request *request);

/* wado.c: PS3.18 section 10.4 */
void lam_wado_retrieve(lam_request *request);

/* qido.c: PS3.18 section 10.6 */
void lam_qido_studies(lam_request *request);
void lam_qido_series(lam_request *request);
void lam_qido_instances(lam_request *request);

/* workitems.c: PS3.18 section 11 */
extern const lam_body_functions lam_workitem_body;
extern const lam_body_functions lam_cancel_body;
void lam_workitem_create(lam_request *request);
void lam_workitem_retrieve(lam_request *request);
void lam_workitem_update(lam_request *request);
void lam_workitem_change_state(lam_request *request);
void lam_workitem_request_cancel(lam_request *request);
void lam_qido_workitems(lam_request *request);

/* remove.c */
void lam_remove_handle(lam_request *request);

/* metadata.c: PS3.18 section 10.4.1.1.2 */
void lam_metadata_retrieve(lam_request *request);

/* frames.c, bulkdata.c, rendered.c: PS3.18 section 10.4 */
void lam_wado_frames(lam_request *request);
/* All frames, where Pixel Data are stored otherwise than as little endian octets. False, and no answer, where
 * they are just that. */
bool lam_wado_pixel_data(lam_request *request);
enum { LAM_WADO_MAX_FRAMES = 4096 };
/* "1,2,5", from 1 on, into room for LAM_WADO_MAX_FRAMES. False for anything else, which is answered with 400.
 */
bool lam_wado_read_frames(lam_request *request, const char *text, int64_t *frames, size_t *count);
void lam_wado_bulkdata(lam_request *request);
void lam_wado_rendered(lam_request *request);
void lam_wado_thumbnail(lam_request *request);

/* rest.c: /api/v1 and what operators ask */
void lam_rest_studies(lam_request *request);
void lam_rest_study(lam_request *request);
void lam_rest_results(lam_request *request);
void lam_rest_analyze(lam_request *request);
void lam_rest_jobs(lam_request *request);
void lam_rest_job(lam_request *request);
void lam_rest_job_retry(lam_request *request);
void lam_rest_job_cancel(lam_request *request);
void lam_rest_picture(lam_request *request);
void lam_rest_models(lam_request *request);
void lam_rest_model(lam_request *request);
void lam_rest_status(lam_request *request);
void lam_rest_healthz(lam_request *request);
void lam_rest_readyz(lam_request *request);
void lam_rest_metrics(lam_request *request);

/* deliveries.c: the outbox */
void lam_rest_deliveries(lam_request *request);
void lam_rest_delivery(lam_request *request);
void lam_rest_delivery_retry(lam_request *request);
void lam_rest_destinations(lam_request *request);
void lam_rest_destination_pause(lam_request *request);
void lam_rest_destination_resume(lam_request *request);

/* events.c */
void lam_rest_events(lam_request *request);

/* capabilities.c: PS3.18 section 8.9 */
void lam_capabilities(lam_request *request);

/* openapi.c */
void lam_rest_openapi(lam_request *request);

/* ohif.c */
void lam_ohif_file(lam_request *request);

/* ui.c */
void lam_ui_page(lam_request *request);
void lam_ui_file(lam_request *request);

#ifdef __cplusplus
}
#endif
#endif
