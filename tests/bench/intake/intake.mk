# `make bench-intake` measures the way in of the whole daemon, interleaved with Orthanc and storescp where they are.

$(BUILD)/bench-limit: $(call obj,tests/bench/intake/limit.c) $(call lib,base)
	$(CC) $(LDFLAGS) -o $@ $^ -lpthread

.PHONY: bench-intake
bench-intake: $(PROGRAMS) $(BUILD)/bench-limit
	tests/bench/intake/run.sh $(BUILD)
