# `make bench-web` measures DICOMweb at two sizes of the index beside Orthanc; `make bench-web-stores` only makes what it measures over.
CACHE ?= $(or $(TMPDIR),/tmp)/lamina-bench-web

.PHONY: bench-web bench-web-stores
bench-web: $(PROGRAMS)
	LAMINA_BUILD=$(BUILD) tests/bench/web/bench_web.py --cache $(CACHE) $(ARGUMENTS)
bench-web-stores: $(PROGRAMS)
	LAMINA_BUILD=$(BUILD) tests/bench/web/bench_web.py --cache $(CACHE) --prepare $(ARGUMENTS)
