# `make bench-results`: seconds and memory of writing a segmentation object of a whole CT series.

$(BUILD)/bench-results: $(call obj,tests/bench/results/bench_results.c) $(foreach l,dicom core,$(call lib,$(l)))
	$(call say,LD )
	$(Q)$(CXX) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(UNIT_LIBS_dicom) $(CORE_LIBS)

.PHONY: bench-results
bench-results: $(BUILD)/bench-results
	$(BUILD)/bench-results 350 512 512 5 5
	$(BUILD)/bench-results 350 512 512 98 3
