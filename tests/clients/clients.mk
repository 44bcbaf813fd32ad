# `make test-clients`: clients from npm, which needs a network the first time. Skipped, and said so, without one.
.PHONY: test-clients
test-clients: tests-built
	@tests/run --build $(BUILD) --jobs 1 $(sort $(shell find tests/clients -name '*.py' -perm -u+x))
