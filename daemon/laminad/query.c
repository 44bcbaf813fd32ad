#include "daemon/laminad/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/laminad/attribute.h"
#include "daemon/laminad/query_compose.h"
#include "daemon/laminad/query_where.h"

enum { BUDGET_MS = 5000, COMPUTED = 4096, URI = 512, COUNTED = 10000 };

/* ---- what is selected ---- */

/* Columns: 0 study, 1 series, 2 instance UID; 3 … 5 attributes of the levels; 6 the whole header; 7 …
 * computed. */
static const struct {
    const char *columns, *from, *order;
} selects[LAM_LEVELS] = {
    [LAM_LEVEL_STUDY] = {"t.uid, NULL, NULL, t.attributes, NULL, NULL, NULL, t.modalities, t.series_count, "
                         "t.instance_count, NULL",
                         "study t", "t.study_date DESC, t.id DESC"},
    [LAM_LEVEL_SERIES] = {"t.uid, s.uid, NULL, t.attributes, s.attributes, NULL, NULL, t.modalities, "
                          "t.series_count, t.instance_count, s.instances",
                          "series s JOIN study t ON t.id = s.study_id", "s.id"},
    [LAM_LEVEL_INSTANCE] = {"t.uid, s.uid, i.uid, t.attributes, s.attributes, i.attributes, NULL, "
                            "t.modalities, t.series_count, t.instance_count, s.instances",
                            "instance i JOIN series s ON s.id = i.series_id JOIN study t ON t.id = "
                            "s.study_id",
                            "i.id"},
    [LAM_LEVEL_WORKITEM] = {"NULL, NULL, NULL, w.attributes, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
                            "workitem w", "w.id"},
};

static const char whole_instance[] =
    "t.uid, s.uid, i.uid, t.attributes, s.attributes, i.attributes, (SELECT m.attributes FROM metadata m "
    "WHERE m.instance_id = i.id), t.modalities, t.series_count, t.instance_count, s.instances";

static void add_wanted(void *context, uint32_t tag)
{
    lam_wanted_add(context, tag);
}

/* Levels above the one that is searched are returned as well unless the URL names them (PS3.18 section
 * 10.6.3.3: "relational" searches); their UIDs always. */
static void want_defaults(const lam_search *search, lam_wanted *wanted)
{
    static const uint32_t always[] = {0x00080005, 0x00080056, 0x00081190, 0x0020000D, 0x0020000E, 0x00080201};
    for (size_t i = 0; i < LAM_COUNT(always); i++)
        lam_wanted_add(wanted, always[i]);
    lam_attribute_each_returned(search->level, add_wanted, wanted);
    if (search->level == LAM_LEVEL_WORKITEM)
        return;
    if (search->level > LAM_LEVEL_STUDY && !search->within.study_uid)
        lam_attribute_each_returned(LAM_LEVEL_STUDY, add_wanted, wanted);
    if (search->level > LAM_LEVEL_SERIES && !search->within.series_uid)
        lam_attribute_each_returned(LAM_LEVEL_SERIES, add_wanted, wanted);
}

static bool looks_like_keyword(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    return name[0] >= 'A' && name[0] <= 'Z' && strspn(name, allowed) == strlen(name);
}

/* A keyword that PS3.6 does not have may be of a later edition, or private: that is no error. `deep`: only
 * the whole header of an instance may have it. */
static lam_status want_included(const lam_search *search, lam_wanted *wanted, bool *deep, lam_error *err)
{
    wanted->all = search->include_all;
    *deep = search->include_all;
    for (size_t i = 0; i < search->include_count; i++) {
        const char *name = search->include[i];
        uint32_t tag;
        size_t length = strcspn(name, ".");
        if (!lam_where_tag(name, length, &tag)) {
            if (!looks_like_keyword(name))
                return lam_fail(err, LAM_E_INVALID,
                                "query parameter includefield has \"%.60s\", which is no keyword, no tag of "
                                "eight hexadecimal digits, and not all",
                                name);
            continue;
        }
        if (!lam_wanted_add(wanted, tag))
            return lam_fail(err, LAM_E_INVALID, "query parameter includefield names too many attributes");
        *deep |= !lam_attribute_of_tag(tag);
    }
    *deep &= search->level == LAM_LEVEL_INSTANCE;
    return LAM_OK;
}

