# `make test-clients`: clients from npm, which needs a network the first time, and programs of Debian (odil, libgdcm-tools,
# ctn, pixelmed-apps, vtk-dicom-tools). Each is skipped, and said so, where it cannot be had.
.PHONY: test-clients
test-clients: tests-built
	@tests/run --build $(BUILD) --jobs 1 $(sort $(shell find tests/clients -name '*.py' -perm -u+x))
