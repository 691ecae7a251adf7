# Two commands do all the set-up: `make quickstart` and `make test`. PYTHON names the interpreter that makes .venv.
PYTHON ?= python3
BIN := .venv/bin
QUICKSTART := build/quickstart
BASE := build/base
STDLIB = $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('stdlib'))")
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: quickstart test test-slow test-gpu lint environment base shakespeare clean

environment: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

# The chain from rows to report. A second call builds everything anew in the same environment.
quickstart: environment
	@rm -rf $(QUICKSTART)
	$(BIN)/python data_prep/build_instructions.py --source "$(STDLIB)" --max_output_chars 300 --license psf-2.0 \
		--output $(QUICKSTART)/instructions
	$(BIN)/python pipelines/sft.py --config recipes/quickstart/sft/lora.yaml --output_dir $(QUICKSTART)/instruct
	$(BIN)/python pipelines/perplexity.py --model_name_or_path recipes/quickstart/base --model_name_or_path $(QUICKSTART)/instruct \
		--dataset $(QUICKSTART)/instructions --scope response --dtype float32 --output $(QUICKSTART)/perplexity.json
	$(BIN)/python pipelines/compare.py --base recipes/quickstart/base --instruct $(QUICKSTART)/instruct \
		--prompts $(QUICKSTART)/instructions --prompt "Write a Python function find_max(numbers)" --max_new_tokens 200 --num_samples 1 \
		--batch_size 64 --training_rows $(QUICKSTART)/instructions --general README.md \
		--perplexity $(QUICKSTART)/perplexity.json --output $(QUICKSTART)/report

# Two tests at a time; the tests of one file, which share their fixtures, stay together, the longest files first.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@command -v bwrap > /dev/null || echo "Skipped: the tests that run generated code need bubblewrap (apt install bubblewrap)."

test-slow: environment
	$(BIN)/python -m pytest -m slow

test-gpu: environment
	$(BIN)/python -m pytest -m gpu

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Regenerates recipes/quickstart/base; needs the package index. Ten minutes with a GPU, five hours on 2 cores.
base: environment
	rm -rf $(BASE) && mkdir -p $(BASE)
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target $(BASE)/packages -r recipes/quickstart/base-packages.txt
	$(BIN)/python data_prep/build_instructions.py --source "$(STDLIB)" --max_output_chars 600 \
		--steps recipes/quickstart/base-steps.yaml --output $(BASE)/instructions
	$(BIN)/python data_prep/build_corpus.py --source "$(STDLIB)" --source $(BASE)/packages --held_out $(BASE)/instructions \
		--steps recipes/quickstart/base-steps.yaml --output $(BASE)/corpus
	$(BIN)/python data_prep/train_tokenizer.py --corpus $(BASE)/corpus --kind bpe --vocab_size 4096 --output $(BASE)/tokenizer
	TOKENIZERS_PARALLELISM=true $(BIN)/python pipelines/pretrain.py --config recipes/quickstart/pretrain/base.yaml --output_dir $(BASE)/run

clean:
	rm -rf build .venv

# A character-level model on one plain text file: make shakespeare TEXT=input.txt
TEXT ?= input.txt
shakespeare: environment
	rm -rf build/shakespeare
	$(BIN)/python data_prep/train_tokenizer.py --corpus "$(TEXT)" --kind char --output build/shakespeare/tokenizer
	$(BIN)/python pipelines/pretrain.py --config recipes/shakespeare-char/pretrain/from_scratch.yaml --dataset_name "$(TEXT)" \
		--tokenizer_name_or_path build/shakespeare/tokenizer --output_dir build/shakespeare/model