/* ---- the statement ---- */

static void within(lam_where *where, const char *column, const char *uid)
{
    if (uid)
        lam_buffer_printf(&where->sql, " AND %s = ?%d", column, lam_where_value(where, uid, strlen(uid)));
}

static lam_status build(const lam_search *search, lam_where *where, lam_wanted *wanted, lam_buffer *sql,
                        lam_error *err)
{
    bool deep = false;
    want_defaults(search, wanted);
    lam_status status = want_included(search, wanted, &deep, err);
    within(where, "t.uid", search->within.study_uid);
    within(where, "s.uid", search->within.series_uid);
    for (size_t i = 0; status == LAM_OK && i < search->term_count; i++)
        status = lam_where_term(where, &search->terms[i], search, wanted, err);
    if (status != LAM_OK)
        return status;
    char number[24];
    int length = snprintf(number, sizeof number, "%" PRId64, search->limit + 1);
    int limit = lam_where_value(where, number, (size_t)length);
    length = snprintf(number, sizeof number, "%" PRId64, search->offset);
    int offset = lam_where_value(where, number, (size_t)length);
    lam_buffer_printf(sql,
                      "SELECT %s FROM %s WHERE 1%s ORDER BY %s LIMIT CAST(?%d AS INTEGER)"
                      " OFFSET CAST(?%d AS INTEGER)",
                      deep ? whole_instance : selects[search->level].columns, selects[search->level].from,
                      lam_buffer_text(&where->sql), selects[search->level].order, limit, offset);
    if (sql->status != LAM_OK || !offset)
        return lam_fail(err, LAM_E_LIMIT, "the search has too many conditions");
    return LAM_OK;
}

static lam_status bind(sqlite3_stmt *statement, const lam_where *where, lam_error *err)
{
    for (size_t i = 0; i < where->count; i++)
        if (sqlite3_bind_text(statement, (int)i + 1, lam_where_get(where, i), -1, SQLITE_STATIC) != SQLITE_OK)
            return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a search");
    return LAM_OK;
}

/* ---- a row ---- */

typedef struct row {
    sqlite3_stmt *s;
    lam_composer *composer;
    char computed[COMPUTED];
    size_t used;
} row;

static void add_computed(row *r, uint32_t tag, const char *vr, const char *value)
{
    int length = snprintf(r->computed + r->used, sizeof r->computed - r->used,
                          "%s\"%08X\":{\"vr\":\"%s\",\"Value\":[%s]}", r->used == 1 ? "" : ",", (unsigned)tag,
                          vr, value);
    if (length > 0 && r->used + (size_t)length + 2 < sizeof r->computed)
        r->used += (size_t)length;
}

static void add_number(row *r, uint32_t tag, int column)
{
    char text[24];
    if (sqlite3_column_type(r->s, column) == SQLITE_NULL)
        return;
    snprintf(text, sizeof text, "%lld", (long long)sqlite3_column_int64(r->s, column));
    add_computed(r, tag, "IS", text);
}

/* "\MR\SEG\" as "MR","SEG"; a value that would need escaping in JSON is left out. */
static void add_modalities(row *r)
{
    char list[1024];
    size_t used = 0;
    const char *text = lam_db_text(r->s, 7);
    for (const char *at = text ? text : ""; *at;) {
        at += *at == '\\';
        size_t length = strcspn(at, "\\");
        bool plain = length > 0;
        for (size_t i = 0; i < length; i++)
            plain &= at[i] != '"' && (unsigned char)at[i] >= ' ';
        if (plain && used + length + 4 < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s\"%.*s\"", used ? "," : "",
                                     (int)length, at);
        at += length;
    }
    if (used)
        add_computed(r, 0x00080061, "CS", list);
}

static void add_url(row *r, const char *root)
{
    static const char *const steps[] = {"/studies/", "/series/", "/instances/"};
    char url[1024];
    size_t used = (size_t)snprintf(url, sizeof url, "\"%s", root);
    for (int i = 0; i < 3 && lam_db_text(r->s, i) && used < sizeof url; i++)
        used += (size_t)snprintf(url + used, sizeof url - used, "%s%s", steps[i], lam_db_text(r->s, i));
    if (used + 2 >= sizeof url)
        return;
    strcpy(url + used, "\"");
    add_computed(r, 0x00081190, "UR", url);
}

