# Texts that are made from the table of configuration keys; a unit test fails while they are out of date.
.PHONY: config-docs
config-docs: $(BUILD)/laminad
	$< --print-config-example > systemd/lamina.conf
	$< --print-config-man > $(BUILD)/config-keys
	sed -i -e '/^\.\\" keys begin$$/,/^\.\\" keys end$$/{//!d}' -e '/^\.\\" keys begin$$/r $(BUILD)/config-keys' \
		docs/man/lamina.conf.5
