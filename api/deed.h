/* What a request has been, told to the audit trail once it is over. Internal to api/. */
#ifndef LAMINA_API_DEED_H
#define LAMINA_API_DEED_H

#include "api/request.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `whole`: the answer went out to its end. */
void lam_request_note_deed(const lam_request *request, bool whole);

#ifdef __cplusplus
}
#endif
#endif
