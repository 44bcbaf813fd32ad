# `make models` trains every model that has a recipe, models/<name>/recipe.json (a model.json without weights), from
# ../shared/data into build/models/<name>/<version>/, with fixed seeds: the same bits on the same machine, whatever kernels
# the environment asks for.
# `make models ONLY=hippocampus` trains one; a run that was stopped goes on. `make baselines` does the same with
# models/<name>/baseline.json, a plain network that the model has to beat, into build/models/<name>-baseline/. Shipping the
# result is a decision of its own: look at its metrics, write its card (`lamina eval --card`), move the folder to models/<name>/.

MODEL_DATA    ?= ../shared/data
MODEL_SEED    ?= 1
MODEL_THREADS ?= $(shell nproc)
MODEL_RECIPES  = $(patsubst models/%/recipe.json,%,$(wildcard models/*/recipe.json))
MODEL_NAMES    = $(if $(ONLY),$(filter $(ONLY),$(MODEL_RECIPES)),$(MODEL_RECIPES))
MODEL_PLAIN    = $(foreach name,$(MODEL_NAMES),$(if $(wildcard models/$(name)/baseline.json),$(name)))

# The folder of a model's data, where it is not named like the model.
MODEL_DATA_adrenal        = adrenal3d
MODEL_DATA_sunnybrook-lv  = sunnybrook
MODEL_DATA_chest-xray-gen = pneumonia
model_data = $(or $(MODEL_SPLIT_$(1)),$(MODEL_DATA)/$(or $(MODEL_DATA_$(1)),$(1)))

# brain-tumour has no validation set of its own: blocks of slices are held out.
MODEL_SPLIT_brain-tumour = $(BUILD)/data/brain-tumour
$(MODEL_SPLIT_brain-tumour)/train.safetensors: models/brain-tumour/split.py
	@[ ! -e $(MODEL_DATA)/brain_tumour/train.safetensors ] || models/brain-tumour/split.py $(MODEL_DATA)/brain_tumour/train.safetensors $(@D)
model-brain-tumour baseline-brain-tumour: $(MODEL_SPLIT_brain-tumour)/train.safetensors

# brain-tumour-region learns from the ellipses that fill the boxes of the same slices.
MODEL_SPLIT_brain-tumour-region = $(BUILD)/data/brain-tumour-region
$(MODEL_SPLIT_brain-tumour-region)/train.safetensors: models/brain-tumour-region/ellipses.py $(MODEL_SPLIT_brain-tumour)/train.safetensors
	@[ ! -e $(MODEL_SPLIT_brain-tumour)/train.safetensors ] || $< $(MODEL_SPLIT_brain-tumour) $(@D)
model-brain-tumour-region: $(MODEL_SPLIT_brain-tumour-region)/train.safetensors

# tumour-gen draws the same slices, reduced.
MODEL_SPLIT_tumour-gen = $(BUILD)/data/tumour-gen
$(MODEL_SPLIT_tumour-gen)/train.safetensors: models/tumour-gen/reduce.py $(MODEL_SPLIT_brain-tumour)/train.safetensors
	@mkdir -p $(@D); [ ! -e $(MODEL_SPLIT_brain-tumour)/train.safetensors ] || for set in train val; do $< $(MODEL_SPLIT_brain-tumour)/$$set.safetensors $(@D)/$$set.safetensors || exit 1; done
model-tumour-gen: $(MODEL_SPLIT_tumour-gen)/train.safetensors

# mr-gen learns from the volumes of hippocampus, halved.
MODEL_SPLIT_mr-gen = $(BUILD)/data/mr-gen
$(MODEL_SPLIT_mr-gen)/train.safetensors: models/mr-gen/halve.py
	@mkdir -p $(@D); [ ! -e $(MODEL_DATA)/hippocampus/train.safetensors ] || for set in train val; do $< $(MODEL_DATA)/hippocampus/$$set.safetensors $(@D)/$$set.safetensors || exit 1; done
model-mr-gen: $(MODEL_SPLIT_mr-gen)/train.safetensors

# $(1) name, $(2) recipe, $(3) folder. What cross-validates learns from all files; else val.safetensors is held out.
define train_model
	@data=$(call model_data,$(1)); [ -e $$data/train.safetensors ] || { echo "no data for $(1) in $$data" >&2; exit 1; }; \
		version=$$(sed -n 's/^  "version": "\(.*\)",$$/\1/p' $(2)) && folder=$(3)/$$version && mkdir -p $$folder && \
		begun=$$(ls $$folder | grep -c -e checkpoint -e member); \
		if [ -e $$folder/weights.safetensors ] && [ $$begun = 0 ]; then echo "$$folder is trained"; exit 0; fi; \
		[ $$begun != 0 ] || cp $(2) $$folder/model.json || exit 1; \
		held=; [ ! -e $$data/val.safetensors ] || { grep -q '"cross_validate": true' $(2) && held= || held=--val; } && \
		env -u OPENBLAS_CORETYPE -u LAMINA_ISA $(BUILD)/lamina train --bundle $$folder --data $$data/train.safetensors \
			$$([ ! -e $$data/val.safetensors ] || echo $$held $$data/val.safetensors) \
			--seed $(MODEL_SEED) --threads $(MODEL_THREADS) --resume
endef

.PHONY: models baselines $(MODEL_NAMES:%=model-%) $(MODEL_PLAIN:%=baseline-%)
models: $(MODEL_NAMES:%=model-%)
baselines: $(MODEL_PLAIN:%=baseline-%)

$(MODEL_NAMES:%=model-%): model-%: $(BUILD)/lamina
	$(call train_model,$*,models/$*/recipe.json,$(BUILD)/models/$*)

$(MODEL_PLAIN:%=baseline-%): baseline-%: $(BUILD)/lamina
	$(call train_model,$*,models/$*/baseline.json,$(BUILD)/models/$*-baseline)
