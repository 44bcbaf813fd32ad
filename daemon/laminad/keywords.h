/* The keywords of all attributes that are not retired (PS3.6), sorted as strcmp does; made by keywords.mk.
 * What is searched for and how is in attribute.h. */
#ifndef LAMINA_DAEMON_KEYWORDS_H
#define LAMINA_DAEMON_KEYWORDS_H

#include <stddef.h>
#include <stdint.h>

typedef struct lam_keyword {
    const char *keyword;
    uint32_t tag;
} lam_keyword;

extern const lam_keyword lam_keywords[];
extern const size_t lam_keyword_count;

#endif
