#!/usr/bin/env bash
# transformers 5.23.0 with PEFT 0.21.2: `AutoModelForCausalLM.from_pretrained(ADAPTER_FOLDER)` loads a DoRA adapter as
# another model. The magnitudes are in the file under `...lora_magnitude_vector`, transformers looks for them under
# `...lora_magnitude_vector.default.weight`, and keeps those of a new adapter. The only sign is a table in the log, which
# lists the same tensors as UNEXPECTED and as MISSING; nothing is raised. A LoRA adapter of the same shape is loaded right.
#
# Output seen:
#   LoRA: PEFT differs from the saved model by 0.000, transformers by 0.000
#   DoRA: PEFT differs from the saved model by 0.000, transformers by 0.287
#
# Why it matters: a card that offers `AutoModelForCausalLM` for a DoRA adapter gives its readers a model that nobody
# trained. Load such adapters with `AutoPeftModelForCausalLM`.
#
# Exits with 1 where the behavior changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "torch==2.13.0" "transformers==5.23.0" "peft==0.21.2"
cd "$tmp"
"$tmp/venv/bin/python" - <<'PYTHON' 2>/dev/null
import sys

import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LlamaForCausalLM(LlamaConfig(vocab_size=64, **shape)).save_pretrained("base")
ids = torch.arange(10)[None]
far = {}
for name, is_dora in (("LoRA", False), ("DoRA", True)):
    base = AutoModelForCausalLM.from_pretrained("base")
    config = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", use_dora=is_dora, init_lora_weights=False)
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            if "magnitude" in weight_name:
                weight.mul_(1.5)  # as training changes it
        model.save_pretrained(name)
        saved = model(ids).logits
        for loader in (AutoPeftModelForCausalLM, AutoModelForCausalLM):
            loaded = loader.from_pretrained(name).eval()
            far[name, loader.__name__] = float((loaded(ids).logits - saved).abs().max())
    print(f"{name}: PEFT differs from the saved model by {far[name, 'AutoPeftModelForCausalLM']:.3f}, "
          f"transformers by {far[name, 'AutoModelForCausalLM']:.3f}")
right = [far["LoRA", "AutoPeftModelForCausalLM"], far["LoRA", "AutoModelForCausalLM"],
         far["DoRA", "AutoPeftModelForCausalLM"]]
sys.exit(0 if max(right) < 1e-4 and far["DoRA", "AutoModelForCausalLM"] > 1e-2 else 1)
PYTHON
