/* What training writes into the bundle's folder. */
#include <stdio.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/train/fit_internal.h"

struct writing {
    const lam_fitting *fit;
    lam_fitting_write *write;
    const void *what;
};

static lam_status run_writing(void *context, int fd, lam_error *err)
{
    const struct writing *w = context;
    return w->write(w->fit, fd, w->what, err);
}

lam_status lam_fitting_replace(const lam_fitting *fit, const char *name, lam_fitting_write *write,
                               const void *what, lam_error *err)
{
    struct writing writing = {fit, write, what};
    lam_status status = lam_io_replace(fit->folder, name, run_writing, &writing, err);
    if (status)
        lam_error_prefix(err, "%s", fit->settings->bundle);
    return status;
}

lam_status lam_fitting_write_text(const lam_fitting *fit, int fd, const void *what, lam_error *err)
{
    const lam_buffer *text = what;
    (void)fit;
    if (text->status)
        return lam_fail(err, text->status, "out of memory");
    return lam_io_write_all(fd, text->data, text->length, err);
}

lam_status lam_fitting_write_weights(const lam_fitting *fit, int fd, const void *what, lam_error *err)
{
    const lam_weight_sets *sets = what;
    const char *const metadata[][2] = {{"format", "pt"},
                                       {"model", fit->manifest->name},
                                       {"version", fit->manifest->version},
                                       {"licence", fit->manifest->provenance.licence}};
    return lam_weights_save(sets->members, sets->count, fd, metadata, LAM_COUNT(metadata), err);
}

const char *lam_fitting_member_file(const lam_fitting *fit, const char *stem, const char *end, char name[64])
{
    if (fit->manifest->members > 1)
        snprintf(name, 64, "%s-%d.%s", stem, fit->member, end);
    else
        snprintf(name, 64, "%s.%s", stem, end);
    return name;
}

const char *lam_fitting_done_file(int member, char name[64])
{
    snprintf(name, 64, "member-%d.safetensors", member);
    return name;
}

void lam_fitting_remove_leftovers(const lam_fitting *fit)
{
    char done[64];
    for (int m = 0; m < fit->manifest->members; m++)
        unlinkat(fit->folder, lam_fitting_done_file(m, done), 0);
    unlinkat(fit->folder, LAM_FIT_CHECKPOINT, 0);
    unlinkat(fit->folder, LAM_FIT_KEPT, 0);
}