static void add_uid(row *r, uint32_t tag, int column)
{
    char quoted[80];
    if (!lam_db_text(r->s, column))
        return;
    snprintf(quoted, sizeof quoted, "\"%.64s\"", lam_db_text(r->s, column));
    add_computed(r, tag, "UI", quoted);
}

/* In the order of the tags, as the composer's sources are. */
static void compute(row *r, const char *root)
{
    r->used = 0;
    r->computed[r->used++] = '{';
    add_computed(r, 0x00080005, "CS", "\"ISO_IR 192\"");
    add_computed(r, 0x00080056, "CS", "\"ONLINE\"");
    add_modalities(r);
    add_url(r, root);
    add_uid(r, 0x0020000D, 0);
    add_uid(r, 0x0020000E, 1);
    add_number(r, 0x00201206, 8);
    add_number(r, 0x00201208, 9);
    add_number(r, 0x00201209, 10);
    r->computed[r->used++] = '}';
}

static void write_row(row *r, const lam_search *search, lam_buffer *out)
{
    if (search->level != LAM_LEVEL_WORKITEM) {
        compute(r, search->root);
        lam_composer_take(r->composer, r->computed, r->used);
    }
    for (int column = 3; column <= 6; column++)
        if (sqlite3_column_type(r->s, column) != SQLITE_NULL)
            lam_composer_take(r->composer, lam_db_text(r->s, column),
                              (size_t)sqlite3_column_bytes(r->s, column));
    lam_composer_write(r->composer, out);
}

static lam_status collect(lam_db *db, sqlite3_stmt *s, const lam_search *search, const lam_wanted *wanted,
                          lam_search_answer *answer, lam_error *err)
{
    lam_autofree lam_composer *composer = malloc(sizeof *composer);
    lam_autofree row *r = malloc(sizeof *r);
    if (!composer || !r)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a search");
    composer->wanted = wanted;
    composer->count = 0;
    r->s = s;
    r->composer = composer;
    answer->count = 0;
    answer->more = false;
    lam_buffer_append(answer->out, "[", 1);
    for (;;) {
        bool found = false;
        lam_status status = lam_db_step(db, s, &found, err);
        if (status != LAM_OK)
            return status;
        if (!found || answer->count == search->limit) {
            answer->more = found;
            break;
        }
        if (answer->count++)
            lam_buffer_append(answer->out, ",", 1);
        write_row(r, search, answer->out);
    }
    lam_buffer_append(answer->out, "]", 1);
    return answer->out->status;
}

