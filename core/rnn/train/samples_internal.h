/* What samples.c and stacks.c share. */
#ifndef LAMINA_RNN_TRAIN_SAMPLES_INTERNAL_H
#define LAMINA_RNN_TRAIN_SAMPLES_INTERNAL_H

#include "core/rnn/train/task.h"

enum { LAM_MAX_SAMPLE_FILES = 1024 };

struct lam_samples {
    const lam_manifest *manifest;
    const lam_task_kind *kind;
    int axes;
    int64_t channels;
    int classes;
    double spacing_mm[3];
    lam_sample *samples;
    size_t count, room, groups;
    bool named_groups; /* patients are known by name */
    lam_safetensors *files[LAM_MAX_SAMPLE_FILES];
    size_t file_count;
    bool borrowed; /* samples belong to another dataset */
};

/* A new sample in a group of its own. */
lam_status lam_samples_add(lam_samples *dataset, const char *id, lam_sample **out, lam_error *err);

/* Makes room for raw and prepared values of the sample's size. */
lam_status lam_samples_allocate(const lam_samples *dataset, lam_sample *sample, lam_error *err);

/* Normalises raw into prepared. */
lam_status lam_samples_prepare(const lam_samples *dataset, lam_sample *sample, lam_error *err);

/* Reads all slices of a file as stacks, as the manifest's training.stacks says. */
lam_status lam_stacks_read(lam_samples *dataset, const lam_safetensors *file, lam_error *err);

#endif
