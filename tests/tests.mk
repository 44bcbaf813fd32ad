# Building and running the tests, and checking the source. `make test` is what CI runs; README.md here says what lies
# where. Unit tests and scripts are found by folder: a new one needs no line here.

include tests/packages.mk tests/lint/lint.mk tests/fuzz/fuzz.mk
-include $(wildcard tests/*/*/*.mk tests/bench/*.mk tests/tools/*.mk tests/clients/*.mk tests/package/*.mk)

TEST_JOBS ?= 2

# ---- unit tests: tests/unit/<part>/test_<module>.c, one program each ----
# The folder decides what a test may link, so that a test of base cannot come to need a database. Other sources in
# the folder are helpers of its tests.
UNIT_base   = base
UNIT_rnn    = core
UNIT_dicom  = dicom core
UNIT_api    = api core
UNIT_daemon = cli worker daemon api dicom core

UNIT_LIBS_base   = -lm -lpthread
UNIT_LIBS_rnn    = $(CORE_LIBS)
UNIT_LIBS_dicom  = $(DCMTK_LIBS) -lopenjp2 -ljpeg -lpng -lz -lm -lpthread
UNIT_LIBS_api    = -lmicrohttpd -lgnutls -ljansson -lz -lzstd -lm -lpthread
UNIT_LIBS_daemon = $(DCMTK_LIBS) -lopenjp2 -ljpeg -lpng -lz -lzstd -larchive -lsqlite3 -lmicrohttpd -lgnutls -ljansson -linih -lsystemd -lcurl -lseccomp $(CORE_LIBS)

# base alone, as proof that it needs nothing else
$(call lib,base): $(call obj,$(BASE_SRC))

UNIT_PARTS ?= base rnn dicom api daemon
UNIT_TESTS +=
# $(1) a part, $(2) one test source in it
define unit_test
UNIT_TESTS += $(BUILD)/$(2:.c=)
$(BUILD)/$(2:.c=): $(call obj,$(2) $(filter-out $(dir $(2))test_%,$(wildcard $(dir $(2))*.c))) $(foreach l,$(UNIT_$(1)),$(call lib,$(l)))
	@mkdir -p $$(@D)
	$$(call say,LD )
	$$(Q)$$(CXX) $$(LDFLAGS) -o $$@ -Wl,--start-group $$^ -Wl,--end-group $(UNIT_LIBS_$(1)) -lcmocka
endef
$(foreach part,$(UNIT_PARTS),$(foreach source,$(shell find tests/unit/$(part) -name 'test_*.c' 2>/dev/null),\
	$(eval $(call unit_test,$(part),$(source)))))

# ---- tools that tests and the demo need: tests/tools/<name>.c becomes build/lamina-<name> ----
TEST_TOOLS = $(patsubst tests/tools/%.c,$(BUILD)/lamina-%,$(wildcard tests/tools/*.c))
.SECONDARY: $(call obj,$(wildcard tests/tools/*.c))
$(BUILD)/lamina-%: $(call obj,tests/tools/%.c) $(foreach l,dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(UNIT_LIBS_dicom) $(CORE_LIBS)

# ---- scripts: every executable *.sh and *.py in these folders is a test ----
SCRIPT_FOLDERS = tests/lint tests/e2e tests/browser tests/crash
SCRIPT_TESTS   = $(sort $(shell find $(SCRIPT_FOLDERS) \( -name '*.sh' -o -name '*.py' \) -perm -u+x))

.PHONY: test check unit e2e crash steady tests-built
tests-built: $(PROGRAMS) $(UNIT_TESTS) $(TEST_TOOLS)

# All of it; installs what is missing first. `check` is the same without looking at packages.
test:
	@tests/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory $(PARALLEL) check

# The long ones first, so that they do not run alone at the end.
check: tests-built
	@tests/run --build $(BUILD) --jobs $(TEST_JOBS) $(filter tests/crash/%,$(SCRIPT_TESTS)) \
		$(filter-out tests/crash/%,$(SCRIPT_TESTS)) $(UNIT_TESTS)

# Tests of daemon run the real programs.
unit: $(UNIT_TESTS) $(if $(filter daemon,$(UNIT_PARTS)),$(PROGRAMS))
	@tests/run --build $(BUILD) --jobs $(TEST_JOBS) $(UNIT_TESTS)

# Scripts by name: make e2e ONLY=stow
e2e: $(PROGRAMS) $(TEST_TOOLS)
	@tests/run --build $(BUILD) --jobs $(TEST_JOBS) $(foreach t,$(SCRIPT_TESTS),$(if $(findstring $(ONLY),$(t)),$(t)))

# What fails by chance: each test many times, while processors and the disk are busy. make steady TIMES=20 ONLY=wire
TIMES ?= 5
steady: tests-built
	@tests/run --build $(BUILD) --jobs $$((2 * $(TEST_JOBS))) --times $(TIMES) --burdens $(TEST_JOBS) \
		$(foreach t,$(filter-out tests/lint/%,$(SCRIPT_TESTS)) $(UNIT_TESTS),$(if $(findstring $(ONLY),$(t)),$(t)))

# kill -9 for as long as you like: make crash ROUNDS=200 SEED=7
ROUNDS ?= 200
crash: $(PROGRAMS) $(TEST_TOOLS)
	LAMINA_CRASH_ROUNDS=$(ROUNDS) LAMINA_CRASH_SEED=$(SEED) tests/run --build $(BUILD) --jobs 1 --timeout 86400 \
		$(filter tests/crash/%,$(SCRIPT_TESTS))

# A recursive make keeps its parent's -j; without one, use what the machine has.
PARALLEL = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- the same tests under sanitizers, each in a build of its own ----
# The plain build judges warnings; sanitizers cause false ones.
SANITISED = WARNINGS=-w HARDEN=-fPIE OPTIMISE='-O1 -g1 -fno-omit-frame-pointer'
# The wide kernels are the plain ones compiled again, and instrumenting those takes minutes: the plain ones stand for all.
ifneq ($(SANITISE),)
$(call obj,$(wildcard core/rnn/kernels/*_avx2.c core/rnn/kernels/*_avx512.c)): override SANITISE =
endif

.PHONY: asan tsan
asan:
	@tests/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/asan $(SANITISED) \
		SANITISE='-fsanitize=address,undefined -fno-sanitize-recover=undefined' check

# What has threads of its own; TSan cannot see into those of libraries.
tsan:
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/tsan $(SANITISED) SANITISE=-fsanitize=thread \
		UNIT_PARTS='base rnn api daemon' unit

# ---- the demo ----
.PHONY: demo run demo-built
demo-built: $(PROGRAMS) $(TEST_TOOLS) ;
demo run:
	@tests/install-packages $(BUILD_PACKAGES)
	@$(MAKE) --no-print-directory $(PARALLEL) demo-built
	@LAMINA_BUILD=$(BUILD) STUDY='$(STUDY)' tests/demo/$@.sh
