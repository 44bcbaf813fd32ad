# Keywords of all attributes (PS3.6) for searches, out of the dictionary that comes with DCMTK: laminad itself does not link it.

DICTIONARY ?= $(firstword $(wildcard /usr/share/libdcmtk*/dicom.dic /usr/share/dcmtk*/dicom.dic))
KEYWORDS    = $(BUILD)/gen/keywords.c

$(KEYWORDS): $(DICTIONARY) daemon/laminad/keywords.mk
	@mkdir -p $(@D)
	@{ echo '#include "daemon/laminad/keywords.h"'; \
	   echo 'const lam_keyword lam_keywords[] = {'; \
	   sed -n 's/^(\([0-9A-Fa-f]\{4\}\),\([0-9A-Fa-f]\{4\}\))[[:space:]][[:space:]]*[^[:space:]]*[[:space:]][[:space:]]*\([A-Z][A-Za-z0-9]*\)[[:space:]].*/{"\3", 0x\1\2},/p' $< \
	     | LC_ALL=C sort -t'"' -k2,2 -u; \
	   echo '};'; \
	   echo 'const size_t lam_keyword_count = sizeof lam_keywords / sizeof lam_keywords[0];'; } > $@.new
	@mv $@.new $@

$(BUILD)/obj/gen/keywords.o: $(KEYWORDS)
	@mkdir -p $(@D)
	$(call say,CC )
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<
