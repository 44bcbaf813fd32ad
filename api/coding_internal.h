/* What a coding is made of: a compressor that takes pieces. coding.c chooses one and feeds it. Internal to
 * coding*.c. */
#ifndef LAMINA_API_CODING_INTERNAL_H
#define LAMINA_API_CODING_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/* What is to be coded, and the room for what comes of it; a step moves both. */
typedef struct lam_coding_step {
    const char *in;
    size_t in_left;
    char *out;
    size_t out_left;
    bool last; /* nothing follows `in` */
} lam_coding_step;

typedef struct lam_compressor {
    void *(*create)(void); /* NULL without memory */
    void (*free)(void *state);
    /* Takes and gives as much as it can; without `last` it may keep what it took. *finished: all is written.
     * False on failure. */
    bool (*step)(void *state, lam_coding_step *step, bool *finished);
    size_t (*bound)(size_t length); /* the longest result of one text */
} lam_compressor;

extern const lam_compressor lam_compressor_gzip, lam_compressor_zstd;

#endif
