/* lamina-worker: parses headers, decodes pixels, runs networks and builds result objects, from descriptors
 * that laminad hands it into descriptors that laminad hands it. It opens no file and no connection. */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/ipc/ipc.h"
#include "daemon/worker/sandbox.h"
#include "daemon/worker/worker.h"
#include "dicom/dataset.h"

int main(void)
{
    lam_error err = {LAM_OK, ""};
    lam_status status = lam_ipc_check_child(&err);
    if (status == LAM_OK) {
        lam_dicom_prepare();
        status = lam_worker_confine(LAM_IPC_CHILD_SOCKET, &err);
    }
    if (status == LAM_OK)
        status = lam_worker_serve(LAM_IPC_CHILD_SOCKET, &err);
    if (status == LAM_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "lamina-worker: %s\n", err.message);
    return EXIT_FAILURE;
}
