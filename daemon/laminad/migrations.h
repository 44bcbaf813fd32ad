/* The table of schema steps that the build makes of migrations/[0-9]*.sql. */
#ifndef LAMINA_DAEMON_MIGRATIONS_H
#define LAMINA_DAEMON_MIGRATIONS_H

#include <stddef.h>

typedef struct lam_migration {
    int number;
    const char *name;
    const char *sql;
} lam_migration;

extern const lam_migration lam_migrations[];
extern const size_t lam_migration_count;

#endif
