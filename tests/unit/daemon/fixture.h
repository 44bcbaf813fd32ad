/* A data_dir of a test's own with database and store, and objects to put into them. Tests only. */
#ifndef LAMINA_TESTS_DAEMON_FIXTURE_H
#define LAMINA_TESTS_DAEMON_FIXTURE_H

#include "daemon/laminad/catalog.h"
#include "daemon/laminad/config.h"
#include "daemon/laminad/db.h"
#include "daemon/laminad/header.h"
#include "daemon/laminad/models.h"
#include "daemon/laminad/store.h"
#include "tests/unit/unit.h"

typedef struct fixture {
    char directory[64];
    lam_database *database;
    lam_db *db;
    lam_store *store;
    lam_config config; /* zero but for what the defaults need to be */
} fixture;

/* For cmocka: *state is a fixture with everything open, recovered and empty. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* As after a crash and a new start. Gives the number of orphans removed. */
size_t fixture_restart(fixture *f);

/* `directory/name`, in a buffer that the next call but three overwrites. */
const char *fixture_path(const fixture *f, const char *name);
/* Plain files below directory/name, at any depth. */
size_t fixture_count_files(const fixture *f, const char *name);

/* The payload of INDEXED for an object; `more` is attributes as JSON members (",\"00080060\":…") or "". Freed
 * by the caller. */
char *fixture_indexed(const char *study, const char *series, const char *sop, const char *more);

/* A synced file of the spool with this content. */
void fixture_spool(fixture *f, const char *content, char name[LAM_SPOOL_NAME]);

/* A received object, stored and entered in a transaction of its own at `now_ms`. Gives its series. */
int64_t fixture_receive(fixture *f, const char *study, const char *series, const char *sop, const char *more,
                        int64_t now_ms);
/* The same, as this association brings it. */
int64_t fixture_receive_by(fixture *f, int64_t association, const char *study, const char *series,
                           const char *sop, const char *more, int64_t now_ms);

/* One integer of the database; -1 when there is none. */
int64_t fixture_integer(fixture *f, const char *sql);
/* One text of the database, to be freed; NULL when there is none. */
char *fixture_text(fixture *f, const char *sql);

/* Checks one text of the database. */
#define assert_row(f, sql, expected)                                                                         \
    do {                                                                                                     \
        char *assert_row_ = fixture_text((f), (sql));                                                        \
        assert_non_null(assert_row_);                                                                        \
        assert_string_equal(assert_row_, (expected));                                                        \
        free(assert_row_);                                                                                   \
    } while (0)

/* lam_jobs_add of a model that reads this series alone. */
lam_status fixture_add_job(fixture *f, int64_t series, const char *model, const char *weights,
                           const char *input_set, int64_t now_ms, bool *queued);

/* A bundle under directory/models that wants series of this modality whose description matches `pattern`
 * (NULL: any) and that have so many slices. Its weights are `weights`. */
void fixture_install(const fixture *f, const char *name, const char *version, const char *modality,
                     const char *pattern, int minimum_slices, const char *weights);
/* The same with this selector, which is taken. */
void fixture_install_selector(const fixture *f, const char *name, const char *version, json_t *selector,
                              const char *weights);
/* What is installed there; the caller's reference. */
lam_models *fixture_models(const fixture *f);

#endif
