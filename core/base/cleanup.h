/* Scoped cleanup (GCC and Clang `cleanup` attribute), so that every early return releases what it holds.
 *
 *     lam_autofree char *name = NULL;          freed with free()
 *     lam_autoclose int fd = -1;               closed when >= 0
 *     LAM_AUTO(lam_buffer_done) lam_buffer b   any `void f(T *)`
 *     LAM_DEFINE_AUTO(lam_json, lam_json_free) then: LAM_AUTO_PTR(lam_json) *doc = NULL;
 */
#ifndef LAMINA_BASE_CLEANUP_H
#define LAMINA_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define LAM_AUTO(function) __attribute__((cleanup(function)))

static inline void lam_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void lam_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define lam_autofree  LAM_AUTO(lam_cleanup_free)
#define lam_autoclose LAM_AUTO(lam_cleanup_close)

/* Defines the helper behind LAM_AUTO_PTR for a type whose destructor is `void free_function(type *)` and
 * NULL-safe. */
#define LAM_DEFINE_AUTO(type, free_function)                                                                 \
    static inline void lam_cleanup_##type(type **pointer)                                                    \
    {                                                                                                        \
        free_function(*pointer);                                                                             \
    }
#define LAM_AUTO_PTR(type) LAM_AUTO(lam_cleanup_##type) type

/* Moves a pointer or descriptor out of its variable, so that scoped cleanup leaves it alone. */
#define LAM_TAKE_PTR(pointer)                                                                                \
    __extension__({                                                                                          \
        __typeof__(pointer) lam_taken_ = (pointer);                                                          \
        (pointer) = NULL;                                                                                    \
        lam_taken_;                                                                                          \
    })
#define LAM_TAKE_FD(fd)                                                                                      \
    __extension__({                                                                                          \
        int lam_taken_ = (fd);                                                                               \
        (fd) = -1;                                                                                           \
        lam_taken_;                                                                                          \
    })

#define LAM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
