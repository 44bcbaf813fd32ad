/* Listening TCP sockets, opened by laminad so that children never need the right to bind. */
#ifndef LAMINA_DAEMON_LISTEN_H
#define LAMINA_DAEMON_LISTEN_H

#include "core/base/status.h"
#include "daemon/laminad/config.h"

/* Binds and listens; port 0 lets the kernel choose. Errors name address and remedy: LAM_E_EXISTS when it is
 * in use, LAM_E_DENIED when the port needs privileges. The socket is non-blocking and close-on-exec. */
lam_status lam_listen(const lam_config_address *address, const char *key, int *fd, lam_error *err);

/* The port a socket is bound to. */
int lam_listen_port(int fd);

#endif
