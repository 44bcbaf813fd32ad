# `make bench-web` measures searches and metadata at two sizes of the index; PEER=URL a running server beside it.

.PHONY: bench-web
bench-web: $(PROGRAMS)
	LAMINA_BUILD=$(BUILD) tests/bench/web/bench_web.py $(if $(PEER),--peer $(PEER))
