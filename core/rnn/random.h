/* Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A number is a function of a key and a position, so any sample of any epoch can be drawn by any
 * thread and is the same bits. */
#ifndef LAMINA_RNN_RANDOM_H
#define LAMINA_RNN_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A stream: numbers are drawn in order from position 0. Copying it copies the position. */
typedef struct lam_random {
    uint64_t key;
    uint64_t stream;
    uint64_t block; /* next block of four */
    uint32_t words[4];
    int used; /* of words; 4: none left */
} lam_random;

/* The stream of `key` that is named by up to two numbers, such as epoch and sample. */
lam_random lam_random_stream(uint64_t key, uint64_t a, uint64_t b);

uint32_t lam_random_u32(lam_random *random);
/* 0 <= x < 1, 24 bits. */
float lam_random_uniform(lam_random *random);
/* Mean 0, deviation 1 (Box and Muller). */
float lam_random_normal(lam_random *random);
/* 0 … bound-1, without bias. bound >= 1. */
uint32_t lam_random_below(lam_random *random, uint32_t bound);
/* A permutation of 0 … count-1 (Fisher and Yates). */
void lam_random_permutation(lam_random *random, uint32_t *order, uint32_t count);

/* Mixes two numbers into one key (SplitMix64's finaliser). */
uint64_t lam_random_mix(uint64_t a, uint64_t b);

#ifdef __cplusplus
}
#endif
#endif
