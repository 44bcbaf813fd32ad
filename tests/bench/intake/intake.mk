# `make bench-intake` measures the way in of the whole daemon, interleaved with Orthanc and storescp where they are.

.PHONY: bench-intake
bench-intake: $(PROGRAMS)
	tests/bench/intake/run.sh $(BUILD)
