# `make lint`: formatting, clang-tidy, cppcheck, and that each header compiles alone. A source that passed is not
# looked at again until it or a header it includes changes. The rules of the house that need no tool (include edges,
# paths, leftovers) are the scripts here and run in `make test` too.

LINT_SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.cc')
LINT_HEADERS = $(shell git ls-files --cached --others --exclude-standard '*.h')
# *.inc.h are bodies compiled several times over, not headers.
LINT_ALONE   = $(filter-out %.inc.h tests/lint/%,$(LINT_HEADERS))
TIDY_FLAGS   = -I. $(DEFINES)

.PHONY: lint lint-format lint-tidy lint-cppcheck lint-headers lint-rules
lint:
	@tests/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES) $(LINT_PACKAGES)
	@$(MAKE) --no-print-directory $(PARALLEL) --output-sync=target lint-format lint-headers lint-tidy lint-cppcheck lint-rules
	@echo 'lint: clean'

lint-format:
	@clang-format --dry-run -Werror $(LINT_SOURCES) $(LINT_HEADERS)

lint-rules:
	@tests/lint/rules.py >$(BUILD)/lint-rules.log || { cat $(BUILD)/lint-rules.log; exit 1; }

lint-cppcheck:
	@cppcheck --quiet --error-exitcode=1 --std=c11 --language=c --inline-suppr --suppressions-list=tests/lint/cppcheck.txt \
		--enable=warning,portability,performance -I. -D_GNU_SOURCE -D__linux__ \
		--include=tests/lint/cppcheck.h $(filter %.c,$(LINT_SOURCES))

# A stamp a file, with the dependencies the compiler finds.
lint-tidy: $(patsubst %,$(BUILD)/lint/%.tidy,$(LINT_SOURCES))
lint-headers: $(patsubst %,$(BUILD)/lint/%.alone,$(LINT_ALONE))

# status.c defines what analyzer.h wraps.
$(BUILD)/lint/%.c.tidy: %.c .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- -std=c11 $(TIDY_FLAGS) $(if $(filter-out core/base/status.c,$<),-include tests/lint/analyzer.h) 2>$@.log || { cat $@.log; exit 1; }
	@$(CC) -std=c11 $(TIDY_FLAGS) -MM -MP -MT $@ -MF $@.d $< && touch $@

$(BUILD)/lint/%.cc.tidy: %.cc .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- -std=c++17 $(TIDY_FLAGS) -include tests/lint/analyzer.h 2>$@.log || { cat $@.log; exit 1; }
	@$(CXX) -std=c++17 $(TIDY_FLAGS) -MM -MP -MT $@ -MF $@.d $< && touch $@

# Headers that face DCMTK are C++ only, *_internal.h is what the files of one C module share; all others are both languages.
$(BUILD)/lint/%.h.alone: %.h
	@mkdir -p $(@D)
	@$(if $(findstring dcmtk/,$<),true,$(CC) -std=c11 $(WARNINGS) $(TIDY_FLAGS) -x c -fsyntax-only -include $< /dev/null)
	@$(if $(findstring _internal.h,$<),true,$(CXX) -std=c++17 $(WARNINGS) $(TIDY_FLAGS) -x c++ -fsyntax-only -include $< /dev/null)
	@echo '#include "$<"' | $(CC) -std=c11 $(TIDY_FLAGS) -MM -MP -MT $@ -MF $@.d -x c - && touch $@

-include $(shell find $(BUILD)/lint -name '*.d' 2>/dev/null)
