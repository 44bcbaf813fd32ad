# make deb: build/lamina_VERSION_ARCH.deb of what `make install` installs; systemd/debian/ has the rest.
.PHONY: deb deb-built
deb:
	@tests/install-packages $(BUILD_PACKAGES) dpkg-dev
	@$(MAKE) --no-print-directory $(PARALLEL) deb-built
deb-built: $(PROGRAMS)
	@systemd/debian/build $(BUILD) $(VERSION)
	@ls $(BUILD)/lamina_$(VERSION)_*.deb
