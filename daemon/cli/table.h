/* JSON lists as aligned text tables: which members become which columns is data. Text from the server is made
 * safe for a terminal. */
#ifndef LAMINA_CLI_TABLE_H
#define LAMINA_CLI_TABLE_H

#include <jansson.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lam_cell_format {
    LAM_CELL_TEXT,
    LAM_CELL_INTEGER,
    LAM_CELL_DECIMAL, /* three decimals */
    LAM_CELL_PERCENT, /* 0 … 1, one decimal */
    LAM_CELL_SECONDS, /* of milliseconds */
    LAM_CELL_TIME     /* an ISO 8601 time without what is smaller than a second */
} lam_cell_format;

typedef struct lam_column {
    const char *heading;
    const char *member; /* members of members are reached by dots: "model.name" */
    lam_cell_format format;
} lam_column;

enum { LAM_CELL_TEXT_SIZE = 256, LAM_MAX_COLUMNS = 12 };

/* Text from elsewhere made safe for a terminal and cut to fit into `out`; returns `out`. NULL counts as "".
 */
char *lam_printable(const char *text, char out[LAM_CELL_TEXT_SIZE]);
#define LAM_PRINTABLE(text) lam_printable((text), (char[LAM_CELL_TEXT_SIZE]){0})

/* The member as one cell's text; "-" when absent. Returns `text`. */
char *lam_cell_text(const json_t *row, const lam_column *column, char text[LAM_CELL_TEXT_SIZE]);

/* The heading and a line for each element of `rows`; numbers are aligned to the right. */
void lam_table_print(FILE *to, const json_t *rows, const lam_column *columns, size_t column_count);

/* A member reached by dots; NULL when absent. Borrowed. */
const json_t *lam_json_member(const json_t *object, const char *path);
/* Its text; "" when absent or of another kind. */
const char *lam_json_member_text(const json_t *object, const char *path);

#ifdef __cplusplus
}
#endif
#endif
