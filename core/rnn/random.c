#include "core/rnn/random.h"

#include <math.h>

static void philox(const uint32_t counter[4], uint64_t key, uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t lam_random_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a + 0x9E3779B97F4A7C15u * (b + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

lam_random lam_random_stream(uint64_t key, uint64_t a, uint64_t b)
{
    return (lam_random){.key = key, .stream = lam_random_mix(a, b), .used = 4};
}

uint32_t lam_random_u32(lam_random *random)
{
    if (random->used == 4) {
        uint32_t counter[4] = {(uint32_t)random->block, (uint32_t)(random->block >> 32),
                               (uint32_t)random->stream, (uint32_t)(random->stream >> 32)};
        philox(counter, random->key, random->words);
        random->block++;
        random->used = 0;
    }
    return random->words[random->used++];
}

float lam_random_uniform(lam_random *random)
{
    return (float)(lam_random_u32(random) >> 8) * 0x1p-24f;
}

float lam_random_normal(lam_random *random)
{
    float u = ((float)(lam_random_u32(random) >> 8) + 1.0f) * 0x1p-24f;
    float v = lam_random_uniform(random);
    return sqrtf(-2.0f * logf(u)) * cosf(6.28318530717958648f * v);
}

uint32_t lam_random_below(lam_random *random, uint32_t bound)
{
    uint64_t product = (uint64_t)lam_random_u32(random) * bound;
    uint32_t reject = (0u - bound) % bound;
    while ((uint32_t)product < reject)
        product = (uint64_t)lam_random_u32(random) * bound;
    return (uint32_t)(product >> 32);
}

void lam_random_permutation(lam_random *random, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = lam_random_below(random, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