/* The statement stays in the cache, without what it was bound to. */
static void let_go(sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

/* How many come after those that were given, as far as it is worth counting. The last two values of `where`
 * are one more than the limit, and the offset. */
static lam_status count_remaining(lam_db *db, const lam_search *search, const lam_where *where,
                                  lam_search_answer *answer, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer sql;
    bool found = false;
    lam_buffer_init(&sql, (size_t)2 * LAM_WHERE_SQL);
    lam_buffer_printf(&sql,
                      "SELECT count(*) FROM (SELECT 1 FROM %s WHERE 1%s LIMIT %d"
                      " OFFSET CAST(?%zu AS INTEGER) - 1 + CAST(?%zu AS INTEGER))",
                      selects[search->level].from, lam_buffer_text(&where->sql), COUNTED, where->count - 1,
                      where->count);
    if (sql.status != LAM_OK)
        return lam_fail(err, LAM_E_LIMIT, "the search has too many conditions");
    sqlite3_stmt *s = lam_db_prepare_composed(db, lam_buffer_text(&sql), err);
    if (!s)
        return LAM_E_INTERNAL;
    lam_status status = bind(s, where, err);
    if (status == LAM_OK)
        status = lam_db_step(db, s, &found, err);
    if (status == LAM_OK)
        answer->remaining = sqlite3_column_int64(s, 0) < COUNTED ? sqlite3_column_int64(s, 0) : -1;
    let_go(s);
    return status;
}

lam_status lam_query_search(lam_db *db, const lam_search *search, lam_search_answer *answer, lam_error *err)
{
    LAM_AUTO(lam_where_done) lam_where where;
    LAM_AUTO(lam_buffer_done) lam_buffer sql;
    lam_where_init(&where);
    lam_buffer_init(&sql, (size_t)2 * LAM_WHERE_SQL);
    lam_wanted wanted = {.count = 0};
    lam_status status = build(search, &where, &wanted, &sql, err);
    if (status != LAM_OK)
        return status;
    sqlite3_stmt *s = lam_db_prepare_composed(db, lam_buffer_text(&sql), err);
    if (!s)
        return LAM_E_INTERNAL;
    status = bind(s, &where, err);
    lam_db_set_deadline(db, BUDGET_MS);
    if (status == LAM_OK)
        status = collect(db, s, search, &wanted, answer, err);
    let_go(s); /* before another is composed, which may take its place */
    if (status == LAM_OK && answer->more)
        status = count_remaining(db, search, &where, answer, err);
    lam_db_set_deadline(db, 0);
    if (status == LAM_E_LIMIT)
        lam_fail(err, status,
                 "the search is too broad: add a condition such as PatientID or StudyDate, or "
                 "page with limit and offset");
    return status;
}

/* ---- metadata ---- */

static lam_status next_series(lam_db *db, const lam_place *place, lam_metadata_cursor *cursor,
                              char uid[LAM_UID_TEXT], bool *found, lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err,
                       "SELECT s.id, s.uid FROM study t JOIN series s ON s.study_id = t.id WHERE t.uid = ?1"
                       " AND (?2 IS NULL OR s.uid = ?2) AND s.id >= ?3 ORDER BY s.id LIMIT 1",
                       "tti", place->study_uid, place->series_uid, cursor->series);
    lam_status status = lam_db_step(db, s, found, err);
    if (status != LAM_OK || !*found)
        return status;
    int64_t id = sqlite3_column_int64(s, 0);
    if (id != cursor->series)
        cursor->instance = 0;
    cursor->series = id;
    snprintf(uid, LAM_UID_TEXT, "%.64s", lam_db_text(s, 1));
    sqlite3_reset(s);
    return LAM_OK;
}

/* The stored text with its relative BulkDataURIs made whole. Inside strings every quote is escaped, so what
 * is looked for can only be a member. */
static void append_resolved(const char *text, size_t length, const char *prefix, lam_buffer *out)
{
    static const char mark[] = "\"BulkDataURI\":\"bulk/";
    for (;;) {
        const char *at = memmem(text, length, mark, sizeof mark - 1);
        if (!at)
            break;
        size_t before = (size_t)(at - text);
        lam_buffer_append(out, text, before);
        lam_buffer_printf(out, "\"BulkDataURI\":\"%s/bulkdata/", prefix);
        text = at + sizeof mark - 1;
        length -= before + sizeof mark - 1;
    }
    lam_buffer_append(out, text, length);
}

/* Pixel Data are the last of a data set that has them, and only named: PS3.18 table F.2.3.1-1 wants a
 * BulkDataURI for what is left out, and viewers look there. */
static void append_pixels(const char *tag, const char *vr, const char *prefix, lam_buffer *out)
{
    if (!vr || out->length < 2)
        return;
    out->length--; /* the closing brace */
    lam_buffer_printf(out, "%s\"%s\":{\"vr\":\"%s\",\"BulkDataURI\":\"%s/bulkdata/%s\"}}",
                      out->data[out->length - 1] == '{' ? "" : ",", tag, vr, prefix, tag);
}

typedef struct metadata_read {
    const lam_place *place;
    const char *root;
    const char *series_uid;
    size_t enough;
    lam_buffer *out;
    bool first; /* nothing has been given by this cursor */
} metadata_read;

/* Headers with tag and value representation of the pixels (rows of earlier versions say nothing of these),
 * NULL where there are none. Of one instance by its own index, see backend.c. */
