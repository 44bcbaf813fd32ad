# `make bench-engine` measures the recurrent kernels, interleaved with the peers' programs where they are at hand.

$(BUILD)/bench-engine: $(call obj,$(wildcard tests/bench/engine/*.c)) $(call lib,core)
	$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS)

.PHONY: bench-engine
bench-engine: $(BUILD)/bench-engine
	tests/bench/engine/run.sh $(BUILD)
