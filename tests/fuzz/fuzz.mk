# Fuzzing with libFuzzer: tests/fuzz/fuzz_<module>.c, one target each, with ASan and UBSan. Everything is built again
# by clang into a folder of its own. `make fuzz` builds them, `make fuzz-run FUZZ_SECONDS=600` runs each for so long;
# what it learns is kept in build/fuzz/corpus, what it finds in build/fuzz/findings.

FUZZ_SECONDS ?= 60
FUZZ_SOURCES  = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_TARGETS  = $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(FUZZ_SOURCES))
FUZZ_MAKE     = $(MAKE) --no-print-directory $(PARALLEL) CC=clang CXX=clang++ BUILD=$(BUILD)/fuzz WARNINGS=-w \
	HARDEN=-fPIE OPTIMISE='-O1 -g1' SANITISE=-fsanitize=fuzzer-no-link,address,undefined

.PHONY: fuzz fuzz-run fuzz-targets
fuzz:
	@command -v clang >/dev/null || { echo 'clang is missing: make deps-lint' >&2; exit 1; }
	@$(FUZZ_MAKE) fuzz-targets

fuzz-run: fuzz
	@for target in $(notdir $(FUZZ_TARGETS)); do \
		mkdir -p $(BUILD)/fuzz/corpus/$$target $(BUILD)/fuzz/findings; \
		seeds=tests/fuzz/corpus/$$target; [ -d $$seeds ] || seeds=; \
		echo "$$target for $(FUZZ_SECONDS) s"; \
		$(BUILD)/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(BUILD)/fuzz/findings/$$target- $(BUILD)/fuzz/corpus/$$target $$seeds || exit 1; \
	done

# Inside the clang build: all archives in a group, of which the linker takes what the target needs.
fuzz-targets: $(FUZZ_TARGETS)
$(BUILD)/fuzz_%: $(call obj,tests/fuzz/fuzz_%.c) $(foreach l,worker daemon api dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -fsanitize=fuzzer -o $@ -Wl,--start-group $^ -Wl,--end-group $(UNIT_LIBS_daemon)
