/* The attributes that searches know: their keywords, the level they belong to, how they are compared, and
 * which are returned without being asked for (PS3.18 section 10.6, tables 10.6.1-5 and 10.6.3-3 to -5; of
 * workitems PS3.4 table CC.2.5-3). */
#ifndef LAMINA_DAEMON_ATTRIBUTE_H
#define LAMINA_DAEMON_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/backend.h"

/* How a value is compared (PS3.4 section C.2.2.2). */
typedef enum lam_match_kind {
    LAM_MATCH_TEXT,     /* exact, or with * and ? */
    LAM_MATCH_CODE,     /* the same; a list means any of it */
    LAM_MATCH_UID,      /* exact, or a list of UIDs */
    LAM_MATCH_DATE,     /* exact or a range */
    LAM_MATCH_TIME,     /* the same, to the second */
    LAM_MATCH_DATETIME, /* by their first digits, or a range */
    LAM_MATCH_NAME,     /* folded, by components */
    LAM_MATCH_NUMBER,
    LAM_MATCH_MODALITIES, /* any of the study's */
    LAM_MATCH_NEVER       /* returned only */
} lam_match_kind;

typedef struct lam_attribute {
    uint32_t tag;
    const char *keyword; /* for readers of the table */
    lam_level level;
    lam_match_kind match;
    const char *column; /* of the level's table; NULL: in its attributes */
    bool returned;      /* always, where its level is */
} lam_attribute;

/* Of stored objects. NULL when it is not in the table. */
const lam_attribute *lam_attribute_of_tag(uint32_t tag);
/* Of what is searched for at this level: stored objects, or workitems. */
const lam_attribute *lam_attribute_at_level(lam_level level, uint32_t tag);

/* Calls `add` with the tag of each attribute that a level returns without being asked. */
void lam_attribute_each_returned(lam_level level, void (*add)(void *context, uint32_t tag), void *context);

#endif
