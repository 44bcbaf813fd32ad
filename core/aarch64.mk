# `make aarch64`: the engine's sources compile for aarch64, where the plain kernels use NEON through GNU vectors. Real
# objects, with our warnings; nothing is linked. Needs gcc-aarch64-linux-gnu.

CROSS_CC      = aarch64-linux-gnu-gcc
CROSS_SRC     = $(BASE_SRC) $(RNN_SRC)
# cblas.h is the same for every processor, and Debian keeps it in a folder of this one.
CROSS_HEADERS = $(BUILD)/aarch64/include

.PHONY: aarch64
ifneq ($(shell command -v $(CROSS_CC)),)
aarch64: $(patsubst %,$(BUILD)/aarch64/%.o,$(CROSS_SRC))
	@echo 'aarch64: $(words $(CROSS_SRC)) sources compile'
else
aarch64:
	@echo 'aarch64: skipped, there is no $(CROSS_CC)'
endif

$(CROSS_HEADERS)/.made:
	@mkdir -p $(@D)
	@folder=$$(echo '#include <cblas.h>' | $(CC) -E - | sed -n 's/^# [0-9]* "\(.*\)\/cblas.h".*/\1/p' | head -1); \
		cp "$$folder"/cblas.h "$$folder"/openblas_config.h $(@D)/ && touch $@

$(BUILD)/aarch64/%.c.o: %.c $(CROSS_HEADERS)/.made
	@mkdir -p $(@D)
	$(call say,CC )
	$(Q)$(CROSS_CC) $(filter-out -MMD -MP,$(CFLAGS)) -isystem $(CROSS_HEADERS) -c -o $@ $<
