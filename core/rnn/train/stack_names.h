/* Slices that were stored one by one: what their names say of the stacks they belong to. A manifest's
 * `training.stacks` is {"pattern", "phases"}, where the pattern's first group names the patient and its
 * second is a number n, counted from 1: slice (n - 1) / phases, phase (n - 1) % phases of the heart. */
#ifndef LAMINA_RNN_TRAIN_STACK_NAMES_H
#define LAMINA_RNN_TRAIN_STACK_NAMES_H

#include "core/rnn/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_slice_place {
    char patient[96];
    int phase, number;
} lam_slice_place;

typedef struct lam_stack_names lam_stack_names;

/* LAM_E_NOT_FOUND when the manifest has no `training.stacks`; LAM_E_INVALID names the member. */
lam_status lam_stack_names_create(const lam_manifest *manifest, lam_stack_names **out, lam_error *err);
void lam_stack_names_free(lam_stack_names *names);
LAM_DEFINE_AUTO(lam_stack_names, lam_stack_names_free)

/* What a slice's name says; LAM_E_INVALID when it does not match, LAM_E_LIMIT for a patient's name that does
 * not fit. */
lam_status lam_stack_names_read(const lam_stack_names *names, const char *name, lam_slice_place *out,
                                lam_error *err);

/* By patient, phase and number; the slices of a stack are equal in the first two. */
int lam_slice_place_compare(const lam_slice_place *a, const lam_slice_place *b);
bool lam_slice_place_is_one_stack(const lam_slice_place *a, const lam_slice_place *b);

#ifdef __cplusplus
}
#endif
#endif
