/* Reading JSON objects strictly: the engine's manifests and layer options. Every member must be one that is
 * known, of the right kind and in range; errors name the member. Internal to core/rnn. */
#ifndef LAMINA_RNN_OPTIONS_H
#define LAMINA_RNN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/base/status.h"

/* LAM_E_INVALID naming the first member of `object` that is not in `allowed` (NULL-terminated). */
lam_status lam_options_only(const lam_jv *object, const char *const *allowed, lam_error *err);

/* Optional members: `*out` is set to `otherwise` when absent; LAM_E_INVALID when of the wrong kind or out of
 * range. */
lam_status lam_options_text(const lam_jv *object, const char *key, const char *otherwise, const char **out,
                            lam_error *err);
lam_status lam_options_integer(const lam_jv *object, const char *key, int64_t otherwise, int64_t minimum,
                               int64_t maximum, int64_t *out, lam_error *err);
lam_status lam_options_number(const lam_jv *object, const char *key, double otherwise, double minimum,
                              double maximum, double *out, lam_error *err);
lam_status lam_options_bool(const lam_jv *object, const char *key, bool otherwise, bool *out, lam_error *err);

/* One of `names` (NULL-terminated) as its index; `otherwise` when absent, an error if that is negative. */
lam_status lam_options_choice(const lam_jv *object, const char *key, const char *const *names, int otherwise,
                              int *out, lam_error *err);

/* `count` integers: either a list of so many or one number for all. */
lam_status lam_options_integers(const lam_jv *object, const char *key, int64_t otherwise, int64_t minimum,
                                int64_t maximum, int count, int64_t *out, lam_error *err);
lam_status lam_options_numbers(const lam_jv *object, const char *key, double otherwise, double minimum,
                               double maximum, int count, double *out, lam_error *err);

/* A list of axis names among z, y, x, as one flag each; all false when absent. */
lam_status lam_options_axes(const lam_jv *object, const char *key, bool out[3], lam_error *err);

#endif
