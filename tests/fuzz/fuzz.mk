# Fuzzing with libFuzzer: tests/fuzz/fuzz_<module>.c, one target each, with ASan and UBSan. Everything is built again
# by clang into a folder of its own. `make fuzz` builds them, `make fuzz-run FUZZ_SECONDS=600` runs each for so long
# (FUZZ_ONLY=index: that one); what it learns is kept in build/fuzz/corpus, what it finds in build/fuzz/findings.

FUZZ_SECONDS ?= 60
FUZZ_ONLY    ?= *
FUZZ_SOURCES  = $(wildcard tests/fuzz/fuzz_$(FUZZ_ONLY).c)
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

# What a target is linked with: as little as it needs, since sanitizing the rest takes minutes.
FUZZ_base   = json json_scan
FUZZ_api    = http multipart
FUZZ_dicom  = associate command index layout pdata rle
FUZZ_core   = model onnx safetensors
FUZZ_daemon = config
FUZZ_worker = unpack
FUZZ_WITH_base   = $(call lib,base)
FUZZ_WITH_api    = $(call lib,api) $(call lib,base)
FUZZ_WITH_dicom  = $(call lib,dicom) $(call lib,base)
FUZZ_WITH_core   = $(call lib,core)
FUZZ_WITH_daemon = $(foreach l,worker daemon api dicom core,$(call lib,$(l)))
FUZZ_WITH_worker = $(call obj,daemon/worker/unpack.c) $(call lib,base)

# Inside the clang build. The kernels are unrolled by the thousand lines, and no bytes from outside reach them.
ifneq ($(findstring fuzzer,$(SANITISE)),)
$(call obj,$(wildcard core/rnn/kernels/*.c)): override SANITISE =
$(call obj,core/rnn/kernels/forms_bf16_avx512.c): CFLAGS += -mavx512bf16 # clang does not know gcc's pragma
endif
fuzz-targets: $(FUZZ_TARGETS)
define fuzz_target
$(BUILD)/fuzz_$(2): $(call obj,tests/fuzz/fuzz_$(2).c) $(FUZZ_WITH_$(1))
	$$(call say,LD )
	$$(Q)$$(CXX) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ -Wl,--start-group $$^ -Wl,--end-group $$(UNIT_LIBS_daemon)
endef
$(foreach part,base api dicom core daemon worker,$(foreach target,$(FUZZ_$(part)),$(eval $(call fuzz_target,$(part),$(target)))))
