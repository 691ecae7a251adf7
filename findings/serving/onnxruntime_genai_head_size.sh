#!/usr/bin/env bash
# onnxruntime-genai 0.18.0 with onnxruntime 1.32.0: the builder converts a Llama whose heads have 8 dimensions without a
# word, `og.Model` loads it, and the first prompt raises: the CPU kernel of GroupQueryAttention takes multiples of 16
# only. Its `--help` raises too ("unsupported format character"): a help text has a bare %.
#
# Output seen:
#   heads of 16: built, loaded, answers
#   heads of 8: built, loaded, RuntimeError: ... head_size shall be a multiple of 16
#   --help: exit code 1
#
# Why it matters: whether a small model can be served is known only after it was converted and loaded. Ask it for one
# token first.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "onnxruntime-genai==0.18.0" "onnxruntime==1.32.0" "onnx==1.23.2" "onnx-ir==1.1.0" \
    "torch==2.13.0" "transformers==5.23.0"
cd "$tmp"
HF_HUB_OFFLINE=1 "$tmp/venv/bin/python" - <<'PY' 2>/dev/null
import subprocess
import sys

import numpy
import onnxruntime_genai as og
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BUILDER = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
core = Tokenizer(models.BPE({one: number for number, one in enumerate(letters)}, []))
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)


def outcome(width):
    name = f"heads-of-{width}"
    config = LlamaConfig(vocab_size=256, hidden_size=width * 4, intermediate_size=64, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=1)
    LlamaForCausalLM(config).save_pretrained(name)
    PreTrainedTokenizerFast(tokenizer_object=core, bos_token=letters[0], eos_token=letters[1]).save_pretrained(name)
    subprocess.run([*BUILDER, "-m", name, "-o", f"{name}-onnx", "-p", "fp32", "-e", "cpu"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    model = og.Model(f"{name}-onnx")
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=8)
    try:
        og.Generator(model, parameters).append_tokens(numpy.array([[5, 6]], dtype=numpy.int32))
    except RuntimeError as error:
        return f"built, loaded, RuntimeError: ... {str(error).partition('Message: ')[2].partition('. ')[0]}"
    return "built, loaded, answers"


found = {width: outcome(width) for width in (16, 8)}
for width, said in found.items():
    print(f"heads of {width}: {said}")
helped = subprocess.run([*BUILDER, "--help"], capture_output=True).returncode
print(f"--help: exit code {helped}")
sys.exit(not (found[16].endswith("answers") and "multiple of 16" in found[8] and helped == 1))
PY
