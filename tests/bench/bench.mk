# `make bench`: every benchmark, one after another on a quiet machine; each prints its table. What it needs is in the
# READMEs of the folders; peers that are not there are left out.
.PHONY: bench
bench:
	@for part in $(sort $(notdir $(wildcard tests/bench/*/*.mk))); do \
		$(MAKE) --no-print-directory bench-$${part%.mk} || exit 1; \
	done
