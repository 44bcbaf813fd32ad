#include "daemon/cli/table.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"

const json_t *lam_json_member(const json_t *object, const char *path)
{
    char name[64];
    while (object && *path) {
        size_t length = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, path);
        object = json_object_get(object, name);
        path += length + (path[length] == '.');
    }
    return object;
}

const char *lam_json_member_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(lam_json_member(object, path));
    return text ? text : "";
}

/* ---- cells ---- */

char *lam_printable(const char *text, char out[LAM_CELL_TEXT_SIZE])
{
    lam_text_copy(out, LAM_CELL_TEXT_SIZE, text);
    lam_text_make_printable(out);
    return out;
}

static void print_value(const json_t *value, lam_cell_format format, char text[LAM_CELL_TEXT_SIZE])
{
    enum { SIZE = LAM_CELL_TEXT_SIZE };
    double number = json_number_value(value);
    const char *string = json_string_value(value);
    if (string && format == LAM_CELL_TIME && strlen(string) >= 19)
        snprintf(text, SIZE, "%.10s %.8s", LAM_PRINTABLE(string), LAM_PRINTABLE(string + 11));
    else if (string)
        lam_printable(string, text);
    else if (!json_is_number(value))
        lam_text_copy(text, SIZE, "-");
    else if (format == LAM_CELL_SECONDS)
        snprintf(text, SIZE, "%.2f", number / 1000);
    else if (format == LAM_CELL_PERCENT)
        snprintf(text, SIZE, "%.1f%%", number * 100);
    else if (format == LAM_CELL_DECIMAL)
        snprintf(text, SIZE, "%.3f", number);
    else
        snprintf(text, SIZE, "%.0f", number);
}

char *lam_cell_text(const json_t *row, const lam_column *column, char text[LAM_CELL_TEXT_SIZE])
{
    print_value(lam_json_member(row, column->member), column->format, text);
    return text;
}

/* ---- tables ---- */

/* Characters, not bytes, so that columns stay aligned. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool is_right_aligned(const lam_column *column)
{
    return column->format != LAM_CELL_TEXT && column->format != LAM_CELL_TIME;
}

static void print_cell(FILE *to, const lam_column *column, const char *text, size_t width, bool last)
{
    int padding = (int)(width - width_of(text));
    bool right = is_right_aligned(column);
    fprintf(to, "%*s%s%*s%s", right ? padding : 0, "", text, right || last ? 0 : padding, "",
            last ? "\n" : "  ");
}

/* NULL stands for the heading. */
static const char *cell_or_heading(const json_t *row, const lam_column *column, char text[LAM_CELL_TEXT_SIZE])
{
    return row ? lam_cell_text(row, column, text) : column->heading;
}

void lam_table_print(FILE *to, const json_t *rows, const lam_column *columns, size_t column_count)
{
    size_t width[LAM_MAX_COLUMNS] = {0};
    char text[LAM_CELL_TEXT_SIZE];
    size_t row_count = json_array_size(rows) + 1; /* the heading is row 0 */
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < column_count; c++) {
            const json_t *row = r == 0 ? NULL : json_array_get(rows, r - 1);
            size_t own = width_of(cell_or_heading(row, &columns[c], text));
            width[c] = own > width[c] ? own : width[c];
        }
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < column_count; c++) {
            const json_t *row = r == 0 ? NULL : json_array_get(rows, r - 1);
            print_cell(to, &columns[c], cell_or_heading(row, &columns[c], text), width[c],
                       c + 1 == column_count);
        }
}
