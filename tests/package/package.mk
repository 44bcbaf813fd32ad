# `make test-package`: the Debian package under a live systemd, in a Debian 12 of its own. That takes root, debootstrap and
# systemd-container, and the first time a network; skipped, and said so, without. The version that is upgraded to is the
# same programs under a higher number.
.PHONY: test-package
test-package: $(PROGRAMS)
	@mkdir -p $(BUILD)/package
	@systemd/debian/build $(BUILD) $(VERSION) $(BUILD)/package
	@systemd/debian/build $(BUILD) $(VERSION)+next $(BUILD)/package
	@LAMINA_BUILD=$(abspath $(BUILD)) tests/run --build $(BUILD) --jobs 1 tests/package/live.py
