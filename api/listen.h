/* The listening socket, and the rule who may reach it. Internal to api/. */
#ifndef LAMINA_API_LISTEN_H
#define LAMINA_API_LISTEN_H

#include "api/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The socket of options->listen_fd, else a new one on address and port, and the port it is bound to. Promise
 * 10 is kept here for both: without authentication only loopback will do. */
lam_status lam_http_listen(const lam_http_options *options, int *out, unsigned *port, lam_error *err);

#ifdef __cplusplus
}
#endif
#endif
