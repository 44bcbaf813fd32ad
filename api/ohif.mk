# The viewer OHIF, from npm, made to live under /ohif with our configuration: `make ohif`, then ohif_dir = build/ohif in
# [http]. Not part of the project or of its package; its models for interactive segmentation (ort/) are left out.
OHIF_VERSION = 3.12.10

.PHONY: ohif
ohif: $(BUILD)/ohif/app-config.js

$(BUILD)/ohif/app-config.js: api/ohif/app-config.js api/ohif.mk
	rm -rf $(BUILD)/ohif $(BUILD)/ohif.new
	mkdir -p $(BUILD)/ohif.new
	cd $(BUILD)/ohif.new && npm pack --silent @ohif/app@$(OHIF_VERSION)
	tar xzf $(BUILD)/ohif.new/*.tgz -C $(BUILD)/ohif.new --strip-components=2 --exclude='*/ort/*' --exclude='*/dist/sw.js' package/dist
	rm -f $(BUILD)/ohif.new/*.tgz
	sed -i "s|window.PUBLIC_URL = '/'|window.PUBLIC_URL = '/ohif/'|; s|\(href=\"\)/|\1/ohif/|g; s|\(src=\"\)/|\1/ohif/|g; \
		s|\(content=\"\)/|\1/ohif/|g" $(BUILD)/ohif.new/index.html
	sed -i -E 's,(\b[a-z_]+\.p ?= ?")/",\1/ohif/",' $(BUILD)/ohif.new/*.js
	sed -i "s,url(/,url(/ohif/,g" $(BUILD)/ohif.new/*.css
	sed -i "s,\"/assets,\"/ohif/assets,g" $(BUILD)/ohif.new/manifest.json
	: > $(BUILD)/ohif.new/init-service-worker.js
	cp $< $(BUILD)/ohif.new/app-config.js
	mv $(BUILD)/ohif.new $(BUILD)/ohif
