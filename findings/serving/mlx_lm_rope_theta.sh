#!/usr/bin/env bash
# mlx-lm 0.32.2 reads `rope_theta` of a Llama or a Qwen2 only at the top level of config.json. transformers 5 writes it
# inside `rope_parameters` alone; then mlx-lm takes its default (10,000 for Llama, 1,000,000 for Qwen2) without a word.
#
# Output seen:
#   llama, {"rope_parameters": {"rope_theta": 500000.0}}: base 10000
#   llama, {"rope_theta": 500000.0}:                       base 500000.0
#   qwen2, {"rope_parameters": {"rope_theta": 500000.0}}: base 1000000
#   qwen2, {"rope_theta": 500000.0}:                       base 500000.0
#
# Why it matters: the model has other positions than it was trained with; its first words look right. Write the key at
# the top level too.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "mlx[cpu]==0.32.4" "mlx-lm==0.32.2"
"$tmp/venv/bin/python" - <<'PY'
import json
import sys
from importlib import import_module

SHAPE = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32, "num_attention_heads": 2,
         "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 64}
KEYS = ({"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}, {"rope_theta": 500000.0})
found = []
for name in ("llama", "qwen2"):
    module = import_module(f"mlx_lm.models.{name}")
    for keys in KEYS:
        model = module.Model(module.ModelArgs.from_dict({"model_type": name, **SHAPE, **keys}))
        base = model.layers[0].self_attn.rope.base
        shown = json.dumps(keys).replace('"rope_type": "default", ', "")
        print(f"{name}, {shown}: base {base}")
        found.append(base)
sys.exit(found != [10000, 500000.0, 1000000, 500000.0])
PY
