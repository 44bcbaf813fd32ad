# `make models` trains every model that has a recipe, models/<name>/recipe.json (a model.json without weights), from
# ../shared/data/<name>/{train,val}.safetensors into build/models/<name>/<version>/, with fixed seeds: the same bits on the
# same machine. `make models ONLY=hippocampus` trains one; a run that was stopped goes on. Shipping the result is a decision
# of its own: look at its metrics, write its card.md, move the folder to models/<name>/.

MODEL_DATA    ?= ../shared/data
MODEL_SEED    ?= 1
MODEL_THREADS ?= $(shell nproc)
MODEL_RECIPES  = $(patsubst models/%/recipe.json,%,$(wildcard models/*/recipe.json))
MODEL_NAMES    = $(if $(ONLY),$(filter $(ONLY),$(MODEL_RECIPES)),$(MODEL_RECIPES))

.PHONY: models $(MODEL_NAMES:%=model-%)
models: $(MODEL_NAMES:%=model-%)

$(MODEL_NAMES:%=model-%): model-%: $(BUILD)/lamina
	@[ -e $(MODEL_DATA)/$*/train.safetensors ] || { echo "no data for $* in $(MODEL_DATA)" >&2; exit 1; }
	@version=$$(sed -n 's/^  "version": "\(.*\)",$$/\1/p' models/$*/recipe.json) && folder=$(BUILD)/models/$*/$$version && \
		mkdir -p $$folder && { [ -e $$folder/checkpoint.safetensors ] || cp models/$*/recipe.json $$folder/model.json; } && \
		$(BUILD)/lamina train --bundle $$folder --data $(MODEL_DATA)/$*/train.safetensors \
			--val $(MODEL_DATA)/$*/val.safetensors --seed $(MODEL_SEED) --threads $(MODEL_THREADS) --resume
