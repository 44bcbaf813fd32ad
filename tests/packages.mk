# What Debian 12 packages Lamina needs, and `make deps`, which installs what is missing and nothing else. With
# everything there it asks no network, and no rights. What a running Lamina needs is a subset of the first list.

# To build and to run: compiler, libraries. `make demo` and `make run` need no more.
BUILD_PACKAGES = gcc g++ make pkg-config \
	libdcmtk-dev libopenjp2-7-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev libarchive-dev libzstd-dev \
	libopenblas-pthread-dev \
	libsqlite3-dev libmicrohttpd-dev libgnutls28-dev libssl-dev libjansson-dev libinih-dev libsystemd-dev libcurl4-openssl-dev \
	libseccomp-dev

# To test: cmocka, and clients and checkers that are not ours; dpkg-dev makes the package.
TEST_PACKAGES = libcmocka-dev dpkg-dev dcmtk dicom3tools curl zstd sqlite3 strace libfaketime mandoc \
	python3 python3-pydicom python3-numpy python3-pil python3-hl7

# To check the source: formatting, static analysis, fuzzing, scripts and package.
LINT_PACKAGES = clang clang-format clang-tidy cppcheck libclang-rt-14-dev shellcheck lintian

.PHONY: deps deps-build deps-test deps-lint
deps: deps-build deps-test deps-lint
deps-build:
	@tests/install-packages $(BUILD_PACKAGES)
deps-test:
	@tests/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
deps-lint:
	@tests/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES) $(LINT_PACKAGES)
