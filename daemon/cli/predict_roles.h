/* Which series a model of several roles reads together, among those on the command line. Internal to
 * predict_dicom.c. */
#ifndef LAMINA_CLI_PREDICT_ROLES_H
#define LAMINA_CLI_PREDICT_ROLES_H

#include "daemon/cli/dicom_files.h"

/* One analysis: files of one series, or of several, role by role. */
typedef struct lam_reading {
    lam_dicom_file *files; /* owned; what they name is borrowed */
    size_t count;
    bool alone; /* of one series, though the model has roles */
} lam_reading;

typedef struct lam_readings {
    lam_reading *items;
    size_t count;
} lam_readings;

/* Every series of images is in one reading: with its partners of the same study where all roles of the model
 * can be filled (the first series that suits each; a prior is not looked for), else by itself. */
lam_status lam_readings_find(const lam_manifest *manifest, const lam_dicom_files *files, lam_readings *out,
                             lam_error *err);
void lam_readings_done(lam_readings *readings);

#endif
