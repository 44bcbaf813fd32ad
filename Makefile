# Lamina. `make` builds the programs, `make test` runs everything, `make demo` shows the main job; README.md says more.
# Sources are found by folder, so a new file needs no line here. Fragments (*.mk) belong to the folder they lie in.

BUILD  ?= build
PREFIX ?= /usr
ifeq ($(origin CC),default)
CC = gcc
endif

WARNINGS  = -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wformat=2 -Wundef
OPTIMISE ?= -O2 -g
HARDEN   ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
SANITISE ?=
# The same bytes from any folder: it is in debug information, and so in the build id.
ANYWHERE  = -ffile-prefix-map=$(CURDIR)=.
DEFINES   = -D_GNU_SOURCE -DLAMINA_VERSION='"$(VERSION)"'
VERSION   = 0.1.0

CFLAGS   += -std=c11 $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes $(OPTIMISE) $(HARDEN) $(ANYWHERE) $(SANITISE) -I. $(DEFINES) -MMD -MP
CXXFLAGS += -std=c++17 $(WARNINGS) $(OPTIMISE) $(HARDEN) $(ANYWHERE) $(SANITISE) -I. $(DEFINES) -MMD -MP
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITISE)

DCMTK_LIBS = -ldcmnet -ldcmtls -ldcmjpls -ldcmjpeg -lijg8 -lijg12 -lijg16 -ldcmimage -ldcmimgle -ldcmdata -loflog -lofstd -lssl -lcrypto
CORE_LIBS  = -lopenblas -lm -lpthread

# One short line a step; V=1 shows whole commands.
ifneq ($(V),1)
Q   = @
say = @echo "  $(1) $(patsubst $(BUILD)/%,%,$@)";
endif

lib = $(BUILD)/liblamina-$(1).a
obj = $(patsubst %,$(BUILD)/obj/%.o,$(1))

BASE_SRC   = $(wildcard core/base/*.c)
RNN_SRC    = $(shell find core/rnn -name '*.c')
DICOM_SRC  = $(wildcard dicom/*.c dicom/dcmtk/*.cc)
API_SRC    = $(wildcard api/*.c)
IPC_SRC    = $(wildcard daemon/ipc/*.c)
LAMINAD    = $(wildcard daemon/laminad/*.c)
DIMSE      = $(wildcard daemon/dimse/*.c)
WORKER     = $(wildcard daemon/worker/*.c)
CLI        = $(wildcard daemon/cli/*.c)
mains      = daemon/laminad/main.c daemon/dimse/main.c daemon/worker/main.c daemon/cli/main.c

PROGRAMS = $(BUILD)/laminad $(BUILD)/lamina-dimse $(BUILD)/lamina-worker $(BUILD)/lamina

.PHONY: all
all: $(PROGRAMS)

include tests/tests.mk
-include $(wildcard core/*.mk models/*.mk systemd/*.mk docs/*.mk api/*.mk)

include migrations/migrations.mk daemon/laminad/keywords.mk

# The engine alone: liblamina-core.a is base and rnn, and needs only OpenBLAS.
$(call lib,core): $(call obj,$(BASE_SRC) $(RNN_SRC))
$(call lib,dicom): $(call obj,$(DICOM_SRC))
$(call lib,api): $(call obj,$(API_SRC))
$(call lib,daemon): $(call obj,$(IPC_SRC) $(filter-out $(mains),$(LAMINAD))) $(BUILD)/obj/gen/migrations.o $(BUILD)/obj/gen/keywords.o
$(call lib,worker): $(call obj,$(filter-out $(mains),$(WORKER) $(DIMSE)))
$(call lib,cli): $(call obj,$(filter-out $(mains),$(CLI)))

$(BUILD)/laminad: $(call obj,daemon/laminad/main.c) $(foreach l,daemon api dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lsqlite3 -lmicrohttpd -lgnutls -ljansson -lz -lzstd -linih -lsystemd -lcurl -lm -lpthread

$(BUILD)/lamina-dimse: $(call obj,daemon/dimse/main.c) $(foreach l,worker daemon dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(DCMTK_LIBS) -lopenjp2 -ljpeg -lpng -lz -lm -lpthread

$(BUILD)/lamina-worker: $(call obj,daemon/worker/main.c) $(foreach l,worker daemon dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(DCMTK_LIBS) -lopenjp2 -ljpeg -lpng -lz -larchive -lseccomp $(CORE_LIBS)

$(BUILD)/lamina: $(call obj,daemon/cli/main.c) $(foreach l,cli worker daemon api dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(DCMTK_LIBS) -lopenjp2 -ljpeg -lpng -lz -lsqlite3 -linih -lcurl -lgnutls -ljansson $(CORE_LIBS)

$(BUILD)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR )
	$(Q)$(AR) rcs $@ $^

# Kernels for one instruction set say so in their file name; the set is chosen at run time. They are much unrolled: full
# debug information would take gcc longer than the code.
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine)),)
$(BUILD)/obj/%_avx512.c.o: CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -O3 -g1
$(BUILD)/obj/%_avx2.c.o: CFLAGS += -mavx2 -mfma -O3 -g1
endif

$(BUILD)/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,CC )
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(CXXFLAGS) -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf $(BUILD)
