# The files that LAM_EMBED (api/embed.h) puts into objects.
$(BUILD)/obj/api/ui.c.o: $(wildcard api/ui/*)
$(BUILD)/obj/api/openapi.c.o: api/schemas.json
