# make install DESTDIR= PREFIX=: programs, models, manual pages, completion, units. Nothing is enabled or started;
# systemd/README.md says what to do then. An existing /etc/lamina/lamina.conf is kept.

INSTALL ?= install
libexec  = $(DESTDIR)$(PREFIX)/libexec/lamina
share    = $(DESTDIR)$(PREFIX)/share

INSTALL_MODELS = $(wildcard $(addprefix models/*/*/,model.json weights.safetensors gate.safetensors card.md *.svg *.png))

.PHONY: install uninstall
install: $(PROGRAMS)
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(libexec) $(DESTDIR)/etc/lamina
	$(INSTALL) $(BUILD)/laminad $(BUILD)/lamina $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) $(BUILD)/lamina-dimse $(BUILD)/lamina-worker $(libexec)
	for file in $(INSTALL_MODELS); do $(INSTALL) -D -m 644 $$file $(share)/lamina/$$file || exit 1; done
	for page in docs/man/*.[158]; do $(INSTALL) -D -m 644 $$page $(share)/man/man$${page##*.}/$${page##*/} || exit 1; done
	$(BUILD)/lamina completion bash | $(INSTALL) -D -m 644 /dev/stdin $(share)/bash-completion/completions/lamina
	$(INSTALL) -D -m 644 LICENSE $(share)/doc/lamina/LICENSE
	$(INSTALL) -D -m 644 systemd/lamina.conf $(share)/doc/lamina/examples/lamina.conf
	$(INSTALL) -D -m 644 systemd/lamina.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/lamina.conf
	$(INSTALL) -D -m 644 systemd/lamina.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/lamina.conf
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/bin/|$(PREFIX)/bin/|' systemd/laminad.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/laminad.service
	test -e $(DESTDIR)/etc/lamina/lamina.conf || $(INSTALL) -m 644 systemd/lamina.conf $(DESTDIR)/etc/lamina/lamina.conf

# Leaves the configuration and the data.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/laminad $(DESTDIR)$(PREFIX)/bin/lamina
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/lamina.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/lamina.conf
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/laminad.service $(share)/man/man*/lamina.1 $(share)/man/man*/laminad.8
	rm -f $(share)/man/man*/lamina.conf.5 $(share)/bash-completion/completions/lamina
	rm -rf $(libexec) $(share)/lamina $(share)/doc/lamina
