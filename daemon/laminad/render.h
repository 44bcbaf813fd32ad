/* Pixels for the HTTP side: frames straight from the file where the index says where they lie, everything
 * else from a worker (promise 2), which writes into a file without a name. */
#ifndef LAMINA_DAEMON_RENDER_H
#define LAMINA_DAEMON_RENDER_H

#include "api/backend.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/render_pool.h"
#include "daemon/laminad/store.h"

/* What lam_backend.pixels promises. */
lam_status lam_render(lam_db *db, lam_store *store, lam_render_pool *pool, const lam_pixel_request *request,
                      lam_pixels *out, lam_error *err);

#endif
