#!/usr/bin/env bash
# transformers 5.23.0 with accelerate 1.15.0: bf16=False trains in bfloat16 if `accelerate launch` says mixed_precision: bf16.
#
# `TrainingArguments` begins with the variable ACCELERATE_MIXED_PRECISION, which the launcher sets from its config file,
# and takes `bf16` and `fp16` into account only where they are true. An explicit false is not obeyed, and
# `args.bf16` still says False while the trainer's autocast is on.
#
# Output seen: bf16=False mixed_precision=bf16 / a product under the trainer's autocast is torch.bfloat16
#
# Why it matters: a recipe that asks for float32 (a processor without bfloat16 arithmetic, or a comparison of
# precisions) trains in bfloat16 under a config written for another machine, and its saved arguments say the contrary.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
export HF_HOME="$tmp/hf" HF_HUB_OFFLINE=1 ACCELERATE_MIXED_PRECISION=bf16
"$tmp/venv/bin/python" - "$tmp/out" <<'PY'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

arguments = TrainingArguments(sys.argv[1], bf16=False, use_cpu=True, report_to="none")
print(f"bf16={arguments.bf16} mixed_precision={arguments.mixed_precision}")
sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}
trainer = Trainer(LlamaForCausalLM(LlamaConfig(**sizes)), arguments)
with trainer.accelerator.autocast():
    computed = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
print("a product under the trainer's autocast is", computed)
sys.exit(0 if not arguments.bf16 and computed is torch.bfloat16 else 1)
PY
