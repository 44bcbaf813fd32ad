/* Search terms as SQL conditions: values are always bound, and what stands in the text comes from the table
 * of attributes or is a checked tag. Internal to query*.c. */
#ifndef LAMINA_DAEMON_QUERY_WHERE_H
#define LAMINA_DAEMON_QUERY_WHERE_H

#include "api/backend.h"
#include "core/base/buffer.h"
#include "daemon/laminad/query_compose.h"

enum { LAM_WHERE_VALUES = 96, LAM_WHERE_SQL = 32 * 1024, LAM_WHERE_TEXT = 64 * 1024 };

typedef struct lam_where {
    lam_buffer sql;  /* " AND …" for each term; ?1, ?2 … are the values */
    lam_buffer text; /* the values, each ended by NUL */
    size_t offsets[LAM_WHERE_VALUES];
    size_t count;
} lam_where;

void lam_where_init(lam_where *where);
void lam_where_done(lam_where *where);

/* Adds a value and gives its number in the SQL, from 1; 0 when there are too many. */
int lam_where_value(lam_where *where, const char *text, size_t length);
const char *lam_where_get(const lam_where *where, size_t index);

/* Adds the condition of one term. LAM_E_INVALID names the parameter and what it should be. The attribute is
 * added to what is returned. */
lam_status lam_where_term(lam_where *where, const lam_search_term *term, const lam_search *search,
                          lam_wanted *wanted, lam_error *err);

/* The tag of a keyword or of eight hexadecimal digits. False when it is neither. */
bool lam_where_tag(const char *name, size_t length, uint32_t *tag);

#endif
