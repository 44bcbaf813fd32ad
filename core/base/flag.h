/* A flag that one thread sets and others read: C11's atomic_bool for headers that are C++ too. */
#ifndef LAMINA_BASE_FLAG_H
#define LAMINA_BASE_FLAG_H

#include <stdbool.h>

typedef struct lam_flag {
    bool value; /* {0} is not set */
} lam_flag;

static inline void lam_flag_set(lam_flag *flag)
{
    __atomic_store_n(&flag->value, true, __ATOMIC_SEQ_CST);
}

static inline bool lam_flag_is_set(const lam_flag *flag)
{
    return __atomic_load_n(&flag->value, __ATOMIC_SEQ_CST);
}

#endif
