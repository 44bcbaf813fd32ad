/* What the files that read model.json share. Internal to core/rnn. */
#ifndef LAMINA_RNN_MANIFEST_PARTS_H
#define LAMINA_RNN_MANIFEST_PARTS_H

#include "core/rnn/manifest.h"

/* An optional object member, all of whose members must be among `allowed` (NULL-terminated); `*out` is NULL
 * when it is absent. */
lam_status lam_manifest_object(const lam_jv *parent, const char *key, const char *const *allowed,
                               const lam_jv **out, lam_error *err);

/* An optional list of objects; allocates `*count` zeroed items of `size` into the pointer at `items`. */
lam_status lam_manifest_list(const lam_jv *parent, const char *key, size_t maximum, size_t size,
                             const lam_jv **list, void *items, size_t *count, lam_error *err);

/* A member of 1 to `maximum` characters of a-z, 0-9 and `extra`. */
lam_status lam_manifest_token(const lam_jv *object, const char *key, const char *extra, size_t maximum,
                              const char **out, lam_error *err);

/* The conditions of all selectors: the model's own, then one for each role. To be freed one by one. */
typedef struct lam_model_matches {
    lam_model_match *of[1 + LAM_MANIFEST_MAX_ROLES];
} lam_model_matches;

/* `selector` of the document `root`. */
lam_status lam_manifest_read_selectors(const lam_jv *root, lam_model_matches *matches, lam_manifest *out,
                                       lam_error *err);

/* `drawing` of the document `root`. */
lam_status lam_manifest_read_drawing(const lam_jv *root, lam_manifest *out, lam_error *err);

#endif
