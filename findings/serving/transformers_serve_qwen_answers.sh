#!/usr/bin/env bash
# `transformers serve` 5.23 answers chats of a qwen2, qwen3 or other model of its fallback list with another text than the
# model wrote: it parses the answer with a response template of its own, which cuts spaces and line ends off at both
# ends and keeps special tokens inside. /v1/completions of the same server gives the decoded text.
#
# Output seen, for the tokens of "    return<|box_start|> x\n<|im_end|>":
#   model_type llama: '    return x\n'
#   model_type qwen2: 'return<|box_start|> x'
#
# Why it matters: an answer that begins with indented code loses its first indentation, and a comparison of texts finds
# differences where all tokens are equal. Compare with a tolerance for outer spaces and special tokens, or ask for
# /v1/completions. mlx-lm 0.32.2 writes chats the same way, and tells the tokens too.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "torch==2.13.0" "transformers[serving]==5.23.0"
HF_HUB_OFFLINE=1 "$tmp/venv/bin/python" - <<'PY'
import sys
from types import SimpleNamespace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.cli.serving.utils import parse_assistant_message

core = Tokenizer(models.BPE({one: n for n, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=core, eos_token="<|im_end|>", extra_special_tokens=["<|im_start|>", "<|box_start|>"]
)
prompt = tokenizer("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
answer = tokenizer("    return<|box_start|> x\n<|im_end|>")["input_ids"]
found = {}
for kind in ("llama", "qwen2"):
    model = SimpleNamespace(config=SimpleNamespace(model_type=kind))
    decoded = tokenizer.decode(answer, skip_special_tokens=True)
    found[kind], *_ = parse_assistant_message(tokenizer, model, answer, prompt, decoded)
    print(f"model_type {kind + ':':6} {found[kind]!r}")
sys.exit(found != {"llama": "    return x\n", "qwen2": "return<|box_start|> x"})
PY
