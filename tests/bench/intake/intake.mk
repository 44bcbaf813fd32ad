# `make bench-intake` measures the way in of the whole daemon, interleaved with Orthanc and storescp where they are.

$(BUILD)/bench-http-limit: $(call obj,tests/bench/intake/http_limit.c) $(call lib,base)
	$(CC) $(LDFLAGS) -o $@ $^ -lpthread

.PHONY: bench-intake
bench-intake: $(PROGRAMS) $(BUILD)/bench-http-limit
	tests/bench/intake/run.sh $(BUILD)
