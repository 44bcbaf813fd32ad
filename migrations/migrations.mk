# The numbered *.sql become one table in laminad (daemon/laminad/db.h), so a migration cannot be missing at run time.

MIGRATIONS_SRC = $(sort $(wildcard migrations/[0-9][0-9][0-9][0-9]_*.sql))
MIGRATIONS     = $(BUILD)/gen/migrations.c

$(MIGRATIONS): $(MIGRATIONS_SRC) migrations/migrations.mk
	@mkdir -p $(@D)
	@{ echo '#include "daemon/laminad/migrations.h"'; \
	   echo 'const lam_migration lam_migrations[] = {'; \
	   for f in $(MIGRATIONS_SRC); do n=$$(basename $$f .sql); \
	     printf '{%d, "%s",\n' "$$(echo $$n | sed 's/_.*//; s/^0*//')" "$$n"; \
	     sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$f; echo '},'; done; \
	   echo '};'; \
	   echo 'const size_t lam_migration_count = sizeof lam_migrations / sizeof lam_migrations[0];'; } > $@.new
	@mv $@.new $@

$(BUILD)/obj/gen/migrations.o: $(MIGRATIONS)
	@mkdir -p $(@D)
	$(call say,CC )
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<
