/* What fit.c (a bundle from data), fit_member.c (one member's epochs), fit_files.c (what is written into the
 * folder) and fit_finish.c (from the members' weights to the bundle) share. */
#ifndef LAMINA_RNN_TRAIN_FIT_INTERNAL_H
#define LAMINA_RNN_TRAIN_FIT_INTERNAL_H

#include "core/rnn/train/curve.h"
#include "core/rnn/train/fit.h"
#include "core/rnn/train/task.h"

#define LAM_FIT_CHECKPOINT "checkpoint.safetensors"
#define LAM_FIT_KEPT       "kept.safetensors"

typedef struct lam_fitting {
    const lam_fit_settings *settings;
    int folder;
    lam_manifest *manifest;
    lam_network *network;
    lam_recipe recipe;
    const lam_task_kind *kind;
    lam_samples *data, *held_out;                 /* held_out: --val or --fold, of all members; NULL: none */
    lam_samples *rest;                            /* of --fold: what is not held out */
    lam_samples *parts[LAM_MANIFEST_MAX_MEMBERS]; /* what each member is judged on at the end */
    lam_pool *pool;

    /* Of the member that is being trained. */
    int member;
    uint64_t seed;
    lam_samples *own_train, *own_validation; /* cross_validate */
    lam_samples *trusted;                    /* of what is trained on, without what `leave_out` names */
    const lam_samples *train, *validation;
    lam_weights *weights;
    lam_trainer *trainer;
    lam_curve curve;
    double best;
    int64_t best_epoch;
    lam_fit_report *report;
    void *context;
    int64_t start_us, start_step;
} lam_fitting;

/* ---- files in the bundle's folder ---- */

/* Writes `what` to a descriptor. */
typedef lam_status lam_fitting_write(const lam_fitting *fit, int fd, const void *what, lam_error *err);

/* Replaces a file, written aside and synced. */
lam_status lam_fitting_replace(const lam_fitting *fit, const char *name, lam_fitting_write *write,
                               const void *what, lam_error *err);

/* Of a lam_buffer. */
lam_fitting_write lam_fitting_write_text;

/* Weight sets of one network. */
typedef struct lam_weight_sets {
    const lam_weights *const *members;
    size_t count;
} lam_weight_sets;
lam_fitting_write lam_fitting_write_weights;

/* "curve.csv", of an ensemble "curve-2.csv". */
const char *lam_fitting_member_file(const lam_fitting *fit, const char *stem, const char *end, char name[64]);
/* Where the weights of a member that is done lie. */
const char *lam_fitting_done_file(int member, char name[64]);

/* All but the bundle itself. */
void lam_fitting_remove_leftovers(const lam_fitting *fit);

/* ---- members ---- */

/* Trains member fit->member, from its checkpoint where there is one to resume; its weights are then in its
 * done file. */
lam_status lam_fitting_run_member(lam_fitting *fit, lam_error *err);

/* Joins the members' weights, scores them, and writes weights and manifest. */
lam_status lam_fitting_finish(lam_fitting *fit, lam_scores *out, lam_error *err);

#endif
