#!/usr/bin/env bash
# transformers 5.23.0: `LlamaTokenizer` reads `legacy: true` from tokenizer_config.json (a space after every special token,
# as Llama 1 and Vicuna tokenize) and does not write it in `save_pretrained`. Its __init__ keeps it as an attribute and
# passes it to no one, so it is in no saved config. The saved tokenizer.json has `prepend_scheme: always`, but loading
# builds the pre-tokenizer again from `legacy`, which is False by default: the reloaded tokenizer gives other tokens.
#
# Output seen:
#   before saving:  Metaspace(replacement="▁", prepend_scheme=always, split=False) ['</s>', '▁a']
#   after loading:  Metaspace(replacement="▁", prepend_scheme=first, split=False) ['</s>', 'a']
#
# Why it matters: a model is trained with one tokenizer and served with another, and nothing is raised. Write `legacy` into
# the saved tokenizer_config.json, as pipelines/modeling/serving_files.py does.
#
# Exits with 1 where the behavior changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "transformers==5.23.0"
cd "$tmp"
"$tmp/venv/bin/python" - <<'PYTHON' 2>/dev/null
import sys

from transformers import AutoTokenizer, LlamaTokenizer

vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "▁a": 5}
trained = LlamaTokenizer(vocab=vocabulary, merges=[("▁", "a")], legacy=True)
trained.save_pretrained("saved")
loaded = AutoTokenizer.from_pretrained("saved")
for when, tokenizer in (("before saving: ", trained), ("after loading: ", loaded)):
    print(when, tokenizer.backend_tokenizer.pre_tokenizer, tokenizer.tokenize("</s>a"))
sys.exit(trained.tokenize("</s>a") == loaded.tokenize("</s>a"))
PYTHON