#define HEADERS                                                                                              \
    "SELECT i.id, i.uid, m.attributes, ifnull(p.layout ->> 'tag', '7FE00010'), CASE WHEN p.layout IS NULL"   \
    " THEN NULL ELSE ifnull(p.layout ->> 'vr', CASE WHEN i.transfer_syntax_uid IN ('1.2.840.10008.1.2',"     \
    " '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2') THEN 'OW' ELSE 'OB' END) END"                            \
    " FROM instance i JOIN metadata m ON m.instance_id = i.id LEFT JOIN pixels p ON p.instance_id = i.id"    \
    " WHERE i.series_id = ?1 AND i.id > ?2 AND "

/* One range of one index. True in *full when there is enough. */
static lam_status read_series(lam_db *db, metadata_read *m, lam_metadata_cursor *cursor, bool *full,
                              lam_error *err)
{
    sqlite3_stmt *s =
        lam_db_prepare(db, err, m->place->sop_uid ? HEADERS "i.uid = ?3" : HEADERS "?3 IS NULL ORDER BY i.id",
                       "iit", cursor->series, cursor->instance, m->place->sop_uid);
    for (bool found = true; !*full;) {
        lam_status status = lam_db_step(db, s, &found, err);
        if (status != LAM_OK || !found)
            return status;
        char prefix[URI];
        snprintf(prefix, sizeof prefix, "%s/studies/%s/series/%s/instances/%s", m->root, m->place->study_uid,
                 m->series_uid, lam_db_text(s, 1));
        if (!m->first)
            lam_buffer_append(m->out, ",", 1);
        m->first = false;
        append_resolved(lam_db_text(s, 2), (size_t)sqlite3_column_bytes(s, 2), prefix, m->out);
        append_pixels(lam_db_text(s, 3), lam_db_text(s, 4), prefix, m->out);
        cursor->instance = sqlite3_column_int64(s, 0);
        *full = m->out->length >= m->enough;
    }
    sqlite3_reset(s);
    return m->out->status;
}

lam_status lam_query_metadata(lam_db *db, const lam_place *place, const char *root,
                              lam_metadata_cursor *cursor, size_t enough, lam_buffer *out, lam_error *err)
{
    metadata_read m = {
        .place = place, .root = root, .enough = enough, .out = out, .first = cursor->instance == 0};
    bool begun = !m.first, full = false;
    for (bool found = true; !full;) {
        char uid[LAM_UID_TEXT];
        lam_status status = next_series(db, place, cursor, uid, &found, err);
        if (status != LAM_OK)
            return status;
        if (!found) {
            cursor->end = true;
            break;
        }
        m.series_uid = uid;
        status = read_series(db, &m, cursor, &full, err);
        if (status != LAM_OK)
            return status;
        if (!full) { /* the next one, or the end */
            cursor->series++;
            cursor->instance = 0;
        }
    }
    if (!begun && m.first)
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
    return LAM_OK;
}

lam_status lam_query_metadata_version(lam_db *db, const lam_place *place, char text[64], lam_error *err)
{
    sqlite3_stmt *s =
        place->sop_uid
            ? lam_db_prepare(db, err,
                             "SELECT i.id, i.revision, i.received_ms FROM instance i JOIN series s ON s.id ="
                             " i.series_id JOIN study t ON t.id = s.study_id WHERE i.uid = ?3 AND s.uid = ?2"
                             " AND t.uid = ?1",
                             "ttt", place->study_uid, place->series_uid, place->sop_uid)
            : lam_db_prepare(db, err,
                             "SELECT max(s.id), sum(s.instances), max(s.received_ms) FROM study t JOIN series"
                             " s ON s.study_id = t.id WHERE t.uid = ?1 AND (?2 IS NULL OR s.uid = ?2)",
                             "tt", place->study_uid, place->series_uid);
    bool found = false;
    lam_status status = lam_db_step(db, s, &found, err);
    if (status != LAM_OK)
        return status;
    if (!found || sqlite3_column_type(s, 0) == SQLITE_NULL) {
        if (found)
            sqlite3_reset(s);
        return lam_fail(err, LAM_E_NOT_FOUND, "nothing is stored under these UIDs");
    }
    snprintf(text, 64, "p%llx-%llx-%llx", (long long)sqlite3_column_int64(s, 0),
             (long long)sqlite3_column_int64(s, 1), (long long)sqlite3_column_int64(s, 2));
    sqlite3_reset(s);
    return LAM_OK;
}
