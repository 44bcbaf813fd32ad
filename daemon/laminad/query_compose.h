/* Putting a data set together from the texts of its levels: members of JSON objects are copied as they are,
 * in the order of their tags. Internal to query*.c. */
#ifndef LAMINA_DAEMON_QUERY_COMPOSE_H
#define LAMINA_DAEMON_QUERY_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"

enum { LAM_COMPOSE_TAGS = 512, LAM_COMPOSE_MEMBERS = 2048 };

/* Which attributes are wanted. */
typedef struct lam_wanted {
    bool all;
    size_t count;
    uint32_t tags[LAM_COMPOSE_TAGS];
} lam_wanted;

/* False when there is no room for another. */
bool lam_wanted_add(lam_wanted *wanted, uint32_t tag);

typedef struct lam_member {
    uint32_t tag;
    const char *text; /* "TTTTTTTT":{…}, borrowed */
    size_t length;
} lam_member;

typedef struct lam_composer {
    const lam_wanted *wanted;
    size_t count;
    lam_member members[LAM_COMPOSE_MEMBERS];
} lam_composer;

/* Takes the wanted members of an object that was written by us: {"TTTTTTTT":{…},…}. Of two with the same tag
 * the one taken first stays. */
void lam_composer_take(lam_composer *composer, const char *object, size_t length);

/* Appends the data set and forgets its members. */
void lam_composer_write(lam_composer *composer, lam_buffer *out);

#endif
