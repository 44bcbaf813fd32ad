# The engine compiled with double in place of float (double/double.h says how), for derivatives that rounding does not
# hide. It calculates little: -O1 compiles it in a third of the time.
DOUBLE_TEST = $(BUILD)/tests/unit/rnn/double/derivatives
UNIT_TESTS += $(DOUBLE_TEST)
double_obj  = $(patsubst %,$(BUILD)/obj/double/%.o,$(1))

$(BUILD)/obj/double/%.c.o: %.c tests/unit/rnn/double/double.h
	@mkdir -p $(@D)
	$(call say,CC )
	$(Q)$(CC) $(CFLAGS) -O1 -include tests/unit/rnn/double/double.h -c -o $@ $<

$(DOUBLE_TEST): $(call double_obj,tests/unit/rnn/double/derivatives.c $(filter-out core/rnn/import/% %_avx2.c %_avx512.c,$(RNN_SRC))) $(call lib,base)
	@mkdir -p $(@D)
	$(call say,LD )
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS) -lcmocka
